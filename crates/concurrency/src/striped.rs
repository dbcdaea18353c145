//! A striped reader lock: readers of different threads write different cache lines; a writer takes all stripes.
//!
//! Ring 2. Each thread has a stripe of its own (threads beyond the number of stripes share). A stripe holds the lock
//! word, the counters and a buffer of uses, all on lines that only its threads write. A hit locks its stripe, reads,
//! notes the token in the buffer and unlocks: one atomic read-modify-write, on a line nobody else wants.
//!
//! The buffered uses reach the order when the buffer is full (under the order lock, tried once: under contention the
//! buffer is dropped, as an approximate order is all that concurrent hits have anyway) and always before a writer goes to
//! work. So nothing is ever lost while one thread is at work, and a token in a buffer always names a published entry:
//! entries end only under `write`, which empties the buffers first.
//!
//! Lock order: stripes by rising index, then the order lock. The order changes only in the hands of a thread that has
//! either all stripes, or its own stripe and the order lock.
//!
//! Critical sections are some dozens of instructions without calls into Python. Nobody detaches from the interpreter while
//! holding a stripe; with the world stopped, all stripes are free.

use std::ops::Deref;

use super::spin::SpinLock;
use crate::access::{Change, HitCounters, RecordAccess};
use crate::primitives::UnsafeCell;
use crate::thread_id;
use engine::policy::HitEffect;
use engine::slab::{Token, NIL};

/// Uses buffered in a stripe before they are applied.
#[cfg(not(loom))]
const BUFFER: usize = 64;
#[cfg(loom)]
const BUFFER: usize = 2;

/// What a stripe guards for its own threads.
#[derive(Debug)]
struct Local {
    counters: HitCounters,
    noted: u32,
    uses: [Token; BUFFER],
}

/// Two lines of 64 bytes are fetched as a pair on current x86, so stripes keep 128 apart.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe {
    lock: SpinLock,
    /// Guarded by `lock`.
    local: UnsafeCell<Local>,
}

impl Stripe {
    fn new() -> Self {
        Stripe {
            lock: SpinLock::new(),
            local: UnsafeCell::new(Local { counters: HitCounters::default(), noted: 0, uses: [NIL; BUFFER] }),
        }
    }

    /// The stripe's own data.
    ///
    /// # Safety
    /// The caller holds `lock`, and `f` does not come back here.
    #[inline(always)]
    unsafe fn local<R>(&self, f: impl FnOnce(&mut Local) -> R) -> R {
        // SAFETY: `lock` guards `local`.
        self.local.with_mut(|local| f(unsafe { &mut *local }))
    }
}

/// A value that all threads share, and the counters of its hits and misses.
#[derive(Debug)]
pub struct Shared<T> {
    /// Shared by the holder of any stripe, exclusive to the holder of all.
    value: UnsafeCell<T>,
    /// What a use does to the value.
    use_does: HitEffect,
    /// Whether a use right after one of the same entry is.
    repeats: bool,
    order: SpinLock,
    /// A power of two of them.
    stripes: Box<[Stripe]>,
}

// SAFETY: `value` is reached with `&T` by holders of a stripe and with `&mut T` by the holder of all stripes, hence the
// bounds; each stripe's data is reached under its lock.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
// SAFETY: it owns the value.
unsafe impl<T: Send> Send for Shared<T> {}

/// Whether a thread may let go of a reader and find the value as it was, until it calls into Python.
pub const READERS_MAY_PAUSE: bool = false;

/// A look at the value, from which a use or a miss may be noted.
#[derive(Debug)]
pub struct Reader<'a, T> {
    shared: &'a Shared<T>,
    stripe: &'a Stripe,
}

impl<T> Drop for Reader<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.stripe.lock.unlock();
    }
}

impl<T> Deref for Reader<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the reader holds a stripe, so no writer exists.
        self.shared.value.with(|value| unsafe { &*value })
    }
}

impl<T: RecordAccess> Reader<'_, T> {
    /// Counts a hit and notes the use.
    ///
    /// # Safety
    /// `token` names a published entry of the value.
    #[inline(always)]
    pub unsafe fn hit(&self, token: Token) {
        // SAFETY: the reader holds the stripe's lock.
        unsafe { self.stripe.local(|local| local.counters.hit()) };
        // SAFETY: the caller's promise.
        unsafe { self.used(token) };
    }

    /// [`hit`](Self::hit) and `true`: noting a use is short here, whatever the strategy.
    ///
    /// # Safety
    /// As for [`hit`](Self::hit).
    #[inline(always)]
    pub unsafe fn hit_inline(&self, token: Token) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.hit(token) };
        true
    }

    /// Notes a use that is not counted as a hit.
    ///
    /// # Safety
    /// As for [`hit`](Self::hit).
    #[inline(always)]
    pub unsafe fn used(&self, token: Token) {
        match self.shared.use_does {
            HitEffect::None => {}
            // SAFETY: the caller's promise; the reader holds a stripe, so no writer exists, and marks may be set side by side.
            HitEffect::Shared => unsafe { self.touch(token) },
            // SAFETY: the caller's promise.
            HitEffect::Exclusive | HitEffect::ExclusiveCall => unsafe { self.note(token) },
        }
    }

    /// Notes a use in the buffer.
    ///
    /// # Safety
    /// As for [`hit`](Self::hit).
    #[inline(always)]
    unsafe fn note(&self, token: Token) {
        // SAFETY: the reader holds the stripe's lock.
        let full = unsafe {
            self.stripe.local(|local| {
                // `noted` is less than the buffer's length. So one hot entry never fills the buffer.
                let noted = local.noted as usize % BUFFER;
                if noted > 0 && local.uses[noted - 1] == token && !self.shared.repeats {
                    return false;
                }
                local.uses[noted] = token;
                local.noted += 1;
                local.noted as usize == BUFFER
            })
        };
        if full {
            self.apply();
        }
    }

    #[cold]
    fn apply(&self) {
        if self.shared.order.try_lock() {
            // SAFETY: this thread has its stripe and the order lock.
            unsafe { self.shared.apply_uses(self.stripe) };
            self.shared.order.unlock();
        } else {
            // SAFETY: the reader holds the stripe's lock.
            unsafe { self.stripe.local(|local| local.noted = 0) };
        }
    }

    /// Counts a miss.
    pub fn miss(&self) {
        // SAFETY: the reader holds the stripe's lock.
        unsafe { self.stripe.local(|local| local.counters.miss()) };
    }
}

