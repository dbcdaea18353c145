//! Waiting for another process's lease: asleep until its key is told, and a look once a second whether its owner lives.

use std::time::Duration;

use concurrency::boottime;
use redis::{Pipeline, Value};

use super::lease::{claim, mine, Claim, Theirs};
use super::read::{glance, Judged};
use super::refresh;
use super::trip::{bytes, Must, Trip};
use super::{Call, Looked, Tier, Why};
use crate::coherence::members::MEMBER;
use crate::envelope::Token;
use crate::error::Error;

/// A lease older than this whose owner does not say that it lives is dead, in nanoseconds.
pub(super) const DEAD: u64 = 3_000_000_000;
/// The pause between looks: where pushes wake, and where none does.
const TOLD: u64 = 1_000_000_000;
const UNTOLD: u64 = 50_000_000;
/// For so many leases of others a caller waits, one after the other.
const MOST_CHANGES: u32 = 3;

impl Tier {
    /// The pause between two looks at a lease, in nanoseconds.
    pub(super) fn pause(&self) -> u64 {
        let confirmed = self.coherence.words().is_confirmed(boottime::now(), self.staleness);
        if confirmed {
            TOLD
        } else {
            UNTOLD
        }
    }

    /// When a lease that was just found is looked at next; `taken`: when its owner took it (boot clock).
    pub(super) fn next_look(&self, taken: u64) -> u64 {
        let now = boottime::now();
        // (One that may be dead already is looked at once more at once, with its owner.)
        if now.saturating_sub(taken) > DEAD {
            now
        } else {
            now + self.pause()
        }
    }

    /// Waits for another process's computation, for at most `slice`. [`Looked::Theirs`] again: it has passed.
    pub fn wait(&self, call: &Call, mut theirs: Box<Theirs>, slice: Duration) -> Looked {
        self.attend();
        let pause = Duration::from_nanos(theirs.next.saturating_sub(boottime::now()));
        let told = self.coherence.words().wait(call.stripe(), theirs.seen, slice.min(pause));
        // (Of a server that has gone since, nobody is told anything: the look is denied.)
        if !told && boottime::now() < theirs.next && !self.is_denied() {
            return Looked::Theirs(theirs);
        }
        match self.visit(Must::May, |trip| match &theirs.beside {
            None => look(trip, call, &theirs),
            Some(old) => refresh::look(trip, call, &theirs, old),
        }) {
            Err(why) => Looked::Alone(self.alone(call), Why::Failed(why)),
            Ok(Waited::Done(looked)) => looked,
            Ok(Waited::Again(seen, taken, token)) => {
                let changes = theirs.changes + u32::from(token != theirs.token);
                let next = boottime::now() + self.pause();
                *theirs = Theirs { token, seen, taken, next, changes, beside: theirs.beside };
                Looked::Theirs(theirs)
            }
        }
    }
}

pub(super) enum Waited {
    Done(Looked),
    /// The pair of the value's stripe, and the lease.
    Again(crate::coherence::Pair, u64, Token),
}

fn look(trip: &mut Trip<'_>, call: &Call, theirs: &Theirs) -> Result<Waited, Error> {
    let tier = trip.tier;
    let (mut glances, stamps) = glance(trip, &[call])?;
    let Some(glance) = glances.pop() else { return Err(Error::Protocol("no answer")) };
    let alone = |why| Ok(Waited::Done(Looked::Alone(tier.alone(call), why)));
    let old = match glance.judged {
        Judged::Found(found) => return Ok(Waited::Done(Looked::Found(found))),
        Judged::Unreadable(why) => return alone(Why::Unreadable(why)),
        Judged::Other => return alone(Why::Other),
        Judged::Refused(code) => return Err(Error::Refused(code)),
        Judged::Lease { token, taken } if token == theirs.token => {
            let age = boottime::now().saturating_sub(taken);
            if age <= DEAD || lives(trip, &token)? {
                return Ok(Waited::Again(glance.seen, taken, token));
            }
            Some(glance.sealed)
        }
        // Another one: the awaited has ended without a value, or its owner has died and somebody was faster.
        Judged::Lease { token, taken } => {
            let may_have_died = boottime::now().saturating_sub(theirs.taken) > DEAD;
            if may_have_died && theirs.changes < MOST_CHANGES && !tier.coherence.members().is_own(&token) {
                return Ok(Waited::Again(glance.seen, taken, token));
            }
            return alone(Why::Ended);
        }
        Judged::Void => Some(glance.sealed),
        Judged::Absent => None,
    };
    let claims = vec![(0, Claim { cover: glance.alone, old })];
    match claim(trip, &[call], claims, stamps)?.pop() {
        Some((_, claimed)) => Ok(Waited::Done(mine(trip, claimed.map_err(Error::Refused)?))),
        None => alone(Why::Ended),
    }
}

/// Whether the owner of a lease says that it computes it.
pub(super) fn lives(trip: &mut Trip<'_>, token: &Token) -> Result<bool, Error> {
    let mut commands = Pipeline::new();
    commands.cmd("GET").arg(trip.tier.keys.member(&token[..MEMBER]));
    let reply = trip.run(&commands)?.pop().unwrap_or(Value::Nil);
    let held = bytes(reply)?.unwrap_or_default();
    Ok(held.chunks_exact(token.len()).any(|held| held == token))
}
