//! The keys that a thread computes under a lease: to wait for one of those would never end.
//!
//! Ring 3.

use std::cell::RefCell;

thread_local! {
    /// The keys that this thread computes under a lease, as their hashes (which the seeds of files tell apart).
    static COMPUTING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The registration of a key as being computed by this thread; ends when dropped.
pub(super) struct Computing(u64);

impl Computing {
    pub fn begin(hash: u64) -> Computing {
        let _ = COMPUTING.try_with(|keys| keys.try_borrow_mut().map(|mut keys| keys.push(hash)));
        Computing(hash)
    }

    /// Whether this very thread computes the key: to wait for it would never end.
    pub fn has(hash: u64) -> bool {
        COMPUTING.try_with(|keys| keys.try_borrow().is_ok_and(|keys| keys.contains(&hash))).unwrap_or(false)
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        let _ = COMPUTING.try_with(|keys| {
            let mut keys = keys.try_borrow_mut().ok()?;
            // Greenlets of one thread may end in any order.
            let at = keys.iter().rposition(|hash| *hash == self.0)?;
            Some(keys.swap_remove(at))
        });
    }
}
