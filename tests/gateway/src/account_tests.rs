//! The account's rules, one a test. Time is a value here: nothing waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn at(elapsed_ms: u64) -> Now {
    Now {
        wall: Timestamp::from_second(1_700_000_000).unwrap(),
        elapsed_ms,
    }
}

fn account(users: impl IntoIterator<Item = User>) -> Account {
    let mut account = Account::default();
    for user in users {
        account.put(user, at(0));
    }
    account
}

fn edit(body: &str) -> Edit {
    Edit::parse(body.as_bytes(), &Switches::default()).unwrap()
}

fn patch(account: &mut Account, id: &str, body: &str) -> Result<(User, Vec<Change>), Refusal> {
    account.patch(
        id,
        &edit(body),
        Effects::default(),
        &Switches::default(),
        at(0),
    )
}

fn alice() -> User {
    User::new("alice", "user")
        .display_name("Alice")
        .email("alice@example.com")
}

#[test]
fn an_absent_key_is_kept_and_a_present_empty_one_is_cleared() {
    let mut account = account([alice()]);
    let (user, changes) = patch(
        &mut account,
        "alice",
        r#"{"role":"admin","displayName":""}"#,
    )
    .unwrap();
    assert_eq!(
        (user.role.as_str(), user.display_name.as_str()),
        ("admin", "")
    );
    assert_eq!(user.email, "alice@example.com");
    let fields: Vec<_> = changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(fields, ["role", "displayName"]);
}

