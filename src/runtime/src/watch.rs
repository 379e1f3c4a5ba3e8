//! Follows the objects of one collection of the API server: a list, then the changes to it, without end. The list is
//! streamed ([KEP-3157]), so that one object is in memory at a time; a server that cannot do that (HTTP 400 or 422) is
//! asked for pages. Notices a store that went back ([`Versions`]) and lists again. Knows no kind and decides nothing.
//!
//! Not kube's `watcher`: that one hides the versions of lists and bookmarks and has pages of a fixed number of objects.
//!
//! [KEP-3157]: https://github.com/kubernetes/enhancements/issues/3157

mod lines;
mod pages;
mod requests;

use std::time::Duration;

use kube::core::WatchEvent;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::clock;
use crate::versions::Versions;
use lines::Lines;
pub use requests::{Error, Source, Verb};
use retry_backoff::Backoff;

/// A failed watch is tried again after this long. However long the API server was away, it is watched again within five
/// seconds.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(500),
    cap: Duration::from_secs(4),
};
/// The same where the API server refuses it for want of a right, which a person has to grant.
const REFUSED_BACKOFF: Backoff = Backoff {
    cap: Duration::from_secs(15),
    ..BACKOFF
};
/// A watch that held for this long has recovered.
const RECOVERED_AFTER: Duration = Duration::from_mins(1);
/// A watch that ends sooner than this is not resumed at once.
const SHORT: Duration = Duration::from_secs(1);
/// The list is repeated after this long, in case the watch has lost something.
const RELIST: Duration = Duration::from_hours(1);
/// A streamed list in which nothing arrives for this long comes from a server that does not know how to end it.
const FIRST_EVENTS: Duration = Duration::from_secs(10);
/// The annotation of the bookmark that ends a streamed list.
const END_OF_LIST: &str = "k8s.io/initial-events-end";

/// An object whose version is known.
pub trait Versioned {
    /// Its resourceVersion.
    fn version(&self) -> &str;
}

/// What the watch delivers.
#[derive(Debug)]
pub enum Event<K> {
    /// The store went back: what is listed next replaces all that is known, whatever its versions.
    Rewound,
    /// A list begins.
    Listing,
    /// An object of the list.
    Listed(K),
    /// The list is complete: what it did not contain does not exist.
    ListComplete,
    /// The object was created or changed.
    Applied(K),
    /// The object was deleted.
    Deleted(K),
    /// The watch has begun: the API server refuses neither lists nor watches.
    Begun,
    /// The watch is intact; nothing has changed.
    Alive,
    /// A request failed, and is repeated.
    Failed(Error),
}

/// Where to go on.
enum Place {
    /// With a list.
    NeedsList,
    /// With the changes since that version.
    Since(String),
    /// With what this stream brings.
    Open(String, Lines),
}

/// Follows the collection without end.
pub async fn follow<K, F>(source: &Source, versions: &Versions, on: F)
where
    K: DeserializeOwned + Versioned,
    F: FnMut(Event<K>),
{
    let mut watch = Watch {
        source,
        versions,
        on,
        place: Place::NeedsList,
        listed: clock::now(),
    };
    let mut attempt = 0;
    loop {
        let began = clock::now();
        let outcome = watch.step::<K>().await;
        let lasted = clock::now().saturating_duration_since(began);
        if lasted >= RECOVERED_AFTER {
            attempt = 0;
        }
        let failed = outcome.is_err();
        let mut backoff = BACKOFF;
        if let Err(error) = outcome {
            if error.refused_verb().is_some() {
                backoff = REFUSED_BACKOFF;
            }
            (watch.on)(Event::Failed(error));
        }
        if failed || lasted < SHORT {
            tokio::time::sleep(backoff.delay(attempt, fastrand::f64())).await;
            attempt = attempt.saturating_add(1);
        }
    }
}

struct Watch<'a, F> {
    source: &'a Source,
    versions: &'a Versions,
    on: F,
    place: Place,
    /// When the last list began.
    listed: Instant,
}

