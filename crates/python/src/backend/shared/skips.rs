//! What is not stored: counted by reason, and told the user once for each function and reason.
//!
//! Ring 3. Whoever gives a store up says why with a [`Skipped`], which is counted on the spot, in the file's counters, and
//! travels with the call. The warning is given last: the value is there, the lease and the flight are settled, and no lock is
//! held. So where a filter makes it an exception, that reaches the caller, and nobody else waits for anything. One who asked
//! for an exception gets it each time; else the first one to give a warning is the only one.
//!
//! The words are Python's: `python/warp_cache/_uncacheable.py`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use super::Shared;
use crate::backend::shared::reopen::File;
use crate::backend::Told;
use crate::capi::exceptions;
use crate::capi::reference::{calls, import, PyRef};
use crate::codec::Refusal;
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::View;
use shared::Skip;

/// `warp_cache._uncacheable.warn`.
static WARN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Finds what gives warnings; called when a cache is made, as there may be no importing later.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    WARN.get_or_try_init(py, || -> PyResult<_> {
        Ok(import(py, "warp_cache._uncacheable")?.getattr("warn")?.unbind())
    })?;
    Ok(())
}

/// A store that was given up, and what there is to say of it.
#[derive(Debug)]
pub(crate) struct Skipped {
    pub skip: Skip,
    /// The number of the system's error, or 0.
    pub error: i32,
    /// Bytes of what is too large.
    pub size: usize,
    pub refusal: Option<Refusal>,
    /// It passes by itself.
    pub transient: bool,
}

impl Skipped {
    pub fn new(skip: Skip) -> Self {
        Skipped { skip, error: 0, size: 0, refusal: None, transient: skip.is_transient() }
    }

    /// The cache cannot be opened.
    pub fn unopened(shared: &Shared) -> Self {
        let raised = if shared.skips.wanted(Skip::Lost) { shared.files.failure() } else { None };
        Skipped { refusal: Some(Refusal { at: usize::MAX, why: None, raised }), ..Skipped::new(Skip::Lost) }
    }
}

/// What this process knows of skips beside the file's counters.
#[derive(Debug, Default)]
pub(crate) struct Skips {
    /// The reasons that were told, a bit each.
    told: AtomicU64,
    /// Results that no file could count, as it was lost, or none could be opened.
    lost: AtomicU64,
    /// What there is to say by whoever comes next: a coroutine's call has found it, and only its end can tell.
    left: Mutex<Option<Skipped>>,
}

fn bit(skip: Skip) -> u64 {
    1 << skip as u64
}

