//! A miss of a function with a shared cache: one computation for all processes.
//!
//! Ring 3. Among the threads of a process a miss has a flight, as in memory. Its leader asks for the key's lease in the
//! file; whoever has it computes. A leader who does not get it waits for the other process, which may store the value, end
//! without one, or die; then it looks into the file and asks again, and whether it waits once more is up to its [`Turn`].
//! At the bound, counted from when this caller began to wait for anybody, it takes the lease away.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::ffi;

use super::held::Note;
use super::skips::Skipped;
use super::turn::Turn;
use crate::backend::shared::access::{KeyAccess, Lookup, Put, StoreCondition};
use crate::backend::shared::decoded::Decoded;
use crate::backend::shared::reopen::File;
use crate::capi::detach::Sleeper;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::{release, Arguments, PyRef};
use crate::codec::Refusal;
use crate::function::control::{Tags, Verdict};
use crate::function::lookup::FastLookup;
use crate::function::running::InFile;
use crate::function::single_flight::{Miss, Reserved};
use crate::function::slot_value::{SharedFlight, Value};
use crate::function::state::Put as Mode;
use crate::function::CachedFunction;
use crate::key::View;
use concurrency::inflight::Outcome;
use shared::{Acquired, Lease, Purpose, Skip, Tags as FileTags, Ticket, Waited};

/// A missed call.
pub(crate) struct Call<'a> {
    cached: &'a CachedFunction,
    request: KeyAccess<'a>,
    arguments: &'a Arguments,
    /// When this caller began to wait for somebody.
    waiting_since: Option<Instant>,
    turn: Turn,
    /// Of the key.
    hash: u64,
    /// What there is to say to the user.
    skipped: Option<Skipped>,
    /// It is counted that a value could not be read.
    is_counted: bool,
    /// What was put into the decoded level.
    note: Option<Note>,
    /// What the file no longer has was let go since.
    has_let_go: bool,
    /// The tags of the call, once they are worked out.
    tags: Option<Tags>,
    /// What it brings is an old value, as computing has failed.
    is_stale: bool,
}

/// What bringing the value came to.
enum Loaded {
    /// A new strong reference, and what to keep of it if it is in the file.
    Value(*mut ffi::PyObject, Option<Box<Decoded>>),
    /// An exception is set.
    Failed,
}

/// How a wait for another process ended.
enum Awaited {
    /// Look and ask again.
    Over(Waited),
    TimeIsUp,
    /// An exception is set.
    Interrupted,
}

