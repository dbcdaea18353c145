//! A call that the first pass over the decoded level does not answer: its value looked for in both levels.
//!
//! Ring 3.

use super::access::{KeyAccess, KeyBytes, Lookup};
use super::by_bytes::{has_instances, BytesKey};
use super::skips::Skipped;
use super::Shared;
use crate::capi::reference::PyRef;
use crate::function::fast_lookup::FastLookup;
use crate::function::lookup::{Accounting, Found};
use crate::function::state::{CacheState, Put};
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
