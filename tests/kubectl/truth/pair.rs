//! Generated pairs of an account and manifests.

use std::collections::{BTreeMap, BTreeSet};

use fireworks_api::error::Kind;
use fireworks_api::wire::UserId;
use fireworks_core::grants::Grants;
use fireworks_core::world::Settings;
use fireworks_gateway_simulator::settings::UnsetStyle;
use fireworks_gateway_simulator::{Model, Switches, User};
use jiff::Timestamp;
use kubectl_fireworks::snapshot::{Failed, Snapshot};
use serde_json::{Value, json};

use super::drive::Gateway;

/// A display name that no output shows.
pub const ADDRESS: &str = "ada@people.example";
const USERS: usize = 9;
const ROLES: [&str; 6] = [
    "user",
    "contributor",
    "inference-user",
    "user",
    "custom",
    "admin",
];
const NAMES: [&str; 4] = ["Ada", "Ada L", "no", "李雷"];

/// One pair.
pub struct Pair {
    pub gateway: Gateway,
    pub settings: Settings,
    /// As the API server stores them, with a mark at those that it does not accept.
    pub objects: Vec<(Value, bool)>,
    /// The plan reads a file, which has no e-mail addresses.
    pub is_from_file: bool,
    /// What it covers.
    pub kinds: BTreeSet<&'static str>,
}

/// Draws, and notes what was drawn.
struct Draw {
    random: fastrand::Rng,
    kinds: BTreeSet<&'static str>,
}

impl Draw {
    fn one_in(&mut self, number: u32, kind: &'static str) -> bool {
        let is_drawn = self.random.u32(..number) == 0;
        if is_drawn {
            self.kinds.insert(kind);
        }
        is_drawn
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.random.usize(..all.len())]
    }
}

impl Pair {
    pub fn generated(seed: u64) -> Self {
        let mut draw = Draw {
            random: fastrand::Rng::with_seed(seed),
            kinds: BTreeSet::new(),
        };
        let is_from_file = draw.one_in(10, "snapshot file");
        let settings = settings(&mut draw);
        let mut gateway = gateway(&mut draw);
        let mut objects = Vec::new();
        let few_admins = draw.one_in(6, "few admins");
        if !few_admins {
            for root in ["root-a", "root-b", "root-c", "root-d"] {
                gateway.model.put_user(User::new(root, "admin"), 0);
            }
        }
        for number in 0..USERS {
            let id = format!("u-{number}");
            let user = user(&id, is_from_file, &mut draw);
            let is_absent = user.is_none();
            if let Some(user) = &user {
                gateway.model.put_user(user.clone(), 0);
            }
            if !is_absent && draw.one_in(80, "malformed row") {
                gateway.malformed.insert(id.clone());
            }
            if !is_absent && draw.one_in(80, "unreadable user") {
                gateway.malformed.insert(id.clone());
                gateway.unreadable.insert(id.clone());
            }
            if !draw.one_in(8, "unmanaged user") {
                objects.extend(declared(&id, user.as_ref(), is_from_file, &mut draw));
            }
        }
        Self {
            gateway,
            settings,
            objects,
            is_from_file,
            kinds: draw.kinds,
        }
    }

    /// Returns the manifests as they are written.
    pub fn text(&self) -> String {
        let manifest = |(object, _): &(Value, bool)| {
            let mut object = object.clone();
            for field in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
                object["metadata"].as_object_mut().unwrap().remove(field);
            }
            format!("{object}\n---\n")
        };
        self.objects.iter().map(manifest).collect()
    }

    /// Returns the objects that the API server accepts.
    pub fn accepted(&self) -> Vec<Value> {
        let accepted = self.objects.iter().filter(|(_, is_valid)| *is_valid);
        accepted.map(|(object, _)| object.clone()).collect()
    }

    /// Reads the account as the command does: the list, and the declared users that it does not show.
    pub fn snapshot(&mut self, declared: &[UserId]) -> Snapshot {
        let gateway = &mut self.gateway;
        let mut snapshot = Snapshot::new(gateway.account.clone(), Timestamp::UNIX_EPOCH);
        let mut token = None;
        loop {
            let page = match gateway.page(token.as_ref()) {
                Ok(page) => page,
                Err(error) => {
                    snapshot.failure = Some(why(*error.kind()));
                    break;
                }
            };
            snapshot.malformed += page.malformed;
            let users = page.users.into_iter();
            snapshot
                .users
                .extend(users.map(|user| (user.id.clone(), user)));
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        for id in declared {
            if snapshot.users.contains_key(id) {
                continue;
            }
            match gateway.user(id) {
                Ok(user) => {
                    snapshot.omitted.insert(id.clone());
                    snapshot.users.insert(id.clone(), user);
                }
                Err(error) if *error.kind() == Kind::NotFound => {}
                Err(error) => {
                    snapshot.unread.insert(id.clone(), why(*error.kind()));
                }
            }
        }
        if self.is_from_file && snapshot.is_complete() && snapshot.omitted.is_empty() {
            return Snapshot::from_file(&snapshot.to_file()).unwrap();
        }
        snapshot
    }
}

fn why(kind: Kind) -> Failed {
    Failed {
        kind,
        message: "failed".to_owned(),
    }
}

fn settings(draw: &mut Draw) -> Settings {
    let namespaces = draw.one_in(3, "grant namespaces").then_some("people");
    let min_admins = if draw.one_in(3, "min admins") { 2 } else { 1 };
    Settings {
        observe_only: draw.one_in(25, "observe only"),
        grants: Grants::new(namespaces, &["u-3".parse().unwrap()], min_admins),
        requests_per_minute: 1_000_000,
        ..builders::settings()
    }
}

