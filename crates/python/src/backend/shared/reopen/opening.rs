//! Opening the file of a shared cache: the first one, by one thread, and any other.
//!
//! Ring 3.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use pyo3::exceptions::{PyException, PyOSError, PyPermissionError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::super::file::File;
use super::super::fingerprint::identity_of;
use super::{CacheLocation, Known, Reopener, PAUSE};
use crate::capi::guarded::GuardedCalls;
use crate::capi::panics::point;
use crate::capi::reference::import;
use concurrency::clock;
use concurrency::fork;
use shared::{safe_name, OpenError, OpenErrorKind, SharedCache};

/// The first file is being opened by this thread: until this is dropped.
struct Opening<'a>(&'a AtomicU64);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `Reopener::begin_opening`.
        self.0.store(0, Ordering::Release);
    }
}

impl Reopener {
    /// Opens the file at its first use, unless that has just failed. What fails is kept for [`failure`](Self::failure).
    #[cold]
    #[inline(never)]
    pub fn open(&self, py: Python<'_>) {
        point("open the file");
        let place = match self.place(py) {
            Ok(place) => place,
            Err(error) => {
                self.note_raised(py, error);
                return;
            }
        };
        let Some(opening) = self.begin_opening() else {
            return;
        };
        let now = clock::now();
        let failed_here = |known: &mut Known| {
            known.failure.as_ref().is_some_and(|(at, when, _)| *at == place && now.saturating_sub(*when) < PAUSE)
        };
        if self.with_known(failed_here) {
            return;
        }
        self.looked.store(now, Ordering::Relaxed);
        if let Err(error) = self.add(&place) {
            let failure = Some((place, now, error.to_string()));
            self.with_known(|known| known.failure = failure);
        }
        drop(opening);
    }

    /// The right to open the first file; `None` if another thread has done it.
    fn begin_opening(&self) -> Option<Opening<'_>> {
        let own = fork::epoch();
        loop {
            if !self.current.load(Ordering::Acquire).is_null() {
                return None;
            }
            let holder = self.opening.load(Ordering::Relaxed);
            // What another process has left here is of a thread that this one does not have.
            let is_free = holder != own;
            // Acquire: pairs with the release in `Opening::drop`.
            if is_free && self.opening.compare_exchange(holder, own, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                let opening = Opening(&self.opening);
                return self.current.load(Ordering::Acquire).is_null().then_some(opening);
            }
            // Without a GIL only: whoever opens stays attached and calls nothing of Python's, so it takes a moment.
            std::thread::yield_now();
        }
    }

    /// Where the cache is to lie, as things are now.
    fn place(&self, py: Python<'_>) -> PyResult<CacheLocation> {
        let identity = import(py, "warp_cache._naming.identity")?;
        let (directories, asked_for, namespace) =
            identity.guarded_method("location", (self.namespace.as_deref(), self.directory.as_deref()))?.extract()?;
        Ok(CacheLocation { directories, asked_for, namespace })
    }

    /// Keeps what Python code has raised.
    fn note_raised(&self, py: Python<'_>, error: PyErr) {
        if !error.is_instance_of::<PyException>(py) {
            // It was meant for somebody else, who is to have it soon.
            // SAFETY: it may be called in any state.
            unsafe { pyo3::ffi::PyErr_SetInterrupt() };
        }
        let place = CacheLocation { directories: Vec::new(), asked_for: false, namespace: None };
        let failure = Some((place, clock::now(), error.to_string()));
        self.with_known(|known| known.failure = failure);
    }

    /// Opens a file and has it used.
    fn add(&self, place: &CacheLocation) -> Result<(), OpenError> {
        let renamed = self.renamed();
        let private = self.private || renamed.is_some();
        let suffix = match identity_of(place.namespace.as_deref(), self.version.as_deref()) {
            0 => String::new(),
            identity => format!("-{identity:016x}"),
        };
        let options = shared::Options {
            dir: place.directories.first().cloned().unwrap_or_default(),
            name: safe_name(&format!("{}{suffix}", renamed.unwrap_or(&self.options.name))),
            fingerprint: self.options.fingerprint ^ identity_of(place.namespace.as_deref(), self.version.as_deref()),
            ..self.options.clone()
        };
        let shm = if place.asked_for {
            SharedCache::open(&options)?
        } else {
            SharedCache::open_in_first(&options, &place.directories, private)?
        };
        if private {
            // Where it cannot be removed, it is a file that nobody opens again.
            let _ = std::fs::remove_file(shm.path());
        }
        if self.void.swap(false, Ordering::Relaxed) {
            shm.clear();
        }
        let file = Arc::new(File::new(shm, renamed.is_some(), self.revalidate));
        self.with_known(|known| {
            known.place.get_or_insert_with(|| place.clone());
            known.failure = None;
            known.opened.push(Arc::clone(&file));
            self.current.store(Arc::as_ptr(&file).cast_mut(), Ordering::Release);
        });
        Ok(())
    }

    /// Opens another file where the cache lies.
    pub(super) fn add_another(&self) {
        if let Some(place) = self.with_known(|known| known.place.clone()) {
            // Where that fails, every call is a miss, as before.
            let _ = self.add(&place);
        }
    }
}

/// The Python exception for a cache that could not be opened.
pub fn raised(error: &OpenError) -> PyErr {
    let message = error.to_string();
    match error.kind() {
        OpenErrorKind::Argument => PyValueError::new_err(message),
        OpenErrorKind::Permission => PyPermissionError::new_err(message),
        OpenErrorKind::System(number) => PyOSError::new_err((number, message)),
        OpenErrorKind::Other => PyRuntimeError::new_err(message),
    }
}
