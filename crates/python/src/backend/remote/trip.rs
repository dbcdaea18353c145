//! One call's way to the server: the look, the wait for another's computation, the store. No Python in it.
//!
//! Ring 3. A plain call goes it at a stretch; a coroutine function's goes it in steps, in a thread beside its loop. Where the
//! processes of the host share a file, the way leads through it ([`host`](super::host)).

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::host::{Claim, Here, Host};
use super::opened::asking;
use remote::envelope::{Codec, Kind, Unstorable};
use remote::tier::{Call, Cover, Draft, Found, Lease, Looked, Stored, Theirs, Tier, Why};
use shared::Ticket;

/// Where a call stands.
pub(super) enum Step {
    /// Nothing was asked yet.
    Start,
    /// It is to be computed anew, whatever is there.
    Anew,
    /// What was found is no longer fresh, and is to be computed anew.
    Renew(Box<Found>),
    Found(Box<Found>),
    /// Another process of the host asks the server, or computes without it.
    Behind(Ticket),
    /// Another process computes.
    Theirs(Box<Theirs>),
    /// The caller computes, for all hosts if it has a lease.
    Compute(Right),
    /// All is done.
    Over,
}

/// What a computation is stored by.
pub(super) enum Right {
    Lease(Box<Lease>),
    /// Nothing: it may be kept here by this cover.
    Alone(Cover),
}

/// See the module's documentation.
pub(super) struct Trip {
    pub tier: Arc<Tier>,
    pub call: Arc<Call>,
    pub step: Step,
    /// Requests that the server has not answered as it should.
    pub errors: u64,
    /// The value that is computed anew, which serves if that fails.
    pub old: Option<Box<Found>>,
    /// The file of the host, where processes share one.
    pub host: Option<Host>,
    /// Whether what was found is from there.
    pub is_here: bool,
    /// What was there until a while ago, which serves if computing fails.
    spare: Option<Box<Found>>,
    /// Whether there is anything of the call that the server can hold.
    pub has_key: bool,
    /// Why what was sent is more than the server can have.
    pub unstorable: Option<Unstorable>,
    /// What the call has left to wait for the server: the timeout, less what it has waited. (A lease knows what there was when it
    /// was got; while another process computes, each look may take the whole of it.)
    left: Duration,
}

/// What is to be stored; its bytes are the trip's own.
pub(super) struct Sending {
    pub kind: Kind,
    pub codec: Codec,
    pub body: Vec<u8>,
    pub lifetime: Duration,
    pub fresh: Duration,
    pub computed: Duration,
}

impl Sending {
    pub fn draft(&self) -> Draft<'_> {
        let Sending { kind, codec, ref body, lifetime, fresh, computed } = *self;
        Draft { kind, codec, body, lifetime, fresh, computed }
    }
}

impl Trip {
    pub fn new(tier: &Arc<Tier>, call: Arc<Call>, has_key: bool, host: Option<Host>) -> Self {
        Trip {
            tier: Arc::clone(tier),
            call,
            step: Step::Start,
            errors: 0,
            old: None,
            host,
            is_here: false,
            spare: None,
            has_key,
            unstorable: None,
            left: tier.timeout(),
        }
    }

    /// Takes the next step, for at most `time` where another process computes; whether the caller is to go on.
    pub fn advance(&mut self, time: Duration) -> bool {
        let looked = match std::mem::replace(&mut self.step, Step::Over) {
            Step::Start | Step::Anew if !self.has_key => {
                self.compute_alone();
                return true;
            }
            Step::Start => return self.start(),
            Step::Behind(ticket) => {
                if self.host.as_mut().is_some_and(|host| !host.wait(&ticket, time)) {
                    self.step = Step::Behind(ticket);
                    return false;
                }
                return self.start();
            }
            Step::Anew => match self.look() {
                Looked::Found(old) => self.renew(old),
                looked => looked,
            },
            Step::Renew(old) => self.renew(old),
            Step::Theirs(theirs) => {
                self.left = self.tier.timeout();
                self.tier.wait(&self.call, theirs, time)
            }
            step => {
                self.step = step;
                return true;
            }
        };
        self.take(looked)
    }

    /// Looks into the file of the host, then asks the server, unless another process does.
    fn start(&mut self) -> bool {
        self.prepare().unwrap_or_else(|| {
            let looked = self.look();
            self.take(looked)
        })
    }

