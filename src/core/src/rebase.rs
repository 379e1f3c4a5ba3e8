//! The canonical form of what decisions are made by, for a search of states: two values that decide alike from now on, but for
//! when something is tried again, have the same one. Most of it is declared beside each type, see [`rebase`].

use std::collections::BTreeMap;

use crate::time::Moment;

/// Has a canonical form.
pub(crate) trait Rebase {
    /// Gives every time that decides something the place that `place` returns for it, and everything that does not the same
    /// value.
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment);
}

impl Rebase for Moment {
    fn rebase(&mut self, place: &mut impl FnMut(Self) -> Self) {
        *self = place(*self);
    }
}

impl<T: Rebase> Rebase for Option<T> {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        if let Some(value) = self {
            value.rebase(place);
        }
    }
}

impl<T: Rebase> Rebase for Vec<T> {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        for value in self {
            value.rebase(place);
        }
    }
}

impl<T: Rebase> Rebase for Box<T> {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        (**self).rebase(place);
    }
}

/// A value with its time.
impl<K, T: Rebase> Rebase for (K, T) {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        self.1.rebase(place);
    }
}

impl<K, T: Rebase> Rebase for BTreeMap<K, T> {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        for value in self.values_mut() {
            value.rebase(place);
        }
    }
}

/// Declares the canonical form of a type: the fields that are rebased, those that get a fixed value, and those that stay as
/// they are. A field that is in none of the lists is a compile error.
macro_rules! rebase {
    ($type:ident {
        $(rebased: $($rebased:ident),+;)?
        $(fixed: $($fixed:ident = $value:expr),+;)?
        $(kept: $($kept:ident),+;)?
    }) => {
        impl $crate::rebase::Rebase for $type {
            fn rebase(
                &mut self,
                place: &mut impl FnMut($crate::time::Moment) -> $crate::time::Moment,
            ) {
                let Self { $($($rebased,)+)? $($($fixed,)+)? $($($kept: _,)+)? } = self;
                $($($crate::rebase::Rebase::rebase($rebased, place);)+)?
                $($(*$fixed = $value;)+)?
                let _ = place;
            }
        }
    };
}

pub(crate) use rebase;
