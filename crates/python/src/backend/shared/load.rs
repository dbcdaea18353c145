//! A miss of a function with a shared cache: one computation for all processes.
//!
//! Ring 3. Among the threads of a process a miss has a flight, as in memory. Its leader asks for the key's lease in the
//! file; whoever has it computes. A leader who does not get it waits for the other process, which may store the value, end
//! without one, or die; then it looks into the file and asks again, and whether it waits once more is up to its [`Turn`].
//! At the bound, counted from when this caller began to wait for anybody, it takes the lease away.

mod leading;
mod storing;

use std::time::{Duration, Instant};

use self::storing::Storing;
use super::computing::Computing;
use super::held::Note;
use super::skips::Skipped;
use super::turn::Turn;
use crate::backend::shared::access::{KeyAccess, Lookup};
use crate::backend::shared::decoded::Decoded;
use crate::backend::shared::file::File;
use crate::capi::borrowed::Arguments;
use crate::capi::detach::Sleeper;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::reference::PyRef;
use crate::codec::Refusal;
use crate::function::computation::Computation;
use crate::function::control::Tags;
use crate::function::fast_lookup::FastLookup;
use crate::function::refreshing::Followed;
use crate::function::running::{Beyond, InFile};
use crate::function::single_flight::{Miss, Reserved};
use crate::function::slot_value::SharedFlight;
use crate::function::state::Put as Mode;
use crate::function::CachedFunction;
use crate::key::View;
use shared::{Acquired, Purpose, Skip, Ticket, Waited};

/// A missed call.
pub(crate) struct Call<'a> {
    cached: &'a CachedFunction,
    request: KeyAccess<'a>,
    arguments: &'a Arguments<'a>,
    /// When this caller began to wait for somebody.
    waiting_since: Option<Instant>,
    turn: Turn,
    /// A refresh of this process has the lease, and cannot be waited for.
    is_beside: bool,
    /// It has had its time.
    insists: bool,
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
    /// The value, and what to keep of it if it is in the file.
    Value(PyRef, Option<Box<Decoded>>),
    /// An exception is set.
    Failed,
}

impl Loaded {
    /// The value; `None` with an exception set.
    fn value(self) -> Option<PyRef> {
        match self {
            Loaded::Value(value, _) => Some(value),
            Loaded::Failed => None,
        }
    }
}

/// Where bringing the value stands.
enum Loading {
    Over(Loaded),
    /// The function is to be called.
    Compute(Course),
}

/// What is to become of a result, whose computation begins.
enum Course {
    /// It is stored.
    Store(Box<Storing>),
    /// It is for this caller alone: somebody else is about to store one.
    Beside,
}

/// How a wait for another process ended.
enum Awaited {
    /// Look and ask again.
    Over(Waited),
    TimeIsUp,
    /// An exception is set.
    Interrupted,
}

fn address(file: &File) -> usize {
    std::ptr::from_ref(file) as usize
}

impl<'a> Call<'a> {
    /// `unreadable`: the value that was found, counted.
    pub fn new(
        cached: &'a CachedFunction,
        request: KeyAccess<'a>,
        arguments: &'a Arguments<'a>,
        hash: u64,
        unreadable: Option<Skipped>,
    ) -> Box<Self> {
        Box::new(Call {
            cached,
            request,
            arguments,
            waiting_since: None,
            turn: Turn::default(),
            is_beside: false,
            insists: false,
            hash,
            is_counted: unreadable.is_some(),
            skipped: unreadable,
            note: None,
            has_let_go: false,
            tags: None,
            is_stale: false,
        })
    }

    /// Counts that a value could not be read, once for the call, and tells it at the end.
    fn count_unreadable(&mut self, skipped: Skipped) {
        if !std::mem::replace(&mut self.is_counted, true) {
            self.request.shared.count_skip(Some(self.request.file), skipped.skip);
            self.skipped = Some(skipped);
        }
    }

    /// Keeps in the decoded level what was brought, and gives the value.
    fn keep(&mut self, view: &View<'_>, brought: Loaded) -> Option<PyRef> {
        match brought {
            Loaded::Value(value, kept) => {
                self.has_let_go = true;
                self.cached.state.keep(self.request.shared, view, kept, Mode::UnlessPending);
                Some(value)
            }
            Loaded::Failed => None,
        }
    }