    /// Looks into the file of the host; whether the caller is to go on. `None`: the server is to be asked.
    fn prepare(&mut self) -> Option<bool> {
        if self.look_here(true) {
            return Some(true);
        }
        match self.host.as_mut().map(Host::claim) {
            Some(Claim::Wait(ticket)) => {
                self.step = Step::Behind(ticket);
                Some(false)
            }
            // Who had the lease before may have left a copy since.
            Some(Claim::Ask) if self.look_here(true) => Some(true),
            Some(Claim::Ask) | None => None,
        }
    }

    /// [`advance`](Self::advance) of many, waiting for nobody: those that begin ask their server in one trip. For each, whether
    /// its caller is to go on.
    pub fn advance_together(trips: &mut [&mut Trip]) -> Vec<bool> {
        let mut answers: Vec<Option<bool>> = trips
            .iter_mut()
            .map(|trip| match trip.step {
                Step::Start if trip.has_key => trip.prepare(),
                _ => Some(trip.advance(Duration::ZERO)),
            })
            .collect();
        while let Some(first) = answers.iter().position(Option::is_none) {
            let tier = Arc::clone(&trips[first].tier);
            let asks = |i: &usize| answers[*i].is_none() && Arc::ptr_eq(&trips[*i].tier, &tier);
            let asked: Vec<usize> = (first..trips.len()).filter(asks).collect();
            let since = Instant::now();
            let looked = tier.look_many(&asked.iter().map(|i| &*trips[*i].call).collect::<Vec<_>>());
            let took = since.elapsed();
            for (i, looked) in asked.into_iter().zip(looked) {
                trips[i].left = trips[i].left.saturating_sub(took);
                answers[i] = Some(trips[i].take(looked));
            }
        }
        answers.into_iter().flatten().collect()
    }

    fn look(&mut self) -> Looked {
        let since = Instant::now();
        let looked = self.tier.look(&self.call);
        self.left = self.left.saturating_sub(since.elapsed());
        looked
    }

    /// Looks into the file of the host alone; whether the value is there. `is_use`: what is found is used.
    pub fn look_here(&mut self, is_use: bool) -> bool {
        let Some(host) = &mut self.host else { return false };
        match host.find(&self.tier, is_use) {
            Here::Copy(found) => {
                host.end();
                (self.step, self.is_here) = (Step::Found(found), true);
                return true;
            }
            Here::Spare(found) => self.spare = Some(found),
            Here::Nothing => (),
        }
        false
    }

    /// Keeps in the file of the host what the server gave of the call.
    pub fn keep_here(&mut self, found: &Found) {
        if let Some(host) = &mut self.host {
            host.keep(found);
        }
    }

    /// Drops what the file of the host has of the call, as it was changed, or may have been.
    pub fn invalidate_here(&self) {
        self.host.iter().for_each(Host::invalidate);
    }

    /// Takes note of what the server said; whether the caller is to go on.
    fn take(&mut self, looked: Looked) -> bool {
        self.is_here = false;
        if let Some(host) = &mut self.host {
            match &looked {
                Looked::Found(found) => host.keep(found),
                // The server knows who computes.
                Looked::Mine(_) | Looked::Theirs(_) | Looked::Ours(..) => host.end(),
                Looked::Alone(..) => (),
            }
        }
        self.step = match looked {
            Looked::Found(found) => Step::Found(found),
            Looked::Mine(lease) => Step::Compute(Right::Lease(lease)),
            Looked::Theirs(theirs) => Step::Theirs(theirs),
            Looked::Ours(_, cover) => self.alone(cover),
            Looked::Alone(cover, why) => {
                self.errors += u64::from(matches!(why, Why::Failed(_) | Why::Unreadable(_)));
                self.alone(cover)
            }
        };
        !matches!(self.step, Step::Theirs(_))
    }

    /// What serves where computing has failed, if anything may.
    pub fn take_old(&mut self) -> Option<Box<Found>> {
        self.old.take().or_else(|| self.spare.take())
    }

    /// Whether the bytes of a result go anywhere: to the server, or into the file of the host.
    pub fn wants_bytes(&self) -> bool {
        self.has_key && (self.has_lease() || self.host.is_some())
    }

    /// Whether a result says something of whether the server can have the function's: without a lease, what has bytes goes into
    /// the file of the host alone.
    pub fn is_telling(&self, has_bytes: bool) -> bool {
        if has_bytes {
            self.has_lease()
        } else {
            self.wants_bytes()
        }
    }

