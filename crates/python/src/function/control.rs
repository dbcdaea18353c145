//! Control over entries: what the user's callables say of a result before it is stored.
//!
//! Ring 3. A cache without these options has no [`Control`], and its hits know nothing of it. A miss of one that has works out
//! the tags, computes, and asks `cache_if`, `ttl`, `weigher` and `copy` about the result; what they say are the [`Terms`] under
//! which it is stored. They run outside of every lock and may call the cache. What one of them raises reaches the caller as
//! if the function had raised it.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyTypeMethods};

use super::control_checks::{CopyMode, StoredExceptions, TagSource};
use super::given::{lifetime, tags, weight, Given};
use super::handout;
use super::inside;
use super::option_object::Object;
use super::option_table::Options;
use super::slot_value::{Refresh, Special, Value};
use super::state::CacheState;
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::exceptions::{self, ErrSet, Raise};
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::{self, import, PyRef};
use crate::key::signature::Signature;
use engine::cache::{Description, Lifetime};

/// What a cache does with its entries beside keeping them.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// Nanoseconds that an entry is fresh; 0 is no limit.
    ttl: u64,
    ttl_of: Option<Object>,
    pub jitter: f64,
    pub revalidate: u64,
    pub spare: u64,
    cache_if: Option<Object>,
    exceptions: Option<StoredExceptions>,
    /// Gives a tuple of strings for a call's arguments.
    tags: Option<Object>,
    weigher: Option<Object>,
    /// Of a cache object: gives the lifetime of a result, in a tuple, or None where that is the cache's own.
    terms: Option<Object>,
    /// What a stored exception weighs, which `weigher` is not asked about: so much that there are not too many of them.
    exception_weight: u64,
    pub on_removal: Option<Object>,
    /// Whether a key is what the user's `key` gave.
    pub has_own_keys: bool,
    /// The names of a key's last positional values, as `on_removal` is told them.
    pub keyword_only: Vec<Object>,
    pub copy: CopyMode,
}

/// Of a cache that is bounded by weight: so many stored exceptions would fill it.
const MOST_EXCEPTIONS: u64 = 1000;

/// The tags of an entry.
pub(crate) type Tags = Vec<String>;

/// What is stored, and how.
#[derive(Debug)]
pub(crate) struct Terms {
    pub value: Value,
    /// Nanoseconds that the entry is fresh; `None` is no limit.
    pub ttl: Option<u64>,
    /// Whether it is stale for some time before it ends.
    pub goes_stale: bool,
    pub weight: u64,
    pub tags: Tags,
    /// The moments at which it ends, where they are not counted from now.
    pub moments: Option<Lifetime>,
}

/// What is to be done with a result.
#[derive(Debug)]
pub(crate) enum Verdict {
    Store(Terms),
    /// It is handed out, and an older entry goes.
    Drop,
}

/// What a caller has said of an entry that it stores itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Nanoseconds, `Some(None)` for no limit; `None` leaves it to the options.
    pub ttl: Option<Option<u64>>,
    /// `None` leaves them to the options.
    pub tags: Option<Tags>,
    /// Whether a lifetime of nothing was given.
    pub is_over: bool,
}

impl Control {
    /// The control that the options ask for. `function` is what tags are worked out for, `signature` what makes its keys.
    pub fn new(
        options: &Options,
        function: &Bound<'_, PyAny>,
        signature: Option<&Signature>,
    ) -> PyResult<Option<Box<Self>>> {
        let is_plain = options.ttl.of.is_none()
            && options.jitter == 0.0
            && options.stale_while_revalidate == 0
            && options.stale_if_error == 0
            && options.cache_if.is_none()
            && options.cache_exceptions.is_none()
            && matches!(options.tags, TagSource::None)
            && options.weigher.is_none()
            && options.on_removal.is_none()
            && matches!(options.copy, CopyMode::OfBackend | CopyMode::Never)
            && !options.remote.is_given();
        if is_plain {
            return Ok(None);
        }
        Self::of(options, function, signature).map(Some)
    }

