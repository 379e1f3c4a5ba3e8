//! A map with an entry for each of up to 100,000 users: a hash map, which takes less memory than a tree, that itself can be
//! hashed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

use fireworks_api::wire::UserId;

use crate::rebase::Rebase;
use crate::time::Moment;

/// A map by user. The order in which it is gone through differs from process to process: no decision may depend on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ByUser<V>(HashMap<UserId, V>);

impl<V> Default for ByUser<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V> Deref for ByUser<V> {
    type Target = HashMap<UserId, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<V> DerefMut for ByUser<V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<V: Hash> Hash for ByUser<V> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.iter().collect::<BTreeMap<_, _>>().hash(hasher);
    }
}

impl<V: Rebase> Rebase for ByUser<V> {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        for value in self.0.values_mut() {
            value.rebase(place);
        }
    }
}