#[test]
fn a_patch_without_a_role_is_refused() {
    let mut account = account([alice()]);
    let refused = patch(&mut account, "alice", r#"{"displayName":"A"}"#).unwrap_err();
    assert_eq!(refused, Refusal::invalid("role is required"));
    assert!(patch(&mut account, "alice", r#"{"role":""}"#).is_err());
}

#[test]
fn the_preset_goes_with_custom_and_with_nothing_else() {
    let mut account = account([alice()]);
    let mut code = |body| {
        patch(&mut account, "alice", body)
            .map_err(|refusal| refusal.code)
            .err()
    };
    let invalid = Some(Code::InvalidArgument);
    assert_eq!(code(r#"{"role":"custom"}"#), invalid);
    assert_eq!(
        code(r#"{"role":"user","permissionPreset":"agent"}"#),
        invalid
    );
    assert_eq!(
        code(r#"{"role":"custom","permissionPreset":"agent"}"#),
        None
    );
    assert_eq!(
        code(r#"{"role":"custom"}"#),
        None,
        "the stored preset is kept"
    );
    assert_eq!(
        code(r#"{"role":"user"}"#),
        invalid,
        "leaving custom needs the preset cleared"
    );
    assert_eq!(code(r#"{"role":"user","permissionPreset":""}"#), None);
}

#[test]
fn unknown_and_disabled_roles_and_long_names_are_refused() {
    let mut account = account([alice()]);
    assert!(patch(&mut account, "alice", r#"{"role":"root"}"#).is_err());
    let name_of = |length: usize| {
        format!(
            r#"{{"role":"user","displayName":"{}"}}"#,
            "é".repeat(length)
        )
    };
    assert!(patch(&mut account, "alice", &name_of(63)).is_ok());
    assert!(patch(&mut account, "alice", &name_of(64)).is_err());
    let switches = Switches {
        disabled_roles: vec!["contributor".into()],
        ..Switches::default()
    };
    let refused = account.patch(
        "alice",
        &edit(r#"{"role":"contributor"}"#),
        Effects::default(),
        &switches,
        at(0),
    );
    assert_eq!(refused.unwrap_err().code, Code::InvalidArgument);
}

#[test]
fn a_full_replacing_gateway_clears_what_the_body_leaves_out() {
    let mut account = account([alice()]);
    let switches = Switches {
        full_replace_patch: true,
        ..Switches::default()
    };
    let body = edit(r#"{"role":"admin"}"#);
    let (user, _) = account
        .patch("alice", &body, Effects::default(), &switches, at(0))
        .unwrap();
    assert_eq!((user.display_name.as_str(), user.email.as_str()), ("", ""));
}

#[test]
fn update_times_move_with_changes_only_and_never_go_back() {
    let mut account = account([alice()]);
    let first = account.truth("alice", at(0)).unwrap().update_time.unwrap();
    let (same, changes) = patch(&mut account, "alice", r#"{"role":"user"}"#).unwrap();
    assert_eq!((same.update_time, changes), (Some(first), vec![]));
    let (moved, _) = patch(&mut account, "alice", r#"{"role":"admin"}"#).unwrap();
    assert!(
        moved.update_time.unwrap() > first,
        "although the clock stood still"
    );
    let touching = Switches {
        touch_on_noop_patch: true,
        ..Switches::default()
    };
    let body = edit(r#"{"role":"admin"}"#);
    let (touched, _) = account
        .patch("alice", &body, Effects::default(), &touching, at(0))
        .unwrap();
    assert!(touched.update_time > moved.update_time);
}

#[test]
fn a_user_is_updating_for_its_time_and_then_ready() {
    let mut account = account([alice()]);
    let effects = Effects {
        updating: Some(Updating::For(100)),
        ..Effects::default()
    };
    let body = edit(r#"{"role":"admin"}"#);
    let (user, _) = account
        .patch("alice", &body, effects, &Switches::default(), at(1_000))
        .unwrap();
    assert_eq!(user.state, UPDATING);
    assert_eq!(account.read("alice", at(1_099)).unwrap().state, UPDATING);
    assert_eq!(account.read("alice", at(1_100)).unwrap().state, READY);
}

#[test]
fn a_stuck_user_stays_updating_until_its_state_is_edited() {
    let mut account = account([alice()]);
    let effects = Effects {
        updating: Some(Updating::UntilEdited),
        ..Effects::default()
    };
    let body = edit(r#"{"role":"admin"}"#);
    account
        .patch("alice", &body, effects, &Switches::default(), at(0))
        .unwrap();
    assert_eq!(account.read("alice", at(u64::MAX)).unwrap().state, UPDATING);
    assert!(account.edit("alice", at(0), |user| user.state = READY.into()));
    assert_eq!(account.read("alice", at(1)).unwrap().state, READY);
}

#[test]
fn an_edit_of_another_field_does_not_end_updating_early_or_never() {
    let mut account = account([alice()]);
    let switches = Switches {
        patch_updating_ms: Some(100),
        ..Switches::default()
    };
    let body = edit(r#"{"role":"admin"}"#);
    account
        .patch("alice", &body, Effects::default(), &switches, at(0))
        .unwrap();
    account.edit("alice", at(50), |user| user.display_name = "Al".into());
    assert_eq!(account.read("alice", at(99)).unwrap().state, UPDATING);
    assert_eq!(account.read("alice", at(100)).unwrap().state, READY);
}

#[test]
fn lagging_reads_show_the_user_before_the_patch_while_the_truth_has_moved() {
    let mut account = account([alice()]);
    let effects = Effects {
        lag_ms: Some(100),
        ..Effects::default()
    };
    let body = edit(r#"{"role":"admin"}"#);
    let (answered, _) = account
        .patch("alice", &body, effects, &Switches::default(), at(0))
        .unwrap();
    assert_eq!(answered.role, "admin");
    assert_eq!(account.read("alice", at(99)).unwrap().role, "user");
    assert_eq!(account.read_all(at(99))[0].role, "user");
    assert_eq!(account.truth("alice", at(99)).unwrap().role, "admin");
    assert_eq!(account.read("alice", at(100)).unwrap().role, "admin");
}

#[test]
fn creating_twice_is_already_exists_and_the_id_can_come_from_the_email() {
    let mut account = account([]);
    let body = edit(r#"{"role":"user","email":"Bob.Builder@example.com"}"#);
    let mut create =
        |id| account.create(id, &body, Effects::default(), &Switches::default(), at(0));
    let (created, _) = create(None).unwrap();
    assert_eq!(
        (created.id.as_str(), created.state.as_str()),
        ("bob-builder", READY)
    );
    assert_eq!(create(None).unwrap_err().code, Code::AlreadyExists);
    assert!(create(Some("bob-2")).is_ok());
    assert_eq!(
        create(Some("b/o/b")).unwrap_err().code,
        Code::InvalidArgument
    );
}

#[test]
fn the_last_admin_is_kept_only_with_the_switch() {
    let mut account = account([User::new("root", "admin"), alice()]);
    let strict = Switches {
        refuse_last_admin_demotion: true,
        ..Switches::default()
    };
    let body = edit(r#"{"role":"user"}"#);
    let refused = account
        .patch("root", &body, Effects::default(), &strict, at(0))
        .unwrap_err();
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert!(patch(&mut account, "root", r#"{"role":"user"}"#).is_ok());
}

#[test]
fn a_patch_of_an_absent_user_is_not_found() {
    let refused = patch(&mut account([]), "ghost", r#"{"role":"user"}"#).unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
}
