//! What both kinds of lock have of a shared value: what it must offer so that threads can note their uses of it, and the
//! counters of hits and misses beside it.
//!
//! Ring 2. A hit only reads the structure, and notes its use through this: at once where the GIL is the lock, buffered
//! behind the [`striped`](crate::striped) lock where there is none.

use std::cell::Cell;

use engine::cache::Cache;
use engine::policy::HitEffect;
use engine::slab::Token;

/// What a shared value must offer so that readers can note uses.
pub trait RecordAccess {
    /// What a use does to the value; constant for it.
    fn hit_effect(&self) -> HitEffect;

    /// Whether a use right after one of the same entry needs to be noted; constant for a value.
    fn counts_repeats(&mut self) -> bool;

    /// Notes a use of the entry `token`.
    ///
    /// # Safety
    /// `token` names a published entry; no other thread changes the structure meanwhile, and where a use changes
    /// the order, none notes one.
    unsafe fn touch(&self, token: Token);

    /// Whoever changed the value has panicked in the middle of it: makes it whole, dropping nothing that it held.
    fn broken(&mut self);

    /// [`touch`](Self::touch) where it takes no call; `false` (and nothing done) where it does.
    ///
    /// # Safety
    /// As for `touch`.
    unsafe fn record_inline(&self, token: Token) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.touch(token) };
        true
    }
}

/// A change under way; dropped by unwinding only.
pub struct Change<T: RecordAccess>(*mut T);

impl<T: RecordAccess> Change<T> {
    /// Runs `f` on the value, which is made whole again should `f` panic.
    #[inline]
    pub fn run<R>(value: &mut T, f: impl FnOnce(&mut T) -> R) -> R {
        let value: *mut T = value;
        let change = Change(value);
        // SAFETY: the borrow that the pointer was made of lasts, and `change` does not touch the value before `f` has ended.
        let result = f(unsafe { &mut *value });
        std::mem::forget(change);
        result
    }
}

impl<T: RecordAccess> Drop for Change<T> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: see `run`.
        unsafe { (*self.0).broken() };
    }
}

impl<K, V> RecordAccess for Cache<K, V> {
    fn hit_effect(&self) -> HitEffect {
        self.hit_does()
    }

    fn counts_repeats(&mut self) -> bool {
        self.repeats_count()
    }

    fn broken(&mut self) {
        self.abandon();
    }

    #[inline(always)]
    unsafe fn touch(&self, token: Token) {
        // SAFETY: the caller's promise; `Shared` gives readers only `&Cache`.
        unsafe { self.hit_shared(token) }
    }

    #[inline(always)]
    unsafe fn record_inline(&self, token: Token) -> bool {
        // SAFETY: as in `touch`.
        unsafe { self.hit_shared_at_once(token) }
    }
}

/// The hits and the misses of a cache in memory, as many as one lock guards. With a GIL a cache has one of these, without one
/// each stripe of its lock has. They stand under the lock because there they cost a hit one addition to a line that it has at
/// hand. Outside of it each count would be an atomic read-modify-write, as threads may share a stripe. (A shared cache counts in
/// its file: `crates/shared/src/table/counters.rs`.)
#[derive(Debug, Default)]
pub struct HitCounters {
    hits: Cell<u64>,
    misses: Cell<u64>,
}

impl HitCounters {
    #[inline(always)]
    pub fn hit(&self) {
        self.hits.set(self.hits.get() + 1);
    }

    #[inline(always)]
    pub fn miss(&self) {
        self.misses.set(self.misses.get() + 1);
    }

    /// Hits and misses so far.
    pub fn read(&self) -> (u64, u64) {
        (self.hits.get(), self.misses.get())
    }

    pub fn reset(&self) {
        self.hits.set(0);
        self.misses.set(0);
    }
}
