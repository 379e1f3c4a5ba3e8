//! A list in pages, for servers that do not stream lists. Each page is sized by the bytes of the one before; one that
//! turns out too large is given up while it arrives and asked for again with fewer objects.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Event;
use super::requests::{Error, Source};
use crate::bulk::MaxBody;

/// What a page should have, in bytes.
const TARGET: usize = 512 * 1024;
/// A page of several objects is given up beyond this many bytes.
pub(super) const MAX: MaxBody = MaxBody(2 * 1024 * 1024);
/// Objects on the first page, and at most.
const FIRST: usize = 50;
const MOST: usize = 500;

/// A page.
#[derive(Deserialize)]
pub(super) struct Page<K> {
    pub(super) metadata: PageMeta,
    pub(super) items: Vec<K>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMeta {
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default, rename = "continue")]
    pub(super) next: String,
}

/// Lists everything; the version of the list.
pub(super) async fn list<K: DeserializeOwned>(
    source: &Source,
    on: &mut impl FnMut(Event<K>),
) -> Result<String, Error> {
    on(Event::Listing);
    let mut size = Size::default();
    let (mut version, mut next) = (None, String::new());
    loop {
        match source.page::<K>(size.objects(), &next).await {
            Ok((page, bytes)) => {
                size.learn(page.items.len(), bytes);
                for object in page.items {
                    on(Event::Listed(object));
                }
                // Of the first page: what follows may have changed since.
                let version = version.get_or_insert(page.metadata.resource_version);
                next = page.metadata.next;
                if next.is_empty() {
                    return Ok(std::mem::take(version));
                }
            }
            Err(error) if error.is_too_large() && size.shrink() => {}
            Err(error) => return Err(error),
        }
    }
}

/// How many objects to ask for.
#[derive(Clone, Copy, Debug)]
struct Size(usize);

impl Default for Size {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Size {
    fn objects(self) -> usize {
        self.0
    }

    /// Records the number of objects of a page and its bytes.
    fn learn(&mut self, objects: usize, bytes: usize) {
        let each = (bytes / objects.max(1)).max(1);
        self.0 = (TARGET / each).clamp(1, MOST.min(self.0 * 4));
    }

    /// The page was too large; `false` if it had one object only.
    fn shrink(&mut self) -> bool {
        let before = self.0;
        self.0 = (self.0 / 8).max(1);
        before > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_size_follows_the_bytes_of_the_last_page() {
        let mut size = Size::default();
        size.learn(50, 50 * 2_600);
        assert_eq!(size.objects(), 200, "at most four times as many");
        size.learn(200, 200 * 2_600);
        assert_eq!(size.objects(), 201);
        size.learn(201, 201 * 100);
        size.learn(500, 500 * 100);
        assert_eq!(size.objects(), MOST);
        size.learn(10, 10 * 250_000);
        assert_eq!(size.objects(), 2);
        size.learn(0, 100);
        assert!(size.objects() >= 1);
    }

    #[test]
    fn page_too_large_shrinks_to_one_object() {
        let mut size = Size(500);
        let mut sizes = Vec::new();
        while size.shrink() {
            sizes.push(size.objects());
        }
        assert_eq!(sizes, [62, 7, 1]);
    }
}
