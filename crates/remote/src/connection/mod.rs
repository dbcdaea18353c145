//! A connection to one server: commands out, replies and pushes in, each step within a deadline.
//!
//! Commands are packed by the `redis` crate ([`redis::Cmd`], [`redis::Pipeline`]), replies are its [`redis::Value`]. A
//! connection is *usable* for another request only while every command was answered and nothing else has come; otherwise
//! it is to be dropped. Replies that say that this is not the right server any more (`READONLY`, `MOVED` …) retire it.

mod frames;
mod handshake;
mod target;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use redis::{cmd, Cmd, Pipeline, Value};

use self::frames::Frames;
pub use self::frames::MAX_REPLY;
pub use self::handshake::{Peer, Role};
pub use self::target::Target;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::secret::Login;
use crate::stream::Stream;

/// First words of errors after which a connection leads to the wrong place, or to a server that cannot serve yet.
const RETIRING: &[&str] = &["READONLY", "MOVED", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOAUTH"];

pub struct Connection {
    stream: Stream,
    frames: Frames,
    pushes: VecDeque<Value>,
    /// The bytes of the pushes that wait, as they were on the wire.
    pushed: usize,
    max_reply: usize,
    peer: Peer,
    /// How many replies have not come yet.
    owed: usize,
    broken: bool,
    retired: bool,
    is_followed: bool,
    /// A number of the owner's: under which epoch this connection was proved to reach the listener's server.
    pub proof: u64,
}

impl Connection {
    /// Connects, logs in and selects the database.
    ///
    /// # Errors
    /// Any of [`Error`]; all within the deadline.
    pub fn open(target: &Target, login: &Login, deadline: Deadline) -> Result<Connection, Error> {
        let stream = target.connect(deadline)?;
        Connection::over(stream, target, login, deadline)
    }

    /// The same over a stream that is open already.
    pub fn over(stream: Stream, target: &Target, login: &Login, deadline: Deadline) -> Result<Connection, Error> {
        let mut connection = Connection {
            stream,
            frames: Frames::new(target.max_reply),
            pushes: VecDeque::new(),
            pushed: 0,
            max_reply: target.max_reply,
            peer: Peer::default(),
            owed: 0,
            broken: false,
            retired: false,
            is_followed: target.is_followed,
            proof: 0,
        };
        connection.peer = handshake::greet(&mut connection, target, login, deadline)?;
        Ok(connection)
    }

    /// What the server said about itself.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Sends one command and reads its reply, which may be a [`Value::ServerError`].
    ///
    /// # Errors
    /// After any the connection is not usable.
    pub fn request(&mut self, command: &Cmd, deadline: Deadline) -> Result<Value, Error> {
        self.send(&command.get_packed_command(), 1, deadline)?;
        self.receive(deadline)
    }

    /// Sends commands in one piece and reads a reply for each; of an atomic pipeline as [`Connection::transaction`] says.
    ///
    /// # Errors
    /// As [`Connection::request`].
    pub fn pipeline(&mut self, commands: &Pipeline, deadline: Deadline) -> Result<Vec<Value>, Error> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        if commands.is_transaction() {
            return self.transaction(commands, deadline);
        }
        self.send(&commands.get_packed_pipeline(), commands.len(), deadline)?;
        (0..commands.len()).map(|_| self.receive(deadline)).collect()
    }

    /// A transaction: the replies to `MULTI`, to its commands and to `EXEC`. `MULTI` has a trip of its own: what follows one
    /// that is refused would be done at once and unwatched. Then its reply is the only one, and nothing is watched any more.
    fn transaction(&mut self, commands: &Pipeline, deadline: Deadline) -> Result<Vec<Value>, Error> {
        let begun = self.request(&cmd("MULTI"), deadline)?;
        if begun != Value::Okay {
            // (Who may not do that either leaves nothing watched for the next user of the connection.)
            self.retired |= self.request(&cmd("UNWATCH"), deadline)? != Value::Okay;
            return Ok(vec![begun]);
        }
        let mut packed = Vec::new();
        commands.cmd_iter().for_each(|command| command.write_packed_command(&mut packed));
        cmd("EXEC").write_packed_command(&mut packed);
        let owed = commands.len() + 1;
        self.send(&packed, owed, deadline)?;
        std::iter::once(Ok(begun)).chain((0..owed).map(|_| self.receive(deadline))).collect()
    }

    /// Sends packed commands that the server answers with so many replies; [`Connection::receive`] reads each.
    pub fn send(&mut self, packed: &[u8], replies: usize, deadline: Deadline) -> Result<(), Error> {
        if self.broken || !self.stream.is_ours() {
            return Err(Error::Closed);
        }
        self.owed += replies;
        self.stream.write(packed, deadline).map_err(|error| {
            let said = if error == Error::Closed { self.last_words(deadline) } else { None };
            // Half a command may be written.
            self.broken = true;
            said.unwrap_or(error)
        })
    }

    /// Why the server has closed the connection, if it said so.
    fn last_words(&mut self, deadline: Deadline) -> Option<Error> {
        loop {
            match self.advance(deadline) {
                Ok(_) => {}
                Err(error @ Error::Refused(_)) => return Some(error),
                Err(_) => return None,
            }
        }
    }

    /// The next reply that is owed. Pushes before it are kept for [`Connection::next_push`].
    ///
    /// # Errors
    /// After [`Error::Timeout`] it is still owed, and can be waited for again.
    pub fn receive(&mut self, deadline: Deadline) -> Result<Value, Error> {
        if self.owed == 0 {
            return Err(Error::Protocol("no reply is owed"));
        }
        loop {
            match self.next(deadline)? {
                Value::Push { .. } => {}
                reply => return Ok(reply),
            }
        }
    }

    /// The next push: at once if one has come, otherwise by the deadline. Its connection is to have no replies owed, or
    /// they are lost.
    pub fn next_push(&mut self, deadline: Deadline) -> Result<Value, Error> {
        loop {
            if let Some(push) = self.take_push() {
                return Ok(push);
            }
            self.next(deadline)?;
        }
    }

    /// The next push or reply, whichever comes first: for an owner that waits for both.
    ///
    /// # Errors
    /// After [`Error::Timeout`] it can be waited for again.
    pub fn next_message(&mut self, deadline: Deadline) -> Result<Value, Error> {
        if let Some(push) = self.take_push() {
            return Ok(push);
        }
        let message = self.next(deadline)?;
        // (A push itself is kept in order with the others, and only announced.)
        Ok(if matches!(message, Value::Push { .. }) { self.take_push().unwrap_or(message) } else { message })
    }

    /// A push that has come with earlier replies.
    pub fn take_push(&mut self) -> Option<Value> {
        let push = self.pushes.pop_front();
        if self.pushes.is_empty() {
            self.pushed = 0;
        }
        push
    }

    /// Whether another request may be sent: all was answered, the server is the right one, and this process connected.
    pub fn is_usable(&self) -> bool {
        self.owed == 0 && !self.broken && !self.retired && self.frames.is_empty() && self.stream.is_ours()
    }

    /// Whether one that nobody used for a while still is: nothing has come meanwhile, no end either.
    pub fn is_quiet(&self) -> bool {
        self.is_usable() && self.pushes.is_empty() && !self.stream.is_readable()
    }

    /// Whether a reply said that this is not, or not yet, the server to ask: the topology is to be looked up.
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether this process opened it. In a fork's child its socket is closed.
    pub fn is_ours(&self) -> bool {
        self.stream.is_ours()
    }

    /// The stream, for a `poll` beside others.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The next reply or push; a push is kept, and what is returned for it says only that there was one.
    fn next(&mut self, deadline: Deadline) -> Result<Value, Error> {
        if self.broken || !self.stream.is_ours() {
            return Err(Error::Closed);
        }
        self.advance(deadline).inspect_err(|error| self.broken |= *error != Error::Timeout)
    }

    fn advance(&mut self, deadline: Deadline) -> Result<Value, Error> {
        loop {
            let Some((value, length)) = self.frames.next()? else {
                let read = self.stream.read(self.frames.room(), deadline)?;
                self.frames.filled(read);
                continue;
            };
            // (What an attribute says about a reply is nothing that was asked for.)
            let value = match value {
                Value::Attribute { data, .. } => *data,
                value => value,
            };
            if let Value::Push { kind, data } = value {
                self.pushed += length;
                if self.pushed > self.max_reply {
                    return Err(Error::TooLarge);
                }
                self.pushes.push_back(Value::Push { kind: kind.clone(), data });
                // A server that only pushes must not keep a caller beyond his deadline.
                deadline.remaining()?;
                return Ok(Value::Push { kind, data: Vec::new() });
            }
            if self.owed == 0 {
                return Err(Error::Protocol("a reply that was not asked for"));
            }
            self.owed -= 1;
            // It says no more than that, and closes.
            if let Value::ServerError(error) = &value {
                if error.details().is_some_and(|details| details.starts_with("Protocol error")) {
                    return Err(Error::Refused(Code::of(error)));
                }
            }
            self.retired |= retires(&value, self.is_followed);
            return Ok(value);
        }
    }
}

/// Whether an error in the reply, or one level below as in that of `EXEC`, retires the connection.
fn retires(reply: &Value, is_followed: bool) -> bool {
    let retires = |code: &str| RETIRING.contains(&code) && !(is_followed && code == "MOVED");
    let one = |value: &Value| matches!(value, Value::ServerError(error) if retires(error.code()));
    match reply {
        Value::Array(values) => values.iter().any(one),
        value => one(value),
    }
}
