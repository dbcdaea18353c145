//! Reading an object's values: `c[k]` and `get` as a call's lookup, `peek` and `in` as nobody's.
//!
//! Ring 3. What an entry that is no longer fresh serves for is as in decorated functions, but that nothing is computed here.

use pyo3::ffi;

use super::{view_of, CacheObject, Way};
use crate::backend::{ControlledMemory, HitPath, Memory, Shared};
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::function::fast_lookup::FastLookup;
use crate::function::fast_path::{OneArg, Peek};
use crate::function::lookup::{Accounting, Found};
use crate::function::CachedFunction;
use crate::key;

/// What a glance at the first candidate came to.
pub(super) enum Glance {
    /// The value, counted: a new reference, or null with an exception set.
    Hit(*mut ffi::PyObject),
    /// A miss, counted.
    Absent,
    /// Nothing; what is known already.
    Unsure(FastLookup),
}

/// Looks at the first candidate of a key.
#[inline(always)]
pub(super) fn glance(this: &CacheObject, cached: &CachedFunction, key: Ref<'_>) -> Glance {
    const PLAIN: u8 = Way::Plain as u8;
    const EXPIRES: u8 = Way::Expires as u8;
    const IDLE: u8 = Way::Idle as u8;
    const SHARED: u8 = Way::Shared as u8;
    let Some(hash) = key::inline::hash_one(key) else {
        return Glance::Unsure(FastLookup::UNDECIDED);
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
            Peek::Absent(absent) => return Glance::Unsure(absent),
            other => other,
        },
        _ => return Glance::Unsure(FastLookup::UNDECIDED),
    };
    match seen {
        Peek::Hit(value) => Glance::Hit(value),
        Peek::Absent(_) => Glance::Absent,
        Peek::Candidate(_) | Peek::Found(_) | Peek::Unsure => Glance::Unsure(FastLookup::UNDECIDED),
    }
}

/// The value of a key, counted as a call. `Err` with an exception set.
#[inline(never)]
pub(super) fn look(cached: &CachedFunction, key: Ref<'_>, hot: FastLookup) -> Result<Option<PyRef>, ErrSet> {
    let view = view_of(&key)?;
    let state = &cached.state;
    if state.max_size == Some(0) {
        state.backend.count_miss(key.py(), state);
        return Ok(None);
    }
    if let Some(shared) = state.backend.shared() {
        return shared.read_object(cached, &view, hot);
    }
    match state.after(&view, hot) {
        Found::Value(value) => Ok(Some(value)),
        Found::Revalidate(value) => {
            // Nobody computes here: the next `get_or_set` is to.
            state.let_refresh_go(&view);
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
    match state.find(&view, Accounting::None) {
        Found::Value(value) | Found::Revalidate(value) => Ok(Some(value)),
        Found::Failed => Err(ErrSet),
        found @ (Found::Pending(..) | Found::Absent | Found::Raise(_) | Found::Spare | Found::Restless) => {
            drop(found);
            Ok(None)
        }
    }
}

/// Whether a key has an entry that `peek` would answer. `Err` with an exception set.
pub(super) fn contains(cached: &CachedFunction, key: Ref<'_>) -> Result<bool, ErrSet> {
    let view = view_of(&key)?;
    let state = &cached.state;
    if state.max_size == Some(0) {
        return Ok(false);
    }
    if let Some(shared) = state.backend.shared() {
        shared.check_key(&view)?;
    }
    state.backend.contains(state, &view)
}

/// Seconds until a key's entry is no longer fresh; `None` where there is none. `Err` with an exception set.
pub(super) fn remaining(cached: &CachedFunction, key: Ref<'_>) -> Result<Option<f64>, ErrSet> {
    if !contains(cached, key)? {
        return Ok(None);
    }
    let view = view_of(&key)?;
    cached.state.backend.remaining(&cached.state, &view)
}
