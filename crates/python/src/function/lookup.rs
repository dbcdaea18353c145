//! Finding a key's entry, with comparisons that may run user code made outside the lock.
//!
//! Ring 3. A pass over the candidates of a hash runs under the lock and compares in place what it can. Where only the
//! user's `__eq__` can tell, the pass ends with a strong reference to the stored key; the question is asked with no lock
//! held, its answer is noted in [`EqAnswers`], and the pass starts over. So whatever `__eq__` does (raise, call in again,
//! clear the cache, switch threads), the next pass sees the cache as it then is, and each stored key is asked once. When a
//! lookup gives up asking, [`eq_answers`](super::eq_answers) says.

use pyo3::ffi;
use pyo3::prelude::*;

use super::eq_answers::{Answer, EqAnswers};
use super::state::CacheState;
use crate::backend::{Decoded, DecodedRef};
use crate::capi::panics::point;
use crate::capi::reference::PyRef;
use crate::capi::sharing::Reader;
use crate::function::handout;
use crate::function::slot_value::Value;
use crate::key::{Equality, View};
use concurrency::clock;
use engine::cache::{Cache, Freshness};
use engine::slab::Token;

/// The cache of a decorated function.
pub type Entries = Cache<PyRef, Value>;

/// What a lookup counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// A call: a hit or a miss.
    HitOrMiss,
    /// A use that is neither.
    AccessOnly,
    /// Nothing.
    None,
}

/// What one pass found.
#[derive(Debug)]
pub enum ScanResult {
    /// A live value.
    Value(PyRef),
    /// A computation in this slot, with the stored key.
    Pending(Token, PyRef),
    Absent,
    /// Whether this stored key is the call's, only Python can tell; with [`Cache::inserts`].
    Ask(PyRef, u64),
    /// A stored exception, as `exceptions::share` made it.
    Raise(PyRef),
    /// A value that is no longer fresh, counted, and whose refresh may begin.
    Revalidate(Token, PyRef),
    /// A value that serves where computing fails.
    Spare,
    /// A live value of the decoded level, not yet counted.
    DecodedRef(Token, *const Decoded, DecodedRef),
    /// The same of one that is no longer fresh; and whether its refresh is due.
    StaleRef(Token, *const Decoded, DecodedRef, bool),
    /// What the file no longer has.
    Gone(Token, *const Decoded),
}

/// What a lookup found.
#[derive(Debug)]
pub enum Found {
    /// A live value.
    Value(PyRef),
    /// A computation in this slot, with the stored key.
    Pending(Token, PyRef),
    Absent,
    /// A stored exception, as `exceptions::share` made it.
    Raise(PyRef),
    /// A value that is no longer fresh, and whose refresh the caller has to begin.
    Revalidate(PyRef),
    /// Absent, but for a value that serves where computing fails.
    Spare,
    /// The cache changed at every comparison, so there is no telling.
    Restless,
    /// An exception is set.
    Failed,
}

/// How a change of a key's entry ended.
#[derive(Debug)]
pub enum Changed<R> {
    Done(R),
    /// Nothing was done, as there is no telling where the entry is.
    Restless,
    /// An exception is set.
    Failed,
}

/// What a pass is to know of the cache.
#[derive(Clone, Copy)]
struct Pass {
    now: u64,
    /// Whether entries may end.
    expires: bool,
    /// Whether they are stale for some time before.
    windows: bool,
    /// See [`CacheState::lone_apart`].
    apart: bool,
}

