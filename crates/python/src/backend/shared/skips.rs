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

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::Shared;
use crate::backend::shared::file::File;
use crate::backend::Told;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{self, Raise};
use crate::capi::kept::Kept;
use crate::capi::reference::{call, import, PyRef};
use crate::codec::Refusal;
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::View;
use shared::Skip;

/// `warp_cache._uncacheable.warn`.
static WARN: Kept<Py<PyAny>> = Kept::new();

/// Finds what gives warnings; called when a cache is made, as there may be no importing later.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    WARN.get_or_make(py, || -> PyResult<_> { Ok(import(py, "warp_cache._uncacheable")?.getattr("warn")?.unbind()) })?;
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
    /// Tells the user, if that was not done for this reason; false with an exception set. `value`: the result.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell(&self, skipped: Option<Skipped>, view: &View<'_>, value: Ref<'_>) -> bool {
        let (Some(shared), Some(skipped)) = (self.state.backend.shared(), skipped) else {
            return true;
        };
        if skipped.transient || !shared.skips.wanted(skipped.skip) {
            return true;
        }
        let py = value.py();
        match self.words(py, shared, &skipped, view, Some(value)) {
            Ok(words) => self.tell_in(&words, skipped.skip),
            Err(error) => {
                error.raise(py);
                false
            }
        }
    }

    /// The arguments of `_uncacheable.warn`; `None` where nobody is to be told.
    pub(crate) fn words_of<'py>(
        &self,
        py: Python<'py>,
        skipped: Option<Skipped>,
        view: &View<'_>,
        value: Option<Ref<'_>>,
    ) -> PyResult<Option<Told<'py>>> {
        match (self.state.backend.shared(), skipped) {
            (Some(shared), Some(skipped)) if !skipped.transient && shared.skips.wanted(skipped.skip) => {
                let words = self.words(py, shared, &skipped, view, value)?;
                Ok(Some((skipped.skip as u64, words)))
            }
            _ => Ok(None),
        }
    }

    /// Counts a result that nobody tried to store, if this cache stores anything; gives what is to be told.
    #[cold]
    pub(crate) fn give_up<'py>(&self, py: Python<'py>, skip: Skip) -> PyResult<Option<Told<'py>>> {
        let Some(shared) = self.state.backend.shared().filter(|shared| shared.stores) else {
            return Ok(None);
        };
        shared.count_skip(shared.files.working(py), skip);
        let view = View { values: &[], names: &[], shape: 0, hash: 0, typed: false };
        self.words_of(py, Some(Skipped::new(skip)), &view, None)
    }

    /// A call that does not fit the signature, and yet the function has taken it.
    pub(crate) fn is_unfit(&self, py: Python<'_>, result: Option<PyRef>) -> Option<PyRef> {
        let result = result?;
        if self.state.backend.shared().is_none() {
            return Some(result);
        }
        let told = match self.give_up(py, Skip::Argument) {
            Ok(words) => words.is_none_or(|(_, words)| self.tell_in(&words, Skip::Argument)),
            Err(error) => {
                error.raise(py);
                false
            }
        };
        or_raise(py, told, result)
    }

    fn words<'py>(
        &self,
        py: Python<'py>,
        shared: &Shared,
        skipped: &Skipped,
        view: &View<'_>,
        value: Option<Ref<'_>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let refusal = skipped.refusal.as_ref();
        let at = refusal.map_or(usize::MAX, |refusal| refusal.at);
        let names = PyTuple::new(py, view.names.iter().map(|name| name.bind(py)))?;
        // What is refused: an argument, or else the value.
        let refused = match skipped.skip {
            Skip::Argument => view.values.get(at).copied(),
            _ => value,
        };
        let limit = match skipped.skip {
            Skip::KeySize => shared.max_key_size,
            Skip::ValueSize => shared.max_value_size,
            _ => shared.files.current().map_or(0, |file| file.shm.info().max_bytes).try_into().unwrap_or(usize::MAX),
        };
        let path = shared.files.current().map(|file| file.shm.path().to_string_lossy().into_owned());
        let path = path.unwrap_or_default();
        let (at, count, form) = self.number_of(at, view);
        let words = (
            self.function.as_py().bind(py),
            skipped.skip.name().to_string_lossy(),
            (at, count, names, form),
            refused.map(|refused| refused.bind(py).get_type()),
            refusal.and_then(|refusal| refusal.why.as_deref()),
            refusal.and_then(|refusal| refusal.raised.as_deref()),
            (skipped.size, limit),
            skipped.error,
            path,
        );
        words.into_pyobject(py)
    }

    /// Which argument a value of the view is, of how many, in the canonical form of the call, and what they are numbers of.
    pub(crate) fn number_of(&self, at: usize, view: &View<'_>) -> (usize, usize, &'static str) {
        match &self.signature {
            Some(signature) => {
                let (at, count) = signature.number_in_call(at, view.values.len(), view.names.len());
                (at, count, "signature")
            }
            None if self.options.key.is_some() => (at, view.values.len(), "key"),
            None => (at, view.values.len(), "call"),
        }
    }

    /// Gives a warning, unless another thread has; false with an exception set.
    pub(crate) fn tell_in(&self, words: &Bound<'_, PyTuple>, skip: Skip) -> bool {
        let Some(shared) = self.state.backend.shared() else {
            return true;
        };
        if shared.skips.told.fetch_or(bit(skip), Ordering::Relaxed) & bit(skip) != 0 {
            return true;
        }
        let Some(warn) = WARN.get(words.py()) else {
            return true;
        };
        let done = call(warn.bind(words.py()), words, None);
        done.map_err(|error| {
            // An exception is no warning: who asked for exceptions gets one each time.
            shared.skips.told.fetch_and(!bit(skip), Ordering::Relaxed);
            error.raise(words.py());
        })
        .is_ok()
    }

    /// `tell`, for a caller with a result (`None` with an exception set): it is given back, or released where the warning is an
    /// exception.
    pub(crate) fn tell_with(&self, skipped: Option<Skipped>, view: &View<'_>, result: Option<PyRef>) -> Option<PyRef> {
        let (py, result) = (view.py(), result?);
        let told = self.tell(skipped, view, result.lend(py));
        or_raise(py, told, result)
    }

    /// `tell` of an exception that is set, which stays so unless the warning is an exception itself.
    #[cold]
    pub(crate) fn tell_beside(&self, skipped: Skipped, view: &View<'_>) {
        let py = view.py();
        if let Some(raised) = exceptions::take(py) {
            if self.tell(Some(skipped), view, raised.lend(py)) {
                exceptions::set(py, raised);
            }
        }
    }
}

/// The result, unless an exception is set instead.
fn or_raise(py: Python<'_>, told: bool, result: PyRef) -> Option<PyRef> {
    if told {
        return Some(result);
    }
    // What is raised must not meet the end of the result.
    exceptions::drop_beside(py, result);
    None
}
