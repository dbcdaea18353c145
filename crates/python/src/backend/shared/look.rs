//! A call that the first pass over the decoded level does not answer: its value looked for in both levels.
//!
//! Ring 3.

use super::access::{KeyAccess, KeyBytes, Lookup};
use super::by_bytes::{has_instances, BytesKey};
use super::computing::ByTask;
use super::load::Call;
use super::skips::Skipped;
use super::Shared;
use crate::backend::Begun;
use crate::capi::borrowed::Arguments;
use crate::capi::exceptions;
use crate::capi::reference::PyRef;
use crate::function::fast_lookup::FastLookup;
use crate::function::lookup::{Accounting, Found};
use crate::function::single_flight::Miss as _;
use crate::function::state::{CacheState, Put};
use crate::function::CachedFunction;
use crate::key::View;
use shared::Event;

/// Where a call that the decoded level does not answer stands after a look into the file.
pub(crate) enum Through<'a> {
    /// A hit, counted.
    Value(PyRef),
    /// The same of a value that is no longer fresh, and whose refresh is due.
    Revalidate(PyRef),
    /// A hit, counted: a stored exception, as `exceptions::share` makes it.
    Raise(PyRef),
    /// An exception is set.
    Failed,
    /// A miss, counted, whose result can be stored; with what the decoded level has, the key by which it knows the call, if
    /// that is not its arguments, and what there is to say of what was found.
    Missed(KeyAccess<'a>, Found, Option<BytesKey>, Option<Skipped>),
    /// A miss, counted, whose result cannot be stored.
    Unstorable(Skipped),
}

impl Shared {
    /// Looks for a call's value in both levels, counted as a call, from where `hot` left it.
    pub(crate) fn look<'a>(&'a self, state: &CacheState, view: &View<'a>, hot: FastLookup) -> Through<'a> {
        state.let_go_if_due(view.py(), self);
        let has_instances = !hot.is_absent() && has_instances(view);
        let found = if has_instances { Found::Absent } else { state.after(view, hot) };
        let found = match found {
            Found::Value(value) => return Through::Value(value),
            Found::Revalidate(value) => return Through::Revalidate(value),
            Found::Failed => return Through::Failed,
            found => found,
        };
        let mut request = match KeyAccess::ask(self, view) {
            KeyBytes::KeyAccess(request) => request,
            KeyBytes::Failed => return Through::Failed,
            KeyBytes::Unstorable(skipped) => {
                let file = self.files.working(view.py());
                file.iter().for_each(|file| file.count(Event::Miss));
                self.count_skip(file, skipped.skip);
                state.let_go(view.py(), self, None);
                return Through::Unstorable(skipped);
            }
        };
        let Ok(key) = request.by_bytes() else { return Through::Failed };
        let key_view = key.as_ref().map_or(*view, |key| key.view(view.py()));
        let found = if key.is_some() {
            drop(found);
            // The file may be another one than a moment ago.
            state.let_go(view.py(), self, None);
            state.find(&key_view, Accounting::HitOrMiss)
        } else if has_instances {
            state.find(view, Accounting::HitOrMiss)
        } else {
            found
        };
        let found = match found {
            Found::Value(value) => return Through::Value(value),
            Found::Revalidate(value) => return Through::Revalidate(value),
            Found::Failed => return Through::Failed,
            found => found,
        };
        let unreadable = match request.look() {
            Lookup::Found(value, kept) => {
                request.file.count(Event::Hit);
                state.keep(self, &key_view, kept, Put::UnlessPending);
                return Through::Value(value);
            }
            Lookup::Stale(value, kept, is_due) => {
                request.file.count(Event::Hit);
                state.count_stale_hit();
                state.keep(self, &key_view, kept, Put::UnlessPending);
                return if is_due { Through::Revalidate(value) } else { Through::Value(value) };
            }
            Lookup::Raise(raised) => {
                request.file.count(Event::Hit);
                state.let_go(view.py(), self, None);
                return Through::Raise(raised);
            }
            Lookup::Failed => return Through::Failed,
            Lookup::Absent => None,
            Lookup::Unreadable(skipped) => Some(skipped),
        };
        request.file.count(Event::Miss);
        unreadable.iter().for_each(|skipped| self.count_skip(Some(request.file), skipped.skip));
        state.let_go(view.py(), self, None);
        Through::Missed(request, found, key, unreadable)
    }
}

/// Begins a call; `Err`: what is to be told of one whose result cannot be stored, once it is computed.
#[inline(never)]
pub(super) fn begin<'a>(
    cached: &'a CachedFunction,
    arguments: &'a Arguments<'a>,
    view: &View<'a>,
    hot: FastLookup,
) -> Result<Begun<Box<Call<'a>>>, Box<Skipped>> {
    let Some(shared) = cached.state.backend.shared() else {
        return Ok(Begun::Done(cached.pass_on(arguments)));
    };
    Ok(match shared.look(&cached.state, view, hot) {
        Through::Value(value) => Begun::Done(Some(value)),
        Through::Revalidate(value) => Begun::Done(cached.begin_refresh(view, arguments).then_some(value)),
        Through::Raise(raised) => {
            exceptions::raise_own(view.py(), &raised);
            Begun::Done(None)
        }
        Through::Failed => Begun::Done(None),
        Through::Unstorable(skipped) => return Err(Box::new(skipped)),
        Through::Missed(request, found, key, unreadable) => {
            let hash = key.as_ref().map_or(view.hash, BytesKey::hash);
            let is_of_a_task = ByTask::is_here(request.hash);
            let mut call = Call::new(cached, request, arguments, hash, unreadable);
            if is_of_a_task {
                drop(found);
                let key = key.as_ref().map_or(*view, |key| key.view(view.py()));
                let result = call.bring_alone(&key, hot);
                return Ok(Begun::Done(call.finish(view, result)));
            }
            Begun::Miss(call, Some(found), key)
        }
    })
}
