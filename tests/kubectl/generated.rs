//! Plans over generated accounts and manifests, in this process: what is planned is enough, and it is not planned twice.

use std::collections::BTreeSet;

use fireworks_api::wire::{Role, User, UserId, decode};
use fireworks_core::grants::Grants;
use fireworks_core::world::Settings;
use jiff::Timestamp;
use kubectl_fireworks::input::Input;
use kubectl_fireworks::plan::{self, Action, Declared, Plan};
use kubectl_fireworks::schema::Schema;
use kubectl_fireworks::snapshot::Snapshot;
use serde_json::json;

use crate::command::manifest;

/// The number of pairs of an account and manifests.
const PAIRS: u64 = 150;
const USERS: usize = 12;
const ROLES: [&str; 6] = ["admin", "admin", "user", "contributor", "custom", "owner"];
const NAMES: [&str; 3] = ["Ada", "Ada L", "no"];

fn settings() -> Settings {
    Settings {
        grants: Grants::new([], &["u-3".parse().unwrap()], 2),
        requests_per_minute: 1_000_000,
        ..builders::settings()
    }
}

fn user(account: &Snapshot, id: &str, random: &mut fastrand::Rng) -> User {
    let role = *random.choice(ROLES.iter()).unwrap();
    let mut row = json!({
        "name": format!("accounts/{}/users/{id}", account.account),
        "role": role, "state": "READY", "serviceAccount": random.u8(..10) == 0,
    });
    if role == "custom" {
        row["permissionPreset"] = "agent".into();
    }
    if random.bool() {
        row["displayName"] = NAMES[random.usize(..3)].into();
    }
    decode::user(row.to_string().as_bytes(), &account.account).unwrap()
}

fn spec(random: &mut fastrand::Rng) -> String {
    // No manifest can ask for the last of the roles.
    let role = ROLES[random.usize(..5)];
    let preset = if role == "custom" {
        ", permissionPreset: read-only"
    } else {
        ""
    };
    let name = if random.bool() {
        ", displayName: 'Ada'"
    } else {
        ""
    };
    let more = match random.u8(..12) {
        0 => ", managementPolicy: Observe",
        1 => ", suspend: true",
        2 => ", serviceAccount: true",
        _ => "",
    };
    format!("{{role: {role}{preset}{name}{more}}}")
}

fn generated(seed: u64) -> (Snapshot, String) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut snapshot = Snapshot::new("acme".parse().unwrap(), Timestamp::UNIX_EPOCH);
    let mut text = String::new();
    for number in 0..USERS {
        let id = format!("u-{number}");
        if random.u8(..8) > 0 {
            let user = user(&snapshot, &id, &mut random);
            snapshot.users.insert(user.id.clone(), user);
        }
        if random.u8(..8) > 0 {
            text += &manifest(&id, &spec(&mut random));
        }
    }
    (snapshot, text)
}

fn planned(schema: &Schema, snapshot: &Snapshot, text: &str) -> Plan {
    let input = Input::read(&["-".into()], false, &mut text.as_bytes());
    let declared = Declared::of(&input, schema, "default");
    plan::plan(declared, snapshot, &settings())
}

/// Makes the changes of the plan.
fn carry_out(plan: &Plan, snapshot: &mut Snapshot) {
    for item in &plan.items {
        let Some(user) = snapshot
            .users
            .get_mut(&item.user.parse::<UserId>().unwrap())
        else {
            assert!(item.changes.is_empty(), "{item:?}");
            continue;
        };
        for change in &item.changes {
            let to = change.to.as_deref();
            match change.field {
                "role" => user.role = Role::from(to.unwrap()),
                "permissionPreset" => user.permission_preset = to.map(Into::into),
                "displayName" => user.display_name = to.map(Into::into),
                other => panic!("{other}"),
            }
        }
    }
}

fn counted_admins(snapshot: &Snapshot) -> usize {
    let users = snapshot.users.values();
    users
        .filter(|user| user.role == Role::Admin && !user.service_account)
        .count()
}

#[test]
fn plan_that_is_carried_out_leaves_nothing_to_plan_and_the_admins_that_are_needed() {
    let schema = Schema::built_in().unwrap();
    let mut actions = BTreeSet::new();
    let mut guards = BTreeSet::new();
    for seed in 0..PAIRS {
        let (mut snapshot, text) = generated(seed);
        let before = counted_admins(&snapshot);
        let first = planned(&schema, &snapshot, &text);
        actions.extend(first.items.iter().map(|item| item.action));
        guards.extend(first.items.iter().filter_map(|item| item.guard.clone()));
        let again = planned(&schema, &snapshot, &text);
        assert_eq!(plan::to_json(&first), plan::to_json(&again), "seed {seed}");
        carry_out(&first, &mut snapshot);
        assert!(counted_admins(&snapshot) >= before.min(2), "seed {seed}");
        let second = planned(&schema, &snapshot, &text);
        assert_eq!(
            second.requests,
            0,
            "seed {seed}: {:#}",
            plan::to_json(&second)
        );
        let held = |plan: &Plan| -> BTreeSet<String> {
            let held = plan.items.iter().filter(|item| item.action == Action::Hold);
            held.map(|item| item.name.clone()).collect()
        };
        assert_eq!(held(&first), held(&second), "seed {seed}");
    }
    // What is generated reaches each of these.
    let expected = [
        Action::Change,
        Action::Hold,
        Action::Drift,
        Action::Absent,
        Action::Suspended,
        Action::InSync,
    ];
    assert_eq!(actions, BTreeSet::from(expected));
    let expected = [
        "last-admin",
        "protected-user",
        "service-account",
        "unknown-role",
    ];
    assert_eq!(guards, expected.map(str::to_owned).into());
}