impl<F> Watch<'_, F> {
    /// Lists where that is due, and follows one watch to its end.
    async fn step<K>(&mut self) -> Result<(), Error>
    where
        K: DeserializeOwned + Versioned,
        F: FnMut(Event<K>),
    {
        if !self.rewind::<K>() {
            compare(self.source, self.versions).await?;
            self.rewind::<K>();
        }
        if clock::now() >= self.listed + RELIST {
            self.place = Place::NeedsList;
        }
        let (version, lines) = match std::mem::replace(&mut self.place, Place::NeedsList) {
            Place::NeedsList => match self.list::<K>().await? {
                Some(listed) => listed,
                // The list came from a store that went back meanwhile.
                None => return Ok(()),
            },
            Place::Since(version) => (version, None),
            Place::Open(version, lines) => (version, Some(lines)),
        };
        let lines = match lines {
            Some(lines) => lines,
            None => match self.source.watch(&version).await {
                Ok(lines) => lines,
                Err(error) => return self.refused(version, error),
            },
        };
        self.place = Place::Open(version, lines);
        (self.on)(Event::Begun);
        self.changes::<K>().await
    }

    /// Goes on with a list if the store went back.
    fn rewind<K>(&mut self) -> bool
    where
        F: FnMut(Event<K>),
    {
        let record_version = self.versions.take_rewind();
        if record_version {
            (self.on)(Event::Rewound);
            self.place = Place::NeedsList;
        }
        record_version
    }

    /// A watch that could not begin is tried again from the same version, unless that is too old.
    fn refused(&mut self, version: String, error: Error) -> Result<(), Error> {
        self.place = match error.code() {
            Some(410) => Place::NeedsList,
            _ => Place::Since(version),
        };
        Err(error)
    }

    /// Lists everything; the version of the list, and the stream where it goes on as a watch.
    async fn list<K>(&mut self) -> Result<Option<(String, Option<Lines>)>, Error>
    where
        K: DeserializeOwned,
        F: FnMut(Event<K>),
    {
        self.listed = clock::now();
        let floor = self.versions.floor();
        let (version, lines) = match self.stream::<K>().await? {
            Some((version, lines)) => (version, Some(lines)),
            None => (pages::list::<K>(self.source, &mut self.on).await?, None),
        };
        if self.versions.record_version(floor, &version) {
            return Ok(None);
        }
        self.versions.record(&version);
        (self.on)(Event::ListComplete);
        Ok(Some((version, lines)))
    }

    /// The list as a stream; `None` if the server cannot do that.
    async fn stream<K>(&mut self) -> Result<Option<(String, Lines)>, Error>
    where
        K: DeserializeOwned,
        F: FnMut(Event<K>),
    {
        let mut lines = match self.source.watch_list().await {
            Ok(lines) => lines,
            Err(error) if is_unsupported(error.code()) => return Ok(None),
            Err(error) => return Err(error),
        };
        (self.on)(Event::Listing);
        loop {
            let next = tokio::time::timeout(FIRST_EVENTS, lines.next::<WatchEvent<K>>());
            let Ok(event) = next.await else {
                return Ok(None);
            };
            match event? {
                None => return Err(Error::ended()),
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    (self.on)(Event::Listed(object));
                }
                Some(WatchEvent::Bookmark(bookmark)) => {
                    let metadata = bookmark.metadata;
                    if metadata.annotations.contains_key(END_OF_LIST) {
                        return Ok(Some((metadata.resource_version, lines)));
                    }
                }
                // A list contains what exists.
                Some(WatchEvent::Deleted(_)) => {}
                Some(WatchEvent::Error(status)) if is_unsupported(Some(status.code)) => {
                    return Ok(None);
                }
                Some(WatchEvent::Error(status)) => return Err(Error::refused(status)),
            }
        }
    }

    /// Hands on the changes until the watch ends, or a list is due.
    async fn changes<K>(&mut self) -> Result<(), Error>
    where
        K: DeserializeOwned + Versioned,
        F: FnMut(Event<K>),
    {
        let relist = self.listed + RELIST;
        loop {
            let Place::Open(version, lines) = &mut self.place else {
                return Ok(());
            };
            let event = tokio::select! {
                event = tokio::time::timeout(self.source.idle_timeout, lines.next::<WatchEvent<K>>()) => event,
                () = self.versions.rewound() => return Ok(()),
                () = tokio::time::sleep_until(relist) => return Ok(()),
            };
            let event = match event {
                Ok(Ok(Some(event))) => event,
                // It ended, or nothing came for too long: it is resumed where it was.
                Ok(Ok(None)) | Err(_) => {
                    self.place = Place::Since(std::mem::take(version));
                    return Ok(());
                }
                Ok(Err(error)) if error.is_one_line() => {
                    (self.on)(Event::Failed(error));
                    continue;
                }
                Ok(Err(error)) => {
                    self.place = Place::Since(std::mem::take(version));
                    return Err(error);
                }
            };
            let event = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    object.version().clone_into(version);
                    Event::Applied(object)
                }
                WatchEvent::Deleted(object) => {
                    object.version().clone_into(version);
                    Event::Deleted(object)
                }
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    Event::Alive
                }
                WatchEvent::Error(status) => {
                    let version = std::mem::take(version);
                    return self.refused(version, Error::refused(status));
                }
            };
            self.versions.record(version);
            (self.on)(event);
        }
    }
}

/// Compares the version of a list of one object with what was delivered. A watch is resumed every few minutes, and whenever
/// the API server was away.
async fn compare(source: &Source, versions: &Versions) -> Result<(), Error> {
    let floor = versions.floor();
    if !floor.is_unknown() {
        let version = source.current_version().await?;
        versions.record_version(floor, &version);
    }
    Ok(())
}

/// Whether a server refuses to stream a list by that code.
fn is_unsupported(code: Option<u16>) -> bool {
    matches!(code, Some(400 | 422))
}
