//! The rules that end a list.

use crate::builders::page_token as token;
use fireworks_api::wire::{Page, PageToken};

use super::*;

/// A list that is read page by page.
struct Walk {
    world: World,
    listing: Listing,
    max_users: usize,
}

impl Walk {
    fn begin() -> Self {
        let world = World::of(&["alice"]);
        let listing = Listing::new(world.now);
        let max_users = world.account.users.limit;
        Self {
            world,
            listing,
            max_users,
        }
    }

    /// The next page shows these users; why the list ends with an error, if it does.
    fn page(&mut self, names: &[&str], next: Option<&str>) -> Result<(), String> {
        let users = names.iter().map(|name| user(name, Role::User)).collect();
        let page = Page {
            users: Vec::new(),
            malformed: 0,
            next: next.map(token),
            total: None,
        };
        self.apply(users, &page)
    }

    fn apply(&mut self, users: Vec<User>, page: &Page) -> Result<(), String> {
        let account = &mut self.world.account;
        account.apply_page(&mut self.listing, users, self.world.now);
        self.listing.counts(page.malformed);
        self.listing.check(page, self.max_users)
    }
}

#[test]
fn list_ends_at_a_repeated_page_token() {
    let mut walk = Walk::begin();
    walk.page(&["a"], Some("x")).unwrap();
    walk.page(&["b"], Some("y")).unwrap();
    let ended = walk.page(&["c"], Some("x")).unwrap_err();
    assert!(ended.contains("page token"), "{ended}");
}

#[test]
fn list_ends_at_a_page_without_a_new_user() {
    for declared in [&["alice", "bob"][..], &["eve", "dan"]] {
        let mut walk = Walk::begin();
        walk.page(declared, Some("1")).unwrap();
        // Rows that moved while the list was read.
        walk.page(&[declared[1], "new"], Some("2")).unwrap();
        let ended = walk.page(declared, Some("3")).unwrap_err();
        assert!(ended.contains("page 3"), "{ended}");
        // The next list begins from the first user again.
        walk.listing = Listing::new(walk.world.now);
        walk.page(declared, None).unwrap();
    }
}

#[test]
fn list_ends_after_fifty_empty_pages_in_a_row() {
    let mut walk = Walk::begin();
    let mut page = |names: &[&str], number: usize| walk.page(names, Some(&number.to_string()));
    for number in 0..49 {
        page(&[], number).unwrap();
    }
    page(&["a"], 49).unwrap();
    for number in 50..99 {
        page(&[], number).unwrap();
    }
    assert!(page(&[], 99).unwrap_err().contains("50 pages"));
}

#[test]
fn list_of_malformed_rows_alone_ends_too() {
    let mut walk = Walk::begin();
    let page = |number: usize| Page {
        users: Vec::new(),
        malformed: 200,
        next: Some(token(&number.to_string())),
        total: None,
    };
    let ended = (0..1000).position(|number| walk.apply(Vec::new(), &page(number)).is_err());
    assert_eq!(ended, Some(49));
}

#[test]
fn list_ends_past_max_users() {
    let mut walk = Walk::begin();
    walk.max_users = 3;
    walk.world.account.users = Users::new(3);
    walk.world.account.set_managed(&id("alice"), true);
    walk.page(&["a", "b", "c"], Some("1")).unwrap();
    let ended = walk.page(&["d"], Some("2")).unwrap_err();
    assert!(ended.contains("3 users: raise --max-users"), "{ended}");
    // Of lists without end that show other users each time no more is kept than of one.
    for number in 0..10 {
        walk.listing = Listing::new(walk.world.now);
        let names = [0, 1, 2, 3].map(|at| format!("u-{number}-{at}"));
        let names = names.each_ref().map(String::as_str);
        assert!(walk.page(&names, Some("1")).is_err());
    }
    assert_eq!(walk.world.account.counts().users, 3);
}

#[test]
fn list_whose_first_page_reports_too_many_users_ends_there() {
    let mut walk = Walk::begin();
    let page = Page {
        users: Vec::new(),
        malformed: 0,
        next: None::<PageToken>,
        total: Some(100_001),
    };
    assert!(walk.apply(Vec::new(), &page).is_err());
}
