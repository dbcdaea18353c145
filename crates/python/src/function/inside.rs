//! What is invalidated from inside a `key` or `tags` callable: the call that asked it is fenced as well.
//!
//! Ring 3. Such a callable runs before the computation of its call has begun, so neither a slot nor a stamp tells of it. While
//! one runs, its thread notes what it invalidates ([`watch`]). That is left for the computation of this very call, at whose
//! beginning it is done again; or for the ticket of a coroutine function's call. What other calls the thread makes meanwhile (of
//! a `tags` callable, of another green thread) neither take it nor are fenced by it, and it goes with its call.

use std::cell::{Cell, RefCell};

use pyo3::prelude::*;

use super::control::Tags;
use super::keyed::Keyed;
use super::state::CacheState;
use super::ticket::Ticket;
use super::CachedFunction;
use crate::capi::borrowed::Arguments;
use crate::capi::exceptions::ErrSet;
use crate::key::signature::ArgBuffer;

thread_local! {
    /// How many such callables run.
    static ASKING: Cell<u32> = const { Cell::new(0) };
    static MADE: RefCell<Vec<Invalidation>> = const { RefCell::new(Vec::new()) };
    static LEFT: RefCell<Vec<Left>> = const { RefCell::new(Vec::new()) };
    static HAS_LEFT: Cell<bool> = const { Cell::new(false) };
}

/// What was invalidated of a cache.
#[derive(Clone, Debug)]
pub(crate) enum Invalidated {
    Key(u64),
    Tags(Tags),
    All,
}

/// An invalidation, and the address of its cache.
#[derive(Clone, Debug)]
pub(crate) struct Invalidation(usize, Invalidated);

/// A call under way: the address of its cache, and where its arguments lie, which is no other call's place before it has ended.
type Call = (usize, usize);

/// What a call's callables have left for its computation.
struct Left {
    call: Call,
    all: Vec<Invalidation>,
    /// Of the call.
    tags: Tags,
}

fn address(state: &CacheState) -> usize {
    std::ptr::from_ref(state) as usize
}

fn call_of(state: &CacheState, arguments: &Arguments<'_>) -> Call {
    (address(state), arguments.address())
}

impl Invalidation {
    fn concerns(&self, cache: usize, hash: u64, tags: &[String]) -> bool {
        self.0 == cache
            && match &self.1 {
                Invalidated::Key(own) => *own == hash,
                Invalidated::Tags(own) => own.iter().any(|tag| tags.contains(tag)),
                Invalidated::All => true,
            }
    }
}

/// Notes an invalidation, if it is made inside such a callable.
#[inline]
pub(crate) fn note(state: &CacheState, what: impl FnOnce() -> Invalidated) {
    if ASKING.try_with(Cell::get).is_ok_and(|asking| asking != 0) {
        let made = Invalidation(address(state), what());
        let _ = MADE.try_with(|all| all.try_borrow_mut().map(|mut all| all.push(made)));
    }
}

/// A callable that runs; ends when dropped.
struct Asking;

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = ASKING.try_with(|asking| {
            asking.set(asking.get().saturating_sub(1));
            if asking.get() == 0 {
                let _ = MADE.try_with(|all| all.try_borrow_mut().map(|mut all| all.clear()));
            }
        });
    }
}

/// Runs a callable of the user's; what was invalidated of this cache meanwhile.
#[inline]
pub(crate) fn watch<R>(state: &CacheState, ask: impl FnOnce() -> R) -> (R, Vec<Invalidation>) {
    let _ = ASKING.try_with(|asking| asking.set(asking.get() + 1));
    let _asking = Asking;
    let made = || MADE.try_with(|all| all.try_borrow().map_or(0, |all| all.len())).unwrap_or(0);
    let before = made();
    let answer = ask();
    if made() == before {
        return (answer, Vec::new());
    }
    let own = |made: &&Invalidation| made.0 == address(state);
    let since = MADE.try_with(|all| all.try_borrow().map(|all| all.iter().skip(before).filter(own).cloned().collect()));
    (answer, since.ok().and_then(Result::ok).unwrap_or_default())
}

/// Whether one of these concerns a call with this key.
pub(crate) fn concern(all: &[Invalidation], state: &CacheState, hash: u64, tags: &[String]) -> bool {
    all.iter().any(|made| made.concerns(address(state), hash, tags))
}

/// Leaves these for the computation of a call. `tags`: of the call, as far as they are known.
pub(crate) fn leave(state: &CacheState, arguments: &Arguments<'_>, all: Vec<Invalidation>, tags: &[String]) {
    let call = call_of(state, arguments);
    let _ = LEFT.try_with(|left| {
        let Ok(mut left) = left.try_borrow_mut() else { return };
        match left.iter_mut().rev().find(|left| left.call == call) {
            Some(own) => {
                own.all.extend(all);
                own.tags = tags.to_vec();
            }
            None if all.is_empty() => (),
            None => left.push(Left { call, all, tags: tags.to_vec() }),
        }
        HAS_LEFT.set(!left.is_empty());
    });
}

/// Whether something was left, by whatever call of this thread.
#[inline]
pub(crate) fn has_left() -> bool {
    HAS_LEFT.try_with(Cell::get).unwrap_or(false)
}

/// Takes what was left for a call's computation, with the call's tags.
#[cold]
pub(crate) fn take_left(state: &CacheState, arguments: &Arguments<'_>) -> (Vec<Invalidation>, Tags) {
    let call = call_of(state, arguments);
    let taken = LEFT.try_with(|left| {
        let mut left = left.try_borrow_mut().ok()?;
        let at = left.iter().rposition(|left| left.call == call)?;
        let Left { all, tags, .. } = left.swap_remove(at);
        HAS_LEFT.set(!left.is_empty());
        Some((all, tags))
    });
    taken.ok().flatten().unwrap_or_default()
}

impl CachedFunction {
    /// Does again what the call's callables have invalidated of its key, as its computation begins: `Err` with an exception
    /// set.
    #[cold]
    #[inline(never)]
    pub(super) fn fence_again(&self, arguments: &Arguments<'_>) -> Result<(), ErrSet> {
        let (all, tags) = take_left(&self.state, arguments);
        if all.is_empty() {
            return Ok(());
        }
        let mut scratch = ArgBuffer::new();
        match self.view(arguments, &mut scratch) {
            Keyed::View(view) if concern(&all, &self.state, view.hash, &tags) => self.invalidate(&view).map(drop),
            Keyed::View(_) | Keyed::NotACall => Ok(()),
            Keyed::Failed => Err(ErrSet),
        }
    }

    /// The same of a ticket's key, whatever it was that concerns it.
    pub(super) fn invalidate_ticket(&self, ticket: &Bound<'_, Ticket>) -> PyResult<()> {
        let py = ticket.py();
        let ended = ticket.get().with_view(py, |view| {
            self.state.backend.invalidate(&self.state, view)?;
            self.state.invalidate(view).ok_or(ErrSet)
        });
        ended.map_err(|ErrSet| PyErr::fetch(py))?;
        self.state.flights.as_ref().map_or(Ok(()), |flights| flights.forget_key(ticket.as_any()))
    }
}
