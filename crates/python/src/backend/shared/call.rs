//! Calls of a function with a tier: the hit in the decoded level, and the long way through the file.
//!
//! Ring 3.

use pyo3::ffi;

use super::skips::Skipped;
use super::Tier;
use crate::backend::shared::access::{Asked, Look, Request};
use crate::backend::shared::decoded::{self, Kept};
use crate::backend::shared::load::Call;
use crate::backend::Backend;
use crate::capi::reference::{Arguments, Owned};
use crate::capi::sharing::Reader;
use crate::function::call::instance;
use crate::function::fast_path::{Seen, Sought};
use crate::function::lookup::{Entries, Found, Hot};
use crate::function::slot_value::Value;
use crate::function::state::{CacheState, Put};
use crate::function::CachedFunction;
use crate::key::View;
use engine::slab::{Entry, Token};
use shared::Event;

/// The decoded level: an entry's value is good while the file has it, and the order hears of nothing.
pub(crate) struct Shared;

impl Backend for Shared {
    #[inline(always)]
    unsafe fn take(_: &CacheState, _: &Reader<'_, Entries>, _: Token, value: &Value) -> Option<*mut ffi::PyObject> {
        // SAFETY: the caller's promise.
        unsafe { decoded::take(value) }
    }

    #[inline(always)]
    unsafe fn glance<const EXPIRES: bool>(
        _: &Reader<'_, Entries>,
        _: Token,
        entry: &Entry<Owned, Value>,
        sought: impl Sought,
    ) -> Option<Seen> {
        // SAFETY: the caller's promise.
        unsafe {
            if !sought.is_in(&entry.key) {
                return None;
            }
            decoded::take(&entry.value).map(Seen::Hit)
        }
    }

    #[inline(always)]
    unsafe fn deliver(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { Kept::hand_out_taken(taken) }
    }

    unsafe fn miss(cached: &CachedFunction, arguments: &Arguments, view: &View<'_>, found: Hot) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { cached.call_through(arguments, view, found) }
    }

    unsafe fn miss_async(
        object: *mut ffi::PyObject,
        arguments: &Arguments,
        view: &View<'_>,
        found: Hot,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe { instance(object).await_through(object, arguments, view, found) }
    }
}

/// Where a call that the decoded level does not answer stands after a look into the file.
pub(crate) enum Through<'a> {
    /// A hit, counted: a new reference.
    Value(*mut ffi::PyObject),
    /// An exception is set.
    Failed,
    /// A miss, counted, whose result can be stored; with what the decoded level has, and what there is to say of what was
    /// found.
    Missed(Request<'a>, Found, Option<Skipped>),
    /// A miss, counted, whose result cannot be stored.
    Unstorable(Skipped),
}

impl CacheState {
    /// Looks for a call's value in both levels, counted as a call, from where `hot` left it.
    ///
    /// # Safety
    /// As for [`call_through`](Self::call_through).
    pub(crate) unsafe fn look_through<'a>(&self, tier: &'a Tier, view: &View<'_>, hot: Hot) -> Through<'a> {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            self.let_go_if_due(tier);
            let found = match self.after(view, hot) {
                Found::Value(value) => return Through::Value(value),
                Found::Failed => return Through::Failed,
                found => found,
            };
            let mut request = match Request::ask(tier, view) {
                Asked::Request(request) => request,
                Asked::Failed => return Through::Failed,
                Asked::Unstorable(skipped) => {
                    let file = tier.files.working();
                    file.count(Event::Miss);
                    tier.count_skip(file, skipped.skip);
                    self.let_go(tier, None);
                    return Through::Unstorable(skipped);
                }
            };
            let unreadable = match request.look() {
                Look::Found(value, kept) => {
                    request.file.count(Event::Hit);
                    self.keep(tier, view, kept, Put::UnlessPending);
                    return Through::Value(value);
                }
                Look::Failed => return Through::Failed,
                Look::Absent => None,
                Look::Unreadable(skipped) => Some(skipped),
            };
            request.file.count(Event::Miss);
            unreadable.iter().for_each(|skipped| tier.count_skip(request.file, skipped.skip));
            self.let_go(tier, None);
            Through::Missed(request, found, unreadable)
        }
    }
}

impl CachedFunction {
    /// A call that `hot` left with `found`.
    ///
    /// # Safety
    /// The call and the view last; the thread is attached and holds no lock.
    #[inline(never)]
    unsafe fn call_through(&self, arguments: &Arguments, view: &View<'_>, hot: Hot) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let Some(tier) = &self.state.tier else {
                return self.pass_on(arguments);
            };
            match self.state.look_through(tier, view, hot) {
                Through::Value(value) => value,
                Through::Failed => std::ptr::null_mut(),
                Through::Unstorable(skipped) => self.tell_with(Some(skipped), view, self.compute(arguments)),
                Through::Missed(request, found, unreadable) => {
                    let mut call = Call::new(self, request, arguments, view.hash, unreadable);
                    let result = if !self.state.single_flight {
                        drop(found);
                        call.compute_and_keep(view)
                    } else if hot.is_absent() {
                        self.state.fly(&mut call, view, hot)
                    } else {
                        self.state.fly_on(&mut call, view, found)
                    };
                    call.finish(view, result)
                }
            }
        }
    }
}
