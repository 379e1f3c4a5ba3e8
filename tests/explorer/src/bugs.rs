//! The proof that the search can fail: one rule in the table of production is replaced, or one guard left out, and the search
//! has to find a broken promise. Each is searched in the scenario in which it matters.

use std::sync::Arc;

use fireworks_api::wire::{Role, UserRef};
use fireworks_core::claims::{Possession, Released};
use fireworks_core::grants::is_powerful;
use fireworks_core::rules::{Predicates, Rules};
use fireworks_core::user::desired::{Desired, Diff, diff};
use fireworks_core::user::facts::Observed;
use fireworks_core::user::guards::{GUARDS, Guard, GuardRule};
use fireworks_core::user::plan::Finding;
use fireworks_core::user::status::{self, Seen};
use fireworks_crd::conditions::{self, Reason};

use crate::scenario::Scenario;
use crate::search::{Settings, search};
use crate::value::account_id;

/// The rules of the operator with one of them broken.
struct Bug {
    scenario: &'static str,
    name: &'static str,
    rules: Predicates,
}

const RULES: Predicates = Predicates::PRODUCTION;

/// How production takes a user that no object holds.
fn takes_released(released: Option<&Released>, namespace: &Arc<str>) -> Option<Possession> {
    (RULES.takes_released)(released, namespace)
}

/// Returns the bug by which one entry of the table is another function.
macro_rules! bug {
    ($scenario:ident, $field:ident, $broken:expr) => {
        bug!($scenario, stringify!($field), $field, $broken)
    };
    ($scenario:ident, $name:expr, $field:ident, $broken:expr) => {
        Bug {
            scenario: $scenario,
            name: $name,
            rules: Predicates {
                $field: $broken,
                ..RULES
            },
        }
    };
}

const ANOTHER_ACTOR: &str = "another actor changes the user";
const APPEARS: &str = "a user appears after the object that makes it an admin";
const BUSY: &str = "the user goes and comes back, and is busy";
const DENIED: &str = "a key that may not, and a revoked one";
const FORCED: &str = "reads are forced by annotation";
const LATE: &str = "changes are lost, late and repeated";
const FAILING_READS: &str = "lists fail, or single reads, or both";
const MOVED: &str = "a user moves after a refusal";
const NOT_ALLOWED: &str = "a namespace that may not grant";
const NOT_STORED: &str = "a value is not stored as asked";
const OTHER_ACCOUNT: &str = "an object of another account";
const PINNED: &str = "a user with a pin is created again";
const PROTECTED: &str = "a protected user";
const REFUSED: &str = "a value is refused";
const SECOND_MANAGER: &str = "a second manager";
const SECOND_THOUGHTS: &str = "second thoughts about a refused value";
const SERVICE_ACCOUNT: &str = "the other admin is a service account";
const STALE: &str = "no read succeeds for long";
const STALE_READS: &str = "stale reads without updateTime";
const SUSPENDED_ACCOUNT: &str = "the account is suspended for a while";
const SUSPENDED: &str = "observed, suspended, and back";
const TAKEN_OVER: &str = "another person takes over the id of an admin";
const TENANT: &str = "an object of another namespace waits for the user";
const TWO_ACCOUNTS: &str = "two accounts with a user of the same id";
const TWO_ADMINS: &str = "two admins, both to be demoted";
const TWO_NAMESPACES: &str = "objects of two namespaces come, go and change";
const FORGED: &str = "a tenant writes that it holds the user";
const TWO_INSTANCES: &str = "two instances, and each demotes an admin";
const TWO_OBJECTS: &str = "two objects claim one user";
const TWO_STAY: &str = "two admins are to be left";
const UNREAD_CANARY: &str = "single reads fail before the first change";
const UNREAD: &str = "reads fail for long";

