//! What the guards withhold, and in which order.

use super::*;

#[test]
fn service_account_mismatch_is_held_also_when_fields_match() {
    for declared in [false, true] {
        for role in [Role::User, Role::Contributor] {
            let mut other = user(role);
            other.service_account = !declared;
            let wanted = Desired {
                service_account: declared,
                ..desired(Role::User)
            };
            let counts = Finding::ServiceAccount { declared };
            assert_eq!(counts.guard(), Some(Guard::ServiceAccount));
            assert_eq!(plan(&wanted, &seen(other.clone())), Plan::Hold(counts));
            other.service_account = declared;
            assert!(!matches!(plan(&wanted, &seen(other)), Plan::Hold(_)));
        }
    }
}

#[test]
fn unknown_role_is_replaced_only_where_the_object_names_it() {
    let owner = || user(Role::Other("owner".into()));
    let named = |role: Option<&str>| Desired {
        replaces_role: role.map(Into::into),
        ..desired(Role::User)
    };
    let counts = Plan::Hold(Finding::UnknownRole(Role::Other("owner".into())));
    for wrong in [None, Some("Owner"), Some("")] {
        assert_eq!(plan(&named(wrong), &seen(owner())), counts, "{wrong:?}");
    }
    let replaced = plan(&named(Some("owner")), &seen(owner()));
    assert!(matches!(replaced, Plan::Update(_)), "{replaced:?}");
    // An absent role is not unknown.
    let absent = plan(&named(None), &seen(user(Role::Other("".into()))));
    assert!(matches!(absent, Plan::Update(_)), "{absent:?}");
    let observed = Desired {
        observe: true,
        ..named(None)
    };
    let drifted = plan(&observed, &seen(owner()));
    assert!(matches!(drifted, Plan::Hold(Finding::Drifted(_))));
}

/// Facts about an object in a namespace that may not grant powerful roles.
fn not_allowed(user: User) -> Observed {
    Observed {
        may_grant: false,
        ..seen(user)
    }
}

#[test]
fn namespace_not_allowed_neither_grants_nor_takes_away_powerful_roles() {
    let unknown = || Role::Other("owner".into());
    let all = || [Role::Admin, Role::Custom, Role::User, Role::Contributor];
    for before in all().into_iter().chain([unknown()]) {
        for after in all() {
            let wanted = Desired {
                replaces_role: Some("owner".into()),
                display_name: Some("Alice".into()),
                ..desired(after.clone())
            };
            let is_held = [&before, &after].into_iter().any(is_powerful);
            let decided = plan(&wanted, &not_allowed(user(before.clone())));
            // Also where the role stays and only the display name differs: the update names the role.
            if is_held {
                let held = Plan::Hold(Finding::NamespaceNotAllowed);
                assert_eq!(decided, held, "{before:?} to {after:?}");
            } else {
                assert!(
                    matches!(decided, Plan::Update(_)),
                    "{before:?} to {after:?}"
                );
            }
        }
    }
}

#[test]
fn namespace_not_allowed_holds_drift_and_found_differences_too() {
    for (has_matched, converged_at_generation) in [(true, true), (false, true), (false, false)] {
        let drifted = Observed {
            has_matched,
            converged_at_generation,
            ..not_allowed(user(Role::User))
        };
        let decided = plan(&desired(Role::Admin), &drifted);
        assert_eq!(decided, Plan::Hold(Finding::NamespaceNotAllowed));
    }
}

#[test]
fn protected_user_and_namespace_not_allowed_leave_matching_users_in_sync() {
    let protected = |user| Observed {
        is_protected: true,
        ..seen(user)
    };
    for role in [Role::Admin, Role::Custom, Role::User] {
        let wanted = desired(role.clone());
        for facts in [not_allowed(user(role.clone())), protected(user(role))] {
            assert_eq!(plan(&wanted, &facts), Plan::InSync);
        }
    }
    let observes = Desired {
        observe: true,
        ..desired(Role::Admin)
    };
    for facts in [not_allowed(user(Role::User)), protected(user(Role::User))] {
        let decided = plan(&observes, &facts);
        assert!(matches!(decided, Plan::Hold(Finding::Drifted(_))));
    }
}

