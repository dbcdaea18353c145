//! Objects as the server has them, and those near the reader.
//!
//! Ring 3. Nothing is unpickled unless pickles are signed or trusted: of any other body only our own format is read.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::near::Covered;
use super::opened::Opened;
use super::trip::Sending;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::{import, PyRef};
use crate::codec::{self, global::Function, Encoded, Sharing, Stop};
use crate::function::control::{Control, Tags, Terms};
use crate::function::control_checks::CopyMode;
use crate::function::handout;
use crate::function::slot_value::{Refresh, Special, Value};
use crate::function::CachedFunction;
use crate::key::View;
use concurrency::clock;
use engine::cache::Lifetime;
use engine::wire_format::header;
use remote::coherence::Stripe;
use remote::envelope::{Codec, Kind, Unstorable};
use remote::tier::{Cover, Found};

/// What a body is.
pub(super) enum Read {
    /// And what is to be done with it for other callers.
    Value(PyRef, Sharing),
    /// As `exceptions::share` makes it.
    Raised(PyRef),
    Unreadable,
}

/// What the bytes of an exception are made with, and what makes one of them.
static PACK: Function = Function::new(c"warp_cache._packed", c"pack");
static UNPACK: Function = Function::new(c"warp_cache._packed", c"unpack");

/// Reads what the server gave. `Err` with an exception set. Runs user code where pickles are read.
pub(super) fn read(py: Python<'_>, found: &Found, may_pickle: bool) -> Result<Read, ErrSet> {
    let is_plain = matches!(found.body.first(), Some(&(header::IMMUTABLE | header::CONTAINERS)));
    match found.kind {
        Kind::Exception if may_pickle => {
            let bytes = PyBytes::new(py, &found.body).into_any();
            match UNPACK.call_with(py, &[(&bytes).into()]) {
                Ok(shared) => Ok(Read::Raised(shared)),
                Err(Stop::Unstorable) => Ok(Read::Unreadable),
                Err(Stop::Failed) => Err(ErrSet),
            }
        }
        Kind::Value if may_pickle || found.codec == Codec::Safe && is_plain => {
            match codec::decode_value(py, &found.body) {
                codec::Decoded::Object(object, sharing) => Ok(Read::Value(object, sharing)),
                codec::Decoded::Damaged => Ok(Read::Unreadable),
                codec::Decoded::Failed => Err(ErrSet),
            }
        }
        Kind::Exception | Kind::Value | Kind::Lease => Ok(Read::Unreadable),
    }
}

/// The bytes of a value; `None` if it has none that may be stored. `Err` with an exception set.
pub(super) fn encode(object: Ref<'_>, may_pickle: bool) -> Result<Option<(Codec, Vec<u8>)>, ErrSet> {
    let mut body = Vec::new();
    let encoded =
        if may_pickle { codec::encode_value(object, &mut body) } else { codec::encode_plain(object, &mut body) };
    match encoded {
        Ok(_) => {
            let is_plain = matches!(body.first(), Some(&(header::IMMUTABLE | header::CONTAINERS)));
            Ok(Some((if is_plain { Codec::Safe } else { Codec::Pickle }, body)))
        }
        Err(Encoded::Failed) => Err(ErrSet),
        Err(_) => Ok(None),
    }
}

/// The bytes of an exception, as `exceptions::store` has made it.
pub(super) fn encode_raised(stored: Ref<'_>) -> Result<Option<Vec<u8>>, ErrSet> {
    let py = stored.py();
    match PACK.call_with(py, &[stored]) {
        Ok(packed) => Ok(packed.as_py().bind(py).cast::<PyBytes>().ok().map(|bytes| bytes.as_bytes().to_vec())),
        Err(Stop::Unstorable) => Ok(None),
        Err(Stop::Failed) => Err(ErrSet),
    }
}

