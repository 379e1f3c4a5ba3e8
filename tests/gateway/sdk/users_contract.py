"""The users API through the vendor's own SDK, unchanged, against a gateway with more than 400 users.

Reads FIREWORKS_API_KEY, FIREWORKS_ACCOUNT_ID and FIREWORKS_BASE_URL, as the SDK does. Prints one line per
contract; the first one broken ends it with an AssertionError or the SDK's own exception.
"""

import os
from datetime import datetime

import fireworks
from fireworks import Fireworks

contracts = []


def contract(function):
    contracts.append(function)
    return function


def refusal(kind, call):
    """The exception of exactly this type that the call raises."""
    try:
        call()
    except fireworks.APIStatusError as error:
        assert type(error) is kind, f"expected {kind.__name__}, got {type(error).__name__}: {error}"
        return error
    raise AssertionError(f"expected {kind.__name__}, but the call succeeded")


@contract
def a_list_has_50_users_to_a_page_and_says_that_there_are_more(client):
    page = client.users.list()
    assert len(page.users) == 50, f"default page: {len(page.users)} users"
    assert page.has_next_page(), "no next page after the first of many"


@contract
def paging_by_itself_reaches_every_user_once(client):
    for size in (200, 77, 1000):
        names = [user.name for user in client.users.list(page_size=size)]
        assert len(names) >= 401, f"page_size {size}: {len(names)} users"
        assert len(set(names)) == len(names), f"page_size {size}: a user came twice"
        assert names == sorted(names), f"page_size {size}: not ordered by name"


@contract
def a_page_holds_200_users_at_most(client):
    page = client.users.list(page_size=1000)
    assert len(page.users) == 200, f"{len(page.users)} users"
    following = page.get_next_page()
    assert following.users[0].name > page.users[-1].name, "the second page does not follow the first"


@contract
def lists_are_filtered_ordered_and_masked(client):
    robots = list(client.users.list(filter="service_account=true"))
    assert robots and all(user.service_account for user in robots), "not only service accounts"
    last = client.users.list(order_by="name desc", page_size=1).users[0]
    assert last.name == max(user.name for user in client.users.list(page_size=200)), last.name
    masked = client.users.list(read_mask="name,role", page_size=1).users[0]
    assert masked.name and masked.role and masked.email is None, f"the mask was ignored: {masked}"


@contract
def a_user_is_read_with_all_its_fields(client):
    account = os.environ["FIREWORKS_ACCOUNT_ID"]
    user = client.users.get("user-00000")
    assert user.name == f"accounts/{account}/users/user-00000", user.name
    assert user.role == "admin", user.role
    assert user.state == "READY", user.state
    assert user.email, "no e-mail"
    assert isinstance(user.create_time, datetime), f"createTime is no time: {user.create_time!r}"
    assert isinstance(user.update_time, datetime), f"updateTime is no time: {user.update_time!r}"
    assert user.status is not None and user.status.code == "OK", user.status


@contract
def a_user_is_created_with_an_id_and_only_once(client):
    def create():
        return client.users.create(
            user_id="carol", role="user", display_name="Carol", email="carol@example.com"
        )

    created = create()
    assert created.name.endswith("/users/carol"), created.name
    assert (created.display_name, created.role) == ("Carol", "user"), created
    error = refusal(fireworks.ConflictError, create)
    assert error.body["code"] == 6, error.body


@contract
def a_user_created_without_an_id_is_named_after_its_email(client):
    created = client.users.create(role="user", email="dave.jones@example.com")
    assert client.users.get(created.name.rsplit("/", 1)[1]).email == "dave.jones@example.com"


@contract
def an_update_keeps_what_it_does_not_name(client):
    before = client.users.get("carol")
    updated = client.users.update("carol", role="contributor")
    assert updated.role == "contributor", updated.role
    assert updated.display_name == "Carol", f"display name lost: {updated.display_name!r}"
    assert updated.email == "carol@example.com", f"e-mail lost: {updated.email!r}"
    assert updated.create_time == before.create_time, "the creation time moved"
    assert updated.update_time > before.update_time, "the update time did not move"
    assert client.users.get("carol").role == "contributor", "a read does not show the update"


@contract
def an_update_clears_what_it_names_empty(client):
    updated = client.users.update("carol", role="contributor", display_name="")
    assert not updated.display_name, f"display name kept: {updated.display_name!r}"


@contract
def fields_newer_than_the_sdk_go_through(client):
    body = {"permissionPreset": "agent"}
    updated = client.users.update("carol", role="custom", extra_body=body)
    assert updated.role == "custom", updated.role
    assert updated.to_dict()["permissionPreset"] == "agent", updated.to_dict()
    error = refusal(fireworks.BadRequestError, lambda: client.users.update("carol", role="user"))
    assert "permission_preset" in error.body["message"], error.body


@contract
def errors_become_the_sdks_own_exceptions(client):
    missing = refusal(fireworks.NotFoundError, lambda: client.users.get("nobody"))
    assert missing.body["code"] == 5, missing.body
    refusal(fireworks.NotFoundError, lambda: client.users.list(account_id="another-account"))
    refusal(fireworks.BadRequestError, lambda: client.users.update("carol", role="emperor"))
    refusal(fireworks.BadRequestError, lambda: client.users.list(filter="shoe_size>42"))
    refusal(fireworks.BadRequestError, lambda: client.users.list(page_token="made-up"))
    stranger = client.with_options(api_key="fw_wrong")
    refusal(fireworks.AuthenticationError, lambda: stranger.users.get("carol"))


@contract
def injected_throttling_and_outages_become_exceptions_too(client):
    def inject(fault):
        client.post("/_faults", body={"fault": fault}, cast_to=object)

    inject({"kind": "throttle", "retryAfter": "1"})
    throttled = refusal(fireworks.RateLimitError, lambda: client.users.get("carol"))
    assert throttled.response.headers["retry-after"] == "1", throttled.response.headers
    inject({"kind": "error", "code": 7, "shape": "wrapped"})
    refusal(fireworks.PermissionDeniedError, lambda: client.users.get("carol"))
    inject({"kind": "html502"})
    refusal(fireworks.InternalServerError, lambda: client.users.get("carol"))
    inject({"kind": "dropBeforeApply"})
    try:
        client.users.get("carol")
    except fireworks.APIConnectionError:
        pass
    else:
        raise AssertionError("a reset connection went unnoticed")


@contract
def the_sdk_retries_what_it_is_told_to_retry(client):
    body = {"times": 1, "fault": {"kind": "throttle", "retryAfterMs": "1"}}
    client.post("/_faults", body=body, cast_to=object)
    user = client.with_options(max_retries=1).users.get("carol")
    assert user.role == "custom", user.role


@contract
def nothing_the_sdk_says_and_nothing_it_is_told_breaks_the_openapi_document(client):
    violations = client.get("/_violations", cast_to=object)
    assert violations == [], violations


def main():
    with Fireworks(max_retries=0, timeout=20) as client:
        for function in contracts:
            function(client)
            print("ok:", function.__name__.replace("_", " "), flush=True)
    print(f"{len(contracts)} contracts hold")


if __name__ == "__main__":
    main()