/// The entry of a key in one pass: its token, or the stored key to ask about.
#[inline(always)]
fn scan<'a>(
    cache: &'a Entries,
    view: &View<'_>,
    known: &EqAnswers,
    Pass { now, expires, windows, apart }: Pass,
) -> Result<Option<(Token, &'a PyRef, &'a Value)>, &'a PyRef> {
    for (token, slot, entry) in cache.candidates(view.hash) {
        if slot.meta != view.shape {
            continue;
        }
        let key = entry.key.lend(view.py());
        // SAFETY: the entry's shape is the view's.
        let equal = match unsafe { view.equals(key) } {
            Equality::Unknown if apart && view.is_apart(key) => Equality::No,
            Equality::Unknown => known.answer(key.as_ptr()),
            answer => answer,
        };
        match equal {
            Equality::No => continue,
            Equality::Unknown => return Err(&entry.key),
            Equality::Yes => {
                // SAFETY: an entry with a finished value is published.
                let is_over = expires && entry.value.is_finished() && unsafe { cache.expired(token, now) };
                if is_over && (!windows || cache.freshness(token, now) == Freshness::Ended) {
                    continue;
                }
                return Ok(Some((token, &entry.key, &entry.value)));
            }
        }
    }
    Ok(None)
}

impl CacheState {
    /// A live value, counted as a hit: a new strong reference. `None` if there is none, or it has expired.
    ///
    /// # Safety
    /// `token` names an entry of the reader's, whose value is `value`; the thread is attached.
    #[inline(always)]
    pub(crate) unsafe fn take(
        &self,
        reader: &Reader<'_, Entries>,
        token: Token,
        value: &Value,
    ) -> Option<*mut ffi::PyObject> {
        let object = value.object()?;
        // SAFETY: an entry with a finished value is published. Counting a reference runs nothing.
        unsafe {
            if self.expires() && reader.expired(token, clock::now()) {
                return None;
            }
            ffi::Py_INCREF(object);
            reader.hit(token);
        }
        Some(object)
    }

    fn pass(&self) -> Pass {
        Pass { now: self.now(), expires: self.expires(), windows: self.has_windows, apart: self.lone_apart }
    }

    /// Notes a use of an entry, as `count` says.
    ///
    /// # Safety
    /// `token` names a published entry.
    #[inline(always)]
    pub(super) unsafe fn note_use(&self, reader: &Reader<'_, Entries>, token: Token, now: u64, count: Accounting) {
        // SAFETY: the caller's promise.
        unsafe {
            match count {
                Accounting::HitOrMiss => reader.hit(token),
                Accounting::AccessOnly => reader.used(token),
                Accounting::None => return,
            }
            if self.is_idle_bound {
                reader.used_at(token, now);
            }
        }
    }

    /// What is handed out of a stored value. It may run user code.
    #[inline(always)]
    pub(crate) fn found(&self, py: Python<'_>, object: PyRef) -> Found {
        if self.copies {
            handout::hand_out(py, object).map_or(Found::Failed, Found::Value)
        } else {
            Found::Value(object)
        }
    }

    /// [`found`](Self::found), where that is all: `None` with an exception set.
    pub(crate) fn handed_out(&self, py: Python<'_>, object: PyRef) -> Option<PyRef> {
        match self.found(py, object) {
            Found::Value(object) => Some(object),
            _ => None,
        }
    }

    /// One pass; counts as `count` says, but for a pass that ends with a question.
    #[inline(always)]
    pub(crate) fn step(&self, view: &View<'_>, known: &EqAnswers, count: Accounting) -> ScanResult {
        let pass = self.pass();
        point("lookup");
        let py = view.py();
        self.entries.read(|reader| match scan(&reader, view, known, pass) {
            // SAFETY: the token names the entry that has the value.
            Ok(Some((token, _, value))) if unsafe { self.is_special(&reader, token, value, pass.now) } => {
                // SAFETY: the token names the entry that has the value, which is special.
                unsafe { self.step_special(py, &reader, token, value, pass.now, count) }
            }
            Ok(Some((token, key, value))) => match value.object() {
                Some(object) => {
                    // SAFETY: an entry with a finished value is published, and keeps it.
                    unsafe {
                        let object = PyRef::borrow(object);
                        self.note_use(&reader, token, pass.now, count);
                        ScanResult::Value(object)
                    }
                }
                None => match value.as_decoded() {
                    Some(decoded) => decoded.step(py, token, count),
                    None => {
                        if count == Accounting::HitOrMiss {
                            reader.miss();
                        }
                        ScanResult::Pending(token, key.clone_ref(py))
                    }
                },
            },
            Ok(None) => {
                if count == Accounting::HitOrMiss {
                    reader.miss();
                }
                ScanResult::Absent
            }
            Err(key) => ScanResult::Ask(key.clone_ref(py), reader.inserts()),
        })
    }

