//! One session: from the consent of the server, or of all a cluster's masters, to the end.
//!
//! In this order: connect; ask for pushes of the namespace's keys and of the session's own heartbeats; **wait for the
//! consent of all; then** raise the epoch, since nobody was told of what was written before; then heartbeats. What is
//! confirmed is what all have confirmed. Whatever ends the session, the next one begins with all of it.

use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Value};

use super::super::layout::Counter;
use super::super::words::{Record, Tracking, Words};
use super::election::Role;
use super::feed::{self, Feed, Replied};
use super::{pushes, Settings, Thread};
use crate::breaker::{Admission, Failure, ProcessBreaker};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::keys::Keys;
use crate::random;
use crate::route::Route;
use crate::topology::slots::Slots;

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

pub(super) fn run(thread: &Thread, role: Role) -> Ended {
    thread.words.note_seen(boottime::now());
    match Session::open(&thread.words, &thread.settings, role) {
        Err(ended) => ended,
        Ok(mut session) => loop {
            if thread.is_over() {
                return Ended::Over;
            }
            thread.speak();
            thread.settings.route.look_around();
            if thread.settings.route.generation() != session.generation {
                // The data is elsewhere.
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
    route: &'a Route,
    role: Role,
    feeds: Vec<Feed>,
    /// Of the route, before they were opened.
    generation: u64,
    id: u128,
    /// The prefix of its heartbeats.
    own: String,
    /// Counts steps and turns.
    steps: usize,
    turns: usize,
    /// When the next turn is (boot clock).
    next: u64,
}

impl<'a> Session<'a> {
    fn open(words: &'a Words, settings: &'a Settings, role: Role) -> Result<Session<'a>, Ended> {
        let Settings { route, keys, breaker, .. } = settings;
        let half = Deadline::after(words.staleness() / 2);
        let admission = if breaker.is_open() { breaker.admit() } else { Admission::Pass };
        let opened = route.open_all(half);
        let is_cluster = matches!(route, Route::Cluster(_));
        let (ears, generation) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // (Its login may be an old one: what callers do not meet is no refusal.)
                if breaker.is_open() {
                    breaker.note(&error);
                }
                // (Of a cluster, the others may answer.)
                if admission != Admission::Deny && error.is_unreachable() && !is_cluster {
                    breaker.failed(admission, Failure::Connect);
                } else {
                    breaker.abandoned(admission);
                }
                return Err(Ended::Lost);
            }
        };
        breaker.answered();
        let id = random_session();
        let own = keys.heartbeat_prefix(id);
        let feeds = ears.into_iter().map(|ear| Feed::open(ear, keys, &own, half));
        let mut feeds: Vec<Feed> = feeds.collect::<Result<_, _>>()?;
        // From here on all servers tell; what was read before may be wrong.
        let former = words.record();
        let client = feeds.first().map_or(0, |feed| feed.connection.peer().id);
        words.publish(u64::from(std::process::id()), id, client);
        words.note_tracking(Tracking::Told);
        words.count(Counter::Sessions, 1);
        if role == Role::StandIn {
            feeds.iter_mut().try_for_each(|feed| end(feed, keys, &former, half))?;
        }
        let (steps, turns, next) = (0, 0, boottime::now());
        Ok(Session { words, keys, breaker, route, role, feeds, generation, id, own, steps, turns, next })
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
        if self.feeds.iter().any(|feed| now.saturating_sub(feed.heard) > 2 * staleness.as_nanos() as u64) {
            return Err(Ended::Lost);
        }
        let left = Duration::from_nanos(self.next.saturating_sub(boottime::now()));
        let left = left.clamp(Duration::from_micros(1), LOOKS_UP);
        self.steps += 1;
        match feed::next(&mut self.feeds, self.steps, Deadline::after(left)) {
            Ok((at, push @ Value::Push { .. })) => {
                let told = pushes::apply(self.words, self.keys, &self.own, &self.feeds[at].mark, push);
                if told.flushed {
                    // Nothing can be proved before there is a heartbeat again.
                    self.feeds[at].beats.flushed();
                    self.next = 0;
                }
                for number in told.beats {
                    if let Some(sent) = self.feeds[at].beats.told(number) {
                        self.confirm(at, number, sent);
                    }
                }
            }
            Ok((at, reply)) => match self.feeds[at].replied(reply)? {
                Replied::Nothing => {}
                Replied::Beat(number, sent) => self.confirm(at, number, sent),
                Replied::Refused(due) => {
                    self.words.count(Counter::Refusals, 1);
                    if due {
                        self.next = 0;
                    }
                }
                Replied::Slots(reply) => self.learn(at, &reply),
            },
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
        let client = self.feeds.first().map_or(0, |feed| feed.connection.peer().id);
        self.words.publish(u64::from(std::process::id()), self.id, client);
        Ok(())
    }

    fn beat(&mut self, now: u64, staleness: Duration) -> Result<(), Ended> {
        self.next = now + staleness.as_nanos() as u64 / 4;
        self.turns += 1;
        let is_cluster = matches!(self.route, Route::Cluster(_));
        // Each time another node says who has what.
        let says = self.turns % self.feeds.len().max(1);
        for (at, feed) in self.feeds.iter_mut().enumerate() {
            let mark = is_cluster.then(|| self.keys.mark(self.id, &feed.mark));
            feed.beat(&self.own, mark.as_deref(), is_cluster && at == says, now, staleness)?;
        }
        Ok(())
    }

    /// A node has said who has what. (That there are other masters ends the session at the next step.)
    fn learn(&mut self, at: usize, reply: &Value) {
        let (Route::Cluster(cluster), Some(node)) = (self.route, &self.feeds[at].node) else { return };
        let Ok(slots) = Slots::read(reply, &node.address) else { return };
        for feed in &mut self.feeds {
            if let Some(mark) = feed.node.as_ref().and_then(|node| slots.mark(node)) {
                feed.mark = mark;
            }
        }
        cluster.learn(slots);
    }

    fn confirm(&mut self, at: usize, number: u64, sent: u64) {
        self.feeds[at].confirm(sent);
        if self.breaker.is_open() {
            self.breaker.answered();
        }
        let confirmed = self.feeds.iter().map(|feed| feed.confirmed).min().unwrap_or(0);
        // (One that is not published leads perhaps to another server than the one that connections are proved for.)
        if confirmed != 0 && self.words.is_published(self.id) {
            self.words.note_beat(number);
            self.words.confirm(confirmed);
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
/// that it tells. Only where its key says that this is its server: elsewhere the number is another client's. A server
/// that does not allow it is left with it.
fn end(feed: &mut Feed, keys: &Keys, former: &Record, deadline: Deadline) -> Result<(), Error> {
    let Some(beat) = former.beat.filter(|_| former.client > 0) else { return Ok(()) };
    let client = if feed.mark.is_empty() {
        let key = format!("{}{beat}", keys.heartbeat_prefix(former.session));
        match feed.connection.request(cmd("EXISTS").arg(key), deadline)? {
            Value::Int(1) => Some(former.client.to_string().into_bytes()),
            _ => None,
        }
    } else {
        match feed.connection.request(cmd("GET").arg(keys.mark(former.session, &feed.mark)), deadline)? {
            Value::BulkString(client) => Some(client),
            _ => None,
        }
    };
    if let Some(client) = client {
        feed.connection.request(cmd("CLIENT").arg("KILL").arg("ID").arg(client), deadline)?;
    }
    Ok(())
}
