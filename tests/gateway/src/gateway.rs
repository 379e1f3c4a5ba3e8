//! One request against the account: from method, path and query to a call, from a call to an answer. No HTTP body, no
//! fault and no waiting here; `server` does those.

use axum::http::{Method, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::{
    account::Effects,
    answer::{Answer, Code, Refusal},
    clock::Now,
    journal::{Change, Verb},
    listing::ListQuery,
    shared::World,
    user::User,
    wire::{self, Edit, ReadMask},
};

/// The `suspendState` of an account that is served.
const UNSUSPENDED: &str = "UNSUSPENDED";

/// A request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    /// The user it is about, decoded; for POST the id asked for.
    pub(crate) user: Option<String>,
    route: Route,
    account_id: String,
    params: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    List,
    Create,
    Get,
    Patch,
    Account,
    /// A path of the API with a method it does not have.
    WrongMethod,
    /// Nothing the gateway knows.
    Unknown,
}

impl Call {
    pub(crate) fn read(method: &Method, uri: &Uri) -> Self {
        let params: Vec<(String, String)> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        // Decoded after the split: an encoded slash belongs to its segment.
        let segments: Vec<String> = uri
            .path()
            .split('/')
            .skip(1)
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (account_id, path_user, collection) = match segments.as_slice() {
            ["v1", "accounts", account] if !account.is_empty() => (*account, None, false),
            ["v1", "accounts", account, "users"] if !account.is_empty() => (*account, None, true),
            ["v1", "accounts", account, "users", user]
                if !account.is_empty() && !user.is_empty() =>
            {
                (*account, Some((*user).to_owned()), false)
            }
            _ => {
                return Self {
                    verb: Verb::Other,
                    user: None,
                    route: Route::Unknown,
                    account_id: String::new(),
                    params,
                };
            }
        };
        let (verb, route) = match (method.as_str(), collection, &path_user) {
            ("GET", true, _) => (Verb::List, Route::List),
            ("POST", true, _) => (Verb::Post, Route::Create),
            ("GET", false, Some(_)) => (Verb::Get, Route::Get),
            ("PATCH", false, Some(_)) => (Verb::Patch, Route::Patch),
            ("GET", false, None) => (Verb::Account, Route::Account),
            _ => (Verb::Other, Route::WrongMethod),
        };
        let asked_id = || param(&params, "userId", "user_id").map(str::to_owned);
        let user = if route == Route::Create {
            asked_id()
        } else {
            path_user
        };
        Self {
            verb,
            user,
            route,
            account_id: account_id.to_owned(),
            params,
        }
    }

    /// The page a list asks for, where it is not the first.
    pub(crate) fn page_token(&self) -> Option<&str> {
        param(&self.params, "pageToken", "page_token").filter(|token| !token.is_empty())
    }

    fn user_id(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }

    fn read_mask(&self) -> Result<ReadMask, Refusal> {
        ReadMask::parse(param(&self.params, "readMask", "read_mask").unwrap_or_default())
    }
}

fn param<'a>(params: &'a [(String, String)], camel: &str, snake: &str) -> Option<&'a str> {
    params
        .iter()
        .find(|(key, _)| key == camel || key == snake)
        .map(|(_, value)| value.as_str())
}

/// Answers a call and returns what it changed.
pub(crate) fn answer(
    world: &mut World,
    account_id: &str,
    call: &Call,
    body: &[u8],
    authorized: bool,
    effects: Effects,
    now: Now,
) -> (Answer, Vec<Change>) {
    if call.route == Route::Unknown {
        return (Answer::html(404, "Not Found"), Vec::new());
    }
    let admitted = admit(world, account_id, call, authorized, now);
    if let Some(answer) = suspended(world, call).filter(|_| admitted.is_ok()) {
        return (answer, Vec::new());
    }
    let performed = admitted.and_then(|()| perform(world, call, body, effects, now));
    match performed {
        Ok((value, changes)) => (Answer::json(200, &value), changes),
        Err(refusal) => {
            let answer = Answer::refusal(&refusal, world.switches.error_shape);
            (answer, Vec::new())
        }
    }
}

fn admit(
    world: &mut World,
    account_id: &str,
    call: &Call,
    authorized: bool,
    now: Now,
) -> Result<(), Refusal> {
    if call.route == Route::WrongMethod {
        return Err(Refusal::new(Code::Unimplemented, "Method Not Allowed"));
    }
    if !authorized {
        return Err(Refusal::new(
            Code::Unauthenticated,
            "the API key is missing or invalid",
        ));
    }
    if !world
        .quota
        .admit(world.switches.requests_per_minute, now.elapsed_ms)
    {
        return Err(Refusal::new(
            Code::ResourceExhausted,
            "request rate limit of the account exceeded",
        ));
    }
    if call.account_id != account_id {
        return Err(Refusal::not_found(format!(
            "account {:?} not found",
            call.account_id
        )));
    }
    Ok(())
}

