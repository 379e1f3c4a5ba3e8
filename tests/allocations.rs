//! What users in sync cost in memory: what is asked of the allocator when a sweep shows them again, and what is kept of
//! each. Counted, so that it is the same on every machine. A program of its own, since it counts for the whole process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

use std::alloc::System;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use fireworks_api::wire::{User, decode};
use fireworks_core::account::{Account, Listing};
use fireworks_user_operator::clock;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PAGE: usize = 200;

/// What is counted is counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What a page of the account `acme` shows.
fn users_on_page(body: &[u8]) -> Option<Vec<User>> {
    Some(decode::page(body, &builders::account_id()).ok()?.users)
}

/// The pages of an account of that number of users, as they come.
fn pages(users: usize) -> Vec<String> {
    let row = |number: usize| {
        format!(
            r#"{{"name":"accounts/acme/users/user-{number:06}","displayName":"User Number {number}",
            "serviceAccount":false,"createTime":"2025-11-03T09:14:22.417Z","role":"contributor",
            "email":"user.{number}@people.example","state":"READY","status":{{"code":"OK","message":""}},
            "updateTime":"2025-11-07T17:40:05.090Z"}}"#
        )
    };
    let page = |first: usize| {
        let rows: Vec<_> = (first..first + PAGE).map(row).collect();
        let mut page = String::new();
        write!(
            page,
            r#"{{"users":[{}],"nextPageToken":"{first}","totalSize":{users}}}"#,
            rows.join(",")
        )
        .unwrap();
        page
    };
    (0..users).step_by(PAGE).map(page).collect()
}

/// One sweep.
fn sweep(account: &mut Account, pages: &[String]) {
    let now = clock::now();
    let mut listing = Listing::new(now);
    for page in pages {
        let users = users_on_page(page.as_bytes()).expect("a page");
        assert_eq!(users.len(), PAGE);
        listing.counts(0);
        account.apply_page(&mut listing, users, now);
    }
    account.finish_list(&listing, now);
}

fn per_user(total: usize, users: usize) -> f64 {
    f64::from(u32::try_from(total).unwrap()) / f64::from(u32::try_from(users).unwrap())
}

/// Undeclared users may take 12 MiB for 100,000 of them, with what the allocator adds to each id.
#[test]
fn undeclared_users_are_kept_in_few_bytes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let users = 100_000;
    // As long as the ids that an identity provider makes.
    let pages = pages(users)
        .into_iter()
        .map(|page| page.replace("users/user-", "users/0b8f7c52-9d1e-4f6a-8a35-"));
    let pages: Vec<String> = pages.collect();
    let mut account = builders::account(clock::now(), 1);
    account.set_managed(&"alice".parse().unwrap(), true);
    account.open();
    for sweeps in 1..=2 {
        let region = Region::new(COUNTED);
        sweep(&mut account, &pages);
        let change = region.change();
        let kept = change
            .bytes_allocated
            .saturating_sub(change.bytes_deallocated);
        let kept = per_user(kept, users);
        println!("{kept:.1} bytes more kept of an undeclared user after sweep {sweeps}");
        assert!(
            kept <= if sweeps == 1 { 96.0 } else { 1.0 },
            "{kept} bytes, sweep {sweeps}"
        );
    }
    assert_eq!(account.counts().users, users);
}

#[test]
fn a_user_in_sync_costs_a_sweep_few_allocations_and_is_kept_in_few_bytes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let users = 10_000;
    let pages = pages(users);
    let mut account = builders::account(clock::now(), 1);
    for page in &pages {
        for user in users_on_page(page.as_bytes()).unwrap() {
            account.set_managed(&user.id, true);
        }
    }
    account.open();

    let first = Region::new(COUNTED);
    sweep(&mut account, &pages);
    drop(account.take_signals());
    let kept = first.change();
    let kept = per_user(kept.bytes_allocated - kept.bytes_deallocated, users);

    let again = Region::new(COUNTED);
    sweep(&mut account, &pages);
    let again = again.change();
    let signals = account.take_signals();
    assert_eq!(signals.requeue, [], "nothing has changed");
    let asked = per_user(again.allocations + again.reallocations, users);
    let left = per_user(
        again.bytes_allocated.abs_diff(again.bytes_deallocated),
        users,
    );
    println!("{kept:.1} bytes kept of a user; {asked:.2} allocations for each in a sweep");
    assert!(kept <= 420.0, "{kept} bytes kept of a user");
    assert!(
        asked <= 24.0,
        "{asked} allocations for each user in a sweep"
    );
    assert!(
        left < 1.0,
        "{left} bytes more are kept of each after a sweep"
    );
}
