//! The decisions one by one.

use super::*;
use crate::user::hour::Hour;

#[test]
fn leaving_custom_clears_the_preset() {
    let Plan::Update(update) = plan(&desired(Role::User), &seen(user(Role::Custom))) else {
        panic!("no update");
    };
    let body = serde_json::to_value(&update.patch).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"role": "user", "permissionPreset": ""})
    );
}

#[test]
fn another_preset_is_one_patch_with_the_role_beside_it() {
    let mut wanted = desired(Role::Custom);
    wanted.permission_preset = Some("analyst".into());
    let Plan::Update(update) = plan(&wanted, &seen(user(Role::Custom))) else {
        panic!("no update");
    };
    let body = serde_json::to_value(&update.patch).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"role": "custom", "permissionPreset": "analyst"})
    );
}

#[test]
fn a_preset_left_over_on_a_plain_role_is_no_drift() {
    let leftover = User {
        permission_preset: Some("agent".into()),
        ..user(Role::User)
    };
    assert_eq!(plan(&desired(Role::User), &seen(leftover)), Plan::InSync);
}

#[test]
fn what_a_former_process_may_have_sent_withholds_in_sync_but_no_change() {
    let at = Moment::from_micros(1 << 40) + Duration::from_secs(30);
    let started = |user| Observed {
        possibly_in_flight_until: Some(at),
        ..seen(user)
    };
    let read = Plan::Read(Read {
        reason: ReadReason::Startup(at),
        meanwhile: Some(Finding::PossiblyInFlight),
    });
    assert_eq!(plan(&desired(Role::User), &started(user(Role::User))), read);
    let change = plan(&desired(Role::User), &started(user(Role::Contributor)));
    assert!(matches!(change, Plan::Update(_)), "{change:?}");
}

#[test]
fn unconfirmed_withholds_in_sync_but_not_the_next_change() {
    let at = Moment::from_micros(1 << 40) + Duration::from_secs(30);
    let unclear = |user| Observed {
        unsettled_until: Some(at),
        ..seen(user)
    };
    let settle = Plan::Read(Read {
        reason: ReadReason::Settle(at),
        meanwhile: Some(Finding::Unconfirmed),
    });
    assert_eq!(
        plan(&desired(Role::User), &unclear(user(Role::User))),
        settle
    );
    let next = plan(&desired(Role::User), &unclear(user(Role::Contributor)));
    assert!(matches!(next, Plan::Update(_)));
}

#[test]
fn an_unknown_state_blocks_no_patch_but_is_not_in_sync() {
    let odd = |role| User {
        state: State::Other("MIGRATING".into()),
        ..user(role)
    };
    let waiting = plan(&desired(Role::User), &seen(odd(Role::User)));
    assert!(matches!(
        waiting,
        Plan::Read(Read {
            reason: ReadReason::Progress,
            ..
        })
    ));
    let change = plan(&desired(Role::User), &seen(odd(Role::Contributor)));
    assert!(matches!(change, Plan::Update(_)));
}

/// Lists succeed and single reads fail: what is known is fresh, and the update waits for a read of its own.
#[test]
fn canary_read_that_fails_is_reported_of_an_object_that_was_ready() {
    let failure = Arc::new(Failure {
        kind: Kind::Transient,
        message: "x".into(),
    });
    let drifted = |failure| Observed {
        failure,
        ready_at_generation: true,
        mask: Mask::Unread,
        ..seen(user(Role::Contributor))
    };
    let read = |meanwhile| {
        Plan::Read(Read {
            reason: ReadReason::Canary,
            meanwhile,
        })
    };
    let decided = |failure| plan(&desired(Role::User), &drifted(failure));
    assert_eq!(decided(None), read(None));
    let failed = Finding::Failed(failure.clone());
    assert_eq!(decided(Some(failure)), read(Some(failed)));
}

