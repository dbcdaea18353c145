//! The connections of one visit to a cluster: commands are grouped by node, and all groups sent at once.
//!
//! A redirection is followed for the command that got it, and for no other: what has been done is not done again. All of it
//! ends at the visit's deadline, however often nodes name each other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use redis::{cmd, Arg, Cmd, Pipeline, Value};

use super::cluster::{Cluster, Told};
use crate::coherence::Words;
use crate::connection::Peer;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::keys::{self, Keys};
use crate::pool::Lease;
use crate::topology::slots::{Redirection, Slots};
use crate::url::Address;

/// After so many redirections of one command there is a pause before the next.
const AT_ONCE: u32 = 2;
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// A node's connection in the hands of one visit.
struct Line {
    address: Address,
    lease: Lease,
    told: Told,
}

/// Where a command goes next.
struct Step {
    command: usize,
    line: usize,
    /// It is to be preceded by `ASKING`.
    asks: bool,
}

pub struct Spread {
    cluster: Arc<Cluster>,
    slots: Arc<Slots>,
    must: bool,
    lines: Vec<Line>,
    /// Who has what was asked again on this visit.
    asked: bool,
    /// The line of the last `WATCH`.
    watched: Option<usize>,
    /// The epoch under which the lines of the last proof are proved.
    proof: u64,
    strayed: bool,
    /// A failure was told to a node's breaker.
    counted: bool,
}

/// The first key of a command.
fn key(command: &Cmd) -> Option<&[u8]> {
    let mut arguments = command.args_iter().filter_map(|argument| match argument {
        Arg::Simple(bytes) => Some(bytes),
        _ => None,
    });
    match arguments.next()? {
        b"EVAL" => arguments.nth(2),
        _ => arguments.next(),
    }
}

fn is(command: &Cmd, name: &[u8]) -> bool {
    matches!(command.args_iter().next(), Some(Arg::Simple(bytes)) if bytes == name)
}

impl Spread {
    pub(super) fn new(cluster: &Arc<Cluster>, must: bool, deadline: Deadline) -> Result<Spread, Error> {
        let slots = cluster.slots(deadline)?;
        let (cluster, lines) = (cluster.clone(), Vec::new());
        let (asked, strayed, counted) = (false, false, false);
        Ok(Spread { cluster, slots, must, lines, asked, watched: None, proof: 0, strayed, counted })
    }

    pub(super) fn is_counted(&self) -> bool {
        self.counted
    }

    pub(super) fn has_strayed(&self) -> bool {
        self.strayed
    }

    /// The line to a node.
    fn line(&mut self, address: &Address, deadline: Deadline) -> Result<usize, Error> {
        let found = self.lines.iter().position(|line| line.address == *address);
        if let Some(at) = found.filter(|at| self.lines[*at].lease.is_usable()) {
            return Ok(at);
        }
        let (lease, told) = self.cluster.take(address, self.must, deadline).inspect_err(|_| self.counted = true)?;
        let line = Line { address: address.clone(), lease, told };
        match found {
            Some(at) => {
                // (A transaction's watch has gone with it.)
                self.watched = self.watched.filter(|watched| *watched != at);
                self.lines[at] = line;
                Ok(at)
            }
            None => {
                self.lines.push(line);
                Ok(self.lines.len() - 1)
            }
        }
    }

    /// The line to the node that has a slot. If that one is not reached, who has what is asked again, once.
    fn owner(&mut self, slot: u16, deadline: Deadline) -> Result<usize, Error> {
        let reached = match self.slots.owner(slot).map(|node| node.address.clone()) {
            Some(address) => self.line(&address, deadline).map_err(|error| (error, Some(address))),
            None => Err((Error::Unasked, None)),
        };
        match reached {
            Ok(line) => Ok(line),
            Err((error, former)) if !self.asked && (error.is_unreachable() || former.is_none()) => {
                self.asked = true;
                if self.cluster.ask(deadline).is_err() {
                    return Err(error);
                }
                self.slots = self.cluster.slots(deadline)?;
                let present = self.slots.owner(slot).map(|node| node.address.clone());
                match present {
                    Some(present) if Some(&present) != former.as_ref() => self.line(&present, deadline),
                    _ => {
                        self.counted = true;
                        Err(error)
                    }
                }
            }
            Err((error, _)) => {
                self.counted = true;
                Err(error)
            }
        }
    }