#[test]
fn protected_user_is_held_whatever_differs() {
    let renamed = Desired {
        display_name: Some("Alice".into()),
        ..desired(Role::User)
    };
    for wanted in [renamed, desired(Role::Admin), desired(Role::Contributor)] {
        let facts = Observed {
            is_protected: true,
            ..seen(user(Role::User))
        };
        assert_eq!(plan(&wanted, &facts), Plan::Hold(Finding::ProtectedUser));
    }
}

#[test]
fn unknown_role_precedes_protected_user_and_that_namespace_not_allowed() {
    let facts = |is_protected, role| Observed {
        is_protected,
        other_admins: OtherAdmins::TooFew(1),
        ..not_allowed(user(role))
    };
    let guard = |is_protected, role| match plan(&desired(Role::User), &facts(is_protected, role)) {
        Plan::Hold(finding) => finding.guard(),
        _ => None,
    };
    let unknown = Role::Other("owner".into());
    assert_eq!(guard(true, unknown), Some(Guard::UnknownRole));
    assert_eq!(guard(true, Role::Admin), Some(Guard::ProtectedUser));
    assert_eq!(guard(false, Role::Admin), Some(Guard::NamespaceNotAllowed));
    assert_eq!(guard(false, Role::Contributor), None);
}

#[test]
fn of_several_guards_the_first_in_order_holds() {
    let facts = |other_admins, mask| Observed {
        contested: Some(repair_hold()),
        other_admins,
        mask,
        ..seen(user(Role::Admin))
    };
    let counts = |others, mask| match plan(&desired(Role::User), &facts(others, mask)) {
        Plan::Hold(finding) => finding.guard(),
        _ => None,
    };
    let stopped = Mask::Stopped(Moment::from_micros(1 << 40));
    assert_eq!(
        counts(OtherAdmins::TooFew(1), stopped),
        Some(Guard::LastAdmin)
    );
    assert_eq!(counts(OtherAdmins::Known(1), stopped), Some(Guard::Canary));
    assert_eq!(
        counts(OtherAdmins::Known(1), Mask::Trusted),
        Some(Guard::Contested)
    );
    let listless = counts(OtherAdmins::NotListed, Mask::Trusted);
    assert_eq!(
        listless,
        Some(Guard::Contested),
        "no list is asked for meanwhile"
    );
}

#[test]
fn while_the_first_patch_is_on_trial_the_others_wait_and_a_broken_mask_ends_them() {
    let under = |mask| Observed {
        mask,
        ..seen(user(Role::Contributor))
    };
    let decided = |mask| plan(&desired(Role::User), &under(mask));
    let at = Moment::from_micros(1 << 40);
    assert_eq!(decided(Mask::Busy(at)), Plan::AwaitOther(Some(at)));
    let cleared = Plan::Hold(Finding::FieldCleared(at));
    assert_eq!(decided(Mask::UserStopped(at)), cleared);
    let stopped = Plan::Hold(Finding::ChangesStopped(at));
    assert_eq!(decided(Mask::Stopped(at)), stopped);
    let unread = decided(Mask::Unread);
    assert!(matches!(
        unread,
        Plan::Read(Read {
            reason: ReadReason::Canary,
            ..
        })
    ));
    assert!(matches!(decided(Mask::Trusted), Plan::Update(_)));
}

#[test]
fn what_withholds_a_change_withholds_nothing_from_a_user_that_matches() {
    let role = Diff {
        role: true,
        ..Diff::default()
    };
    let observing = Desired {
        observe: true,
        ..desired(Role::User)
    };
    let tried = |tries, user| Observed {
        tries,
        ..seen(user)
    };
    let contested = |user| Observed {
        contested: Some(repair_hold()),
        ..seen(user)
    };
    let (there, other) = (user(Role::User), user(Role::Contributor));
    let wanted = desired(Role::User);
    for (wanted, facts, finding) in [
        (&observing, seen(other.clone()), Finding::Drifted(role)),
        (&wanted, tried(2, other.clone()), Finding::NotApplied(role)),
        (
            &wanted,
            contested(other.clone()),
            Finding::Contested(repair_hold()),
        ),
    ] {
        assert_eq!(plan(wanted, &facts), Plan::Hold(finding));
    }
    let again = plan(&wanted, &tried(1, other));
    assert!(matches!(again, Plan::Update(_)), "{again:?}");
    for (wanted, facts) in [
        (&observing, seen(there.clone())),
        (&wanted, tried(2, there.clone())),
        (&wanted, contested(there)),
    ] {
        assert_eq!(plan(wanted, &facts), Plan::InSync);
    }
}
