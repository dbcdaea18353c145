//! Reading an object's values: `c[k]` and `get` as a call's lookup, `peek` and `in` as nobody's.
//!
//! Ring 3. What an entry that is no longer fresh serves for is as in decorated functions, but that nothing is computed here.

use pyo3::ffi;
use pyo3::prelude::*;

use super::{view_of, CacheObject, Way};
use crate::backend::shared::object::checks::check_key;
use crate::backend::{ControlledMemory, HitPath, Memory, NearMemory, Shared, TakeHit, There};
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::function::fast_lookup::FastLookup;
use crate::function::fast_path::{OneArg, Peek};
use crate::function::lookup::{Accounting, Found};
use crate::function::CachedFunction;
use crate::key::{self, View};
use engine::slab::Token;

/// What a glance at the first candidate came to.
pub(super) enum Glance {
    /// The value, counted: a new reference, or null with an exception set.
    Hit(*mut ffi::PyObject),
    /// A miss, counted.
    Absent,
    /// Nothing, with nothing counted but what is known already.
    Unsure(Glimpse),
}

/// What a glance has seen.
#[derive(Clone, Copy)]
pub(super) enum Glimpse {
    Nothing,
    /// This is the first candidate, and nothing has changed since.
    At(Token),
    /// What this says.
    Known(FastLookup),
}

const PLAIN: u8 = Way::Plain as u8;
const EXPIRES: u8 = Way::Expires as u8;
const IDLE: u8 = Way::Idle as u8;
const SHARED: u8 = Way::Shared as u8;
const REMOTE: u8 = Way::Remote as u8;

/// Looks at the first candidate of a key.
#[inline(always)]
pub(super) fn glance(this: &CacheObject, cached: &CachedFunction, key: Ref<'_>) -> Glance {
    let Some(hash) = key::inline::hash_one(key) else {
        return Glance::Unsure(Glimpse::Nothing);
    };
    let state = &cached.state;
    let seen = match this.way() {
        PLAIN => state.peek::<Memory, false>(hash, OneArg(key)),
        EXPIRES => state.peek::<ControlledMemory<false, false>, true>(hash, OneArg(key)),
        IDLE => state.peek::<ControlledMemory<true, false>, true>(hash, OneArg(key)),
        SHARED => match state.peek::<Shared, false>(hash, OneArg(key)) {
            // SAFETY: it is what the glance has taken; no lock is held.
            Peek::Hit(taken) => return Glance::Hit(unsafe { Shared::deliver(taken) }),
            // What the decoded level does not have the file may have.
            Peek::Absent(absent) => return Glance::Unsure(Glimpse::Known(absent)),
            other => other,
        },
        _ => return Glance::Unsure(Glimpse::Nothing),
    };
    match seen {
        Peek::Hit(value) => Glance::Hit(value),
        Peek::Absent(_) => Glance::Absent,
        Peek::Candidate(token) | Peek::Found(token) => Glance::Unsure(Glimpse::At(token)),
        Peek::Unsure => Glance::Unsure(Glimpse::Nothing),
    }
}

/// The value of a key, counted as a call, from where a glance left it. `Err` with an exception set.
#[inline(never)]
pub(super) fn look(
    this: &CacheObject,
    cached: &CachedFunction,
    key: Ref<'_>,
    seen: Glimpse,
) -> Result<Option<PyRef>, ErrSet> {
    let state = &cached.state;
    match this.way() {
        PLAIN => look_by::<Memory>(cached, key, seen),
        EXPIRES => look_by::<ControlledMemory<false, false>>(cached, key, seen),
        IDLE => look_by::<ControlledMemory<true, false>>(cached, key, seen),
        SHARED => look_by::<Shared>(cached, key, seen),
        REMOTE => look_by::<NearMemory<false>>(cached, key, seen),
        _ => {
            let view = view_of(&key)?;
            if state.max_size == Some(0) {
                state.backend.count_miss(key.py(), state);
                return Ok(None);
            }
            look_long(cached, &view, FastLookup::UNDECIDED)
        }
    }
}

/// [`look`] on one of the ways: what a call of a decorated function does.
#[inline(always)]
fn look_by<B: HitPath>(cached: &CachedFunction, key: Ref<'_>, seen: Glimpse) -> Result<Option<PyRef>, ErrSet> {
    let state = &cached.state;
    // SAFETY: the callers': what was taken, with no lock held; a new reference, or null with an exception set.
    let deliver = |taken| unsafe { PyRef::steal_or_none(B::Hit::deliver(taken)) }.map(Some).ok_or(ErrSet);
    if let Glimpse::At(token) = seen {
        let reader = state.entries.reader();
        // SAFETY: the token named an entry of the key's shape a moment ago, and nothing has run since.
        let taken = unsafe {
            let (_, entry) = reader.slot(token);
            let is_it = key::same(entry.key.lend(key.py()), key);
            is_it.then(|| B::Hit::take(state, &reader, token, &entry.value)).flatten()
        };
        drop(reader);
        if let Some(taken) = taken {
            return deliver(taken);
        }
    }
    let view = view_of(&key)?;
    let known = match seen {
        Glimpse::Known(known) => known,
        Glimpse::Nothing | Glimpse::At(_) => state.lookup_fast::<B, true>(&view),
    };
    match known.value() {
        Some(taken) => deliver(taken),
        None => look_long(cached, &view, known),
    }
}

