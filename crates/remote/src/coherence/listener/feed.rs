//! One tracked connection of a session: to the server, or to one of a cluster's masters.

use std::collections::VecDeque;
use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Cmd, Value};

use super::heartbeat::{Beats, Command, Reply};
use super::session::Ended;
use crate::connection::{Connection, Role};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::keys::Keys;
use crate::route::Ear;
use crate::stream::Stream;
use crate::topology::slots::{Node, Slots};

/// The life of the reserve's keys, in milliseconds.
const LONG: u64 = 24 * 3600 * 1000;
/// The wait for the rest of what has begun to come from one of several servers.
const READS: Duration = Duration::from_millis(1);

/// What was sent, by what its reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Beat,
    /// That the listener is there ([`Keys::mark`]).
    Mark,
    /// Who has which slot.
    Slots,
}

/// What a reply has come to.
pub(super) enum Replied {
    Nothing,
    /// A heartbeat's number, and the moment that it confirms.
    Beat(u64, u64),
    /// The server refused a heartbeat; whether another turn is due at once.
    Refused(bool),
    /// Who has which slot, as this node says.
    Slots(Value),
}

/// What a server answers in trouble that passes, to whatever it is asked.
const PASSING: [&str; 8] = ["ASK", "BUSY", "MASTERDOWN", "MISCONF", "NOAUTH", "NOREPLICAS", "OOM", "TRYAGAIN"];

/// Whether a refusal says nothing about the command.
fn passes(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if PASSING.contains(&error.code()))
}

pub(super) struct Feed {
    pub(super) connection: Connection,
    /// Of a cluster, the node.
    pub(super) node: Option<Node>,
    /// The end of keys that lie there; empty where there is one server.
    pub(super) mark: String,
    pub(super) beats: Beats,
    asked: VecDeque<Asked>,
    /// Whether a heartbeat has come back: until then the reserve is not made.
    is_proved: bool,
    /// When a heartbeat last came back (boot clock).
    pub(super) heard: u64,
    /// All that this server told before this moment is applied; 0: nothing is known.
    pub(super) confirmed: u64,
}

impl Feed {
    /// Asks the server to tell; returns when it has consented.
    pub(super) fn open(ear: Ear, keys: &Keys, own: &str, deadline: Deadline) -> Result<Feed, Ended> {
        let Ear { mut connection, node } = ear;
        let (node, mark) = node.map_or((None, String::new()), |(node, mark)| (Some(node), mark));
        if connection.peer().role != Role::Master {
            return Err(Ended::Lost);
        }
        if connection.peer().protocol < 3 {
            return Err(Ended::Untold);
        }
        let mut tracking = cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST");
        tracking.arg("PREFIX").arg(keys.told_prefix()).arg("PREFIX").arg(own);
        match connection.request(&tracking, deadline)? {
            Value::Okay => {}
            reply if connection.is_retired() || passes(&reply) => return Err(Ended::Lost),
            _ => return Err(Ended::Untold),
        }
        let (beats, asked) = (Beats::new(), VecDeque::new());
        Ok(Feed { connection, node, mark, beats, asked, is_proved: false, heard: boottime::now(), confirmed: 0 })
    }

    /// Sends what is due at `now`; `mark`: the key that says that the listener is there; `slots`: also asks who has what.
    pub(super) fn beat(
        &mut self,
        own: &str,
        mark: Option<&str>,
        slots: bool,
        now: u64,
        staleness: Duration,
    ) -> Result<(), Ended> {
        let mut commands = self.beats.turn();
        if self.is_proved {
            commands.extend(self.beats.missing());
        }
        let mut packed = Vec::new();
        // Long enough for others to find it: `proof`.
        let short = (staleness.as_millis() as u64 * 4).max(2000);
        if let Some(mark) = mark {
            // A server that is full refuses the first, and does the second.
            cmd("SET").arg(mark).arg(self.connection.peer().id).arg("PX").arg(short).write_packed_command(&mut packed);
            cmd("PEXPIRE").arg(mark).arg(short).write_packed_command(&mut packed);
            self.asked.extend([Asked::Mark, Asked::Mark]);
        }
        for command in &commands {
            self.command(own, *command, short).write_packed_command(&mut packed);
            // Before it is sent.
            self.beats.sent(*command, now);
            self.asked.push_back(Asked::Beat);
        }
        let mut owed = commands.len() + 2 * usize::from(mark.is_some());
        if slots {
            Slots::question().write_packed_command(&mut packed);
            self.asked.push_back(Asked::Slots);
            owed += 1;
        }
        Ok(self.connection.send(&packed, owed, Deadline::after(staleness / 2))?)
    }