/// What is sent of a result that is stored under terms; `None` if the server cannot have it. `Err` with an exception set.
/// `result`: what the terms are about.
pub(super) fn sending(
    opened: &Opened,
    control: &Control,
    terms: &Terms,
    result: Ref<'_>,
    computed: Duration,
) -> Result<Option<Sending>, ErrSet> {
    let raised = terms.value.as_special().filter(|special| special.is_exception);
    let encoded = match raised {
        Some(_) if !opened.may_pickle => None,
        Some(special) => encode_raised(special.object.lend(result.py()))?.map(|body| (Codec::Pickle, body)),
        None => encode(result, opened.may_pickle)?,
    };
    let Some((codec, body)) = encoded else { return Ok(None) };
    let (fresh, lifetime) = lives(control, terms.ttl, terms.goes_stale);
    let kind = if raised.is_some() { Kind::Exception } else { Kind::Value };
    Ok(Some(Sending { kind, codec, body, lifetime, fresh, computed }))
}

/// How long a value of so many nanoseconds is fresh, and how long the server has it.
pub(super) fn lives(control: &Control, ttl: Option<u64>, goes_stale: bool) -> (Duration, Duration) {
    let fresh = control.shorten(ttl).map_or(super::LONGEST, Duration::from_nanos).min(super::LONGEST);
    (fresh, fresh.saturating_add(Duration::from_nanos(control.window(goes_stale))))
}

/// Seconds until what the server has is no longer fresh; infinity for what has no end but the server's.
pub(super) fn seconds_left(found: &Found) -> f64 {
    if found.fresh >= super::LONGEST {
        return f64::INFINITY;
    }
    (i128::from(found.fresh_until) - i128::from(clock::exact())) as f64 / 1e9
}

/// The terms of a near copy of what the server gave; `None` if it is not to be kept. `Err` with an exception set.
/// `object`: what was read; `sharing`: of a value, as it was.
pub(super) fn near_terms(
    opened: &Opened,
    control: &Control,
    found: &Found,
    object: Ref<'_>,
    sharing: Option<Sharing>,
    tags: Tags,
) -> Result<Option<Terms>, ErrSet> {
    if found.cover.is_void() {
        return Ok(None);
    }
    let (stored, weight) = match sharing {
        None => (object.to_owned(), 0),
        Some(sharing) => (handout::keep_decoded(&control.copy, object, sharing, &found.body)?, control.weigh(object)?),
    };
    let is_exception = sharing.is_none();
    let covered = Some(Covered::new(opened, found.cover, &found.stripes));
    let special = Special { object: stored, is_exception, refresh: Refresh::default(), covered };
    let moments = if found.fresh >= super::LONGEST {
        Lifetime { fresh: u64::MAX, end: u64::MAX }
    } else {
        Lifetime { fresh: found.fresh_until, end: found.ends.max(found.fresh_until) }
    };
    Ok(Some(Terms {
        value: Value::special(Box::new(special)),
        ttl: None,
        goes_stale: true,
        weight,
        tags,
        moments: Some(moments),
    }))
}

/// Terms under which a result is kept here alone; `None` if it is not to be kept. `Err` with an exception set.
pub(super) fn alone_terms(
    py: Python<'_>,
    opened: &Opened,
    control: &Control,
    terms: Terms,
    cover: Cover,
    stripes: &[Stripe],
) -> Result<Option<Terms>, ErrSet> {
    if cover.is_void() {
        return Ok(None);
    }
    covered_terms(py, control, terms, || Covered::new(opened, cover, stripes))
}

/// The same under a cover that may be shared.
pub(super) fn covered_terms(
    py: Python<'_>,
    control: &Control,
    terms: Terms,
    covered: impl FnOnce() -> Arc<Covered>,
) -> Result<Option<Terms>, ErrSet> {
    let Some(object) = terms.value.as_owned().map(|object| object.clone_ref(py)) else { return Ok(None) };
    let is_exception = terms.value.as_special().is_some_and(|special| special.is_exception);
    if matches!(control.copy, CopyMode::OfFile) && !is_exception && !handout::has_bytes(py, &object)? {
        return Ok(None);
    }
    let special = Special { object, is_exception, refresh: Refresh::default(), covered: Some(covered()) };
    Ok(Some(Terms { value: Value::special(Box::new(special)), ..terms }))
}