/// A whole lookup, from where the first pass left it.
#[inline(never)]
fn look_long(cached: &CachedFunction, view: &View<'_>, known: FastLookup) -> Result<Option<PyRef>, ErrSet> {
    let state = &cached.state;
    if let Some(shared) = state.backend.shared() {
        return shared.read_object(cached, view, known);
    }
    match state.after(view, known) {
        Found::Value(value) => Ok(Some(value)),
        Found::Revalidate(value) => {
            // Nobody computes here: the next `get_or_set` is to.
            state.let_refresh_go(view);
            Ok(Some(value))
        }
        Found::Failed => Err(ErrSet),
        found @ (Found::Pending(..) | Found::Absent | Found::Raise(_) | Found::Spare | Found::Restless) => {
            drop(found);
            match There::of(view.py(), cached)? {
                Some(there) => there.read(view),
                None => Ok(None),
            }
        }
    }
}

/// The values of many keys, counted as calls: what is not near comes in one trip. `None`: there is no server. `Err` with an
/// exception set.
pub(super) fn look_many(
    py: Python<'_>,
    cached: &CachedFunction,
    keys: &[Ref<'_>],
) -> Result<Option<Vec<Option<PyRef>>>, ErrSet> {
    if cached.state.max_size == Some(0) {
        return Ok(None);
    }
    let Some(there) = There::of(py, cached)? else { return Ok(None) };
    let mut values: Vec<Option<PyRef>> = Vec::with_capacity(keys.len());
    let (mut far, mut places) = (Vec::new(), Vec::new());
    for (place, key) in keys.iter().enumerate() {
        let view = view_of(key)?;
        let near = look_near(cached, &view, Accounting::HitOrMiss)?;
        if near.is_none() {
            far.push(view);
            places.push(place);
        }
        values.push(near);
    }
    for (place, value) in places.into_iter().zip(there.read_many(&far)?) {
        values[place] = value;
    }
    Ok(Some(values))
}

/// The value of a key, counted as a call, if it is near a server that there is. `Err` with an exception set.
pub(super) fn near(cached: &CachedFunction, key: Ref<'_>) -> Result<Option<PyRef>, ErrSet> {
    let view = view_of(&key)?;
    // What is not near is counted by who asks the server.
    match look_near(cached, &view, Accounting::None)? {
        Some(_) => look_near(cached, &view, Accounting::HitOrMiss),
        None => Ok(None),
    }
}

fn look_near(cached: &CachedFunction, view: &View<'_>, count: Accounting) -> Result<Option<PyRef>, ErrSet> {
    match cached.state.find(view, count) {
        Found::Value(value) => Ok(Some(value)),
        Found::Revalidate(value) => {
            if count == Accounting::HitOrMiss {
                cached.state.let_refresh_go(view);
            }
            Ok(Some(value))
        }
        Found::Failed => Err(ErrSet),
        found @ (Found::Pending(..) | Found::Absent | Found::Raise(_) | Found::Spare | Found::Restless) => {
            drop(found);
            Ok(None)
        }
    }
}

/// The value of a key, of which nobody hears. `Err` with an exception set.
pub(super) fn peek(cached: &CachedFunction, key: Ref<'_>) -> Result<Option<PyRef>, ErrSet> {
    let view = view_of(&key)?;
    let state = &cached.state;
    if state.max_size == Some(0) {
        return Ok(None);
    }
    if let Some(shared) = state.backend.shared() {
        return shared.peek_object(cached, &view);
    }
    match (look_near(cached, &view, Accounting::None)?, There::of(key.py(), cached)?) {
        (None, Some(there)) => there.peek(&view),
        (near, _) => Ok(near),
    }
}

/// Whether a key has an entry that `peek` would answer. `Err` with an exception set.
pub(super) fn contains(cached: &CachedFunction, key: Ref<'_>) -> Result<bool, ErrSet> {
    let view = view_of(&key)?;
    let state = &cached.state;
    if state.max_size == Some(0) {
        return Ok(false);
    }
    if state.backend.shared().is_some() || state.backend.remote().is_some() {
        check_key(&view)?;
    }
    state.backend.contains(state, &view)
}

/// Seconds until a key's entry is no longer fresh; `None` where there is none. `Err` with an exception set.
pub(super) fn remaining(cached: &CachedFunction, key: Ref<'_>) -> Result<Option<f64>, ErrSet> {
    if let (Some(there), false) = (There::of(key.py(), cached)?, cached.state.max_size == Some(0)) {
        return there.remaining(&view_of(&key)?);
    }
    if !contains(cached, key)? {
        return Ok(None);
    }
    let view = view_of(&key)?;
    cached.state.backend.remaining(&cached.state, &view)
}
