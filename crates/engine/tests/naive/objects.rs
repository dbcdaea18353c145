//! Keys and values that note their end, and the hashes of keys.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use engine::cache::{Cause, Evicted};

use super::{Gone, Id};

/// Some names share a hash, and more share a group of the table than it has places, the last one.
pub fn hash(name: u8) -> u64 {
    match name % 5 {
        0 => u64::from(name) << 32 | 7,
        1 => u64::from(name) << 40 | u64::from(u32::MAX),
        2 => u64::from(name) << 6 | 31,
        _ => u64::from(u32::from(name).wrapping_mul(0x9E37_79B9)) | u64::from(name) << 40,
    }
}

/// A key or a value.
#[derive(Debug)]
pub struct Object {
    pub id: Id,
    pub name: u8,
    ends: Rc<RefCell<Vec<Id>>>,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.ends.borrow_mut().push(self.id);
    }
}

/// All that were made.
#[derive(Debug, Default)]
pub struct Objects {
    made: Id,
    /// What ended since it was last looked at.
    ends: Rc<RefCell<Vec<Id>>>,
    /// What ended before that.
    ended: BTreeSet<Id>,
}

impl Objects {
    pub fn make(&mut self, name: u8) -> Object {
        self.made += 1;
        let ends = Rc::clone(&self.ends);
        Object { id: self.made, name, ends }
    }

    pub fn assert_quiet(&self) {
        assert!(self.ends.borrow().is_empty(), "dropped inside the cache");
    }

    /// Drops `left`; then exactly `ids` have ended, in this order, and none before.
    pub fn end<T>(&mut self, left: T, ids: &[Id]) {
        self.assert_quiet();
        drop(left);
        let ended = std::mem::take(&mut *self.ends.borrow_mut());
        assert_eq!(ended, ids);
        assert!(ended.into_iter().all(|id| self.ended.insert(id)), "dropped twice");
    }

    /// Drops what left: exactly `gone`, in this order and for these causes. Of entries that ended at the same moment in a
    /// cache with an idle time the order is not told.
    pub fn left(&mut self, evicted: Evicted<Object, Object>, gone: &[Gone]) {
        assert_eq!(evicted.len(), gone.len());
        let mut expected = gone.to_vec();
        for (at, departed) in evicted.iter().enumerate() {
            let ids = (departed.entry.key.id, departed.entry.value.id);
            assert_eq!(departed.meta, u32::from(departed.entry.key.name));
            let of_equals = expected[at..].iter().position(|gone| gone.ids == ids).expect("it left") + at;
            let (first, own) = (&expected[at], &expected[of_equals]);
            assert_eq!(departed.cause, own.cause);
            assert!(at == of_equals || own.is_tie(first), "{own:?} left before {first:?}");
            expected.swap(at, of_equals);
        }
        let ids: Vec<Id> = expected.iter().flat_map(|gone| [gone.ids.0, gone.ids.1]).collect();
        self.end(evicted, &ids);
    }

    /// Whatever was made and has not ended ends with the cache.
    pub fn finish<T>(mut self, cache: T) {
        drop(cache);
        assert!(self.ends.borrow().iter().all(|&id| self.ended.insert(id)), "dropped twice");
        assert_eq!(self.ended.len() as Id, self.made);
    }
}

impl Gone {
    /// Whether either may leave first.
    fn is_tie(&self, other: &Gone) -> bool {
        self.cause == Cause::Expired && self.idle_end.is_some() && self.idle_end == other.idle_end
    }
}