// Relaxed, all of it: bits and counts on which nothing else hangs.
impl Skips {
    /// Whether somebody is still to be told of this reason.
    pub fn wanted(&self, skip: Skip) -> bool {
        self.told.load(Ordering::Relaxed) & bit(skip) == 0
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Leaves what is to be told for `left`.
    pub fn leave(&self, skipped: Option<Skipped>) {
        if let Some(skipped) = skipped.filter(|skipped| self.wanted(skipped.skip)) {
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(skipped);
        }
    }

    pub fn left(&self) -> Option<Skipped> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn forget_lost(&self) {
        self.lost.store(0, Ordering::Relaxed);
    }
}

impl Shared {
    /// Counts what was not stored in a file.
    pub(crate) fn count_skip(&self, file: Option<&File>, skip: Skip) {
        match file.filter(|file| !file.shm.poisoned()) {
            Some(file) => file.shm.count_skip(skip),
            // There is none, or nobody will read its counters.
            None => {
                self.skips.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts what a coroutine's call could not read, once for its ticket, and leaves it to be told.
    pub(super) fn count_ticket(&self, file: Option<&File>, ticket: &Ticket, skipped: Skipped) {
        if ticket.is_first_unreadable() {
            self.count_skip(file, skipped.skip);
            self.skips.leave(Some(skipped));
        }
    }

    /// The counts by reason.
    pub(crate) fn skipped(&self, mut counts: [u64; Skip::COUNT]) -> [u64; Skip::COUNT] {
        let lost = &mut counts[Skip::Lost as usize];
        *lost = lost.wrapping_add(self.skips.lost());
        counts
    }
}

impl CachedFunction {
    /// Tells the user, if that was not done for this reason; false with an exception set. `value`: the result, or null.
    ///
    /// # Safety
    /// The view's objects and the value are alive; the thread is attached and holds no lock; no exception is set.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn tell(&self, skipped: Option<Skipped>, view: &View<'_>, value: *mut ffi::PyObject) -> bool {
        let (Some(shared), Some(skipped)) = (self.state.backend.shared(), skipped) else {
            return true;
        };
        if skipped.transient || !shared.skips.wanted(skipped.skip) {
            return true;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let py = Python::assume_attached();
            match self.words(py, shared, &skipped, view, value) {
                Ok(words) => self.tell_in(&words, skipped.skip),
                Err(error) => {
                    error.restore(py);
                    false
                }
            }
        }
    }

    /// The arguments of `_uncacheable.warn`; `None` where nobody is to be told.
    ///
    /// # Safety
    /// As for `tell`.
    pub(crate) unsafe fn words_of<'py>(
        &self,
        py: Python<'py>,
        skipped: Option<Skipped>,
        view: &View<'_>,
        value: *mut ffi::PyObject,
    ) -> PyResult<Option<Told<'py>>> {
        match (self.state.backend.shared(), skipped) {
            (Some(shared), Some(skipped)) if !skipped.transient && shared.skips.wanted(skipped.skip) => {
                // SAFETY: the caller's promise.
                let words = unsafe { self.words(py, shared, &skipped, view, value) }?;
                Ok(Some((skipped.skip as u64, words)))
            }
            _ => Ok(None),
        }
    }

