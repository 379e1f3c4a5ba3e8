//! Tables that give a number to each value met, so that a state holds numbers and is compared bit by bit.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustc_hash::FxHashMap;

/// The values of one kind.
pub(crate) struct Table<T> {
    numbers: Mutex<FxHashMap<Arc<T>, u32>>,
    rows: RwLock<Vec<Arc<T>>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            numbers: Mutex::default(),
            rows: RwLock::default(),
        }
    }
}

impl<T: Eq + Hash> Table<T> {
    /// The number of that value.
    pub(crate) fn number(&self, row: T) -> u32 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = numbers.get(&row) {
            return *number;
        }
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let number = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let row = Arc::new(row);
        rows.push(row.clone());
        numbers.insert(row, number);
        number
    }

    /// The value of that number.
    pub(crate) fn get(&self, number: u32) -> Arc<T> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows[number as usize].clone()
    }

    /// How many values were met.
    pub(crate) fn len(&self) -> usize {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.len()
    }
}
