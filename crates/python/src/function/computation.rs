//! A computation that Python drives: what stood when it began, for the moment when its result is stored.
//!
//! Ring 3. Coroutine functions' misses and all refreshes have one.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::control::{Control, Tags};
use super::fence::Began;
use super::inside;
use super::state::Put;
use super::ticket::Ticket;
use super::CachedFunction;
use crate::backend::SharedLease;
use crate::key::View;
use concurrency::elapsed::Stopwatch;

/// See the module's documentation.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
#[derive(Debug)]
pub struct Computation {
    pub(crate) began: Began,
    pub(crate) tags: Tags,
    pub(crate) watch: Stopwatch,
    /// The tags as they stand in the file.
    pub(crate) noted: shared::Tags,
    /// Its call has invalidated its own key or tags before it began: see [`inside`](super::inside).
    is_fenced: bool,
}

#[pymethods]
impl Computation {
    /// When it began, for `AsyncCachedFunction._count_load`.
    #[getter]
    fn watch(&self) -> u64 {
        self.watch.mark()
    }
}

impl Computation {
    /// Begins one. Runs the user's `tags`.
    pub(super) fn begin(
        cached: &CachedFunction,
        ticket: &Bound<'_, Ticket>,
        args: &Bound<'_, PyTuple>,
        kwargs: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let of_call = |control: &Control| control.tags_of_call(args, Some(kwargs));
        let (tags, invalidated) =
            inside::watch(&cached.state, || cached.state.control.as_deref().map_or(Ok(Tags::new()), of_call));
        let tags = tags?;
        let is_fenced = ticket.get().is_fenced(&cached.state, &invalidated, &tags);
        Self::begin_with(args.py(), cached, ticket, tags, is_fenced)
    }

    /// The same computation, beginning now.
    pub(super) fn begin_anew(&self, cached: &CachedFunction, ticket: &Bound<'_, Ticket>) -> PyResult<Self> {
        Self::begin_with(ticket.py(), cached, ticket, self.tags.clone(), self.is_fenced)
    }

    fn begin_with(
        py: Python<'_>,
        cached: &CachedFunction,
        ticket: &Bound<'_, Ticket>,
        tags: Tags,
        is_fenced: bool,
    ) -> PyResult<Self> {
        let begun = Self::begun(py, cached, ticket.get(), tags, is_fenced);
        begun.fence_again(cached, ticket)?;
        Ok(begun)
    }

    /// Does again what was invalidated before it began, now that what it does is to be fenced by that.
    pub(super) fn fence_again(&self, cached: &CachedFunction, ticket: &Bound<'_, Ticket>) -> PyResult<()> {
        if self.is_fenced {
            cached.invalidate_ticket(ticket)?;
        }
        Ok(())
    }

    fn begun(py: Python<'_>, cached: &CachedFunction, ticket: &Ticket, tags: Tags, is_fenced: bool) -> Self {
        let mut began = ticket.with_view(py, |view| cached.state.backend.began(&cached.state, view));
        // In a file the tags have stamps of their own, which are noted below.
        if cached.state.backend.shared().is_none() {
            began.stamp = began.stamp.wrapping_add(cached.state.tag_fences.stamps(&tags));
        }
        let noted = cached.state.backend.note_tags(py, &tags);
        Computation { began, tags, watch: Stopwatch::start(), noted, is_fenced }
    }

    /// Ends a refresh with a result, which is stored over what is there unless it was fenced; ends
    /// the lease.
    pub(super) fn end(
        &self,
        cached: &CachedFunction,
        ticket: &Bound<'_, Ticket>,
        value: &Bound<'_, PyAny>,
        lease: Option<&Bound<'_, SharedLease>>,
    ) -> PyResult<()> {
        let state = &cached.state;
        state.count_load(self.watch, false);
        if state.backend.shared().is_some() {
            let told = state.backend.store(cached, ticket, value, self, lease)?;
            return told.map_or(Ok(()), |told| cached.tell_told(value.py(), &told));
        }
        let (py, ticket) = (value.py(), ticket.get());
        let store =
            |view: &View<'_>| state.put_result(view, value.into(), self.tags.clone(), Put::Refreshed(self.began));
        if !ticket.with_view(py, store) {
            let error = PyErr::fetch(py);
            ticket.with_view(py, |view| state.end_refresh(view, true));
            return Err(error);
        }
        ticket.with_view(py, |view| state.let_refresh_go(view));
        Ok(())
    }
}