thread_local! {
    /// The keys that this thread computes under a lease, as their hashes (which the seeds of files tell apart).
    static COMPUTING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The registration of a key as being computed by this thread; ends when dropped.
struct Computing(u64);

impl Computing {
    fn begin(hash: u64) -> Computing {
        let _ = COMPUTING.try_with(|keys| keys.try_borrow_mut().map(|mut keys| keys.push(hash)));
        Computing(hash)
    }

    /// Whether this very thread computes the key: to wait for it would never end.
    fn has(hash: u64) -> bool {
        COMPUTING.try_with(|keys| keys.try_borrow().is_ok_and(|keys| keys.contains(&hash))).unwrap_or(false)
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        let _ = COMPUTING.try_with(|keys| {
            let mut keys = keys.try_borrow_mut().ok()?;
            // Greenlets of one thread may end in any order.
            let at = keys.iter().rposition(|hash| *hash == self.0)?;
            Some(keys.swap_remove(at))
        });
    }
}

fn address(file: &File) -> usize {
    std::ptr::from_ref(file) as usize
}

impl<'a> Call<'a> {
    /// `unreadable`: the value that was found, counted.
    pub fn new(
        cached: &'a CachedFunction,
        request: KeyAccess<'a>,
        arguments: &'a Arguments,
        hash: u64,
        unreadable: Option<Skipped>,
    ) -> Self {
        Call {
            cached,
            request,
            arguments,
            waiting_since: None,
            turn: Turn::default(),
            hash,
            is_counted: unreadable.is_some(),
            skipped: unreadable,
            note: None,
            has_let_go: false,
            tags: None,
            is_stale: false,
        }
    }

    /// Counts that a value could not be read, once for the call, and tells it at the end.
    fn count_unreadable(&mut self, skipped: Skipped) {
        if !std::mem::replace(&mut self.is_counted, true) {
            self.request.shared.count_skip(Some(self.request.file), skipped.skip);
            self.skipped = Some(skipped);
        }
    }

    /// Keeps in the decoded level what was brought, and gives the value.
    ///
    /// # Safety
    /// The call and the view last; the thread is attached and holds no lock. So for all methods.
    unsafe fn keep(&mut self, view: &View<'_>, brought: Loaded) -> *mut ffi::PyObject {
        match brought {
            Loaded::Value(value, kept) => {
                self.has_let_go = true;
                // SAFETY: the caller's promise.
                unsafe { self.cached.state.keep(self.request.shared, view, kept, Mode::UnlessPending) };
                value
            }
            Loaded::Failed => std::ptr::null_mut(),
        }
    }

    /// Computes, and stores what came of it.
    unsafe fn compute_and_store(&mut self, lease: Option<Lease>) -> Loaded {
        let shm = &self.request.file.shm;
        let began = || shm.begin(self.request.hash);
        let began = || StoreCondition::since(&self.cached.state, began());
        let hold = lease.map_or_else(began, StoreCondition::Lease);
        // SAFETY: the caller's promise, throughout.
        unsafe {
            // Until the result is stored: pickling it may come here again.
            let _computing = matches!(hold, StoreCondition::Lease(_)).then(|| Computing::begin(self.request.hash));
            if self.work_out_tags().is_err() {
                hold.give_up(&self.request.file.shm, true);
                return Loaded::Failed;
            }
            let noted = self.request.shared.noted(self.tags());
            let result = self.cached.compute(self.arguments);
            if result.is_null() {
                return self.failed(hold, noted);
            }
            let mut of_result = None;
            if let Some(control) = &self.cached.state.control {
                match control.appraise(result, self.tags().to_vec()) {
                    Ok(Verdict::Store(terms)) => {
                        self.request.set_terms(control.keeping(&terms, noted));
                        of_result = Some(terms);
                    }
                    Ok(Verdict::Drop) => {
                        hold.drop_older(shm);
                        self.request.encode_for_waiters(result);
                        return Loaded::Value(result, None);
                    }
                    Err(ErrSet) => {
                        hold.give_up(shm, true);
                        let raised = crate::capi::exceptions::take();
                        release(result);
                        raised.into_iter().for_each(|raised| crate::capi::exceptions::set(raised));
                        return Loaded::Failed;
                    }
                }
            }
            let stored = of_result.as_ref().map_or(result, |terms| terms.stored(result));
            match self.request.store(stored, hold) {
                Ok(Put::Stored(kept, skipped)) => {
                    self.skipped = skipped.or(self.skipped.take());
                    Loaded::Value(result, kept)
                }
                Ok(Put::Skipped(skipped)) => {
                    self.skipped = Some(skipped);
                    Loaded::Value(result, None)
                }
                Err(ErrSet) => {
                    // What is raised takes the result's place; it must not meet the end of the result.
                    let raised = exceptions::take();
                    release(result);
                    raised.into_iter().for_each(|raised| exceptions::set(raised));
                    Loaded::Failed
                }
            }
        }
    }

    /// The end of a computation that raised: an old value may serve, the exception may be stored.
    #[cold]
    unsafe fn failed(&mut self, hold: StoreCondition, noted: FileTags) -> Loaded {
        let (state, shm) = (&self.cached.state, &self.request.file.shm);
        // SAFETY: the caller's promise, throughout; an exception is set.
        unsafe {
            let Some(control) = state.control.as_ref().filter(|_| exceptions::is_set_shareable()) else {
                hold.give_up(shm, true);
                return Loaded::Failed;
            };
            let Some(raised) = exceptions::take() else {
                hold.give_up(shm, false);
                return Loaded::Failed;
            };
            match self.request.spare() {
                Ok(Some(value)) => {
                    hold.give_up(shm, false);
                    state.count_stale_hit();
                    self.is_stale = true;
                    return Loaded::Value(value, None);
                }
                Ok(None) => (),
                Err(ErrSet) => {
                    hold.give_up(shm, true);
                    return Loaded::Failed;
                }
            }
            match control.store_exception(&raised, self.tags().to_vec()) {
                None => hold.give_up(shm, false),
                Some(Ok(terms)) => {
                    self.request.set_terms(control.keeping(&terms, noted));
                    if let Some(shared) = terms.value.as_owned() {
                        match self.request.store_raised(shared, hold) {
                            Ok(skipped) => self.skipped = skipped.or(self.skipped.take()),
                            Err(ErrSet) => return Loaded::Failed,
                        }
                    }
                }
                // Interrupted: that is what this caller is to have.
                Some(Err(ErrSet)) => {
                    hold.give_up(shm, true);
                    return Loaded::Failed;
                }
            }
            exceptions::set(raised);
            Loaded::Failed
        }
    }

    /// Asks for the tags of the call, once.
    #[inline]
    unsafe fn work_out_tags(&mut self) -> Result<(), ErrSet> {
        if let (Some(control), None) = (&self.cached.state.control, &self.tags) {
            // SAFETY: the caller's promise.
            self.tags = Some(unsafe { control.tags_of(self.arguments) }?);
        }
        Ok(())
    }

    /// The tags of the call, as they were worked out.
    fn tags(&self) -> &[String] {
        self.tags.as_deref().unwrap_or_default()
    }

    /// How the fences of the call stand.
    fn in_file(&self) -> InFile {
        let &KeyAccess { shared, file, hash, .. } = &self.request;
        InFile { file: address(file), hash, began: file.shm.begin(hash), tags: shared.noted(self.tags()) }
    }

    /// Computes what somebody else is about to store.
    unsafe fn compute_beside(&mut self) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        let result = unsafe { self.cached.compute(self.arguments) };
        if !result.is_null() {
            self.request.shared.count_skip(Some(self.request.file), Skip::Superseded);
        }
        result
    }

    /// Has the value computed by one of all processes. `free_waiters`: frees those who wait for this call.
    unsafe fn load_or_compute(&mut self, mut free_waiters: impl FnMut()) -> Loaded {
        let bound = self.cached.state.wait_timeout.unwrap_or(Duration::MAX);
        let (mut insist, mut unreadable) = (false, false);
        // SAFETY: the caller's promise, throughout.
        unsafe {
            if self.work_out_tags().is_err() {
                return Loaded::Failed;
            }
            loop {
                let shm = &self.request.file.shm;
                let noted = self.request.shared.noted(self.tags());
                match shm.acquire_sought(Purpose::Miss, &self.request.sought(), &noted, bound, insist) {
                    Acquired::Leader(lease) => return self.compute_and_store(Some(lease)),
                    Acquired::Alone => return self.compute_and_store(None),
                    // What is there cannot be decoded.
                    Acquired::Present if unreadable => return self.compute_and_store(None),
                    Acquired::Present => unreadable = true,
                    Acquired::Follower(ticket) if ticket.mine && Computing::has(self.request.hash) => {
                        let result = self.compute_beside();
                        return if result.is_null() { Loaded::Failed } else { Loaded::Value(result, None) };
                    }
                    Acquired::Follower(_) if self.turn.is_free() => return self.compute_and_store(None),
                    Acquired::Follower(ticket) => match self.wait(&ticket, self.cached.state.wait_timeout) {
                        Awaited::Over(how) => self.turn.note(how),
                        Awaited::TimeIsUp => insist = true,
                        Awaited::Interrupted => return Loaded::Failed,
                    },
                }
                match self.request.look() {
                    Lookup::Found(value, kept) => return Loaded::Value(value, kept),
                    // Whoever calls next has it computed anew.
                    Lookup::Stale(value, ..) => return Loaded::Value(value, None),
                    Lookup::Raise(shared) => {
                        exceptions::raise_own(&shared);
                        return Loaded::Failed;
                    }
                    Lookup::Failed => return Loaded::Failed,
                    Lookup::Absent => (),
                    Lookup::Unreadable(skipped) => {
                        self.count_unreadable(skipped);
                        self.turn.note_unreadable();
                    }
                }
                if self.turn.frees_others() {
                    free_waiters();
                }
            }
        }
    }

    /// Waits for another's computation.
    unsafe fn wait(&mut self, ticket: &Ticket, bound: Option<Duration>) -> Awaited {
        let waiting_since = *self.waiting_since.get_or_insert_with(Instant::now);
        let shm = &self.request.file.shm;
        // SAFETY: the thread is attached and holds no lock; the file knows nothing of Python.
        let Ok(mut sleeper) = (unsafe { Sleeper::new() }) else { return Awaited::Interrupted };
        loop {
            let left = bound.map_or(Duration::MAX, |bound| bound.saturating_sub(waiting_since.elapsed()));
            if left.is_zero() {
                return Awaited::TimeIsUp;
            }
            // SAFETY: as above.
            match unsafe { sleeper.wait(left, |slice| shm.wait(ticket, slice)) } {
                Ok(Waited::NotYet) => (),
                Ok(how) => return Awaited::Over(how),
                Err(ErrSet) => return Awaited::Interrupted,
            }
        }
    }
}