    /// Counts a result that nobody tried to store, if this cache stores anything; gives what is to be told.
    ///
    /// # Safety
    /// The thread is attached and holds no lock; no exception is set.
    #[cold]
    pub(crate) unsafe fn give_up<'py>(&self, py: Python<'py>, skip: Skip) -> PyResult<Option<Told<'py>>> {
        let Some(shared) = self.state.backend.shared().filter(|shared| shared.stores) else {
            return Ok(None);
        };
        // SAFETY: the caller's promise.
        shared.count_skip(unsafe { shared.files.working() }, skip);
        let view = View { values: &[], names: &[], shape: 0, hash: 0, typed: false };
        // SAFETY: the caller's promise.
        unsafe { self.words_of(py, Some(Skipped::new(skip)), &view, std::ptr::null_mut()) }
    }

    /// A call that does not fit the signature, and yet the function has taken it.
    ///
    /// # Safety
    /// As for `tell_with`.
    pub(crate) unsafe fn is_unfit(&self, result: *mut ffi::PyObject) -> *mut ffi::PyObject {
        if result.is_null() || self.state.backend.shared().is_none() {
            return result;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let py = Python::assume_attached();
            let told = match self.give_up(py, Skip::Argument) {
                Ok(words) => words.is_none_or(|(_, words)| self.tell_in(&words, Skip::Argument)),
                Err(error) => {
                    error.restore(py);
                    false
                }
            };
            self.or_raise(told, result)
        }
    }

    unsafe fn words<'py>(
        &self,
        py: Python<'py>,
        shared: &Shared,
        skipped: &Skipped,
        view: &View<'_>,
        value: *mut ffi::PyObject,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let refusal = skipped.refusal.as_ref();
        let at = refusal.map_or(usize::MAX, |refusal| refusal.at);
        // SAFETY: as for `tell`.
        unsafe {
            let object = |object: *mut ffi::PyObject| Bound::from_borrowed_ptr(py, object);
            let names = PyTuple::new(py, view.names.iter().map(|&name| object(name)))?;
            // What is refused: an argument, or else the value.
            let refused = match skipped.skip {
                Skip::Argument => view.values.get(at).copied(),
                _ => (!value.is_null()).then_some(value),
            };
            let limit = match skipped.skip {
                Skip::KeySize => shared.max_key_size,
                Skip::ValueSize => shared.max_value_size,
                _ => {
                    shared.files.current().map_or(0, |file| file.shm.info().max_bytes).try_into().unwrap_or(usize::MAX)
                }
            };
            let path = shared.files.current().map(|file| file.shm.path().to_string_lossy().into_owned());
            let path = path.unwrap_or_default();
            // The numbers in the canonical form of the call, and what they are numbers of.
            let (at, count, form) = match &self.signature {
                Some(signature) => {
                    let (at, count) = signature.number_in_call(at, view.values.len(), view.names.len());
                    (at, count, "signature")
                }
                None if self.options.key.is_some() => (at, view.values.len(), "key"),
                None => (at, view.values.len(), "call"),
            };
            let words = (
                self.function.as_py().bind(py),
                skipped.skip.name().to_string_lossy(),
                (at, count, names, form),
                refused.map(|refused| Bound::from_borrowed_ptr(py, ffi::Py_TYPE(refused).cast())),
                refusal.and_then(|refusal| refusal.why.as_deref()),
                refusal.and_then(|refusal| refusal.raised.as_deref()),
                (skipped.size, limit),
                skipped.error,
                path,
            );
            words.into_pyobject(py)
        }
    }

    /// Gives a warning, unless another thread has; false with an exception set.
    ///
    /// # Safety
    /// The thread is attached and holds no lock; no exception is set.
    pub(crate) unsafe fn tell_in(&self, words: &Bound<'_, PyTuple>, skip: Skip) -> bool {
        let Some(shared) = self.state.backend.shared() else {
            return true;
        };
        if shared.skips.told.fetch_or(bit(skip), Ordering::Relaxed) & bit(skip) != 0 {
            return true;
        }
        let Some(warn) = WARN.get(words.py()) else {
            return true;
        };
        // SAFETY: the caller's promise; a new reference or null with an exception set.
        unsafe {
            let done = calls::PyObject_Call(warn.as_ptr(), words.as_ptr(), std::ptr::null_mut());
            if done.is_null() {
                // An exception is no warning: who asked for exceptions gets one each time.
                shared.skips.told.fetch_and(!bit(skip), Ordering::Relaxed);
                return false;
            }
            drop(PyRef::steal(done));
        }
        true
    }

    /// `tell`, for a caller with a result: it is given back, or released where the warning is an exception.
    ///
    /// # Safety
    /// As for `tell`; `result` is a strong reference, or null with an exception set.
    pub(crate) unsafe fn tell_with(
        &self,
        skipped: Option<Skipped>,
        view: &View<'_>,
        result: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe {
            let told = result.is_null() || self.tell(skipped, view, result);
            self.or_raise(told, result)
        }
    }

    /// `tell` of an exception that is set, which stays so unless the warning is an exception itself.
    ///
    /// # Safety
    /// As for `tell`, with an exception set.
    #[cold]
    pub(crate) unsafe fn tell_beside(&self, skipped: Skipped, view: &View<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(raised) = exceptions::take() {
                if self.tell(Some(skipped), view, raised.as_ptr()) {
                    exceptions::set(raised);
                }
            }
        }
    }

    /// The result, unless an exception is set instead.
    unsafe fn or_raise(&self, told: bool, result: *mut ffi::PyObject) -> *mut ffi::PyObject {
        if told {
            return result;
        }
        // SAFETY: as for `tell_with`.
        unsafe {
            // What is raised must not meet the end of the result.
            let raised = exceptions::take();
            drop(PyRef::steal(result));
            raised.into_iter().for_each(|raised| exceptions::set(raised));
            std::ptr::null_mut()
        }
    }
}
