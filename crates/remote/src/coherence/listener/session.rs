//! One tracked connection: from the server's consent to the end.
//!
//! In this order: connect; ask for pushes of the namespace's keys and of the session's own heartbeats; **wait for the
//! consent; then** raise the epoch, since nobody was told of what was written before; then heartbeats. Whatever ends the
//! session, the next one begins with all of it.

use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Value};

use super::super::layout::Counter;
use super::super::words::{Record, Tracking, Words};
use super::election::Role;
use super::heartbeat::{Beats, Command, Reply};
use super::{pushes, Settings, Thread};
use crate::breaker::{Admission, Failure, ProcessBreaker};
use crate::connection::{self, Connection};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::keys::Keys;
use crate::random;

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nobody needs it any more.
    Over,
    /// Another process listens again, for which this one stood in.
    Replaced,
    /// The server does not tell what changes.
    Untold,
    /// The connection, or what it leads to.
    Lost,
}

impl From<Error> for Ended {
    fn from(_: Error) -> Ended {
        Ended::Lost
    }
}

/// The longest wait for a push, after which the session sees that nobody needs it any more.
const LOOKS_UP: Duration = Duration::from_millis(500);
/// The life of the reserve's keys, in milliseconds.
const LONG: u64 = 24 * 3600 * 1000;

pub(super) fn run(thread: &Thread, role: Role) -> Ended {
    thread.words.note_seen(boottime::now());
    match Session::open(&thread.words, &thread.settings, role) {
        Err(ended) => ended,
        Ok(mut session) => loop {
            if thread.is_over() {
                return Ended::Over;
            }
            thread.speak();
            thread.settings.pool.look_around();
            if thread.settings.pool.generation() != session.generation {
                // The server has moved.
                return Ended::Lost;
            }
            if let Err(ended) = session.step() {
                return ended;
            }
        },
    }
}

struct Session<'a> {
    words: &'a Words,
    keys: &'a Keys,
    breaker: &'a ProcessBreaker,
    role: Role,
    connection: Connection,
    /// Of the pool, when it was opened.
    generation: u64,
    id: u128,
    /// The prefix of its heartbeats.
    own: Vec<u8>,
    beats: Beats,
    /// Whether a heartbeat has come back: until then the reserve is not made.
    is_proved: bool,
    /// When a heartbeat last came back, and when the next turn is (boot clock).
    heard: u64,
    next: u64,
}