/// What users have been told of values that the server does not have, each once for a function.
#[derive(Default)]
pub(super) struct Told {
    reasons: AtomicU8,
    /// The argument that a key was last wanting for, until it is told.
    argument: Mutex<Option<Argument>>,
}

/// An argument that has no bytes, in words and numbers for `warp_cache._remote.telling`.
struct Argument {
    /// As `CachedFunction::number_of` has it, and the names of the last arguments.
    number: (usize, usize, &'static str),
    names: Vec<String>,
    kind: String,
    refusal: codec::Refusal,
}

#[derive(Clone, Copy)]
pub(super) enum Reason {
    /// An argument has no bytes.
    Argument = 1,
    /// A result has none that may be stored.
    Value = 2,
    /// An exception has none.
    Raised = 4,
    /// A result is too large.
    Size = 8,
}

impl Told {
    /// Whether somebody is still to be told of an argument.
    pub fn wants_argument(&self) -> bool {
        self.reasons.load(Ordering::Relaxed) & Reason::Argument as u8 == 0
    }

    /// Keeps what is to be told of an argument until the result is there.
    #[cold]
    pub fn note(&self, cached: &CachedFunction, view: &View<'_>, refusal: codec::Refusal) {
        let Some(refused) = view.values.get(refusal.at) else { return };
        let argument = Argument {
            number: cached.number_of(refusal.at, view),
            names: view.names.iter().map(|name| name.bind(view.py()).to_string()).collect(),
            kind: refused.bind(view.py()).get_type().name().map_or_else(|_| String::new(), |name| name.to_string()),
            refusal,
        };
        *self.argument.lock().unwrap_or_else(PoisonError::into_inner) = Some(argument);
    }

    /// Tells the user, unless somebody has. `Err` with an exception set: a warning that is raised. Runs user code.
    pub fn tell(
        &self,
        py: Python<'_>,
        cached: &CachedFunction,
        reason: Reason,
        value: Option<Ref<'_>>,
        may_pickle: bool,
    ) -> Result<(), ErrSet> {
        if self.reasons.fetch_or(reason as u8, Ordering::Relaxed) & reason as u8 != 0 {
            return Ok(());
        }
        let argument = self.argument.lock().unwrap_or_else(PoisonError::into_inner).take();
        let argument = argument.filter(|_| matches!(reason, Reason::Argument)).map(|argument| {
            let ((at, count, form), refusal) = (argument.number, argument.refusal);
            ((at, count, argument.names, form), argument.kind, refusal.why, refusal.raised)
        });
        let kind = value.map(|value| value.bind(py).get_type());
        let raised = matches!(reason, Reason::Raised);
        self.say(py, reason, "uncacheable", (cached.function.as_py(), kind, may_pickle, raised, argument))
    }

    /// The same of a result that is more than the server can have.
    pub fn tell_size(&self, py: Python<'_>, cached: &CachedFunction, why: Unstorable) -> Result<(), ErrSet> {
        let reason = Reason::Size;
        if self.reasons.fetch_or(reason as u8, Ordering::Relaxed) & reason as u8 != 0 {
            return Ok(());
        }
        self.say(py, reason, "too_large", (cached.function.as_py(), why.to_string()))
    }

    fn say<'py, A>(&self, py: Python<'py>, reason: Reason, what: &str, given: A) -> Result<(), ErrSet>
    where
        A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    {
        let told = import(py, "warp_cache._remote.telling").and_then(|module| module.guarded_method(what, given));
        told.map(drop).map_err(|error| {
            // An exception is no warning: who asked for exceptions gets one each time.
            self.reasons.fetch_and(!(reason as u8), Ordering::Relaxed);
            error.raise(py);
            ErrSet
        })
    }
}
