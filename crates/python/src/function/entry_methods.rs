//! The methods that control single entries: `cache_invalidate`, `cache_contains`, `cache_put`, `cache_ttl`.
//!
//! Ring 3. They take the arguments of a call, as `get` does. What ends an entry fences the computations of its key that are
//! under way: see [`fence`](super::fence).

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::control::{Tags, Wish};
use super::given::{lifetime, tag, tags, Given};
use super::inside::{self, Invalidated};
use super::instance::{instance, Instance};
use super::keyed::Keyed;
use super::methods::{fail, none, Objects};
use super::parameters::Parameters;
use super::ticket::Ticket;
use super::{disabled, CachedFunction};
use crate::backend::Known;
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::imported::Imported;
use crate::capi::panics::{caught, point};
use crate::capi::reference::call;
use crate::capi::type_slots::{add_methods, Method};
use crate::key::signature::ArgBuffer;
use crate::key::View;
use concurrency::elapsed::Stopwatch;

/// A method as Python calls it, from a function that takes the instance and the arguments.
macro_rules! method {
    ($function:ident) => {{
        unsafe extern "C-unwind" fn entry(
            object: *mut ffi::PyObject,
            values: Objects,
            nargs: ffi::Py_ssize_t,
            names: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: Python calls this for an instance, with arguments that last until it returns.
            let (this, arguments) = unsafe { (instance(object), Arguments::new(values, nargs as usize, names)) };
            $function(this, &arguments)
        }
        entry
    }};
}

/// Gives the methods to the type; called once, before it is visible.
pub fn install(kind: &Bound<'_, PyType>) -> PyResult<()> {
    // SAFETY: each function checks its arguments' number and takes instances of the type only.
    unsafe {
        add_methods(
            kind,
            &[
                Method::new(
                    c"cache_invalidate",
                    method!(cache_invalidate),
                    c"cache_invalidate($self, /, *args, **kwargs)\n--\n\nDrop the entry of these arguments; whether there was one.\n\nA call that begins after the return gets nothing that was computed before it: a computation under way reaches those\nwho wait for it and is not stored. TypeError if the arguments do not fit the function. O(1) expected.",
                ),
                Method::new(
                    c"cache_ttl",
                    method!(cache_ttl),
                    c"cache_ttl($self, /, *args, **kwargs)\n--\n\nSeconds until the entry of these arguments is no longer fresh.\n\nNegative while it is stale, inf without a limit, None if there is none. No use, and not counted. O(1) expected.",
                ),
                Method::new(
                    c"cache_invalidate_tags",
                    method!(cache_invalidate_tags),
                    c"cache_invalidate_tags($self, /, *tags)\n--\n\nDrop the entries of this function that have any of these tags.\n\nA call that begins after the return gets nothing of such that was computed before it. TypeError for a tag that is no\nstring. O(entries that have the tag).",
                ),
                Method::new(
                    c"cache_contains",
                    method!(cache_contains),
                    c"cache_contains($self, /, *args, **kwargs)\n--\n\nWhether a call with these arguments would be answered without computing.\n\nNo use, and not counted. O(1) expected.",
                ),
            ],
        )
    }
}

/// What a method answers.
enum Answer {
    Bool(bool),
    Seconds(f64),
    None,
    /// An exception is set.
    Failed,
}

impl Answer {
    fn of(answer: Result<bool, ErrSet>) -> Self {
        answer.map_or(Answer::Failed, Answer::Bool)
    }

    fn into_ptr(self) -> *mut ffi::PyObject {
        // SAFETY: attached, as every caller here is; a new reference.
        unsafe {
            match self {
                Answer::Bool(answer) => ffi::PyBool_FromLong(answer.into()),
                Answer::Seconds(seconds) => ffi::PyFloat_FromDouble(seconds),
                Answer::None => none(),
                Answer::Failed => std::ptr::null_mut(),
            }
        }
    }
}