fn gateway(draw: &mut Draw) -> Gateway {
    let switches = Switches {
        omit_service_accounts_from_list: draw.one_in(6, "omitted service accounts"),
        no_update_time: draw.one_in(6, "no update time"),
        touch_on_noop_patch: draw.one_in(4, "touching patches"),
        patch_updating_ms: draw.one_in(6, "updating after a patch").then_some(2_000),
        unset_style: match draw.random.u8(..3) {
            0 => UnsetStyle::Absent,
            1 => UnsetStyle::Zero,
            _ => UnsetStyle::Null,
        },
        ..Switches::default()
    };
    Gateway {
        model: Model::new("acme", switches),
        account: "acme".parse().unwrap(),
        malformed: BTreeSet::new(),
        unreadable: BTreeSet::new(),
        broken_page: draw.one_in(40, "malformed page").then_some(1),
        tokens: BTreeMap::new(),
        changed: BTreeMap::new(),
        at_ms: 0,
    }
}

fn user(id: &str, is_from_file: bool, draw: &mut Draw) -> Option<User> {
    if draw.one_in(10, "absent user") {
        return None;
    }
    let role = if draw.one_in(15, "unknown role") {
        "owner"
    } else {
        draw.of(&ROLES)
    };
    let mut user = User::new(id, role).email(format!("{id}@people.example"));
    if role == "custom" {
        user = user.preset(draw.of(&["agent", "read-only"]));
    }
    if is_from_file && draw.one_in(8, "hidden name") {
        user = user.display_name(ADDRESS);
    } else if draw.random.bool() {
        user = user.display_name(draw.of(&NAMES));
    }
    if draw.one_in(12, "service account") {
        user = user.service_account();
    }
    for (state, kind) in [
        ("CREATING", "creating"),
        ("UPDATING", "updating"),
        ("DELETING", "deleting"),
    ] {
        if draw.one_in(40, kind) {
            user = user.state(state);
        }
    }
    if draw.one_in(25, "remote error") {
        user = user.status("INTERNAL", "it hurts");
    }
    Some(user)
}

/// Returns the objects of the user: one, or two that contradict each other.
fn declared(
    id: &str,
    user: Option<&User>,
    is_from_file: bool,
    draw: &mut Draw,
) -> Vec<(Value, bool)> {
    let is_admin = user.is_some_and(|user| user.role == "admin");
    // Which of two objects comes first is not planned. What they do must not decide about other users.
    let is_twice = !is_admin && draw.one_in(20, "duplicate");
    // So is what an e-mail address decides that the file does not have.
    let is_pinned = (!is_from_file || !is_admin) && draw.one_in(12, "expected e-mail");
    let roles = if is_twice || (is_pinned && is_from_file) {
        &ROLES[..5]
    } else {
        &ROLES[..]
    };
    let mut spec = json!({"role": draw.of(roles)});
    let demotions = if draw.kinds.contains("few admins") {
        2
    } else {
        8
    };
    if is_admin && !draw.one_in(demotions, "demotion") {
        spec["role"] = json!("admin");
    } else if let Some(user) = user.filter(|_| draw.one_in(3, "same role")) {
        spec["role"] = json!(if user.role == "owner" {
            "user"
        } else {
            &user.role
        });
    }
    if spec["role"] == "custom" {
        draw.kinds.insert("preset");
        spec["permissionPreset"] = json!(draw.of(&["agent", "read-only"]));
    }
    if spec["role"] == "admin" && !is_admin && user.is_some() {
        draw.kinds.insert("promotion");
    }
    if draw.random.bool() {
        spec["displayName"] = json!(draw.of(&NAMES));
    }
    if is_pinned {
        let other = draw.one_in(2, "another e-mail");
        let name = if other { "other" } else { id };
        spec["expectEmail"] = json!(format!("{name}@people.example"));
    }
    if user.is_some_and(|user| user.service_account) != draw.one_in(20, "wrong service account") {
        spec["serviceAccount"] = json!(true);
    }
    if draw.one_in(12, "observe") {
        spec["managementPolicy"] = json!("Observe");
    }
    if draw.one_in(15, "suspend") {
        spec["suspend"] = json!(true);
    }
    if is_twice {
        spec["managementPolicy"] = json!("Manage");
    }
    let namespace = draw.of(&["people", "tenants"]);
    let mut objects = vec![(object(namespace, id, 1, &spec), true)];
    if draw.one_in(15, "replaced unknown role") {
        let replaced = json!({"iam.fireworks.ai/replace-unknown-role": "owner"});
        objects[0].0["metadata"]["annotations"] = replaced;
    }
    if !is_twice && draw.one_in(30, "invalid manifest") {
        objects[0].0["spec"]["role"] = json!("owner");
        objects[0].1 = false;
    }
    if is_twice {
        spec["userId"] = json!(id.to_uppercase());
        objects.push((object("people", &format!("{id}-again"), 2, &spec), true));
    }
    objects
}

fn object(namespace: &str, name: &str, number: usize, spec: &Value) -> Value {
    json!({
        "apiVersion": "iam.fireworks.ai/v1alpha1",
        "kind": "FireworksUser",
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("{namespace}-{name}-{number}"),
            "resourceVersion": "1", "generation": 1,
            "creationTimestamp": format!("2026-01-01T00:00:0{number}Z"),
        },
        "spec": spec,
    })
}