/// Exclusive access to the value.
#[derive(Debug)]
pub struct Writer<'a, T> {
    pub value: &'a mut T,
    stripes: &'a [Stripe],
}

impl<T> Writer<'_, T> {
    /// Hits and misses so far, summed over all threads.
    pub fn counters(&self) -> (u64, u64) {
        self.stripes.iter().fold((0, 0), |(hits, misses), stripe| {
            // SAFETY: a writer holds every stripe's lock.
            let (more_hits, more_misses) = unsafe { stripe.local(|local| local.counters.read()) };
            (hits + more_hits, misses + more_misses)
        })
    }

    pub fn reset_counters(&self) {
        for stripe in self.stripes {
            // SAFETY: a writer holds every stripe's lock.
            unsafe { stripe.local(|local| local.counters.reset()) };
        }
    }
}

/// Unlocks a stripe even if the closure panics.
struct Locked<'a>(&'a SpinLock);

impl Drop for Locked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.unlock();
    }
}

impl<T: RecordAccess> Shared<T> {
    pub fn new(value: T) -> Self {
        Self::with_stripes(value, thread_id::stripes())
    }

    /// # Panics
    /// If `stripes` is not a power of two.
    pub fn with_stripes(mut value: T, stripes: usize) -> Self {
        assert!(stripes.is_power_of_two());
        Shared {
            use_does: value.hit_effect(),
            repeats: value.counts_repeats(),
            value: UnsafeCell::new(value),
            order: SpinLock::new(),
            stripes: (0..stripes).map(|_| Stripe::new()).collect(),
        }
    }

    #[inline(always)]
    fn own_stripe(&self) -> &Stripe {
        let at = thread_id::index() & (self.stripes.len() - 1);
        // SAFETY: the number of stripes is not 0 (a power of two), so the mask keeps the index below it.
        unsafe { self.stripes.get_unchecked(at) }
    }

    /// Runs `f` with the value to read. `f` must not call into Python nor come back here.
    #[inline(always)]
    pub fn read<R>(&self, f: impl FnOnce(Reader<'_, T>) -> R) -> R {
        f(self.reader())
    }

    /// The value to read, until the reader is dropped. Its holder must not call into Python nor come back here.
    #[inline(always)]
    pub fn reader(&self) -> Reader<'_, T> {
        let stripe = self.own_stripe();
        stripe.lock.lock();
        Reader { shared: self, stripe }
    }

    /// Runs `f` with exclusive access. `f` must not call into Python nor come back here.
    pub fn write<R>(&self, f: impl FnOnce(Writer<'_, T>) -> R) -> R {
        for stripe in &self.stripes {
            stripe.lock.lock();
        }
        let _locked = AllLocked(&self.stripes);
        for stripe in &self.stripes {
            // SAFETY: this thread has all stripes.
            unsafe { self.apply_uses(stripe) };
        }
        self.value.with_mut(|value| {
            // SAFETY: this thread has all stripes, so no reader and no other writer exists.
            let value = unsafe { &mut *value };
            Change::run(value, |value| f(Writer { value, stripes: &self.stripes }))
        })
    }

    /// As `read`, for the garbage collector: `None` rather than a wait where the value is in use.
    pub fn try_read<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let stripe = self.own_stripe();
        if !stripe.lock.try_lock() {
            return None;
        }
        let _locked = Locked(&stripe.lock);
        // SAFETY: this thread holds a stripe, so no writer exists.
        Some(self.value.with(|value| f(unsafe { &*value })))
    }

    /// Applies the uses buffered in `stripe` to the order.
    ///
    /// # Safety
    /// The caller has all stripes, or `stripe` and the order lock.
    unsafe fn apply_uses(&self, stripe: &Stripe) {
        // SAFETY: the caller has `stripe`.
        unsafe {
            stripe.local(|local| {
                let noted = std::mem::take(&mut local.noted) as usize;
                self.value.with(|value| {
                    for &token in &local.uses[..noted] {
                        // SAFETY: the token was published when it was noted, and entries end only under `write`, which
                        // applies the buffers first; the order is ours (the caller's promise).
                        (*value).touch(token);
                    }
                });
            });
        }
    }
}

/// Unlocks all stripes, the last taken first.
struct AllLocked<'a>(&'a [Stripe]);

impl Drop for AllLocked<'_> {
    fn drop(&mut self) {
        for stripe in self.0.iter().rev() {
            stripe.lock.unlock();
        }
    }
}