/// Returns the bug by which a guard is left out.
fn without(guard: Guard, scenario: &'static str) -> Bug {
    let others = GUARDS.into_iter().filter(|rule| rule.guard != guard);
    let guards: &'static [GuardRule] = others.collect::<Vec<_>>().leak();
    Bug {
        scenario,
        name: guard.as_str(),
        rules: Predicates { guards, ..RULES },
    }
}

/// Returns the bug by which a guard has another rule.
fn instead(
    guard: Guard,
    name: &'static str,
    scenario: &'static str,
    holds: fn(&Desired, &Observed) -> Option<Finding>,
) -> Bug {
    let replaced = GUARDS.map(|rule| {
        let is_meant = rule.guard == guard;
        let holds = if is_meant { holds } else { rule.holds };
        GuardRule { holds, ..rule }
    });
    let guards: &'static [GuardRule] = Box::leak(Box::new(replaced));
    Bug {
        scenario,
        name,
        rules: Predicates { guards, ..RULES },
    }
}

/// Returns the bugs of what is planned for an object.
fn of_the_plan() -> Vec<Bug> {
    vec![
        without(Guard::WrongAccount, OTHER_ACCOUNT),
        without(Guard::ServiceAccount, SERVICE_ACCOUNT),
        without(Guard::LastAdmin, TWO_ADMINS),
        without(Guard::ProtectedUser, PROTECTED),
        without(Guard::NamespaceNotAllowed, NOT_ALLOWED),
        instead(
            Guard::NamespaceNotAllowed,
            "only grants",
            NOT_ALLOWED,
            |desired, observed| {
                let is_held = is_powerful(&desired.role) && !observed.may_grant;
                is_held.then_some(Finding::NamespaceNotAllowed)
            },
        ),
        instead(
            Guard::NamespaceNotAllowed,
            "admin alone",
            NOT_ALLOWED,
            |desired, observed| {
                let roles = [&desired.role, &observed.sighting.user()?.role];
                let is_held = roles.contains(&&Role::Admin) && !observed.may_grant;
                is_held.then_some(Finding::NamespaceNotAllowed)
            },
        ),
        without(Guard::Contested, SECOND_MANAGER),
        bug!(SUSPENDED, is_suspended, |_| false),
        bug!(SUSPENDED, matches_while_suspended, |_, _| true),
        bug!(SUSPENDED, only_observes, |_| false),
        bug!(TWO_OBJECTS, yields_to_owner, |_| false),
        without(Guard::InheritedPower, TENANT),
        bug!(TWO_ACCOUNTS, user_of, |_, user| UserRef {
            account: account_id(0),
            user: user.clone(),
        }),
        bug!(STALE, is_stale, |_| false),
        bug!(UNREAD_CANARY, must_report_failed_read, |_| false),
        bug!(UNREAD, is_too_old_for_new_spec, |_, _| false),
        bug!(BUSY, is_deleting, |_| false),
        bug!(BUSY, is_updating, |_| false),
        bug!(BUSY, has_remote_error, |_| false),
        bug!(DENIED, refusal_in_force, |_| None),
        bug!(DENIED, is_object_unchanged, |_| true),
        bug!(MOVED, is_as_it_was, |_, _| true),
        bug!(SECOND_THOUGHTS, reason_at, |conditions, _| {
            let ready = conditions::find(conditions, "Ready");
            ready.map(|ready| ready.reason.as_str())
        }),
        bug!(NOT_STORED, has_no_tries_left, |_| false),
        bug!(TWO_ADMINS, are_admins_uncounted, |_| false),
        bug!(TWO_ADMINS, is_another_demoted, |_| false),
        bug!(REFUSED, unsettled_until, |_| None),
        bug!(REFUSED, shows_former_updates, |_, _| true),
        bug!(REFUSED, presumes_former, |_, _| false),
    ]
}