    /// The same, whatever the options ask for.
    pub fn of(options: &Options, function: &Bound<'_, PyAny>, signature: Option<&Signature>) -> PyResult<Box<Self>> {
        let tags = match &options.tags {
            TagSource::None => None,
            TagSource::Call(of) => Some(of.clone()),
            TagSource::Templates(templates) => {
                let made =
                    import(function.py(), "warp_cache._tags")?.guarded_method("source", (function, templates))?;
                Some(Object::new(&made))
            }
        };
        let keyword_only = signature.into_iter().flat_map(Signature::keyword_only);
        Ok(Box::new(Control {
            ttl: options.ttl.nanos,
            ttl_of: options.ttl.of.clone(),
            jitter: options.jitter,
            revalidate: options.stale_while_revalidate,
            spare: options.stale_if_error,
            cache_if: options.cache_if.clone(),
            exceptions: options.cache_exceptions.clone(),
            tags,
            weigher: options.weigher.clone(),
            terms: None,
            exception_weight: options.max_weight.map_or(0, |most| most.div_ceil(MOST_EXCEPTIONS).max(1)),
            on_removal: options.on_removal.clone(),
            has_own_keys: options.key.is_some(),
            keyword_only: keyword_only.map(|name| Object::new(name.as_py().bind(function.py()))).collect(),
            copy: options.copy.clone(),
        }))
    }

    /// Makes this the control of a cache object: `terms(value)` gives what `get_or_set` was told of the entry, `tags(*args)` its
    /// tags.
    pub fn of_object(mut self: Box<Self>, terms: Object, tags: Object) -> Box<Self> {
        (self.terms, self.tags, self.has_own_keys) = (Some(terms), Some(tags), true);
        self
    }

    /// Whether a value that is stored by hand is asked nothing, and stored for the time that all are.
    pub fn only_keeps(&self) -> bool {
        self.jitter == 0.0
            && !self.has_windows()
            && self.weigher.is_none()
            && self.on_removal.is_none()
            && !self.copies()
    }

    /// Whether a result is asked nothing either: it is stored as it is, for the time that all are.
    pub fn only_keeps_results(&self) -> bool {
        self.only_keeps()
            && self.ttl_of.is_none()
            && self.cache_if.is_none()
            && self.terms.is_none()
            && self.tags.is_none()
    }

    /// Whether entries are stale for some time before they end.
    #[inline]
    pub fn has_windows(&self) -> bool {
        self.revalidate | self.spare != 0
    }

    /// Has each caller get what one of a shared file gets, unless the user has said otherwise.
    pub fn copy_as_a_file(&mut self) {
        if matches!(self.copy, CopyMode::OfBackend | CopyMode::Containers) {
            self.copy = CopyMode::OfFile;
        }
    }

    /// Whether a value is copied when it is stored and handed out.
    pub fn copies(&self) -> bool {
        !matches!(self.copy, CopyMode::OfBackend | CopyMode::Never)
    }

