//! A visit to the server: one admission, one connection, one deadline, one or more round trips.

use redis::{Pipeline, Value};

use super::{Failure, Tier};
use crate::breaker::{self, Admission};
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::pool;

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
    connection: pool::Lease,
}

impl Tier {
    /// Runs `f` on a visit. It runs twice, on another connection, if the first had been closed by the server meanwhile:
    /// so what it does may be done twice.
    pub(super) fn visit<R>(&self, must: Must, f: impl Fn(&mut Trip<'_>) -> Result<R, Error>) -> Result<R, Failure> {
        self.attend();
        let admission = match must {
            Must::May => self.breaker.admit(),
            Must::Try => Admission::Pass,
        };
        if admission == Admission::Deny {
            return Err(Failure::Open);
        }
        let told = Told { tier: self, admission };
        let deadline = Deadline::after(self.timeout);
        let connected = |connection: Result<pool::Lease, Error>| connection.map_err(|error| told.unconnected(error));
        let mut trip = Trip { tier: self, deadline, connection: connected(self.pool.take(deadline))? };
        let was_idle = trip.connection.is_reused();
        let mut result = f(&mut trip);
        if was_idle && matches!(result, Err(Error::Closed)) {
            trip.connection = connected(self.pool.open(deadline))?;
            result = f(&mut trip);
        }
        match result {
            Ok(result) => {
                self.breaker.answered();
                std::mem::forget(told);
                Ok(result)
            }
            Err(error) => Err(told.unanswered(error)),
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
        self.tier.breaker.failed(self.admission, breaker::Failure::Connect);
        match error {
            Error::Refused(code) => Failure::Refused(code),
            error => Failure::Unanswered(error),
        }
    }

    fn unanswered(&self, error: Error) -> Failure {
        match error {
            Error::Refused(code) => {
                self.tier.breaker.answered();
                Failure::Refused(code)
            }
            error => {
                self.tier.breaker.failed(self.admission, breaker::Failure::Timeout);
                Failure::Unanswered(error)
            }
        }
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.tier.breaker.abandoned(self.admission);
    }
}

impl Trip<'_> {
    /// The epoch under which the connection is proved to reach the listener's server; 0: it is not. What it covers is
    /// covered with pairs that are read after this.
    pub(super) fn proved(&mut self) -> Result<u64, Error> {
        let Trip { tier, deadline, connection } = self;
        let connection: &mut Connection = connection;
        Ok(if tier.coherence.words().prove(connection, &tier.keys, *deadline)? { connection.proof } else { 0 })
    }

    /// Sends commands in one piece; a reply for each.
    pub(super) fn run(&mut self, commands: &Pipeline) -> Result<Vec<Value>, Error> {
        self.connection.pipeline(commands, self.deadline)
    }

    /// What the server says of itself.
    pub(super) fn peer(&self) -> &crate::connection::Peer {
        self.connection.peer()
    }
}

/// A reply that is no error.
pub(super) fn sound(reply: Value) -> Result<Value, Error> {
    match reply {
        Value::ServerError(error) => Err(Error::Refused(Code::new(error.code()))),
        reply => Ok(reply),
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