impl<'a> Session<'a> {
    fn open(words: &'a Words, settings: &'a Settings, role: Role) -> Result<Session<'a>, Ended> {
        let Settings { pool, keys, breaker, .. } = settings;
        let half = Deadline::after(words.staleness() / 2);
        let admission = if breaker.is_open() { breaker.admit() } else { Admission::Pass };
        let (mut connection, generation) = match pool.open(half) {
            Ok(lease) => {
                let generation = lease.generation();
                (lease.keep(), generation)
            }
            Err(error) => {
                if admission != Admission::Deny && error.is_unreachable() {
                    breaker.failed(admission, Failure::Connect);
                } else {
                    breaker.abandoned(admission);
                }
                return Err(Ended::Lost);
            }
        };
        breaker.answered();
        if connection.peer().role != connection::Role::Master {
            return Err(Ended::Lost);
        }
        if connection.peer().protocol < 3 {
            return Err(Ended::Untold);
        }
        let id = random_session();
        let own = keys.heartbeat_prefix(id);
        let mut tracking = cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST");
        tracking.arg("PREFIX").arg(keys.told_prefix()).arg("PREFIX").arg(&own);
        match connection.request(&tracking, half)? {
            Value::Okay => {}
            _ if connection.is_retired() => return Err(Ended::Lost),
            _ => return Err(Ended::Untold),
        }
        // From here on the server tells; what was read before may be wrong.
        let former = words.record();
        words.publish(u64::from(std::process::id()), id, connection.peer().id);
        words.note_tracking(Tracking::Told);
        words.count(Counter::Sessions, 1);
        if role == Role::StandIn {
            end(&mut connection, keys, &former, half)?;
        }
        let now = boottime::now();
        let own = own.into_bytes();
        let beats = Beats::new();
        Ok(Session {
            words,
            keys,
            breaker,
            role,
            connection,
            generation,
            id,
            own,
            beats,
            is_proved: false,
            heard: now,
            next: now,
        })
    }

    /// Sends what is due, then waits for one push or reply, or until something is due.
    fn step(&mut self) -> Result<(), Ended> {
        let staleness = self.words.staleness();
        let now = boottime::now();
        if now >= self.next {
            self.words.note_seen(now);
            self.keep_published()?;
            self.beat(now, staleness)?;
        }
        if now.saturating_sub(self.heard) > 2 * staleness.as_nanos() as u64 {
            return Err(Ended::Lost);
        }
        let left = Duration::from_nanos(self.next.saturating_sub(boottime::now()));
        let left = left.clamp(Duration::from_micros(1), LOOKS_UP);
        match self.connection.next_message(Deadline::after(left)) {
            Ok(push @ Value::Push { .. }) => {
                let told = pushes::apply(self.words, self.keys, &self.own, push);
                if told.flushed {
                    // Nothing can be proved before there is a heartbeat again.
                    self.beats.flushed();
                    self.next = 0;
                }
                for number in told.beats {
                    let confirmed = self.beats.told(number);
                    self.confirm(number, confirmed);
                }
            }
            Ok(reply) => self.replied(&reply)?,
            Err(Error::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Another session stands in the file: whoever stands in goes, whoever is elected takes its place back.
    fn keep_published(&self) -> Result<(), Ended> {
        if self.words.is_published(self.id) {
            return Ok(());
        }
        if self.role == Role::StandIn {
            return Err(Ended::Replaced);
        }
        self.words.publish(u64::from(std::process::id()), self.id, self.connection.peer().id);
        Ok(())
    }

    fn beat(&mut self, now: u64, staleness: Duration) -> Result<(), Ended> {
        self.next = now + staleness.as_nanos() as u64 / 4;
        let mut commands = self.beats.turn();
        if self.is_proved {
            commands.extend(self.beats.missing());
        }
        let mut packed = Vec::new();
        for command in &commands {
            packed.extend(self.pack(*command, staleness));
            // Before it is sent.
            self.beats.sent(*command, now);
        }
        Ok(self.connection.send(&packed, commands.len(), Deadline::after(staleness / 2))?)
    }

    fn pack(&self, command: Command, staleness: Duration) -> Vec<u8> {
        let (Command::Beat(number) | Command::Reserve(number) | Command::Extend(number)) = command;
        let mut key = self.own.clone();
        key.extend_from_slice(number.to_string().as_bytes());
        // Long enough for others to find it: `proof`.
        let short = (staleness.as_millis() as u64 * 4).max(2000);
        match command {
            Command::Beat(_) => cmd("SET").arg(key).arg(1).arg("PX").arg(short).get_packed_command(),
            Command::Reserve(_) => cmd("SET").arg(key).arg(1).arg("PX").arg(LONG).get_packed_command(),
            Command::Extend(_) => cmd("PEXPIRE").arg(key).arg(LONG).get_packed_command(),
        }
    }

    fn replied(&mut self, reply: &Value) -> Result<(), Ended> {
        if self.connection.is_retired() {
            return Err(Ended::Lost);
        }
        let reply = match reply {
            Value::Okay | Value::Int(1) => Reply::Done,
            Value::ServerError(_) => Reply::Refused,
            _ => Reply::Absent,
        };
        if reply == Reply::Refused {
            self.words.count(Counter::Refusals, 1);
        }
        let Some((number, confirmed, due)) = self.beats.replied(reply) else { return Err(Ended::Lost) };
        if due {
            self.next = 0;
        }
        self.confirm(number, confirmed);
        Ok(())
    }

    fn confirm(&mut self, number: u64, confirmed: Option<u64>) {
        let Some(sent) = confirmed else { return };
        self.heard = boottime::now();
        self.is_proved = true;
        if self.breaker.is_open() {
            self.breaker.answered();
        }
        // (One that is not published leads perhaps to another server than the one that connections are proved for.)
        if self.words.is_published(self.id) {
            self.words.note_beat(number);
            self.words.confirm(sent);
            self.words.count(Counter::Confirmations, 1);
        }
    }
}

fn random_session() -> u128 {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    u128::from_ne_bytes(bytes).max(1)
}

/// Ends the session that was published before, of a listener that is stopped: nobody reads it, and the server would keep all
/// that it tells. Only where its heartbeat says that this is its server: elsewhere the number is another client's. A server
/// that does not allow it is left with it.
fn end(connection: &mut Connection, keys: &Keys, former: &Record, deadline: Deadline) -> Result<(), Error> {
    let Some(beat) = former.beat.filter(|_| former.client > 0) else { return Ok(()) };
    let key = format!("{}{beat}", keys.heartbeat_prefix(former.session));
    if connection.request(cmd("EXISTS").arg(key), deadline)? == Value::Int(1) {
        connection.request(cmd("CLIENT").arg("KILL").arg("ID").arg(former.client), deadline)?;
    }
    Ok(())
}