#[test]
fn remote_unavailable_is_reported_of_a_ready_object_only_once_it_is_stale() {
    let failure = Arc::new(Failure {
        kind: Kind::Transient,
        message: "x".into(),
    });
    let silent = |ready_at_generation, silent_too_long| Observed {
        failure: Some(failure.clone()),
        ready_at_generation,
        silent_too_long,
        ..unseen(Sighting::Never)
    };
    let reported = |observed: &Observed| match plan(&desired(Role::User), observed) {
        Plan::Read(read) => read.meanwhile,
        other => panic!("{other:?}"),
    };
    assert_eq!(reported(&silent(true, false)), None);
    assert_eq!(
        reported(&silent(true, true)),
        Some(Finding::Failed(failure.clone()))
    );
    assert_eq!(
        reported(&silent(false, false)),
        Some(Finding::Failed(failure.clone()))
    );
}

#[test]
fn an_object_in_sync_stays_so_on_aged_knowledge_and_not_on_stale() {
    let with = |freshness, ready_at_generation| Observed {
        sighting: Sighting::Seen {
            user: Arc::new(user(Role::User)),
            freshness,
            sent_at: Moment::from_micros(1 << 40),
        },
        ready_at_generation,
        ..seen(user(Role::User))
    };
    let wanted = desired(Role::User);
    assert_eq!(plan(&wanted, &with(Freshness::Aged, true)), Plan::InSync);
    let stale = with(Freshness::Stale, true);
    let failure = Arc::new(Failure {
        kind: Kind::Transient,
        message: "x".into(),
    });
    let in_vain = Observed {
        failure: Some(failure.clone()),
        ..stale.clone()
    };
    let reported = Plan::Hold(Finding::Failed(failure));
    assert_eq!(plan(&wanted, &in_vain), reported);
    // As after a sleep of the machine: it is asked first.
    let asked = |meanwhile| {
        Plan::Read(Read {
            reason: ReadReason::Refresh,
            meanwhile,
        })
    };
    assert_eq!(plan(&wanted, &stale), asked(None));
    let for_long = Observed {
        silent_too_long: true,
        ..stale
    };
    assert_eq!(plan(&wanted, &for_long), asked(Some(Finding::Stale)));
    let new_spec = plan(&wanted, &with(Freshness::Aged, false));
    assert!(matches!(
        new_spec,
        Plan::Read(Read {
            reason: ReadReason::Refresh,
            ..
        })
    ));
}

#[test]
fn a_difference_after_a_match_at_this_generation_is_drift_whatever_status_reports() {
    let cause = |has_matched, converged_at_generation| {
        let observed = Observed {
            has_matched,
            converged_at_generation,
            ..seen(user(Role::Contributor))
        };
        match plan(&desired(Role::User), &observed) {
            Plan::Update(update) => update.cause,
            other => panic!("{other:?}"),
        }
    };
    for converged_at_generation in [false, true] {
        assert_eq!(cause(true, converged_at_generation), Cause::Drift);
    }
    assert_eq!(cause(false, true), Cause::Found, "in a former process");
    assert_eq!(cause(false, false), Cause::SpecChange);
}

#[test]
fn not_applied_after_two_answers_that_still_differ() {
    let tried = |tries| Observed {
        tries,
        ..seen(user(Role::Contributor))
    };
    let once = plan(&desired(Role::User), &tried(1));
    assert!(matches!(once, Plan::Update(_)));
    let twice = plan(&desired(Role::User), &tried(2));
    assert!(matches!(twice, Plan::Hold(Finding::NotApplied(_))));
}

#[test]
fn rejected_stands_unless_the_object_matches() {
    let judged = |role| Observed {
        refusal: Some(Refusal {
            reason: Reason::Rejected,
            message: "no".into(),
            about: Arc::new(user(Role::Contributor)),
            hour: Hour::of(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH),
        }),
        ..seen(user(role))
    };
    let counts = plan(&desired(Role::User), &judged(Role::Contributor));
    assert!(matches!(counts, Plan::Hold(Finding::StillRefused(_))));
    assert_eq!(
        plan(&desired(Role::User), &judged(Role::User)),
        Plan::InSync
    );
}

#[test]
fn a_reported_refusal_stands_while_nothing_is_known() {
    let failure = Failure {
        kind: Kind::Transient,
        message: "down".into(),
    };
    let facts = Observed {
        sighting: Sighting::Never,
        refused_at_generation: true,
        failure: Some(Arc::new(failure)),
        ..seen(user(Role::User))
    };
    let silent = Plan::Read(Read {
        reason: ReadReason::First,
        meanwhile: None,
    });
    assert_eq!(plan(&desired(Role::Custom), &facts), silent);
}

