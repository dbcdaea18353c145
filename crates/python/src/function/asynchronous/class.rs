//! What Python sees of a cached coroutine function: its methods to be awaited, and what `warp_cache._async` needs of it.
//!
//! Ring 3.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::Flights;
use crate::backend::{template, AnyBackend, SharedLease, SharedTurn, Told};
use crate::capi::borrowed::Ref;
use crate::capi::coroutine;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::imported::Imported;
use crate::capi::panics::{as_error, point};
use crate::capi::reference::call;
use crate::capi::type_slots;
use crate::codec;
use crate::function::computation::Computation;
use crate::function::handout;
use crate::function::lookup::{Accounting, Found};
use crate::function::option_table::Options;
use crate::function::ticket::Ticket;
use crate::function::{admit, AsyncCachedFunction, CachedFunction};
use crate::key::View;
use concurrency::elapsed::Stopwatch;
use shared::Skip;

impl CachedFunction {
    /// Tells the user of a result that was not stored, if nobody has by now.
    pub(crate) fn tell_told(&self, py: Python<'_>, told: &Told<'_>) -> PyResult<()> {
        let skip = usize::try_from(told.0).ok().and_then(|number| Skip::ALL.get(number));
        if skip.is_none_or(|skip| self.tell_in(&told.1, *skip)) {
            Ok(())
        } else {
            Err(PyErr::fetch(py))
        }
    }
}

impl AsyncCachedFunction {
    fn make<'py>(function: &Bound<'py, PyAny>, options: &Options, backend: AnyBackend) -> PyResult<Bound<'py, PyAny>> {
        let py = function.py();
        let base = CachedFunction::build(function, options, Some(Flights::new(py)?), backend)?;
        let made = type_slots::make(py, PyClassInitializer::from(base).add_subclass(AsyncCachedFunction))?.into_any();
        crate::capi::refcount::share_refcount_mode(&made, function);
        Ok(made)
    }
}

type Args<'a, 'py> = &'a Bound<'py, PyTuple>;
type Keywords<'a, 'py> = &'a Bound<'py, PyDict>;

/// The coroutine of what a method gives.
fn twin<'py>(
    function: &Bound<'py, AsyncCachedFunction>,
    method: &str,
    args: Args<'_, 'py>,
    kwargs: Option<Keywords<'_, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let backend = &function.as_super().get().state.backend;
    if backend.remote().is_some() || backend.shared().is_some_and(|shared| shared.would_wait()) {
        // It may wait for the server, or for who keeps the file's lock: beside the loop.
        static TWIN: Imported = Imported::new("warp_cache._remote.awaiting", "twin");
        let first = [function.as_any().clone(), PyString::new(py, method).into_any()];
        let args = PyTuple::new(py, first.into_iter().chain(args.iter()).collect::<Vec<_>>())?;
        return call(TWIN.get(py)?, &args, kwargs);
    }
    let result = call(&function.getattr(method)?, args, kwargs)?;
    let made = coroutine::ready(py, result.unbind().into());
    Ok(made.ok_or_else(|| PyErr::fetch(py))?.into_bound(py))
}

