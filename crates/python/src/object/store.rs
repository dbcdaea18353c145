//! Storing an object's values, and taking them out.
//!
//! Ring 3.

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::exchange::{Expected, Swap, Swapped};
use super::{view_of, CacheObject};
use crate::backend::There;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::function::control::{Verdict, Wish};
use crate::function::given::{lifetime, tags, Given};
use crate::function::handout;
use crate::function::slot_value::Value;
use crate::function::state::Put;
use crate::function::CachedFunction;
use crate::key::View;
use remote::tier::Found;

/// What a caller wants of the entry that it stores. `...` stands for what is not given.
pub(super) fn wish(ttl: Option<&Bound<'_, PyAny>>, given_tags: Option<&Bound<'_, PyAny>>) -> PyResult<Wish> {
    let mut wish = Wish::default();
    if let Some(ttl) = ttl.filter(|ttl| !is_left_out(ttl)) {
        wish.ttl = Some(nanos(ttl)?);
    }
    if let Some(given) = given_tags.filter(|given| !is_left_out(given)) {
        let given = tags("tags", given)?;
        wish.tags = (!given.is_empty()).then_some(given);
    }
    Ok(wish)
}

/// A lifetime as a caller gives it: nanoseconds, `None` for no limit.
pub(super) fn nanos(ttl: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    match lifetime("ttl", ttl)? {
        Given::Unlimited => Ok(None),
        Given::For(nanos) => Ok(Some(nanos)),
        Given::Over => {
            let shown = crate::function::option_checks::shown(ttl);
            Err(PyValueError::new_err(format!(
                "ttl must be positive (seconds or a timedelta), or None for no limit, got {shown}: delete the key to end its entry"
            )))
        }
    }
}

pub(super) fn is_left_out(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: attached; an object that lives for ever.
    value.as_ptr() == unsafe { ffi::Py_Ellipsis() }
}

impl CacheObject {
    /// Stores a value over whatever is there; whether it is in. `Err` with an exception set.
    pub(super) fn set(
        &self,
        cached: &CachedFunction,
        key: Ref<'_>,
        value: Ref<'_>,
        wish: Option<Wish>,
    ) -> Result<bool, ErrSet> {
        let view = view_of(&key)?;
        let state = &cached.state;
        if state.max_size == Some(0) {
            return Ok(false);
        }
        if let Some(shared) = state.backend.shared() {
            return shared.put_object(cached, &view, value, wish.unwrap_or_default());
        }
        if let Some(there) = There::of(key.py(), cached)? {
            return there.put(&view, value, wish.unwrap_or_default());
        }
        let is_plain = wish.is_none() && state.control.as_ref().is_none_or(|control| control.only_keeps());
        let stored = if is_plain {
            if state.put(&view, Value::ready(value.to_owned()), Put::Always) {
                Ok(true)
            } else {
                Err(ErrSet)
            }
        } else {
            let wish = wish.unwrap_or_default();
            let swap = Swap { value, wish, keeps: false, expected: &Expected::Anything };
            self.swap(cached, &view, swap).map(|swapped| matches!(swapped, Swapped::Stored))
        };
        cached.forget_flights(&view)?;
        stored
    }

    /// Takes a key's entry out: whether there was one. `Err` with an exception set.
    pub(super) fn delete(&self, cached: &CachedFunction, key: Ref<'_>) -> Result<bool, ErrSet> {
        self.take_out(cached, key, &Expected::Anything).map(|taken| taken.is_some())
    }

    /// Takes a key's entry out if it is the expected one: its value as it is stored, or `None` where there was none.
    pub(super) fn take_out(
        &self,
        cached: &CachedFunction,
        key: Ref<'_>,
        expected: &Expected<'_>,
    ) -> Result<Option<Taken>, ErrSet> {
        let view = view_of(&key)?;
        let state = &cached.state;
        if state.max_size == Some(0) {
            return Ok(None);
        }
        let taken = match (state.backend.shared(), There::of(key.py(), cached)?) {
            (Some(shared), _) => shared.take_object(cached, &view, expected)?.map(Taken::Bytes),
            (None, Some(there)) => there.take(&view, expected)?.map(Taken::There),
            (None, None) => state.take_entry(&view, expected)?.map(Taken::Object),
        };
        cached.forget_flights(&view)?;
        Ok(taken)
    }

    /// Gives a key's entry another lifetime: its value as it is stored, if somebody `reads` it, or `None` where there was none.
    pub(super) fn renew(
        &self,
        cached: &CachedFunction,
        key: Ref<'_>,
        ttl: Option<u64>,
        reads: bool,
    ) -> Result<Option<Taken>, ErrSet> {
        let view = view_of(&key)?;
        let state = &cached.state;
        if state.max_size == Some(0) {
            return Ok(None);
        }
        Ok(match (state.backend.shared(), There::of(key.py(), cached)?) {
            (Some(shared), _) => shared.renew_object(cached, &view, ttl, reads)?.map(Taken::Bytes),
            (None, Some(there)) => there.renew(&view, ttl, reads)?.map(Taken::There),
            (None, None) => {
                self.know_more(cached, ttl.is_some(), false);
                state.renew_entry(&view, ttl, reads)?.map(Taken::Object)
            }
        })
    }

    /// Stores a value if the key's entry is the expected one. `Err` with an exception set.
    pub(super) fn swap(&self, cached: &CachedFunction, view: &View<'_>, swap: Swap<'_>) -> Result<Swapped, ErrSet> {
        let state = &cached.state;
        if state.max_size == Some(0) {
            return Ok(Swapped::Unfit);
        }
        let renews = swap.wish.ttl.is_some();
        if let Some(shared) = state.backend.shared() {
            return shared.swap_object(cached, view, swap);
        }
        if let Some(there) = There::of(view.py(), cached)? {
            return there.swap(view, Swap { keeps: swap.keeps && !renews, ..swap });
        }
        let Swap { value, wish, keeps, expected } = swap;
        let given = (wish.ttl.is_some_and(|ttl| ttl.is_some()), wish.tags.is_some());
        self.know_more(cached, given.0, given.1);
        let admitted = match &state.control {
            Some(control) => control.admit(value, wish)?,
            None => Verdict::plain(value, (state.ttl != 0).then_some(state.ttl), wish),
        };
        let Verdict::Store(terms) = admitted else { return Ok(Swapped::Unfit) };
        let swapped = state.swap_entry(view, terms, keeps, renews, expected)?;
        if !matches!(swapped, Swapped::Changed) {
            cached.forget_flights(view)?;
        }
        Ok(swapped)
    }
}

/// The value of an entry that was taken out, or given another lifetime.
pub(super) enum Taken {
    /// As memory stores it.
    Object(PyRef),
    Bytes(Vec<u8>),
    /// As the server had it.
    There(Box<Found>),
}

impl Taken {
    /// What a caller gets of it: a new reference. `Ok(None)` where the bytes make no object, `Err` with an exception set.
    pub fn deliver(self, py: Python<'_>, cached: &CachedFunction) -> Result<Option<PyRef>, ErrSet> {
        match self {
            Taken::Object(object) if cached.state.copies => handout::hand_out(py, object).map(Some).ok_or(ErrSet),
            Taken::Object(object) => Ok(Some(object)),
            Taken::Bytes(bytes) => crate::backend::shared::object::decode(py, &bytes),
            Taken::There(found) => match There::of(py, cached)? {
                Some(there) => there.deliver(py, &found),
                None => Ok(None),
            },
        }
    }
}