/// The answer about the entry of a call's arguments; `unfit`: about arguments that are no call.
fn about(
    this: Instance<'_>,
    arguments: &Arguments<'_>,
    empty: Answer,
    unfit: impl FnOnce() -> *mut ffi::PyObject,
    ask: impl FnOnce(&CachedFunction, &View<'_>) -> Answer,
) -> *mut ffi::PyObject {
    caught(|| {
        let mut scratch = ArgBuffer::new();
        match this.view(arguments, &mut scratch) {
            Keyed::Failed => std::ptr::null_mut(),
            Keyed::NotACall => unfit(),
            Keyed::View(_) if this.state.max_size == Some(0) => empty.into_ptr(),
            Keyed::View(view) => ask(&this, &view).into_ptr(),
        }
    })
}

fn cache_invalidate(this: Instance<'_>, arguments: &Arguments<'_>) -> *mut ffi::PyObject {
    let unfit = || fail(c"cache_invalidate(): the arguments do not fit the cached function");
    about(this, arguments, Answer::Bool(false), unfit, |this, view| {
        point("cache_invalidate");
        Answer::of(this.invalidate(view))
    })
}

fn cache_contains(this: Instance<'_>, arguments: &Arguments<'_>) -> *mut ffi::PyObject {
    let unfit = || Answer::Bool(false).into_ptr();
    about(this, arguments, Answer::Bool(false), unfit, |this, view| {
        point("cache_contains");
        if disabled::is_on() {
            return Answer::Bool(false);
        }
        Answer::of(this.state.backend.contains(&this.state, view))
    })
}

fn cache_ttl(this: Instance<'_>, arguments: &Arguments<'_>) -> *mut ffi::PyObject {
    about(
        this,
        arguments,
        Answer::None,
        || Answer::None.into_ptr(),
        |this, view| match this.state.backend.remaining(&this.state, view) {
            Ok(remaining) => remaining.map_or(Answer::None, Answer::Seconds),
            Err(ErrSet) => Answer::Failed,
        },
    )
}

fn cache_invalidate_tags(this: Instance<'_>, arguments: &Arguments<'_>) -> *mut ffi::PyObject {
    caught(|| {
        let py = arguments.py();
        if arguments.has_names() {
            return fail(c"cache_invalidate_tags() takes no keyword arguments: cache_invalidate_tags(*tags)");
        }
        let mut tags = Tags::new();
        for value in arguments.parts().0 {
            let value = value.to_bound();
            match value.cast::<PyString>().map(tag) {
                Ok(Ok(tag)) => tags.push(tag),
                _ => {
                    let shown = super::option_checks::shown(&value);
                    PyTypeError::new_err(format!("a tag must be a string, got {shown}")).raise(py);
                    return std::ptr::null_mut();
                }
            }
        }
        match this.invalidate_tags(py, &tags) {
            Ok(()) => none(),
            Err(error) => {
                error.raise(py);
                std::ptr::null_mut()
            }
        }
    })
}

/// What `cache_put` takes.
const PUT: Parameters =
    Parameters { callee: "cache_put", required: &["value"], positional: &["args", "kwargs"], named: &["ttl", "tags"] };

/// `cache_put(value, args=(), kwargs={}, *, ttl=…, tags=…)`.
pub(super) fn cache_put(
    cached: &Bound<'_, CachedFunction>,
    arguments: &Bound<'_, PyTuple>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let py = cached.py();
    let given = PUT.bind(arguments, keywords)?;
    let value = given.required("value", |_, value| Ok(value.clone()))?;
    let wrong = |name: &str, right: &str, value: &Bound<'_, PyAny>| {
        PyTypeError::new_err(format!("{name} must be {right}, got {}", super::option_checks::shown(value)))
    };
    let args = match given.get("args") {
        None => PyTuple::empty(py),
        Some(args) if args.is_instance_of::<PyString>() => return Err(wrong("args", "a tuple of arguments", args)),
        Some(args) => args
            .try_iter()
            .and_then(|items| PyTuple::new(py, items.collect::<PyResult<Vec<_>>>()?))
            .map_err(|_| wrong("args", "a tuple of arguments", args))?,
    };
    let kwargs = match given.get("kwargs") {
        None => PyDict::new(py),
        Some(kwargs) => {
            kwargs.cast::<PyDict>().map_err(|_| wrong("kwargs", "a dict of keyword arguments", kwargs))?.clone()
        }
    };
    let mut wish = Wish::default();
    match given.get("ttl").map(|ttl| lifetime("ttl", ttl)).transpose()? {
        None => (),
        Some(Given::Unlimited) => wish.ttl = Some(None),
        Some(Given::For(nanos)) => wish.ttl = Some(Some(nanos)),
        Some(Given::Over) => wish.is_over = true,
    }
    wish.tags = given.get("tags").map(|given| tags("tags", given)).transpose()?;
    let this = cached.get();
    if this.state.max_size == Some(0) || disabled::is_on() {
        return Ok(());
    }
    if wish.tags.is_none() {
        if let Some(control) = &this.state.control {
            wish.tags = Some(control.tags_of_call(&args, Some(&kwargs))?);
        }
    }
    let put = |view: &View<'_>| {
        if this.state.backend.put(this, view, Ref::from(&value), wish) && this.forget_flights(view).is_ok() {
            Ok(())
        } else {
            Err(PyErr::fetch(py))
        }
    };
    with_view(this, "cache_put", &args, &kwargs, put)
}

/// Runs `f` with the view of a call. TypeError if the arguments do not fit the function.
fn with_view<R>(
    this: &CachedFunction,
    method: &str,
    args: &Bound<'_, PyTuple>,
    kwargs: &Bound<'_, PyDict>,
    f: impl FnOnce(&View<'_>) -> PyResult<R>,
) -> PyResult<R> {
    let py = args.py();
    let row: Vec<_> = args.iter().chain(kwargs.values()).collect();
    let values: Vec<Ref<'_>> = row.iter().map(Ref::from).collect();
    let names = (!kwargs.is_empty()).then(|| PyTuple::new(py, kwargs.keys())).transpose()?;
    let arguments = Arguments::of(&values, names.as_ref());
    let mut scratch = ArgBuffer::new();
    match this.view(&arguments, &mut scratch) {
        Keyed::Failed => Err(PyErr::fetch(py)),
        Keyed::NotACall => {
            let message = format!("{method}(): the arguments of the call do not fit the cached function");
            Err(PyTypeError::new_err(message))
        }
        Keyed::View(view) => f(&view),
    }
}

/// What makes a call's key, as one object: its shape, and the key.
pub(super) fn canonical<'py>(
    this: &CachedFunction,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = args.py();
    with_view(this, "a memoized function", args, kwargs, |view| {
        let key = view.make_key().ok_or_else(|| PyErr::fetch(py))?;
        let shape_and_key = (view.shape, key.as_py()).into_pyobject(py)?;
        if !view.typed {
            return Ok(shape_and_key);
        }
        // The values alone equal those of other types.
        let types = PyTuple::new(py, view.values.iter().map(|value| value.bind(py).get_type()))?;
        (shape_and_key, types).into_pyobject(py)
    })
}