#[test]
fn remote_error_is_any_code_of_the_user_but_ok() {
    let reported = |code: &str| User {
        status: Some(Status {
            code: code.into(),
            message: "x".into(),
        }),
        ..user(Role::User)
    };
    let wanted = desired(Role::User);
    for fine in ["OK", ""] {
        let reported = plan(&wanted, &seen(reported(fine)));
        assert_eq!(reported, Plan::InSync, "{fine:?}");
    }
    let counts = Finding::RemoteError(Arc::new(reported("INTERNAL")));
    let reported = plan(&wanted, &seen(reported("INTERNAL")));
    assert_eq!(reported, Plan::Hold(counts));
}

#[test]
fn other_admins_are_asked_about_only_where_an_admin_loses_the_role() {
    let among = |other_admins, user| Observed {
        other_admins,
        ..seen(user)
    };
    let renamed = |role| Desired {
        display_name: Some("Alice".into()),
        ..desired(role)
    };
    for others in [
        OtherAdmins::TooFew(1),
        OtherAdmins::NotListed,
        OtherAdmins::Busy,
        OtherAdmins::Unsettled(Moment::from_micros(1 << 40)),
    ] {
        for (wanted, before) in [
            (renamed(Role::Admin), Role::Admin),
            (desired(Role::User), Role::Contributor),
            (renamed(Role::User), Role::User),
        ] {
            let change = plan(&wanted, &among(others, user(before)));
            assert!(matches!(change, Plan::Update(_)), "{others:?}: {change:?}");
        }
    }
    let demoted = |others| plan(&renamed(Role::User), &among(others, user(Role::Admin)));
    assert_eq!(
        demoted(OtherAdmins::TooFew(1)),
        Plan::Hold(Finding::LastAdmin(1))
    );
    for until in [None, Some(Moment::from_micros(1 << 40))] {
        let stopped = Plan::Hold(Finding::DemotionsStopped(until));
        assert_eq!(demoted(OtherAdmins::Stopped(until)), stopped);
    }
    assert_eq!(demoted(OtherAdmins::NotListed), Plan::List);
    assert_eq!(demoted(OtherAdmins::Busy), Plan::AwaitOther(None));
    let settled = Moment::from_micros(1 << 40);
    let unsettled = demoted(OtherAdmins::Unsettled(settled));
    assert_eq!(unsettled, Plan::ListFrom(settled));
    assert!(matches!(demoted(OtherAdmins::Known(1)), Plan::Update(_)));
}

#[test]
fn unconfirmed_outlasts_failed_reads_but_not_unauthenticated() {
    let meanwhile = |kind, unsettled_until| {
        let failure = Failure {
            kind,
            message: "x".into(),
        };
        let observed = Observed {
            sighting: Sighting::Seen {
                user: Arc::new(user(Role::User)),
                freshness: Freshness::Stale,
                sent_at: Moment::from_micros(1 << 40),
            },
            failure: Some(Arc::new(failure)),
            unsettled_until,
            ..seen(user(Role::User))
        };
        match plan(&desired(Role::Contributor), &observed) {
            Plan::Read(read) => read.meanwhile,
            other => panic!("{other:?}"),
        }
    };
    let failed = |finding: Option<Finding>| matches!(finding, Some(Finding::Failed(_)));
    let unclear = Some(Moment::from_micros(1 << 40));
    assert_eq!(
        meanwhile(Kind::Transient, unclear),
        Some(Finding::Unconfirmed)
    );
    assert!(failed(meanwhile(Kind::Transient, None)));
    assert!(failed(meanwhile(Kind::Unauthenticated, unclear)));
}

