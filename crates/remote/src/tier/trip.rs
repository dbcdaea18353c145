//! A visit to the server: one admission, one connection (of a cluster, one a node), one deadline, one or more round trips.

use std::time::Duration;

use redis::{Pipeline, Value};

use super::{Failure, Tier};
use crate::breaker::{self, Admission};
use crate::connection::Peer;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::route::Link;

/// Whether the server is asked while it is known not to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    /// Reads and leases: there is another way.
    May,
    /// Invalidations and writes of the user's.
    Try,
}

pub(super) struct Trip<'a> {
    pub(super) tier: &'a Tier,
    deadline: Deadline,
    link: Link,
    /// What was refused of a part of what was asked.
    refused: Option<Code>,
}

impl Tier {
    /// Runs `f` on a visit. It runs twice, on another connection, if the first had been closed by the server meanwhile:
    /// so what it does may be done twice.
    pub(super) fn visit<R>(&self, must: Must, f: impl Fn(&mut Trip<'_>) -> Result<R, Error>) -> Result<R, Failure> {
        self.visit_for(self.timeout, must, f)
    }

    /// The same for at most `bound`, where the caller has waited for the server already.
    pub(super) fn visit_for<R>(
        &self,
        bound: Duration,
        must: Must,
        f: impl Fn(&mut Trip<'_>) -> Result<R, Error>,
    ) -> Result<R, Failure> {
        self.attend();
        let admission = match must {
            Must::May => self.breaker.admit(),
            Must::Try => Admission::Pass,
        };
        if admission == Admission::Deny {
            return Err(Failure::Open);
        }
        let told = Told { tier: self, admission };
        let deadline = Deadline::after(bound.min(self.timeout));
        let must = must == Must::Try;
        let connected = |link: Result<Link, Error>| link.map_err(|error| told.unconnected(error));
        let mut trip = Trip { tier: self, deadline, link: connected(self.route.take(must, deadline))?, refused: None };
        let was_idle = trip.link.is_reused();
        let mut result = f(&mut trip);
        if was_idle && matches!(result, Err(Error::Closed)) {
            trip.link = connected(self.route.again(must, deadline))?;
            result = f(&mut trip);
        }
        match result {
            Ok(result) => {
                self.breaker.answered();
                self.breaker.served();
                if let Some(code) = trip.refused.take() {
                    self.breaker.note(&Error::Refused(code));
                }
                std::mem::forget(told);
                Ok(result)
            }
            // (The others may answer.)
            Err(error) if trip.link.is_counted() => {
                self.breaker.note(&error);
                Err(Failure::of(error))
            }
            Err(error) => Err(told.unanswered(error)),
        }
    }
}

impl Failure {
    pub(super) fn of(error: Error) -> Failure {
        match error {
            Error::Refused(code) => Failure::Refused(code),
            Error::Unasked => Failure::Open,
            error => Failure::Unanswered(error),
        }
    }
}

/// Tells the breaker how it went; that nothing came about, if nothing else was told.
struct Told<'a> {
    tier: &'a Tier,
    admission: Admission,
}

impl Told<'_> {
    fn unconnected(&self, error: Error) -> Failure {
        self.tier.breaker.note(&error);
        self.tier.breaker.failed(self.admission, breaker::Failure::Connect);
        Failure::of(error)
    }

    fn unanswered(&self, error: Error) -> Failure {
        self.tier.breaker.note(&error);
        match error {
            Error::Refused(_) => self.tier.breaker.answered(),
            _ => self.tier.breaker.failed(self.admission, breaker::Failure::Timeout),
        }
        Failure::of(error)
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.tier.breaker.abandoned(self.admission);
    }
}

impl Trip<'_> {
    /// The epoch under which the connections for these keys are proved to reach the listener's servers; 0: one is not. What
    /// they cover is covered with pairs that are read after this, unless [`Trip::has_strayed`].
    pub(super) fn proved<'k>(&mut self, of: impl Iterator<Item = &'k [u8]>) -> Result<u64, Error> {
        self.link.prove(self.tier.coherence.words(), &self.tier.keys, of, self.deadline)
    }

    /// What is left of its bound.
    pub(super) fn left(&self) -> Duration {
        self.deadline.remaining().unwrap_or_default()
    }

    /// Whether something was asked of a server that is not proved.
    pub(super) fn has_strayed(&self) -> bool {
        self.link.has_strayed()
    }

    /// Notes what was refused of calls of which there are so many: an error if that is all of them.
    pub(super) fn note_refused(&mut self, refused: Vec<&Code>, of: usize) -> Result<(), Error> {
        match refused.first() {
            Some(code) if refused.len() == of => Err(Error::Refused((*code).clone())),
            code => {
                self.note_unread(code.map(|code| (*code).clone()));
                Ok(())
            }
        }
    }

    /// Notes what was refused of something without which the rest was done.
    pub(super) fn note_unread(&mut self, refused: Option<Code>) {
        self.refused = refused.or(self.refused.take());
    }

    /// Whether keys that are asked for at once are not read in their order, being at several servers.
    pub(super) fn is_spread(&self) -> bool {
        matches!(self.link, Link::Spread(_))
    }

    /// Sends commands in one piece; a reply for each.
    pub(super) fn run(&mut self, commands: &Pipeline) -> Result<Vec<Value>, Error> {
        self.link.run(commands, self.deadline)
    }

    /// What the server that has a key says of itself.
    pub(super) fn peer(&mut self, key: &[u8]) -> Result<&Peer, Error> {
        self.link.peer(key, self.deadline)
    }
}

/// A reply that is no error.
pub(super) fn sound(reply: Value) -> Result<Value, Error> {
    match reply {
        Value::ServerError(error) => Err(Error::Refused(Code::of(&error))),
        reply => Ok(reply),
    }
}

/// What the server says of one thing of several: that it refuses it does no harm to the others.
pub(super) fn spared<T>(said: Result<T, Error>) -> Result<Result<T, Code>, Error> {
    match said {
        Err(Error::Refused(code)) => Ok(Err(code)),
        said => said.map(Ok),
    }
}

/// The bytes of a key, if it is there.
pub(super) fn bytes(reply: Value) -> Result<Option<Vec<u8>>, Error> {
    match sound(reply)? {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::Nil => Ok(None),
        _ => Err(Error::Protocol("an answer of another kind")),
    }
}

pub(super) fn number(reply: Value) -> Result<i64, Error> {
    match sound(reply)? {
        Value::Int(number) => Ok(number),
        _ => Err(Error::Protocol("an answer of another kind")),
    }
}