impl Miss for Call<'_> {
    unsafe fn lead(&mut self, reserved: Option<Reserved>, mut flight: Option<SharedFlight>) -> *mut ffi::PyObject {
        let state = &self.cached.state;
        // SAFETY: the promise of `Miss`, throughout.
        unsafe {
            if self.work_out_tags().is_err() {
                state.settle_failure(reserved, flight);
                return std::ptr::null_mut();
            }
            // Before anything is looked for in the file.
            let in_file = reserved.map(|_| self.in_file());
            let _running = state.running.note(reserved, self.tags(), in_file);
            match self.load_or_compute(|| state.free_waiters(reserved, &mut flight)) {
                Loaded::Value(value, kept) => {
                    let immutable = kept.as_ref().map(|kept| kept.is_immutable());
                    self.note = kept.as_ref().map(|kept| kept.note(self.hash));
                    self.cached.state.settle(reserved, flight, kept.map(Value::decoded), || match immutable {
                        Some(true) => Outcome::Value(Arc::new(PyRef::borrow(value))),
                        // What each caller must have for its own, those who waited get from the decoded level.
                        Some(false) => Outcome::Abandoned,
                        None if self.is_stale => Outcome::Stale(Box::new(self.request.outcome(value))),
                        None => self.request.outcome(value),
                    });
                    value
                }
                Loaded::Failed => {
                    self.cached.state.settle_failure(reserved, flight);
                    std::ptr::null_mut()
                }
            }
        }
    }

    unsafe fn bring_alone(&mut self, view: &View<'_>, _: FastLookup) -> *mut ffi::PyObject {
        // SAFETY: the promise of `Miss`.
        unsafe {
            let brought = self.compute_and_store(None);
            self.keep(view, brought)
        }
    }

    unsafe fn compute(&mut self) -> *mut ffi::PyObject {
        // SAFETY: the promise of `Miss`.
        unsafe { self.compute_beside() }
    }

    unsafe fn compute_beside_green(&mut self, view: &View<'_>) -> *mut ffi::PyObject {
        // If it computes, so do we; if it waits for another process, so do we.
        // SAFETY: the promise of `Miss`.
        unsafe { self.bring_beside(view) }
    }

    unsafe fn bring_beside(&mut self, view: &View<'_>) -> *mut ffi::PyObject {
        // SAFETY: the promise of `Miss`.
        unsafe {
            let brought = self.load_or_compute(|| ());
            self.keep(view, brought)
        }
    }

    fn is_fenced(&self, reserved: Reserved) -> bool {
        let file = self.request.file;
        self.cached.state.running.any_in_file(reserved, |noted| {
            noted.file != address(file) || !file.shm.is_current(noted.hash, noted.began, &noted.tags)
        })
    }

    fn waits(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    fn is_free(&mut self) {
        self.turn.free();
    }

    fn is_unreadable(&mut self, refusal: Option<Refusal>) {
        self.count_unreadable(Skipped { refusal, ..Skipped::new(Skip::Unreadable) });
    }

    /// What the file no longer has goes, and the user is told what was not stored.
    unsafe fn finish(&mut self, view: &View<'_>, result: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the promise of `Miss`; no exception is set but where there is no result.
        unsafe {
            if result.is_null() {
                if let Some(skipped) = self.skipped.take() {
                    self.cached.tell_beside(skipped, view);
                }
                return result;
            }
            if !self.has_let_go {
                self.cached.state.let_go(self.request.shared, self.note.as_ref());
            }
            self.cached.tell_with(self.skipped.take(), view, result)
        }
    }
}
