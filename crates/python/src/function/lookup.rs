//! Finding a key's entry, with comparisons that may run user code made outside the lock.
//!
//! Ring 3. A pass over the candidates of a hash runs under the lock and compares in place what it can. Where only the
//! user's `__eq__` can tell, the pass ends with a strong reference to the stored key; the question is asked with no lock
//! held, its answer is noted in [`EqAnswers`], and the pass starts over. So whatever `__eq__` does (raise, call in again,
//! clear the cache, switch threads), the next pass sees the cache as it then is, and each stored key is asked once. When a
//! lookup gives up asking, [`eq_answers`](super::eq_answers) says.

use pyo3::ffi;

use super::eq_answers::{Answer, EqAnswers};
use super::state::CacheState;
use crate::backend::{Decoded, DecodedRef, HitPath};
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
    /// A live value: a new strong reference.
    Value(*mut ffi::PyObject),
    /// A computation in this slot, with the stored key.
    Pending(Token, PyRef),
    Absent,
    /// Whether this stored key is the call's, only Python can tell; with [`Cache::inserts`].
    Ask(PyRef, u64),
    /// A stored exception, as `exceptions::share` made it.
    Raise(PyRef),
    /// A value that is no longer fresh, counted, and whose refresh may begin: a new strong reference.
    Revalidate(Token, *mut ffi::PyObject),
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
    /// A live value: a new strong reference.
    Value(*mut ffi::PyObject),
    /// A computation in this slot, with the stored key.
    Pending(Token, PyRef),
    Absent,
    /// A stored exception, as `exceptions::share` made it.
    Raise(PyRef),
    /// A value that is no longer fresh, and whose refresh the caller has to begin: a new strong reference.
    Revalidate(*mut ffi::PyObject),
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
unsafe fn scan<'a>(
    cache: &'a Entries,
    view: &View<'_>,
    known: &EqAnswers,
    Pass { now, expires, windows, apart }: Pass,
) -> Result<Option<(Token, &'a PyRef, &'a Value)>, &'a PyRef> {
    for (token, slot, entry) in cache.candidates(view.hash) {
        if slot.meta != view.shape {
            continue;
        }
        // SAFETY: the entry's shape is the view's; the thread is attached (the caller's promise).
        let equal = unsafe {
            match view.equals(entry.key.as_ptr()) {
                Equality::Unknown if apart && view.is_apart(entry.key.as_ptr()) => Equality::No,
                Equality::Unknown => known.answer(entry.key.as_ptr()),
                answer => answer,
            }
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

/// What the hot pass found, in one register. A value's address is even and not 0.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct FastLookup(*mut u8);

impl FastLookup {
    /// Something that is left to [`CacheState::step`]; nothing was counted.
    const UNDECIDED: FastLookup = FastLookup::number(1);

    /// An odd number in a pointer's place, which is not looked at.
    #[inline(always)]
    const fn number(n: usize) -> Self {
        FastLookup(std::ptr::null_mut::<u8>().wrapping_add(n))
    }

    /// Nothing; a miss was counted. `inserts` is [`Cache::inserts`] at that moment.
    #[inline(always)]
    pub(crate) fn absent(inserts: u64) -> Self {
        FastLookup::number((inserts as usize) << 2 | 3)
    }

    /// The value found, a new strong reference.
    #[inline(always)]
    pub fn value(self) -> Option<*mut ffi::PyObject> {
        (self.0 as usize & 1 == 0).then_some(self.0.cast())
    }

    /// Whether nothing was found.
    pub fn is_absent(self) -> bool {
        self.0 as usize & 3 == 3
    }

    /// Whether nothing was found, and nothing can have come in since. A number that wraps after 2⁶² insertions.
    #[inline(always)]
    fn unchanged_since(self, cache: &Entries) -> bool {
        self.0 == Self::absent(cache.inserts()).0
    }
}

impl CacheState {
    /// The pass of a call, for the usual case alone: a live value whose key compares in place; no more code than a hit needs.
    /// `ONE_VALUE`: the view's shape is `key::ONE`.
    ///
    /// # Safety
    /// The view's objects are alive; the thread is attached.
    #[inline(always)]
    pub(crate) unsafe fn lookup_fast<B: HitPath, const ONE_VALUE: bool>(&self, view: &View<'_>) -> FastLookup {
        let reader = self.entries.reader();
        point("first pass");
        for (token, slot, entry) in reader.candidates(view.hash) {
            if slot.meta != view.shape {
                continue;
            }
            // SAFETY: the entry's shape is the view's; the thread is attached. An entry with a finished value is published.
            // Counting a reference runs nothing.
            unsafe {
                let key = entry.key.as_ptr();
                let equal = if ONE_VALUE { view.equals_one(key) } else { view.equals_many(key) };
                return match equal {
                    Equality::No => continue,
                    Equality::Yes => B::take(self, &reader, token, &entry.value)
                        .map_or(FastLookup::UNDECIDED, |v| FastLookup(v.cast())),
                    Equality::Unknown => FastLookup::UNDECIDED,
                };
            }
        }
        reader.miss();
        FastLookup::absent(reader.inserts())
    }

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

    /// What is handed out of a stored value.
    ///
    /// # Safety
    /// `object` is a strong reference, which is given up; the thread is attached and holds no lock.
    #[inline(always)]
    pub(crate) unsafe fn found(&self, object: *mut ffi::PyObject) -> Found {
        if !self.copies {
            return Found::Value(object);
        }
        // SAFETY: the caller's promise.
        let made = unsafe { handout::hand_out(object) };
        if made.is_null() {
            Found::Failed
        } else {
            Found::Value(made)
        }
    }

    /// Runs `insert` under the lock if the key is absent, which the hot pass may have shown already; otherwise gives it back.
    ///
    /// # Safety
    /// `insert` must not call into Python, nor drop an object.
    #[inline(always)]
    pub(crate) fn if_still_absent<F: FnOnce(&mut Entries) -> R, R>(&self, hot: FastLookup, insert: F) -> Result<R, F> {
        self.entries.write(
            |writer| {
                if hot.unchanged_since(writer.value) {
                    Ok(insert(writer.value))
                } else {
                    Err(insert)
                }
            },
        )
    }

    /// One pass; counts as `count` says, but for a pass that ends with a question.
    ///
    /// # Safety
    /// The view's objects are alive; the thread is attached.
    #[inline(always)]
    pub(crate) unsafe fn step(&self, view: &View<'_>, known: &EqAnswers, count: Accounting) -> ScanResult {
        let pass = self.pass();
        point("lookup");
        self.entries.read(|reader| {
            // SAFETY: the caller's promise; a count changes under the lock, which runs nothing.
            unsafe {
                match scan(&reader, view, known, pass) {
                    Ok(Some((token, _, value))) if self.is_special(&reader, token, value, pass.now) => {
                        self.step_special(&reader, token, value, pass.now, count)
                    }
                    Ok(Some((token, key, value))) => match value.object() {
                        Some(object) => {
                            ffi::Py_INCREF(object);
                            self.note_use(&reader, token, pass.now, count);
                            ScanResult::Value(object)
                        }
                        None => match value.as_decoded() {
                            Some(decoded) => decoded.step(token, count),
                            None => {
                                if count == Accounting::HitOrMiss {
                                    reader.miss();
                                }
                                ScanResult::Pending(token, key.clone_ref())
                            }
                        },
                    },
                    Ok(None) => {
                        if count == Accounting::HitOrMiss {
                            reader.miss();
                        }
                        ScanResult::Absent
                    }
                    Err(key) => ScanResult::Ask(key.clone_ref(), reader.inserts()),
                }
            }
        })
    }

    /// Goes on from the first pass of a lookup until it is decided.
    ///
    /// # Safety
    /// As for [`step`](Self::step), with no lock held.
    pub(crate) unsafe fn resolve(&self, view: &View<'_>, first: ScanResult, count: Accounting) -> Found {
        let mut step = first;
        let mut known = EqAnswers::NOTHING;
        loop {
            step = match step {
                // SAFETY: a strong reference; no lock is held.
                ScanResult::Value(object) => break unsafe { self.found(object) },
                ScanResult::Raise(shared) => break Found::Raise(shared),
                ScanResult::Spare => break Found::Spare,
                ScanResult::Revalidate(token, object) => {
                    // SAFETY: as above.
                    break match unsafe { (self.claim_refresh(token, object), self.found(object)) } {
                        (true, Found::Value(object)) => Found::Revalidate(object),
                        (_, found) => found,
                    };
                }
                ScanResult::Pending(token, key) => break Found::Pending(token, key),
                ScanResult::Absent => break Found::Absent,
                // SAFETY: the caller's promise.
                ScanResult::Ask(key, inserts) => unsafe {
                    match known.ask(view, key, inserts) {
                        Answer::Noted => self.step(view, &known, count),
                        Answer::Failed => break Found::Failed,
                        Answer::Restless => {
                            if count == Accounting::HitOrMiss {
                                self.entries.read(|reader| reader.miss());
                            }
                            break Found::Restless;
                        }
                    }
                },
                // SAFETY: the caller's promise.
                ScanResult::DecodedRef(token, decoded, kept) => match unsafe { self.deliver(kept, count) } {
                    Found::Absent => ScanResult::Gone(token, decoded),
                    found => break found,
                },
                // SAFETY: the caller's promise.
                ScanResult::StaleRef(token, decoded, kept, is_due) => match unsafe { self.deliver(kept, count) } {
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
    ///
    /// # Safety
    /// As for [`resolve`](Self::resolve).
    pub(crate) unsafe fn find(&self, view: &View<'_>, count: Accounting) -> Found {
        // SAFETY: the caller's promise.
        unsafe {
            let first = self.step(view, &EqAnswers::NOTHING, count);
            self.resolve(view, first, count)
        }
    }

    /// Runs `change` under the lock with the key's entry (its token, and whether its value is finished), found in the same
    /// critical section. `change` must not call into Python, nor drop an object.
    ///
    /// # Safety
    /// As for [`resolve`](Self::resolve).
    pub(crate) unsafe fn with_entry<R>(
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
                // SAFETY: the caller's promise.
                let at = match unsafe { scan(writer.value, view, &known, pass) } {
                    Ok(found) => found.map(|(token, _, value)| (token, value.is_finished())),
                    // SAFETY: the thread is attached.
                    Err(key) => return Err((unsafe { key.clone_ref() }, writer.value.inserts())),
                };
                Ok(change.take().map(|change| change(writer.value, at)))
            });
            match outcome {
                // The change is made once.
                Ok(result) => break result.map_or(Changed::Restless, Changed::Done),
                // SAFETY: the caller's promise.
                Err((key, inserts)) => match unsafe { known.ask(view, key, inserts) } {
                    Answer::Noted => (),
                    Answer::Restless => break Changed::Restless,
                    Answer::Failed => break Changed::Failed,
                },
            }
        }
    }
}
