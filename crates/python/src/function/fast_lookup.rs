//! The first pass of a call: a live value whose key compares in place, and no more code than a hit needs.
//!
//! Ring 3. Whatever else there is, [`lookup`](super::lookup) finds.

use super::lookup::Entries;
use super::state::CacheState;
use crate::backend::{HitPath, TakeHit};
use crate::capi::panics::point;
use crate::key::{Equality, View};
use pyo3::ffi;

/// What the hot pass found, in one register. A value's address is even and not 0.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct FastLookup(*mut u8);

impl FastLookup {
    /// Something that is left to [`CacheState::step`]; nothing was counted.
    pub(crate) const UNDECIDED: FastLookup = FastLookup::number(1);

    /// An odd number in a pointer's place, which is not looked at.
    #[inline(always)]
    const fn number(n: usize) -> Self {
        FastLookup(std::ptr::null_mut::<u8>().wrapping_add(n))
    }

    /// Nothing; a miss was counted. `inserts` is [`Cache::inserts`](engine::cache::Cache::inserts) at that moment.
    #[inline(always)]
    pub(crate) fn absent(inserts: u64) -> Self {
        FastLookup::number((inserts as usize) << 2 | 3)
    }

    /// The value found, a new strong reference.
    #[inline(always)]
    pub fn value(self) -> Option<*mut ffi::PyObject> {
        (self.0 as usize & 1 == 0).then_some(self.0.cast())
    }

    /// Whether nothing was found.
    pub fn is_absent(self) -> bool {
        self.0 as usize & 3 == 3
    }

    /// Whether nothing was found, and nothing can have come in since. A number that wraps after 2⁶² insertions.
    #[inline(always)]
    fn unchanged_since(self, cache: &Entries) -> bool {
        self.0 == Self::absent(cache.inserts()).0
    }
}

impl CacheState {
    /// The pass of a call, for the usual case alone: a live value whose key compares in place; no more code than a hit needs.
    /// `ONE_VALUE`: the view's shape is `key::ONE`.
    #[inline(always)]
    pub(crate) fn lookup_fast<B: HitPath, const ONE_VALUE: bool>(&self, view: &View<'_>) -> FastLookup {
        let reader = self.entries.reader();
        point("first pass");
        for (token, slot, entry) in reader.candidates(view.hash) {
            if slot.meta != view.shape {
                continue;
            }
            // SAFETY: the entry's shape is the view's; the token names it.
            unsafe {
                let key = entry.key.lend(view.py());
                let equal = if ONE_VALUE { view.equals_one(key) } else { view.equals_many(key) };
                return match equal {
                    Equality::No => continue,
                    Equality::Yes => B::Hit::take(self, &reader, token, &entry.value)
                        .map_or(FastLookup::UNDECIDED, |v| FastLookup(v.cast())),
                    Equality::Unknown => FastLookup::UNDECIDED,
                };
            }
        }
        reader.miss();
        FastLookup::absent(reader.inserts())
    }

    /// Runs `insert` under the lock if the key is absent, which the hot pass may have shown already; otherwise gives it back.
    ///
    /// # Safety
    /// `insert` must not call into Python, nor drop an object.
    #[inline(always)]
    pub(crate) fn if_still_absent<F: FnOnce(&mut Entries) -> R, R>(&self, hot: FastLookup, insert: F) -> Result<R, F> {
        self.entries.write(
            |writer| {
                if hot.unchanged_since(writer.value) {
                    Ok(insert(writer.value))
                } else {
                    Err(insert)
                }
            },
        )
    }
}