    /// See [`super::Link::peer`].
    pub(super) fn peer(&mut self, key: &[u8], deadline: Deadline) -> Result<&Peer, Error> {
        let line = self.owner(keys::slot(key), deadline)?;
        Ok(self.lines[line].lease.peer())
    }

    /// See [`super::Link::prove`].
    pub(super) fn prove<'a>(
        &mut self,
        words: &Words,
        keys: &Keys,
        of: impl Iterator<Item = &'a [u8]>,
        deadline: Deadline,
    ) -> Result<u64, Error> {
        let mut proof = None;
        let mut proved: Vec<usize> = Vec::new();
        for key in of {
            let slot = keys::slot(key);
            let line = self.owner(slot, deadline)?;
            if proved.contains(&line) {
                continue;
            }
            proved.push(line);
            let mark = self.slots.owner(slot).and_then(|node| self.slots.mark(node));
            let this = match mark {
                Some(mark) => self.prove_one(line, words, keys, &mark, deadline)?,
                None => 0,
            };
            // All under one epoch.
            proof = Some(if proof.is_none_or(|proof| proof == this) { this } else { 0 });
        }
        self.proof = proof.unwrap_or(0);
        self.strayed = false;
        Ok(self.proof)
    }

    fn prove_one(
        &mut self,
        line: usize,
        words: &Words,
        keys: &Keys,
        mark: &str,
        deadline: Deadline,
    ) -> Result<u64, Error> {
        let mut proved = words.prove(&mut self.lines[line].lease, keys, mark, deadline);
        if proved == Err(Error::Closed) && self.lines[line].lease.is_reused() {
            self.reopen(line, deadline)?;
            proved = words.prove(&mut self.lines[line].lease, keys, mark, deadline);
        }
        match proved {
            Ok(true) => Ok(self.lines[line].lease.proof),
            Ok(false) => Ok(0),
            Err(error) => {
                self.failed(line, &error);
                Err(error)
            }
        }
    }

    /// See [`super::Link::run`].
    pub(super) fn run(&mut self, commands: &Pipeline, deadline: Deadline) -> Result<Vec<Value>, Error> {
        if commands.is_transaction() {
            return self.transaction(commands, deadline);
        }
        let commands: Vec<&Cmd> = commands.cmd_iter().collect();
        let mut replies: Vec<Option<Value>> = commands.iter().map(|_| None).collect();
        let mut steps = Vec::with_capacity(commands.len());
        for (command, packed) in commands.iter().enumerate() {
            let line = match key(packed) {
                Some(key) => self.owner(keys::slot(key), deadline)?,
                // It is about a watch.
                None => self.watched.ok_or(Error::Closed)?,
            };
            steps.push(Step { command, line, asks: false });
        }
        for round in 0u32.. {
            let redirected = self.wave(&commands, steps, &mut replies, deadline)?;
            if redirected.is_empty() {
                break;
            }
            let mut pauses = round >= AT_ONCE;
            steps = Vec::with_capacity(redirected.len());
            for (command, from, redirection) in redirected {
                let (line, asks) = match redirection {
                    Redirection::Moved(slot, address) => {
                        self.cluster.moved(slot, &address);
                        self.slots = self.cluster.slots(deadline)?;
                        (self.line(&address, deadline)?, false)
                    }
                    Redirection::Ask(address) => (self.line(&address, deadline)?, true),
                    Redirection::Later => {
                        pauses = true;
                        (from, false)
                    }
                };
                steps.push(Step { command, line, asks });
            }
            let left = deadline.remaining()?;
            if pauses {
                std::thread::sleep(Duration::from_millis(1 << round.min(4)).min(LONGEST_PAUSE).min(left));
            }
        }
        Ok(replies.into_iter().map(|reply| reply.unwrap_or(Value::Nil)).collect())
    }

    /// Sends each command to its node, all at once, and reads the replies; those that are to go elsewhere, and who said so.
    fn wave(
        &mut self,
        commands: &[&Cmd],
        steps: Vec<Step>,
        replies: &mut [Option<Value>],
        deadline: Deadline,
    ) -> Result<Vec<(usize, usize, Redirection)>, Error> {
        let mut groups: Vec<(usize, VecDeque<Step>, Vec<u8>)> = Vec::new();
        for step in steps {
            let at = groups.iter().position(|group| group.0 == step.line).unwrap_or_else(|| {
                groups.push((step.line, VecDeque::new(), Vec::new()));
                groups.len() - 1
            });
            let group = &mut groups[at];
            if step.asks {
                cmd("ASKING").write_packed_command(&mut group.2);
            }
            commands[step.command].write_packed_command(&mut group.2);
            group.1.push_back(step);
        }
        for (line, steps, packed) in &groups {
            self.send(*line, steps, packed, deadline)?;
        }
        let mut redirected = Vec::new();
        for (line, steps, packed) in groups {
            let mut is_first = true;
            for step in &steps {
                if step.asks {
                    self.receive(line, is_first, &steps, &packed, deadline)?;
                    is_first = false;
                }
                let reply = self.receive(line, is_first, &steps, &packed, deadline)?;
                is_first = false;
                let asked = &self.lines[line].address;
                let redirection = match &reply {
                    Value::ServerError(error) => Redirection::of(error, asked),
                    _ => None,
                };
                match redirection {
                    Some(redirection) => redirected.push((step.command, line, redirection)),
                    None => {
                        if is(commands[step.command], b"WATCH") {
                            self.watched = Some(line);
                        }
                        replies[step.command] = Some(reply);
                    }
                }
            }
            self.lines[line].told.answered();
            let proof = self.lines[line].lease.proof;
            self.strayed |= self.proof == 0 || proof != self.proof || steps.iter().any(|step| step.asks);
        }
        // In the order in which they were asked.
        redirected.sort_by_key(|redirected| redirected.0);
        Ok(redirected)
    }

    fn send(&mut self, line: usize, steps: &VecDeque<Step>, packed: &[u8], deadline: Deadline) -> Result<(), Error> {
        let owed = steps.len() + steps.iter().filter(|step| step.asks).count();
        let sent = self.lines[line].lease.send(packed, owed, deadline);
        match sent {
            Err(Error::Closed) if self.lines[line].lease.is_reused() => self.resend(line, steps, packed, deadline),
            sent => sent.inspect_err(|error| self.failed(line, error)),
        }
    }

    /// On a new connection, in the place of one that the node had closed.
    fn resend(&mut self, line: usize, steps: &VecDeque<Step>, packed: &[u8], deadline: Deadline) -> Result<(), Error> {
        self.reopen(line, deadline)?;
        let owed = steps.len() + steps.iter().filter(|step| step.asks).count();
        let sent = self.lines[line].lease.send(packed, owed, deadline);
        sent.inspect_err(|error| self.failed(line, error))
    }

    fn reopen(&mut self, line: usize, deadline: Deadline) -> Result<(), Error> {
        self.watched = self.watched.filter(|watched| *watched != line);
        match self.lines[line].told.reopen(deadline) {
            Ok(lease) => {
                self.lines[line].lease = lease;
                Ok(())
            }
            Err(error) => {
                self.counted = true;
                self.cluster.doubt();
                Err(error)
            }
        }
    }

    fn receive(
        &mut self,
        line: usize,
        is_first: bool,
        steps: &VecDeque<Step>,
        packed: &[u8],
        deadline: Deadline,
    ) -> Result<Value, Error> {
        let lease = &mut self.lines[line].lease;
        let mut reply = lease.receive(deadline);
        if is_first && lease.is_reused() && reply == Err(Error::Closed) {
            self.resend(line, steps, packed, deadline)?;
            reply = self.lines[line].lease.receive(deadline);
        }
        reply.inspect_err(|error| self.failed(line, error))
    }

    fn failed(&mut self, line: usize, error: &Error) {
        if error.is_unreachable() {
            self.counted = true;
            self.lines[line].told.failed();
            self.cluster.doubt();
        }
    }

    /// A transaction, at the node where its keys are watched.
    fn transaction(&mut self, commands: &Pipeline, deadline: Deadline) -> Result<Vec<Value>, Error> {
        let line = self.watched.take().ok_or(Error::Closed)?;
        let replies = self.lines[line].lease.pipeline(commands, deadline);
        replies.inspect_err(|error| self.failed(line, error))
    }
}
