//! A value that is replaced now and then while others look at it, at the cost of one load.
//!
//! What was replaced is kept as long as the whole, since somebody may still look at it. So this is for what is replaced
//! seldom.

use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fork;

/// See the module's documentation.
pub struct Latest<T> {
    /// Points into one `Arc` of `all`, the last but for a moment.
    latest: AtomicPtr<T>,
    /// Nothing is ever taken out. Locked within `fork::exclusive` only, so no child finds it locked.
    all: Mutex<Vec<Arc<T>>>,
}

impl<T: Send + Sync> Latest<T> {
    pub fn new(first: T) -> Latest<T> {
        let first = Arc::new(first);
        Latest { latest: AtomicPtr::new(Arc::as_ptr(&first).cast_mut()), all: Mutex::new(vec![first]) }
    }

    #[inline(always)]
    pub fn get(&self) -> &T {
        // Acquire: pairs with the release in `replace`: whoever sees the address sees what is there.
        let latest = self.latest.load(Ordering::Acquire);
        // SAFETY: it is the address of what an `Arc` in `all` holds. Nothing is taken out of `all` before `self` is dropped,
        // so it lives as long as the reference; and of what an `Arc` in there holds there is no `&mut`.
        unsafe { &*latest }
    }

    /// The same, for who needs it longer than this is there.
    pub fn to_keep(&self) -> Arc<T> {
        self.with_all(|all| all.last().cloned()).expect("there is one from the beginning")
    }

    pub fn replace(&self, new: T) {
        let new = Arc::new(new);
        self.with_all(|all| {
            let address = Arc::as_ptr(&new).cast_mut();
            all.push(new);
            // Release: pairs with the acquire in `get`.
            self.latest.store(address, Ordering::Release);
        });
    }

    fn with_all<R>(&self, f: impl FnOnce(&mut Vec<Arc<T>>) -> R) -> R {
        fork::exclusive(|| f(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_replaced_can_still_be_looked_at() {
        let latest = Latest::new(vec![1]);
        let (first, kept) = (latest.get(), latest.to_keep());
        std::thread::scope(|scope| {
            scope.spawn(|| (2..100).for_each(|i| latest.replace(vec![i])));
            scope.spawn(|| {
                let mut seen = 0;
                while seen < 99 {
                    assert!(latest.get()[0] >= seen);
                    seen = latest.get()[0];
                }
            });
        });
        assert_eq!((first, &*kept, latest.get(), &*latest.to_keep()), (&vec![1], &vec![1], &vec![99], &vec![99]));
    }
}