    /// Goes on from the first pass of a lookup until it is decided.
    pub(crate) fn resolve(&self, view: &View<'_>, first: ScanResult, count: Accounting) -> Found {
        let py = view.py();
        let mut step = first;
        let mut known = EqAnswers::NOTHING;
        loop {
            step = match step {
                ScanResult::Value(object) => break self.found(py, object),
                ScanResult::Raise(shared) => break Found::Raise(shared),
                ScanResult::Spare => break Found::Spare,
                ScanResult::Revalidate(token, object) => {
                    break match (self.claim_refresh(token, &object), self.found(py, object)) {
                        (true, Found::Value(object)) => Found::Revalidate(object),
                        (_, found) => found,
                    };
                }
                ScanResult::Pending(token, key) => break Found::Pending(token, key),
                ScanResult::Absent => break Found::Absent,
                // SAFETY: a pass of this lookup gave the key.
                ScanResult::Ask(key, inserts) => match unsafe { known.ask(view, key, inserts) } {
                    Answer::Noted => self.step(view, &known, count),
                    Answer::Failed => break Found::Failed,
                    Answer::Restless => {
                        if count == Accounting::HitOrMiss {
                            self.entries.read(|reader| reader.miss());
                        }
                        break Found::Restless;
                    }
                },
                ScanResult::DecodedRef(token, decoded, kept) => match self.deliver(py, kept, count) {
                    Found::Absent => ScanResult::Gone(token, decoded),
                    found => break found,
                },
                ScanResult::StaleRef(token, decoded, kept, is_due) => match self.deliver(py, kept, count) {
                    Found::Absent => ScanResult::Gone(token, decoded),
                    Found::Value(object) => {
                        self.count_stale_hit();
                        break if is_due { Found::Revalidate(object) } else { Found::Value(object) };
                    }
                    found => break found,
                },
                ScanResult::Gone(token, decoded) => {
                    self.forget_gone(token, decoded);
                    break Found::Absent;
                }
            };
        }
    }

    /// A whole lookup.
    pub(crate) fn find(&self, view: &View<'_>, count: Accounting) -> Found {
        let first = self.step(view, &EqAnswers::NOTHING, count);
        self.resolve(view, first, count)
    }

    /// Runs `change` under the lock with the key's entry (its token, and whether its value is finished), found in the same
    /// critical section. `change` must not call into Python, nor drop an object.
    pub(crate) fn with_entry<R>(
        &self,
        view: &View<'_>,
        change: impl FnOnce(&mut Entries, Option<(Token, bool)>) -> R,
    ) -> Changed<R> {
        let mut change = Some(change);
        let mut known = EqAnswers::NOTHING;
        loop {
            let pass = self.pass();
            let outcome = self.entries.write(|writer| {
                point("change");
                let at = match scan(writer.value, view, &known, pass) {
                    Ok(found) => found.map(|(token, _, value)| (token, value.is_finished())),
                    Err(key) => return Err((key.clone_ref(view.py()), writer.value.inserts())),
                };
                Ok(change.take().map(|change| change(writer.value, at)))
            });
            match outcome {
                // The change is made once.
                Ok(result) => break result.map_or(Changed::Restless, Changed::Done),
                // SAFETY: a pass of this change gave the key.
                Err((key, inserts)) => match unsafe { known.ask(view, key, inserts) } {
                    Answer::Noted => (),
                    Answer::Restless => break Changed::Restless,
                    Answer::Failed => break Changed::Failed,
                },
            }
        }
    }
}