#[pymethods]
impl AsyncCachedFunction {
    /// A cached coroutine function made from checked options. `name`: what the user calls it; `backend`: the number of one.
    #[staticmethod]
    #[pyo3(signature = (function, options, name=None, backend=0))]
    fn _of<'py>(
        function: &Bound<'py, PyAny>,
        options: &Bound<'py, Options>,
        name: Option<&str>,
        backend: u8,
    ) -> PyResult<Bound<'py, PyAny>> {
        admit("fn", function)?;
        as_error(|| Self::make(function, options.get(), AnyBackend::open(backend, function, options.get(), name)?))
    }

    // The methods that may wait for a file or a server, to be awaited. Here they do not wait: what they do is done.

    /// `get`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn aget<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "get", args, kwargs)
    }

    /// `set`, to be awaited.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, value, /, *args, **kwargs)")]
    fn aset<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "set", args, kwargs)
    }

    /// `cache_contains`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_contains<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_contains", args, kwargs)
    }

    /// `cache_invalidate`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_invalidate<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_invalidate", args, kwargs)
    }

    /// `cache_ttl`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_ttl<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_ttl", args, kwargs)
    }

    /// `cache_invalidate_tags`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_invalidate_tags<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_invalidate_tags", args, kwargs)
    }

    /// `cache_put`, to be awaited.
    #[pyo3(signature = (*args, **kwargs))]
    fn acache_put<'py>(
        slf: &Bound<'py, Self>,
        args: Args<'_, 'py>,
        kwargs: Option<Keywords<'_, 'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_put", args, kwargs)
    }

    /// `cache_clear`, to be awaited.
    fn acache_clear<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        twin(slf, "cache_clear", &PyTuple::empty(slf.py()), None)
    }

    // What follows is what `warp_cache._async` needs of a cached function.

    /// The computations under way.
    #[getter]
    fn _flights(slf: &Bound<'_, Self>) -> Py<PyDict> {
        match &slf.as_super().get().state.flights {
            Some(flights) => flights.0.clone_ref(slf.py()),
            None => PyDict::new(slf.py()).unbind(),
        }
    }

    #[getter]
    fn _single_flight(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().state.single_flight
    }

    /// Seconds, or None.
    #[getter]
    fn _wait_timeout(slf: &Bound<'_, Self>) -> Option<f64> {
        slf.as_super().get().state.wait_timeout.map(|bound| bound.as_secs_f64())
    }

    /// A tuple with the ticket's value if it is cached by now, else an empty one; counts nothing but what cannot be read.
    fn _peek<'py>(slf: &Bound<'py, Self>, ticket: &Bound<'py, Ticket>) -> PyResult<Bound<'py, PyTuple>> {
        let (this, py) = (slf.as_super().get(), slf.py());
        let look = |view: &View<'_>| {
            point("_peek");
            match this.state.find(view, Accounting::None) {
                Found::Value(object) => Ok(Some(object)),
                Found::Revalidate(object) => Ok(Some(object)),
                Found::Raise(shared) => {
                    exceptions::raise_own(py, &shared);
                    Err(ErrSet)
                }
                Found::Failed => Err(ErrSet),
                Found::Absent | Found::Pending(..) | Found::Spare | Found::Restless => {
                    this.state.backend.load(&this.state, view, Some(ticket.get()))
                }
            }
        };
        as_error(|| match ticket.get().with_view(py, look) {
            Ok(Some(object)) => PyTuple::new(py, [object.into_bound(py)]),
            Ok(None) => Ok(PyTuple::empty(py)),
            Err(ErrSet) => Err(PyErr::fetch(py)),
        })
    }

    /// What each of several who wait for a value makes one of his own from; None if all may have the value itself.
    fn _template<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (state, py) = (&slf.as_super().get().state, slf.py());
        as_error(|| match handout::for_each(state, value.into()) {
            Ok(template) => Ok(template.map(|template| template.as_py().bind(py).clone())),
            Err(ErrSet) => Err(PyErr::fetch(py)),
        })
    }

    /// A tuple with a value made from a template, or an empty one where that is not possible, which is counted.
    fn _made<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        template: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (state, py) = (&slf.as_super().get().state, slf.py());
        as_error(|| {
            let Ok(bytes) = template.cast::<PyBytes>() else {
                let made = handout::hand_out(py, template.clone().unbind().into());
                return PyTuple::new(py, [made.ok_or_else(|| PyErr::fetch(py))?.into_bound(py)]);
            };
            let make = || template::make(py, &Ref::from(bytes.as_any()).to_owned());
            match codec::noting(true, make) {
                (Ok(Some(object)), _) => PyTuple::new(py, [object.as_py().bind(py)]),
                (Ok(None), refusal) => {
                    state.backend.count_unreadable(ticket.get(), refusal);
                    Ok(PyTuple::empty(py))
                }
                (Err(ErrSet), _) => Err(PyErr::fetch(py)),
            }
        })
    }

    /// Whether all processes share the cache.
    #[getter]
    fn _shared(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().state.backend.shared().is_some()
    }

    /// Asks to compute the ticket's value for all processes: a `SharedLease` (compute it), a tuple with the value (it is
    /// there), False (another one computes it: ask again later) or None (compute it, there is no lease to be had).
    /// `insist`: this caller has waited long enough. `computation`: the one that is to begin. `turn`: one for all questions of
    /// this caller.
    fn _lead<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        insist: bool,
        computation: &Bound<'py, Computation>,
        turn: &Bound<'py, SharedTurn>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (state, py) = (&slf.as_super().get().state, slf.py());
        let asks = (insist, &computation.get().tags);
        as_error(|| state.backend.acquire(py, state, ticket.get(), asks, turn.get()))
    }

    /// For `_lead`. `free`: this caller has waited for a computation that ended without a value, and waits for no other.
    #[staticmethod]
    fn _turn(free: bool) -> SharedTurn {
        SharedTurn::new(free)
    }

    /// Stores the ticket's value, unless there is one meanwhile or it was fenced since the computation began; ends the lease.
    /// What is to be told to the user, for `_tell`, or None.
    #[pyo3(signature = (ticket, value, computation, lease=None))]
    fn _store<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        value: &Bound<'py, PyAny>,
        computation: &Bound<'py, Computation>,
        lease: Option<&Bound<'py, SharedLease>>,
    ) -> PyResult<Option<Told<'py>>> {
        let this = slf.as_super().get();
        as_error(|| {
            point("_store");
            let computation = computation.get();
            this.state.count_load(computation.watch, false);
            this.state.backend.store(this, ticket, value, computation, lease)
        })
    }

    /// Notes that the ticket's computation raised, and ends the lease if the exception is stored. A tuple with the value
    /// that the caller is to have all the same, or an empty one.
    #[pyo3(signature = (ticket, error, computation, lease=None))]
    fn _failed<'py>(
        slf: &Bound<'py, Self>,
        ticket: &Bound<'py, Ticket>,
        error: &Bound<'py, PyAny>,
        computation: &Bound<'py, Computation>,
        lease: Option<&Bound<'py, SharedLease>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (this, py) = (slf.as_super().get(), slf.py());
        let failed = || match this.state.backend.shared() {
            None => ticket.get().with_view(py, |view| this.state.failed(view, error, computation.get())),
            Some(shared) => {
                this.state.count_load(computation.get().watch, true);
                ticket.get().with_views(py, |view, editable| {
                    let error = Ref::from(error).to_owned();
                    shared.failed(this, (view, editable), &error, computation.get(), lease)
                })
            }
        };
        as_error(|| match failed() {
            Ok(Some(object)) => PyTuple::new(py, [object.into_bound(py)]),
            Ok(None) => Ok(PyTuple::empty(py)),
            Err(ErrSet) => Err(PyErr::fetch(py)),
        })
    }

    /// The moment, for `_count_load`.
    #[staticmethod]
    fn _watch() -> u64 {
        Stopwatch::start().mark()
    }

    /// Counts a computation that has ended and of which nothing else is noted. `watch`: when it began.
    fn _count_load(slf: &Bound<'_, Self>, watch: u64, failed: bool) {
        slf.as_super().get().state.count_load(Stopwatch::of(watch), failed);
    }

    /// Counts a call that is given an old value, as the computation that it waited for has failed.
    fn _count_stale(slf: &Bound<'_, Self>) {
        slf.as_super().get().state.count_stale_hit();
    }

    /// Tells the user what `_store` or `_skip` gave, if nobody has by now.
    fn _tell(slf: &Bound<'_, Self>, told: Told<'_>) -> PyResult<()> {
        slf.as_super().get().tell_told(slf.py(), &told)
    }

    /// Counts a result that is not to be stored: of a call that does not fit the signature, or else one that another
    /// computation stores. What is to be told of it.
    fn _skip<'py>(slf: &Bound<'py, Self>, unfit: bool) -> PyResult<Option<Told<'py>>> {
        let skip = if unfit { Skip::Argument } else { Skip::Superseded };
        slf.as_super().get().give_up(slf.py(), skip)
    }
}