    /// Whether the server waits for the result.
    fn has_lease(&self) -> bool {
        matches!(self.step, Step::Compute(Right::Lease(_)))
    }

    /// Whether the end of it waits for nobody: the server hears nothing of it, nor does the host.
    pub fn ends_at_once(&self) -> bool {
        !self.has_lease() && self.host.is_none()
    }

    /// Has the caller compute whatever others do, and keep the result here alone.
    pub fn compute_alone(&mut self) {
        self.step = self.alone(self.tier.alone(&self.call));
    }

    /// From here on it computes without a lease, so nobody joins it for one.
    fn alone(&self, cover: Cover) -> Step {
        self.call.withdraw_claim();
        Step::Compute(Right::Alone(cover))
    }

    /// Has the caller compute, as what was found cannot be read here; it is not replaced.
    pub fn is_unreadable(&mut self) {
        self.errors += 1;
        self.compute_alone();
    }

    /// Asks for the right to compute a value anew beside it; where somebody else has that, his value is waited for.
    fn renew(&mut self, old: Box<Found>) -> Looked {
        let looked = self.tier.refresh_for(self.left, &self.call, &old.token);
        self.old = Some(old);
        looked
    }

    /// Stores what was computed; how it may be kept here.
    pub fn send(&mut self, sending: &Sending) -> Cover {
        let Step::Compute(right) = std::mem::replace(&mut self.step, Step::Over) else { return Cover::VOID };
        let cover = match right {
            Right::Alone(cover) => cover,
            Right::Lease(lease) => {
                let cover = lease.cover();
                match self.tier.store(&self.call, lease, sending.draft()) {
                    // The lease's own push has voided what was known before.
                    Stored::Done | Stored::Fenced => Cover::VOID,
                    Stored::Unstorable(why) => {
                        self.unstorable = Some(why);
                        self.errors += 1;
                        match self.old {
                            Some(_) => self.drop_older(),
                            None => cover,
                        }
                    }
                    Stored::Failed(failure) => {
                        self.errors += 1;
                        drop(failure);
                        Cover::VOID
                    }
                }
            }
        };
        if let Some(host) = &mut self.host {
            host.keep_own(&sending.draft(), cover, self.call.stripes());
        }
        cover
    }

    /// Gives the right to compute back: there is nothing that the server is to have. How the result may be kept here: not at
    /// all if it was leased, as the end of the lease is a change that this host is told of, sooner or later.
    pub fn give_up(&mut self) -> Cover {
        if let Some(host) = &mut self.host {
            host.end();
        }
        let Step::Compute(right) = std::mem::replace(&mut self.step, Step::Over) else { return Cover::VOID };
        match right {
            Right::Alone(cover) => cover,
            Right::Lease(lease) => {
                self.tier.abandon(&self.call, lease);
                Cover::VOID
            }
        }
    }

    /// [`advance`](Self::advance) without waiting for anybody, for a thread that has the interpreter.
    pub fn advance_detached(&mut self, py: Python<'_>) -> bool {
        // SAFETY: there is no Python in it.
        unsafe { asking(py, || self.advance(Duration::ZERO)) }
    }

    /// Stores what was computed, or gives the right to compute back if that is nothing, for a thread that has the interpreter.
    pub fn end_detached(&mut self, py: Python<'_>, sending: Option<&Sending>) -> Cover {
        if self.ends_at_once() {
            return self.give_up();
        }
        // SAFETY: there is no Python in it.
        unsafe {
            asking(py, || match sending {
                Some(sending) => self.send(sending),
                None => self.give_up(),
            })
        }
    }

    /// The same of a result that is not to be stored, or cannot be: what the server has goes, if anything. How the result may
    /// be kept here.
    pub fn drop_detached(&mut self, py: Python<'_>) -> Cover {
        // SAFETY: there is no Python in it.
        unsafe {
            asking(py, || match self.old {
                Some(_) => self.drop_older(),
                None => self.give_up(),
            })
        }
    }

    /// Drops what the server has, as a new result is not there. What is not acknowledged goes with its ttl.
    pub fn drop_older(&mut self) -> Cover {
        self.give_up();
        if self.tier.invalidate(&self.call).is_err() {
            self.errors += 1;
        }
        self.invalidate_here();
        Cover::VOID
    }
}