/// A ticket for a call.
pub(super) fn ticket<'py>(
    this: &CachedFunction,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, Ticket>> {
    let py = args.py();
    let (ticket, invalidated) =
        inside::watch(&this.state, || with_view(this, "cache_refresh", args, kwargs, |view| this.ticket_of(py, view)));
    let ticket = ticket?;
    ticket.get().leave(invalidated);
    Ok(ticket)
}

/// `cache_refresh` of a cache that stores nothing: of any arguments.
pub(super) fn refresh_nothing<'py>(
    cached: &Bound<'py, CachedFunction>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (cached.py(), cached.get());
    this.state.count_refresh();
    if this.state.flights.is_some() {
        static COMPUTE: Imported = Imported::new("warp_cache._bringing", "compute_beside");
        return call(COMPUTE.get(py)?, &(cached, args, kwargs).into_pyobject(py)?, None);
    }
    computed(this, args, Some(kwargs))
}

/// The same of a plain memoized function, also while caches are disabled; `None` where something is kept.
pub(crate) fn refresh_plain_nothing<'py>(
    this: &CachedFunction,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if disabled::is_on() {
        return call(this.function.as_py().bind(args.py()), args, None).map(Some);
    }
    if this.state.max_size != Some(0) {
        return Ok(None);
    }
    this.state.count_refresh();
    computed(this, args, None).map(Some)
}

/// What the function gives, counted.
fn computed<'py>(
    this: &CachedFunction,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let watch = Stopwatch::start();
    let result = call(this.function.as_py().bind(args.py()), args, kwargs);
    this.state.count_load(watch, result.is_err());
    result
}

impl CachedFunction {
    /// Ends the entries that have one of these tags, wherever they are, and fences the computations of such.
    fn invalidate_tags(&self, py: Python<'_>, tags: &Tags) -> PyResult<()> {
        inside::note(&self.state, || Invalidated::Tags(tags.clone()));
        self.state.backend.invalidate_tags(py, &self.state, tags).map_err(|ErrSet| PyErr::fetch(py))?;
        self.invalidate_tags_here(py, tags)
    }

    /// The same of what is in this process, once what is behind knows.
    pub(crate) fn invalidate_tags_here(&self, py: Python<'_>, tags: &Tags) -> PyResult<()> {
        self.state.invalidate_tags(tags);
        match &self.state.flights {
            Some(flights) => flights.forget_tags(py, tags),
            None => Ok(()),
        }
    }

    /// Ends a key's entry, wherever it is, and fences the computations of it; whether there was one.
    pub(crate) fn invalidate(&self, view: &View<'_>) -> Result<bool, ErrSet> {
        inside::note(&self.state, || Invalidated::Key(view.hash));
        // What is behind comes first, so that nothing of it comes in again; a computation fails either fence.
        let behind = self.state.backend.invalidate(&self.state, view)?;
        let here = match self.state.backend.known(view)? {
            Known::Arguments => self.state.invalidate(view).ok_or(ErrSet)?,
            Known::Bytes(key, _) => {
                let view = key.view(view.py());
                inside::note(&self.state, || Invalidated::Key(view.hash));
                self.state.invalidate(&view).ok_or(ErrSet)?
            }
            Known::Nothing => false,
        };
        self.forget_flights(view)?;
        Ok(behind || here && !self.state.backend.is_behind())
    }

    /// A ticket of a call.
    pub(super) fn ticket_of<'py>(&self, py: Python<'py>, view: &View<'_>) -> PyResult<Bound<'py, Ticket>> {
        let known = self.state.backend.known(view).map_err(|ErrSet| PyErr::fetch(py))?;
        let ticket = Ticket::new(view, known, self.state.lone_apart, false);
        Bound::new(py, ticket.ok_or_else(|| PyErr::fetch(py))?)
    }

    /// Lets the computations of a coroutine function's key that are under way go on for those who wait for them alone.
    pub(crate) fn forget_flights(&self, view: &View<'_>) -> Result<(), ErrSet> {
        let Some(flights) = &self.state.flights else {
            return Ok(());
        };
        let py = view.py();
        if flights.is_empty(py) {
            return Ok(());
        }
        self.ticket_of(py, view).and_then(|ticket| flights.forget_key(ticket.as_any())).map_err(|error| {
            error.raise(py);
            ErrSet
        })
    }
}