#[test]
fn suspended_in_sync_where_the_user_matched_as_last_known() {
    let suspended = Desired {
        suspended: true,
        ..desired(Role::User)
    };
    let matched = |sighting, matched_at_generation| {
        let facts = Observed {
            matched_at_generation,
            ..unseen(sighting)
        };
        match plan(&suspended, &facts) {
            Plan::Hold(Finding::Suspended { matches }) => matches,
            other => panic!("{other:?}"),
        }
    };
    let there = |role| seen(user(role)).sighting;
    assert!(matched(there(Role::User), false));
    assert!(!matched(there(Role::Admin), true));
    assert!(matched(Sighting::Never, true));
    assert!(!matched(Sighting::Never, false));
    for gone in [Sighting::Suspected, Sighting::Absent] {
        assert!(!matched(gone, true));
    }
}

#[test]
fn remote_updating_is_awaited_and_remote_deleting_left_alone() {
    let in_state = |state, role| {
        plan(
            &desired(Role::User),
            &seen(User {
                state,
                ..user(role)
            }),
        )
    };
    let progress = |state| {
        Plan::Read(Read {
            reason: ReadReason::Progress,
            meanwhile: Some(Finding::RemoteUpdating(state)),
        })
    };
    for role in [Role::User, Role::Contributor] {
        let deleting = in_state(State::Deleting, role.clone());
        assert_eq!(deleting, Plan::Hold(Finding::RemoteDeleting));
        for state in [State::Creating, State::Updating] {
            assert_eq!(in_state(state.clone(), role.clone()), progress(state));
        }
    }
    let unknown = State::Other("NEW".into());
    assert_eq!(
        in_state(unknown.clone(), Role::User),
        progress(unknown.clone())
    );
    for state in [unknown, State::Unspecified, State::Ready] {
        let change = in_state(state, Role::Contributor);
        assert!(matches!(change, Plan::Update(_)), "{change:?}");
    }
}

#[test]
fn a_display_name_that_is_there_already_is_not_sent_again() {
    let wanted = Desired {
        display_name: Some("Alice".into()),
        ..desired(Role::User)
    };
    let sent = |display_name: &str| {
        let before = User {
            display_name: Some(display_name.into()),
            ..user(Role::Contributor)
        };
        let Plan::Update(update) = plan(&wanted, &seen(before)) else {
            panic!("no update");
        };
        serde_json::to_value(&update.patch).unwrap()
    };
    assert_eq!(sent("Alice"), serde_json::json!({"role": "user"}));
    let both = serde_json::json!({"role": "user", "displayName": "Alice"});
    assert_eq!(sent("Bob"), both);
}

#[test]
fn taking_over_comes_before_a_conflict() {
    for may_take_over in [true, false] {
        let facts = Observed {
            ownership: Ownership::Of(Some(key())),
            may_take_over,
            ..seen(user(Role::User))
        };
        let finding = match plan(&desired(Role::Contributor), &facts) {
            Plan::Hold(finding) => finding,
            other => panic!("{other:?}"),
        };
        let expected = if may_take_over {
            Finding::TakingOver(Some(key()))
        } else {
            Finding::Owned(Some(key()))
        };
        assert_eq!(finding, expected);
    }
}

#[test]
fn inherited_power_holds_changes_of_admins_and_custom_users_and_no_others() {
    let has_power = |role: &Role| matches!(role, Role::Admin | Role::Custom);
    let roles = [Role::Admin, Role::Custom, Role::User, Role::Contributor];
    for (is, wanted) in roles
        .iter()
        .flat_map(|is| roles.iter().map(move |wanted| (is, wanted)))
    {
        let plan_as = |possession| {
            let facts = Observed {
                ownership: Ownership::Mine(possession),
                other_admins: OtherAdmins::Known(2),
                ..seen(user(is.clone()))
            };
            plan(&desired(wanted.clone()), &facts)
        };
        let expected = if is != wanted && (has_power(is) || has_power(wanted)) {
            Plan::Hold(Finding::InheritedPower)
        } else {
            plan_as(Possession::Held)
        };
        assert_eq!(
            plan_as(Possession::Inherited),
            expected,
            "{is:?} to {wanted:?}"
        );
        assert_ne!(
            plan_as(Possession::Held),
            Plan::Hold(Finding::InheritedPower)
        );
    }
    let released = Observed {
        ownership: Ownership::Released(Moment::default()),
        ..seen(user(Role::User))
    };
    let waits = Plan::Hold(Finding::TakingOver(None));
    assert_eq!(plan(&desired(Role::Contributor), &released), waits);
}
