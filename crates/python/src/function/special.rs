//! Entries that there is more to know of: stored exceptions, and values that are no longer fresh.
//!
//! Ring 3. A pass of a lookup that finds one ends here; caches without such parameters never come here.

use super::lookup::{Accounting, Entries, ScanResult};
use super::slot_value::Value;
use super::state::CacheState;
use crate::capi::reference::PyRef;
use crate::capi::sharing::Reader;
use engine::slab::Token;
use pyo3::ffi;
use pyo3::prelude::*;

impl CacheState {
    /// Whether there is more to know of a finished value: it is a stored exception, or no longer fresh.
    ///
    /// # Safety
    /// `token` names an entry of the reader's, whose value is `value`.
    #[inline(always)]
    pub(super) unsafe fn is_special(
        &self,
        reader: &Reader<'_, Entries>,
        token: Token,
        value: &Value,
        now: u64,
    ) -> bool {
        if self.control.is_none() || !value.is_finished() {
            return false;
        }
        // SAFETY: an entry with a finished value is published.
        value.as_special().is_some() || self.has_windows && unsafe { reader.expired(token, now) }
    }

    /// A pass that ends at such a value.
    ///
    /// # Safety
    /// As for [`is_special`](Self::is_special), which said so.
    #[cold]
    pub(super) unsafe fn step_special(
        &self,
        py: Python<'_>,
        reader: &Reader<'_, Entries>,
        token: Token,
        value: &Value,
        now: u64,
        count: Accounting,
    ) -> ScanResult {
        // SAFETY: the caller's promise; a count changes under the lock, which runs nothing.
        unsafe {
            let special = value.as_special();
            if let Some(void) = special.filter(|special| special.is_void()) {
                if count == Accounting::HitOrMiss {
                    reader.miss();
                }
                return if void.is_exception { ScanResult::Absent } else { ScanResult::Spare };
            }
            let Some(object) = value.as_owned() else {
                return ScanResult::Absent;
            };
            if special.is_some_and(|special| special.is_exception) {
                if count == Accounting::AccessOnly {
                    return ScanResult::Absent;
                }
                self.note_use(reader, token, now, count);
                return ScanResult::Raise(object.clone_ref(py));
            }
            let is_stale = self.has_windows && reader.expired(token, now);
            let revalidate = self.control.as_ref().map_or(0, |control| control.revalidate);
            if is_stale && now >= reader.lifetime(token).fresh.saturating_add(revalidate) {
                if count == Accounting::HitOrMiss {
                    reader.miss();
                }
                return ScanResult::Spare;
            }
            self.note_use(reader, token, now, count);
            let object = object.clone_ref(py);
            if !is_stale || count != Accounting::HitOrMiss {
                return ScanResult::Value(object);
            }
            self.load_counters.stale_hit();
            match special.map(|special| special.refresh) {
                Some(refresh) if !refresh.is_due(now) => ScanResult::Value(object),
                _ => ScanResult::Revalidate(token, object),
            }
        }
    }

    /// [`take`](Self::take) of a value that there is more to know of, where nothing but a hit comes of it: it is no exception,
    /// and if it is no longer fresh, its refresh is under way or not due.
    ///
    /// # Safety
    /// As for `take`.
    #[inline(never)]
    pub(crate) unsafe fn take_special(
        &self,
        reader: &Reader<'_, Entries>,
        token: Token,
        value: &Value,
    ) -> Option<*mut ffi::PyObject> {
        let special = value.as_special().filter(|special| !special.is_exception && !special.is_void())?;
        let (now, refresh) = (self.now(), special.refresh);
        // SAFETY: an entry with a finished value is published; counting a reference runs nothing.
        unsafe {
            if reader.expired(token, now) {
                let revalidate = self.control.as_ref()?.revalidate;
                let revalidates = now < reader.lifetime(token).fresh.saturating_add(revalidate);
                // What has been idle for too long is gone, whatever becomes of its refresh.
                if !revalidates || refresh.is_due(now) || reader.idle_expired(token, now) {
                    return None;
                }
                self.load_counters.stale_hit();
            }
            self.note_use(reader, token, now, Accounting::HitOrMiss);
            Some(PyRef::borrow(special.object.as_ptr()).into_ptr())
        }
    }

    /// Takes the right to refresh an entry, whose value `object` was a moment ago; whether it was there to be had.
    pub(super) fn claim_refresh(&self, token: Token, object: &PyRef) -> bool {
        let now = self.now();
        self.entries.write(|writer| {
            let Some(value) = writer.value.value_mut(token) else {
                return false;
            };
            if value.as_owned().is_none_or(|own| own.as_ptr() != object.as_ptr()) {
                return false;
            }
            let Some(special) = value.make_special() else {
                return false;
            };
            let is_due = special.refresh.is_due(now);
            if is_due {
                special.refresh.begin(now);
            }
            is_due
        })
    }
}