/// Returns the bugs of what is compared, sent and reported.
fn of_fields() -> Vec<Bug> {
    vec![
        bug!(
            SUSPENDED,
            "diff: presets without custom",
            diff,
            |desired, user| Diff {
                permission_preset: desired.permission_preset != user.permission_preset,
                ..diff(desired, user)
            }
        ),
        bug!(ANOTHER_ACTOR, "diff: no presets", diff, |desired, user| {
            Diff {
                permission_preset: false,
                ..diff(desired, user)
            }
        }),
        bug!(REFUSED, "diff: no display names", diff, |desired, user| {
            Diff {
                display_name: false,
                ..diff(desired, user)
            }
        }),
        bug!(ANOTHER_ACTOR, leaves_custom, |_, _| false),
        bug!(LATE, sends_display_name, |_| true),
        bug!(
            REFUSED,
            "next_status: generation",
            next_status,
            |before, facts, reason, message| {
                let mut status = status::next(before, facts, reason, message);
                status.observed_generation = before.observed_generation;
                status
            }
        ),
        bug!(
            SUSPENDED_ACCOUNT,
            "next_status: suspended is throttled",
            next_status,
            |before, facts, reason, message| {
                let is_suspension = reason == Reason::AccountSuspended;
                let reason = if is_suspension {
                    Reason::Throttled
                } else {
                    reason
                };
                status::next(before, facts, reason, message)
            }
        ),
        bug!(
            REFUSED,
            "next_status: unconfirmed is Ready",
            next_status,
            |before, facts, reason, message| {
                let mut status = status::next(before, facts, reason, message);
                if reason == Reason::Unconfirmed {
                    status.conditions.truncate(1);
                    status.conditions[0].status = "True".into();
                }
                status
            }
        ),
        bug!(
            REFUSED,
            "next_status: Reconciling beside Ready",
            next_status,
            |before, facts, reason, message| {
                let mut status = status::next(before, facts, reason, message);
                if reason.ready_state().companion().is_none() {
                    let mut companion = status.conditions[0].clone();
                    companion.type_ = "Reconciling".into();
                    status.conditions.push(companion);
                }
                status
            }
        ),
    ]
}

/// Returns the bugs by which a user is taken for another one.
fn of_identities() -> Vec<Bug> {
    vec![
        without(Guard::IdentityUnknown, APPEARS),
        without(Guard::IdentityChanged, TAKEN_OVER),
        without(Guard::IdentityMismatch, PINNED),
        bug!(TAKEN_OVER, is_same_identity, |_, _| true),
        bug!(TAKEN_OVER, is_identity_approved, |desired, _| {
            desired.accepts_identity.is_some()
        }),
        bug!(APPEARS, was_absent, |_, _| false),
        bug!(PINNED, is_expected_email, |_, _| true),
        bug!(PINNED, must_read_email, |_| false),
        bug!(PINNED, grants_power, |role| *role == Role::Admin),
        bug!(
            TAKEN_OVER,
            "next_status: createTime of another person",
            next_status,
            |before, facts, reason, message| {
                let mut status = status::next(before, facts, reason, message);
                if let Seen::User(user) = facts.seen {
                    status.create_time = user.create_time;
                }
                status
            }
        ),
        bug!(
            TAKEN_OVER,
            "next_status: createTime ends with the user",
            next_status,
            |before, facts, reason, message| {
                let mut status = status::next(before, facts, reason, message);
                if reason == Reason::UserNotFound {
                    status.create_time = None;
                }
                status
            }
        ),
        bug!(
            APPEARS,
            "next_status: the guard ends with its reason",
            next_status,
            |before, facts, reason, message| {
                let mut status = status::next(before, facts, reason, message);
                let guard = facts.finding.guard();
                status.guard = guard.map(|guard| guard.as_str().to_owned());
                status
            }
        ),
    ]
}