    /// Shows the garbage collector what the options do not refer to.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let objects = [&self.ttl_of, &self.cache_if, &self.tags, &self.weigher, &self.terms, &self.on_removal];
        objects.into_iter().flatten().try_for_each(|object| object.traverse(visit))?;
        if let Some(stored) = &self.exceptions {
            stored.traverse(visit)?;
        }
        match &self.copy {
            CopyMode::Call(with) => with.traverse(visit),
            _ => Ok(()),
        }
    }

    /// The tags of a call of the cache's. What that invalidates is left for its computation.
    pub fn tags_of(&self, state: &CacheState, arguments: &Arguments<'_>) -> Result<Tags, ErrSet> {
        let Some(source) = &self.tags else {
            return Ok(Tags::new());
        };
        let py = arguments.py();
        let (given, invalidated) = inside::watch(state, || {
            let given = arguments.call_anew(source.lend(py)).ok_or(ErrSet)?;
            tags("tags", given.as_py().bind(py)).map_err(|error| set(py, error))
        });
        let given = given?;
        if !invalidated.is_empty() || inside::has_left() {
            inside::leave(state, arguments, invalidated, &given);
        }
        Ok(given)
    }

    /// [`tags_of`](Self::tags_of), with the arguments as Python has them; nothing is left for anybody.
    pub fn tags_of_call(&self, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Tags> {
        match &self.tags {
            None => Ok(Tags::new()),
            Some(source) => tags("tags", &reference::call(source.bind(args.py()), args, kwargs)?),
        }
    }

    /// What is to be done with a result that was computed.
    pub fn appraise(&self, result: Ref<'_>, tags: Tags) -> Result<Verdict, ErrSet> {
        if let Some(cache_if) = &self.cache_if {
            let answer = call(cache_if, result)?;
            match answer.as_py().bind(result.py()).is_truthy() {
                Ok(true) => (),
                Ok(false) => return Ok(Verdict::Drop),
                Err(error) => return Err(set(result.py(), error)),
            }
        }
        let mut wish = Wish { tags: Some(tags), ..Wish::default() };
        if let Some(terms) = &self.terms {
            let given = call(terms, result)?;
            let py = result.py();
            if let Ok(given) = given.as_py().bind(py).cast::<PyTuple>() {
                let given = given.get_item(0).and_then(|ttl| lifetime("ttl", &ttl));
                match given.map_err(|error| set(py, error))? {
                    Given::Over => wish.is_over = true,
                    Given::For(nanos) => wish.ttl = Some(Some(nanos)),
                    Given::Unlimited => wish.ttl = Some(None),
                }
            }
        }
        self.admit(result, wish)
    }

    /// [`appraise`](Self::appraise) of a value that somebody stores by hand: `cache_if` is not asked.
    pub fn admit(&self, value: Ref<'_>, wish: Wish) -> Result<Verdict, ErrSet> {
        let py = value.py();
        if wish.is_over {
            return Ok(Verdict::Drop);
        }
        let ttl = match (wish.ttl, &self.ttl_of) {
            (Some(ttl), _) => ttl,
            (None, None) => (self.ttl != 0).then_some(self.ttl),
            (None, Some(of)) => {
                let given = call(of, value)?;
                match lifetime("ttl", given.as_py().bind(py)).map_err(|error| set(py, error))? {
                    Given::Over => return Ok(Verdict::Drop),
                    Given::For(nanos) => Some(nanos),
                    Given::Unlimited => None,
                }
            }
        };
        let weight = self.weigh(value)?;
        let value = Value::ready(handout::keep(&self.copy, value)?);
        let tags = wish.tags.unwrap_or_default();
        Ok(Verdict::Store(Terms { value, ttl, goes_stale: true, weight, tags, moments: None }))
    }

    /// What a value weighs.
    pub fn weigh(&self, value: Ref<'_>) -> Result<u64, ErrSet> {
        let Some(weigher) = &self.weigher else { return Ok(0) };
        let py = value.py();
        let given = call(weigher, value)?;
        weight(given.as_py().bind(py)).map_err(|error| set(py, error))
    }

    /// The terms of an exception, if it is one of those that are stored.
    pub fn store_exception(&self, py: Python<'_>, raised: &PyRef, tags: Tags) -> Option<Result<Terms, ErrSet>> {
        let stored = self.exceptions.as_ref()?;
        let mro = raised.as_py().bind(py).get_type().mro();
        let lifetime = mro.iter().find_map(|class| {
            let of_class = stored.kinds.iter().find(|(kind, _)| kind.as_ptr() == class.as_ptr());
            of_class.map(|(_, lifetime)| *lifetime)
        })?;
        let Some(object) = exceptions::store(py, raised) else {
            return Some(Err(ErrSet));
        };
        let special = Special { object, is_exception: true, refresh: Refresh::default(), covered: None };
        Some(Ok(Terms {
            value: Value::special(Box::new(special)),
            ttl: lifetime.or_else(|| (self.ttl != 0).then_some(self.ttl)),
            goes_stale: false,
            weight: self.exception_weight,
            tags,
            moments: None,
        }))
    }
}

impl Verdict {
    /// About a value that is stored by hand in a cache without control.
    pub fn plain(value: Ref<'_>, ttl: Option<u64>, wish: Wish) -> Self {
        if wish.is_over {
            return Verdict::Drop;
        }
        let value = Value::ready(value.to_owned());
        let (ttl, tags) = (wish.ttl.unwrap_or(ttl), wish.tags.unwrap_or_default());
        Verdict::Store(Terms { value, ttl, goes_stale: false, weight: 0, tags, moments: None })
    }
}

impl Terms {
    /// What is stored of `value`, which the cache was given: the value, or a copy. Borrowed from these terms and from `value`.
    pub fn stored<'a>(&'a self, value: Ref<'a>) -> Ref<'a> {
        self.value.as_owned().map_or(value, |kept| handout::stored_of(value.py(), kept))
    }

    /// Runs `f` with the value and its description.
    pub fn described<R>(self, lifetime: Lifetime, f: impl FnOnce(Value, &Description<'_>) -> R) -> R {
        let tags: Vec<&str> = self.tags.iter().map(String::as_str).collect();
        f(self.value, &Description { lifetime, weight: self.weight, tags: &tags })
    }
}

/// Sets an error in this thread.
fn set(py: Python<'_>, error: PyErr) -> ErrSet {
    error.raise(py);
    ErrSet
}

/// Calls what the user gave with one argument.
fn call(function: &Object, argument: Ref<'_>) -> Result<PyRef, ErrSet> {
    function.lend(argument.py()).call(&[argument]).ok_or(ErrSet)
}
