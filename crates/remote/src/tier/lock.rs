//! Locks of a cache object: a key's is a lease without a value, or, where it has a time of its own, a value without a body.
//!
//! A lease is kept by the token's owner, who says that he lives; so a dead holder's lock falls free after 3 s. One that has a
//! time of its own is kept by the server for that time. Both are told, so who waits is woken.

use std::fmt;
use std::time::Duration;

use concurrency::{boottime, fork};

use super::compare::Change;
use super::lease::{Held, Lease};
use super::object::one;
use super::read::{glance, Judged};
use super::stamps::outlive;
use super::store::renew;
use super::trip::{Must, Trip};
use super::wait::{self, DEAD};
use super::{Call, Draft, Failure, Looked, PutError, Tier, Why};
use crate::coherence::Pair;
use crate::envelope::{Codec, Kind};
use crate::error::Error;

/// A lock that this process has. One that is dropped instead of given to [`Tier::unlock`] is dead to others after 3 s, or when
/// its time is over.
pub struct Lock {
    /// What lies on the server.
    sealed: Vec<u8>,
    /// The token of a lease, kept alive.
    _held: Option<Held>,
    /// The count of forks of the process: a child has none of its parent's.
    fork: u64,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock(…)")
    }
}

/// What is known of a lock that somebody else has.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The pair of its stripe, from before it was looked at.
    seen: Pair,
    /// The boot clock of the next look, if nothing is told before.
    next: u64,
}

/// What an attempt to take a lock has come to.
#[derive(Debug)]
pub enum Locking {
    Taken(Box<Lock>),
    /// Somebody else has it: [`Tier::wait_for_lock`], then again.
    Theirs(Waiting),
}

impl Tier {
    /// Takes the lock of a call of the locks' scope, unless somebody has it. `lasting`: for so long, whoever lives; else for
    /// as long as this process lives, a day at most.
    ///
    /// # Errors
    /// The server did not answer, or what lies there cannot be read.
    pub fn lock(&self, call: &Call, lasting: Option<Duration>) -> Result<Locking, PutError> {
        let now = boottime::now();
        // Before the look.
        let seen = self.coherence.words().pair(&[call.stripe()]);
        let theirs = |next| Ok(Locking::Theirs(Waiting { seen, next }));
        let again = now + self.pause();
        let looked = match self.look(call) {
            Looked::Theirs(theirs) if theirs.next <= boottime::now() => {
                // One whose owner may have died.
                self.wait(call, theirs, Duration::ZERO)
            }
            looked => looked,
        };
        match looked {
            Looked::Mine(lease) => match self.hold(call, *lease, lasting)? {
                Some(lock) => Ok(Locking::Taken(Box::new(lock))),
                None => theirs(now),
            },
            Looked::Found(found) => theirs(found.ends.min(again)),
            Looked::Theirs(..) | Looked::Ours(..) => theirs(again),
            // Somebody was faster.
            Looked::Alone(_, Why::Ended | Why::Contended) => theirs(now),
            Looked::Alone(_, Why::Failed(why)) => Err(PutError::Failed(why)),
            Looked::Alone(_, Why::Unreadable(_) | Why::Other) => Err(PutError::Unreadable),
        }
    }

    /// Sleeps until a lock may be free, for at most `time`; whether it is to be tried again.
    pub fn wait_for_lock(&self, call: &Call, waiting: &Waiting, time: Duration) -> bool {
        self.attend();
        let left = Duration::from_nanos(waiting.next.saturating_sub(boottime::now()));
        self.coherence.words().wait(call.stripe(), waiting.seen, time.min(left)) || boottime::now() >= waiting.next
    }

    /// Gives a lock back; whether it was this process's still.
    ///
    /// # Errors
    /// The server did not acknowledge it; it may still take effect.
    pub fn unlock(&self, call: &Call, lock: &Lock) -> Result<bool, Failure> {
        if lock.fork != fork::epoch() {
            return Ok(false);
        }
        let _raise = self.raise([call.stripe()].into_iter());
        let change = || Change::Remove { key: &call.keys.value, old: &lock.sealed };
        self.visit(Must::Try, |trip| one(trip, change()))
    }

    /// Whether somebody has a lock.
    ///
    /// # Errors
    /// As [`Tier::lock`].
    pub fn is_locked(&self, call: &Call) -> Result<bool, PutError> {
        let members = self.coherence.members();
        let is_locked = |trip: &mut Trip<'_>| {
            let (mut glances, _) = glance(trip, &[call])?;
            Ok(match glances.pop().map(|glance| glance.judged) {
                Some(Judged::Found(_)) => Some(true),
                Some(Judged::Lease { token, .. }) if members.is_own(&token) => Some(members.is_held(&token)),
                Some(Judged::Lease { token, taken }) => {
                    Some(boottime::now().saturating_sub(taken) <= DEAD || wait::lives(trip, &token)?)
                }
                Some(Judged::Void | Judged::Absent) | None => Some(false),
                Some(Judged::Unreadable(_) | Judged::Other) => None,
                Some(Judged::Refused(code)) => return Err(Error::Refused(code)),
            })
        };
        self.visit(Must::Try, is_locked).map_err(PutError::Failed)?.ok_or(PutError::Unreadable)
    }

    /// Makes a lock of a lease; `None`: it was lost meanwhile.
    fn hold(&self, call: &Call, lease: Lease, lasting: Option<Duration>) -> Result<Option<Lock>, PutError> {
        let fork = fork::epoch();
        if !lease.renewals.is_empty() {
            self.visit(Must::Try, |trip| renew(trip, [&lease].into_iter())).map_err(PutError::Failed)?;
        }
        let Lease { held, sealed, stamps, .. } = lease;
        let Some(lasting) = lasting else {
            return Ok(Some(Lock { sealed, _held: Some(held), fork }));
        };
        let draft = Draft {
            kind: Kind::Value,
            codec: Codec::Safe,
            body: b"",
            lifetime: lasting,
            fresh: lasting,
            computed: Duration::ZERO,
        };
        let new = self.seal(call, self.coherence.members().token(), &stamps, &draft).map_err(PutError::Unstorable)?;
        let _raise = self.raise([call.stripe()].into_iter());
        let exchange = |trip: &mut Trip<'_>| -> Result<bool, Error> {
            outlive(trip, [(call, &stamps[..], lasting)].into_iter())?;
            let life = Some(new.life);
            one(trip, Change::Replace { key: &call.keys.value, old: &sealed, new: &new.bytes, life, fences: None })
        };
        let is_held = self.visit(Must::Try, exchange).map_err(PutError::Failed)?;
        Ok(is_held.then_some(Lock { sealed: new.bytes, _held: None, fork }))
    }
}
