//! One walk over the pages of the list, and the rules that end it: a server that repeats itself would be asked for pages
//! without end, and each of them costs a request of the account's quota.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use fireworks_api::wire::{Page, PageToken};

use crate::random::Random;
use crate::time::Moment;

/// Pages in a row without a usable row after which a list has failed.
const EMPTY_PAGES_MAX: u32 = 50;

/// One walk over the pages of the list.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Listing {
    pub(in super::super) began: Moment,
    /// Marks the users that it showed; 0 before the first page.
    pub(in super::super) number: u32,
    /// The number of its rows that could not be read.
    pub(in super::super) malformed: usize,
    /// The number of different users that it showed.
    pub(in super::super) users: usize,
    pub(super) pages: u32,
    rows_of_page: usize,
    new_of_page: usize,
    empty_pages: u32,
    /// Hashes of the page tokens so far: a token may have 4 KiB.
    tokens: BTreeSet<u64>,
    /// What the hashes depend on: a server cannot choose two tokens that collide.
    key: [u64; 2],
}

impl Listing {
    /// Begins at that time.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self {
            began: now,
            ..Self::default()
        }
    }

    /// Counts a page and its malformed rows.
    pub fn counts(&mut self, malformed: usize) {
        self.malformed += malformed;
        self.pages += 1;
    }

    /// Checks the page that was counted and applied last, which may end the list.
    ///
    /// # Errors
    /// Why the list has failed: its pages may have no end, or the account has more than `max_users`.
    pub fn check(&mut self, page: &Page, max_users: usize) -> Result<(), String> {
        let (rows, new) = (self.rows_of_page, self.new_of_page);
        self.empty_pages = if rows == 0 { self.empty_pages + 1 } else { 0 };
        let number = self.pages;
        if page.next.as_ref().is_some_and(|token| !self.is_new(token)) {
            return Err(format!(
                "page {number} has the page token of an earlier page"
            ));
        }
        if rows > 0 && new == 0 {
            return Err(format!("page {number} shows only users of earlier pages"));
        }
        if self.empty_pages >= EMPTY_PAGES_MAX && page.next.is_some() {
            return Err(format!("{EMPTY_PAGES_MAX} pages in a row show no user"));
        }
        let most = u64::try_from(max_users).unwrap_or(u64::MAX);
        if self.users > max_users || page.total.is_some_and(|total| total > most) {
            return Err(format!(
                "there are more than {max_users} users: raise --max-users"
            ));
        }
        Ok(())
    }

    /// Begins with the first page: `number` marks the users that it shows.
    pub(super) fn begin(&mut self, number: u32, random: &mut Random) {
        self.number = number;
        self.key = [random.draw(), random.draw()];
    }

    /// Begins a page.
    pub(super) fn begin_page(&mut self) {
        (self.rows_of_page, self.new_of_page) = (0, 0);
    }

    /// Counts a row of the page; `is_new`: no page has shown the user before.
    pub(in super::super) fn count_row(&mut self, is_new: bool) {
        self.rows_of_page += 1;
        self.new_of_page += usize::from(is_new);
        self.users += usize::from(is_new);
    }

    fn is_new(&mut self, token: &PageToken) -> bool {
        let mut hasher = DefaultHasher::new();
        (self.key, token.as_str()).hash(&mut hasher);
        self.tokens.insert(hasher.finish())
    }
}