    fn command(&self, own: &str, command: Command, short: u64) -> Cmd {
        let (Command::Beat(number) | Command::Reserve(number) | Command::Extend(number)) = command;
        let key = format!("{own}{number}{}", self.mark);
        match command {
            Command::Beat(_) => cmd("SET").arg(key).arg(1).arg("PX").arg(short).clone(),
            Command::Reserve(_) => cmd("SET").arg(key).arg(1).arg("PX").arg(LONG).clone(),
            Command::Extend(_) => cmd("PEXPIRE").arg(key).arg(LONG).clone(),
        }
    }

    pub(super) fn replied(&mut self, reply: Value) -> Result<Replied, Ended> {
        let is_moved = matches!(&reply, Value::ServerError(error) if ["MOVED", "ASK"].contains(&error.code()));
        if self.connection.is_retired() || is_moved {
            return Err(Ended::Lost);
        }
        match self.asked.pop_front() {
            None => Err(Ended::Lost),
            Some(Asked::Mark) => Ok(Replied::Nothing),
            Some(Asked::Slots) => Ok(Replied::Slots(reply)),
            Some(Asked::Beat) => {
                let reply = match reply {
                    Value::Okay | Value::Int(1) => Reply::Done,
                    Value::ServerError(_) => Reply::Refused,
                    _ => Reply::Absent,
                };
                let Some((number, confirmed, due)) = self.beats.replied(reply) else { return Err(Ended::Lost) };
                Ok(match (reply, confirmed) {
                    (Reply::Refused, _) => Replied::Refused(due),
                    (_, Some(sent)) => Replied::Beat(number, sent),
                    (_, None) => Replied::Nothing,
                })
            }
        }
    }

    /// A heartbeat has come back.
    pub(super) fn confirm(&mut self, sent: u64) {
        self.heard = boottime::now();
        self.is_proved = true;
        self.confirmed = self.confirmed.max(sent);
    }
}

/// The feed from which the next push or reply has come, and that; all of them are waited for. `turn` says who is looked at
/// first, so that none is always the last.
pub(super) fn next(feeds: &mut [Feed], turn: usize, deadline: Deadline) -> Result<(usize, Value), Error> {
    if let [feed] = feeds {
        return feed.connection.next_message(deadline).map(|message| (0, message));
    }
    // What has come already (no wait: nothing is read), then what can be read.
    let everywhere = vec![true; feeds.len()];
    if let Some(found) = look(feeds, turn, &everywhere, Duration::ZERO)? {
        return Ok(found);
    }
    let streams: Vec<&Stream> = feeds.iter().map(|feed| feed.connection.stream()).collect();
    let readable = Stream::any(&streams, deadline)?;
    look(feeds, turn, &readable, READS)?.ok_or(Error::Timeout)
}

fn look(feeds: &mut [Feed], turn: usize, at: &[bool], wait: Duration) -> Result<Option<(usize, Value)>, Error> {
    let count = feeds.len();
    for i in (0..count).map(|i| (turn + i) % count).filter(|i| at[*i]) {
        match feeds[i].connection.next_message(Deadline::after(wait)) {
            Ok(message) => return Ok(Some((i, message))),
            Err(Error::Timeout) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