/// The refusal of a call while the account is suspended. The account itself can be read.
fn suspended(world: &World, call: &Call) -> Option<Answer> {
    let state = world.switches.suspend_state.as_deref();
    let state = state.filter(|state| *state != UNSUSPENDED)?;
    let is_refused = match call.route {
        Route::Patch | Route::Create => true,
        Route::List | Route::Get => world.switches.suspend_reads,
        Route::Account | Route::WrongMethod | Route::Unknown => false,
    };
    let (status, code) = match state {
        "BLOCKED_BY_ABUSE_RULE" => (412, "PRECONDITION_FAILED"),
        _ => (402, "PAYMENT_REQUIRED"),
    };
    let message = format!("account {} is suspended", call.account_id);
    let body = json!({"error": {"message": message, "code": code, "type": "error"}});
    is_refused.then(|| Answer::json(status, &body))
}

type Performed = Result<(Value, Vec<Change>), Refusal>;

fn perform(world: &mut World, call: &Call, body: &[u8], effects: Effects, now: Now) -> Performed {
    let World {
        account, switches, ..
    } = world;
    let whole = |user: &User| wire::render(user, &call.account_id, &ReadMask::ALL, switches);
    match call.route {
        Route::List => list(world, call, now),
        Route::Get => {
            let mask = call.read_mask()?;
            let id = call.user_id();
            let user = account
                .read(id, now)
                .ok_or_else(|| Refusal::not_found(format!("user {id:?} not found")))?;
            Ok((
                wire::render(user, &call.account_id, &mask, switches),
                Vec::new(),
            ))
        }
        Route::Patch => {
            let edit = Edit::parse(body, switches)?;
            let (user, changes) = account.patch(call.user_id(), &edit, effects, switches, now)?;
            Ok((whole(&user), changes))
        }
        Route::Create => {
            let edit = Edit::parse(body, switches)?;
            let id = call.user.as_deref();
            let (user, changes) = account.create(id, &edit, effects, switches, now)?;
            Ok((whole(&user), changes))
        }
        Route::Account => {
            let state = switches.suspend_state.as_deref().unwrap_or(UNSUSPENDED);
            Ok((account_json(&call.account_id, state), Vec::new()))
        }
        // Both were answered before.
        Route::WrongMethod | Route::Unknown => Err(Refusal::not_found("Not Found")),
    }
}

fn list(world: &mut World, call: &Call, now: Now) -> Performed {
    let query = ListQuery::parse(&call.params)?;
    let switches = &world.switches;
    let mut users = world.account.read_all(now);
    if switches.omit_service_accounts_from_list && !query.asks_for_service_accounts() {
        users.retain(|user| !user.service_account);
    }
    let page = query.page(users);
    let rows: Vec<Value> = page
        .users
        .iter()
        .map(|user| wire::render(user, &call.account_id, &query.read_mask, switches))
        .collect();
    let mut object = Map::new();
    let style = switches.unset_style;
    let rows = (!rows.is_empty()).then(|| json!(rows));
    wire::show(&mut object, "users", rows, json!([]), style);
    let next = page.next.map(|token| json!(token));
    wire::show(&mut object, "nextPageToken", next, json!(""), style);
    let total = (page.total > 0).then(|| json!(page.total));
    wire::show(&mut object, "totalSize", total, json!(0), style);
    if switches.extra_fields {
        object.insert("futureField".into(), json!("unheard of"));
    }
    Ok((Value::Object(object), Vec::new()))
}

fn account_json(account_id: &str, suspend_state: &str) -> Value {
    json!({
        "name": format!("accounts/{account_id}"),
        "displayName": account_id,
        "email": "billing@example.com",
        "accountType": "ENTERPRISE",
        "state": "READY",
        "status": {"code": "OK", "message": ""},
        "suspendState": suspend_state,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn call(method: &str, uri: &str) -> Call {
        Call::read(&method.parse().unwrap(), &uri.parse().unwrap())
    }

    #[test]
    fn ids_are_decoded_segment_by_segment() {
        let odd = call("GET", "/v1/accounts/acme/users/a%2Fb%20c%2B");
        assert_eq!((odd.verb, odd.user.as_deref()), (Verb::Get, Some("a/b c+")));
        assert_eq!(
            call("GET", "/v1/accounts/acme/users/a/b").route,
            Route::Unknown
        );
    }

    #[test]
    fn verbs_follow_from_method_and_path() {
        let verb = |method, uri| call(method, uri).verb;
        assert_eq!(
            verb("GET", "/v1/accounts/acme/users?pageSize=1"),
            Verb::List
        );
        assert_eq!(verb("POST", "/v1/accounts/acme/users"), Verb::Post);
        assert_eq!(verb("PATCH", "/v1/accounts/acme/users/bob"), Verb::Patch);
        assert_eq!(verb("GET", "/v1/accounts/acme"), Verb::Account);
        assert_eq!(verb("GET", "/v1/accounts"), Verb::Other);
        assert_eq!(
            call("DELETE", "/v1/accounts/acme/users/bob").route,
            Route::WrongMethod
        );
        assert_eq!(call("GET", "/v1/accounts//users").route, Route::Unknown);
    }

    #[test]
    fn a_create_is_about_the_id_it_asks_for() {
        let create = call("POST", "/v1/accounts/acme/users?userId=bob%40x");
        assert_eq!(create.user.as_deref(), Some("bob@x"));
        assert_eq!(call("POST", "/v1/accounts/acme/users").user, None);
    }
}