/// Returns the bugs of what is known of the account.
fn of_the_account() -> Vec<Bug> {
    vec![
        bug!(DENIED, ends_with_key, |_| false),
        bug!(SUSPENDED_ACCOUNT, shows_suspension, |_| false),
        bug!(REFUSED, supersedes, |_, _| true),
        bug!(STALE_READS, is_replica_lag, |_, _, _| false),
        bug!(LATE, is_settled, |_, _, _| true),
        bug!(REFUSED, may_be_applied, |_| false),
        bug!(LATE, is_same_update, |_, _| true),
        bug!(UNREAD, is_absence_confirmed, |_| true),
        bug!(FAILING_READS, are_lists_given_up, |_| false),
        bug!(FORCED, serves_owed_read, |_, _| true),
        bug!(FORCED, may_force_read, |_| true),
        bug!(TWO_ADMINS, may_demote, |_| false),
        bug!(TWO_ADMINS, shows_former_demotions, |_, _| true),
        bug!(TWO_STAY, other_admins_needed, |_, _| 1),
        bug!(TWO_INSTANCES, are_admins_left, |_, _| true),
        bug!(SECOND_MANAGER, must_be_requeued, |_, _| false),
    ]
}

/// Returns the bugs of which object holds a user.
fn of_claims() -> Vec<Bug> {
    vec![
        bug!(
            TWO_NAMESPACES,
            "takes_released: from another namespace",
            takes_released,
            |released, namespace| {
                takes_released(released, namespace).or(Some(Possession::Inherited))
            }
        ),
        bug!(
            TWO_NAMESPACES,
            "takes_released: without limits",
            takes_released,
            |released, namespace| { takes_released(released, namespace).map(|_| Possession::Held) }
        ),
        bug!(
            TWO_NAMESPACES,
            "is_protection_over: always",
            is_protection_over,
            |_, _| true
        ),
        bug!(TWO_NAMESPACES, claimed_user, UserRef::clone),
        bug!(TWO_NAMESPACES, may_acquire, |claim| claim.claims),
        bug!(FORGED, reads_claim, |_| true),
        bug!(
            TENANT,
            "is_protection_over: never",
            is_protection_over,
            |_, _| { false }
        ),
        bug!(
            TENANT,
            "next_status: no claim is recorded",
            next_status,
            |before, facts, reason, message| {
                let mut status = status::next(before, facts, reason, message);
                status.claim = None;
                status
            }
        ),
    ]
}

/// Searches with one bug after the other. Prints what was found, and after how many steps. Returns whether all were found.
pub(crate) fn all_are_found(only: &str) -> bool {
    let all = [
        of_the_plan(),
        of_claims(),
        of_identities(),
        of_fields(),
        of_the_account(),
    ];
    let mut chosen: Vec<Bug> = all.into_iter().flatten().collect();
    chosen.retain(|bug| bug.name.contains(only));
    let (broken, mut missed) = (chosen.len(), Vec::new());
    for Bug {
        scenario,
        name,
        rules,
    } in chosen
    {
        let mut scenarios = Scenario::all();
        scenarios.retain(|one| one.name == scenario);
        let hit = scenarios.into_iter().find_map(|scenario| {
            let settings = Settings {
                faulty: 200_000,
                states: 2_000_000,
                threads: 2,
                rules: Rules(Box::leak(Box::new(rules))),
            };
            let found = search(&scenario, settings);
            Some((found.took, found.states, found.violation?))
        });
        match hit {
            Some((took, states, violation)) => println!(
                "{name}: found after {} steps ({states} states, {:.1} s) in \"{scenario}\": {}",
                violation.steps,
                took.as_secs_f64(),
                violation.what
            ),
            None => missed.push(name),
        }
    }
    let (of_the_lease, missed_of_the_lease) = crate::lease::bugs_are_found(only);
    let broken = broken + of_the_lease;
    missed.extend(missed_of_the_lease);
    println!("{} of {broken} broken rules found", broken - missed.len());
    for name in &missed {
        println!("NOT FOUND: {name}");
    }
    missed.is_empty()
}