    /// Asks for the tags of the call, once.
    #[inline]
    fn work_out_tags(&mut self) -> Result<(), ErrSet> {
        if let (Some(control), None) = (&self.cached.state.control, &self.tags) {
            self.tags = Some(control.tags_of(&self.cached.state, self.arguments)?);
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
        let tags = shared.noted(self.arguments.py(), self.tags());
        InFile { file: address(file), hash, began: file.shm.begin(hash), tags }
    }

    /// Has the value computed by one of all processes: brings it, or says that this call is the one. `free_waiters`: frees those
    /// who wait for this call.
    fn load(&mut self, mut free_waiters: impl FnMut()) -> Loading {
        let bound = self.cached.state.wait_timeout.unwrap_or(Duration::MAX);
        let (mut insist, mut unreadable) = (self.insists, false);
        if self.work_out_tags().is_err() {
            return Loading::Over(Loaded::Failed);
        }
        loop {
            let shm = &self.request.file.shm;
            let noted = self.request.shared.noted(self.arguments.py(), self.tags());
            match shm.acquire_sought(Purpose::Miss, &self.request.sought(), &noted, bound, insist) {
                Acquired::Leader(lease) => return self.begin_storing(Some(lease)),
                Acquired::Alone => return self.begin_storing(None),
                // What is there cannot be decoded.
                Acquired::Present if unreadable => return self.begin_storing(None),
                Acquired::Present => unreadable = true,
                Acquired::Follower(ticket) if ticket.mine && (self.is_beside || Computing::has(self.request.hash)) => {
                    return Loading::Compute(Course::Beside);
                }
                Acquired::Follower(_) if self.turn.is_free() => return self.begin_storing(None),
                Acquired::Follower(ticket) => match self.wait(&ticket, self.cached.state.wait_timeout) {
                    Awaited::Over(how) => self.turn.note(how),
                    Awaited::TimeIsUp => insist = true,
                    Awaited::Interrupted => return Loading::Over(Loaded::Failed),
                },
            }
            match self.request.look() {
                Lookup::Found(value, kept) => return Loading::Over(Loaded::Value(value, kept)),
                // Whoever calls next has it computed anew.
                Lookup::Stale(value, ..) => return Loading::Over(Loaded::Value(value, None)),
                Lookup::Raise(shared) => {
                    exceptions::raise_own(self.arguments.py(), &shared);
                    return Loading::Over(Loaded::Failed);
                }
                Lookup::Failed => return Loading::Over(Loaded::Failed),
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

    /// Ends what `load` has begun for this caller alone.
    #[inline(never)]
    fn bring(&mut self, view: &View<'_>, loading: Loading) -> Option<PyRef> {
        let brought = match loading {
            Loading::Over(brought) => brought,
            Loading::Compute(course) => {
                let result = self.cached.compute(self.arguments);
                self.end(course, result)
            }
        };
        self.keep(view, brought)
    }

    /// Waits for another's computation.
    fn wait(&mut self, ticket: &Ticket, bound: Option<Duration>) -> Awaited {
        let py = self.arguments.py();
        let waiting_since = *self.waiting_since.get_or_insert_with(Instant::now);
        let shm = &self.request.file.shm;
        let Ok(mut sleeper) = Sleeper::new(py) else { return Awaited::Interrupted };
        loop {
            let left = bound.map_or(Duration::MAX, |bound| bound.saturating_sub(waiting_since.elapsed()));
            if left.is_zero() {
                return Awaited::TimeIsUp;
            }
            // SAFETY: the file knows nothing of Python.
            match unsafe { sleeper.wait(py, left, |slice| shm.wait(ticket, slice)) } {
                Ok(Waited::NotYet) => (),
                Ok(how) => return Awaited::Over(how),
                Err(ErrSet) => return Awaited::Interrupted,
            }
        }
    }
}

impl<'a> Miss for Box<Call<'a>> {
    #[inline(always)]
    fn follow(&mut self, view: &View<'_>, reserved: Reserved) -> Option<Option<PyRef>> {
        self.cached.state.refreshes.get(view.py())?;
        let (file, hash) = (self.request.file, self.request.hash);
        let in_file = |tags| InFile { file: address(file), hash, began: file.shm.begin(hash), tags };
        let since = &mut self.waiting_since;
        let beyond = |computation: &Computation| {
            // There is one to wait for.
            since.get_or_insert_with(Instant::now);
            Some(Beyond::InFile(in_file(computation.noted)))
        };
        match self.cached.follow_refresh(view, reserved, beyond) {
            Followed::Result(result) => return Some(result),
            Followed::Refused => self.is_beside = true,
            Followed::Late => self.insists = true,
            Followed::Over => self.turn.free(),
            Followed::Nothing => (),
        }
        None
    }

    /// (In parts, as all that follows: only small frames stand on the stack while the function computes.)
    fn lead(&mut self, reserved: Option<Reserved>, flight: Option<SharedFlight>) -> Option<PyRef> {
        match self.begin_leading(reserved, flight) {
            Err(result) => result,
            Ok(leading) => {
                let result = self.cached.compute(self.arguments);
                self.end_leading(leading, result)
            }
        }
    }

    fn bring_alone(&mut self, view: &View<'_>, _: FastLookup) -> Option<PyRef> {
        let loading = self.begin_storing(None);
        self.bring(view, loading)
    }

    fn compute(&mut self) -> Option<PyRef> {
        let result = self.cached.compute(self.arguments);
        self.end(Course::Beside, result).value()
    }

    fn compute_beside_green(&mut self, view: &View<'_>) -> Option<PyRef> {
        // If it computes, so do we; if it waits for another process, so do we.
        self.bring_beside(view)
    }

    fn bring_beside(&mut self, view: &View<'_>) -> Option<PyRef> {
        let loading = self.load(|| ());
        self.bring(view, loading)
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
    fn finish(&mut self, view: &View<'_>, result: Option<PyRef>) -> Option<PyRef> {
        let Some(result) = result else {
            if let Some(skipped) = self.skipped.take() {
                self.cached.tell_beside(skipped, view);
            }
            return None;
        };
        if !self.has_let_go {
            self.cached.state.let_go(view.py(), self.request.shared, self.note.as_ref());
        }
        self.cached.tell_with(self.skipped.take(), view, Some(result))
    }
}
