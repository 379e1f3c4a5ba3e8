//! The platform of a shared cluster, and what a tenant must not do to it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use fireworks_gateway_simulator::Entry;
use serde_json::{Value, json};

use crate::stage::{Stage, brief};

/// The role that only tenants declare: by it their changes are known.
pub const TENANTS: &str = "contributor";

/// The owner of the namespace of the stage.
pub struct Platform<'a> {
    stage: &'a Stage,
    /// What was sent before does not count.
    since: u64,
    users: RefCell<BTreeMap<String, Declared>>,
}

/// What the platform has declared of one user.
#[derive(Default)]
struct Declared {
    roles: Vec<String>,
    /// The last request before a tenant may have the user.
    until: Option<u64>,
}

impl<'a> Platform<'a> {
    pub fn of(stage: &'a Stage) -> Self {
        Self {
            stage,
            since: stage.gateway.last_seq(),
            users: RefCell::default(),
        }
    }

    /// Declares the user by an object of its name.
    pub async fn declare(&self, user: &str, role: &str) {
        self.records(user, role);
        let spec = match role {
            "custom" => json!({"role": role, "permissionPreset": "agent"}),
            role => json!({ "role": role }),
        };
        self.stage.apply(user, &spec.to_string()).await;
    }

    /// Changes the role that the object of the user declares, faster than by `kubectl`.
    pub async fn edit(&self, user: &str, role: &str) {
        self.records(user, role);
        let path = format!("{}/{user}", self.stage.objects_path());
        let change = json!({"spec": {"role": role}});
        let rest = self.stage.plane.rest().unwrap();
        let (status, answer) = rest.send("PATCH", &path, Some(&change)).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    fn records(&self, user: &str, role: &str) {
        assert_ne!(role, TENANTS);
        let mut users = self.users.borrow_mut();
        let declared = users.entry(user.to_owned()).or_default();
        declared.roles.push(role.to_owned());
    }

    /// Declares the user, and waits until it has the role.
    pub async fn holds(&self, user: &str, role: &str) -> Value {
        self.declare(user, role).await;
        let object = self.stage.until_ready(user).await;
        assert_eq!(object["status"]["role"], role);
        object
    }

    /// From now on a tenant may change the user, unless it has or gets power.
    pub fn gives_up(&self, user: &str) {
        let until = Some(self.stage.gateway.last_seq());
        self.users.borrow_mut().get_mut(user).unwrap().until = until;
    }

    /// Asserts that no user who is or shall be admin or custom, and none that the platform holds or held within a minute, was
    /// changed by a tenant: each PATCH of such a user is of a spec of the platform, and such a user has the role that the
    /// platform declared last.
    #[track_caller]
    pub fn assert_untouched(&self) {
        let users = self.users.borrow();
        let mut patches = self.stage.all_patches();
        patches.retain(|patch| patch.seq > self.since);
        patches.retain(|patch| !is_allowed(patch, &users));
        assert!(patches.is_empty(), "{:#?}", brief(&patches));
        for (user, declared) in users.iter().filter(|(_, one)| one.until.is_none()) {
            let found = self.stage.gateway.user(user).map(|user| user.role);
            assert_eq!(found, declared.roles.last().cloned(), "{user}");
        }
    }
}

/// Whether the PATCH is of the platform, or of a user without power that is not the platform's.
fn is_allowed(patch: &Entry, users: &BTreeMap<String, Declared>) -> bool {
    let role = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let body = patch.body.as_ref().unwrap_or(&Value::Null);
    let after = role(&body["role"]);
    let declared = users.get(patch.user.as_deref().unwrap_or_default());
    if declared.is_some_and(|declared| declared.roles.contains(&after)) {
        return true;
    }
    let is_the_platforms =
        declared.is_some_and(|declared| declared.until.is_none_or(|until| patch.seq <= until));
    let before = patch.changes.iter().find(|change| change.field == "role");
    let is_powerful = |role: &str| !["user", "inference-user", TENANTS].contains(&role);
    let had_power = before.is_some_and(|change| is_powerful(&role(&change.from)));
    !is_the_platforms && !had_power && !is_powerful(&after)
}
