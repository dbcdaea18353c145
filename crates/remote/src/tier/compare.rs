//! Changes by comparison: only if the key still holds what it held.
//!
//! By the server's own command where it has one, else by a script that compares the first 25 bytes, else by `WATCH`.
//! What a server does not do, or its rules forbid, is not tried again by this process.

use std::sync::atomic::{AtomicU8, Ordering};

use redis::{Pipeline, Value};

use super::trip::{bytes, number, sound, Trip};
use crate::connection::Peer;
use crate::envelope::FENCE;
use crate::error::{Code, Error};

const REPLACE: &str = "if redis.call('GETRANGE',KEYS[1],0,24)~=ARGV[1] then return 0 end \
    if ARGV[3]=='0' then redis.call('SET',KEYS[1],ARGV[2],'KEEPTTL') \
    else redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) end return 1";
const REMOVE: &str = "if redis.call('GETRANGE',KEYS[1],0,24)~=ARGV[1] then return 0 end \
    return redis.call('DEL',KEYS[1])";
/// `KEYS`: the value's, the refresh's.
const TAKE: &str = "if redis.call('GETRANGE',KEYS[1],0,24)~=ARGV[1] then return 0 end \
    redis.call('DEL',KEYS[1],KEYS[2]) return 1";
/// `KEYS`: the value's, the refresh's. Stored if the lease is there, and the value is the old one or none.
const REFRESH: &str = "if redis.call('GETRANGE',KEYS[2],0,24)~=ARGV[1] then return 0 end \
    redis.call('DEL',KEYS[2]) local is=redis.call('GETRANGE',KEYS[1],1,24) \
    if is~='' and is~=ARGV[2] then return 0 end \
    redis.call('SET',KEYS[1],ARGV[3],'PX',ARGV[4]) return 1";

/// A change that is made only if the first 25 bytes are those of `old`.
pub(super) enum Change<'a> {
    /// Another value, with a life in milliseconds; `None`: with what is left of the old one's.
    Replace {
        key: &'a [u8],
        old: &'a [u8],
        new: &'a [u8],
        life: Option<u64>,
        /// The refresh's lease, which goes before: it is a user's change, and who refreshes has begun before it.
        fences: Option<&'a [u8]>,
    },
    Remove {
        key: &'a [u8],
        old: &'a [u8],
    },
    /// What is there, or nothing (`old` is empty), goes with the lease beside it: nobody who computes stores it any more.
    Take {
        key: &'a [u8],
        lease_key: &'a [u8],
        old: &'a [u8],
    },
    /// A value beside which a lease lies: if the lease is there, and the value has this token, or has ended.
    Refresh {
        key: &'a [u8],
        lease_key: &'a [u8],
        lease: &'a [u8],
        old: &'a [u8],
        new: &'a [u8],
        life: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Command,
    Script,
    Watch,
}

/// The best way that is left for each kind of change: a server that refuses one is not asked for it again.
#[derive(Default)]
pub(super) struct Ways([AtomicU8; 4]);

impl Change<'_> {
    fn key(&self) -> &[u8] {
        match self {
            Change::Replace { key, .. }
            | Change::Remove { key, .. }
            | Change::Take { key, .. }
            | Change::Refresh { key, .. } => key,
        }
    }

    fn fences(&self) -> Option<&[u8]> {
        match self {
            Change::Replace { fences, .. } => *fences,
            _ => None,
        }
    }

    fn kind(&self) -> usize {
        match self {
            Change::Replace { .. } => 0,
            Change::Remove { .. } => 1,
            Change::Refresh { .. } => 2,
            Change::Take { .. } => 3,
        }
    }
}

impl Ways {
    fn of(&self, peer: &Peer, change: &Change<'_>) -> Way {
        let knows = |valkey, redis| match peer.server.as_str() {
            "valkey" => peer.version >= valkey,
            "redis" => peer.version >= redis,
            _ => false,
        };
        let has = match change {
            Change::Replace { .. } => knows((8, 1, 0), (8, 4, 0)),
            Change::Remove { .. } => knows((9, 0, 0), (8, 4, 0)),
            Change::Take { .. } | Change::Refresh { .. } => false,
        };
        // Relaxed: it orders nothing.
        match self.0[change.kind()].load(Ordering::Relaxed) {
            0 if has => Way::Command,
            0 | 1 => Way::Script,
            _ => Way::Watch,
        }
    }

    fn refused(&self, change: &Change<'_>, way: Way) {
        self.0[change.kind()].fetch_max(way as u8 + 1, Ordering::Relaxed);
    }
}

/// What became of each change: whether it was made, or what the server said.
pub(super) type Outcome = Result<bool, Code>;

/// Makes changes, in one trip where the server can.
pub(super) fn make(trip: &mut Trip<'_>, changes: &[Change<'_>]) -> Result<Vec<Outcome>, Error> {
    let mut outcomes: Vec<Option<Outcome>> = changes.iter().map(|_| None).collect();
    // Each way is given up once at most.
    for _ in 0..3 {
        let (mut commands, mut asked) = (Pipeline::new(), Vec::new());
        for (i, change) in changes.iter().enumerate().filter(|(i, _)| outcomes[*i].is_none()) {
            let ways = &trip.tier.ways;
            let peer = trip.peer(change.key())?;
            let way = ways.of(peer, change);
            if let Some(lease_key) = change.fences().filter(|_| way != Way::Watch) {
                commands.cmd("DEL").arg(lease_key);
            }
            match way {
                Way::Command => command(&mut commands, peer, change),
                Way::Script => script(&mut commands, change),
                Way::Watch => continue,
            }
            asked.push((i, way));
        }
        let mut replies = trip.run(&commands)?.into_iter();
        let mut next = || replies.next().unwrap_or(Value::Nil);
        for (i, way) in asked {
            let fenced = changes[i].fences().map_or(Ok(0), |_| number(next()));
            match outcome(next()) {
                _ if fenced.is_err() => outcomes[i] = Some(fenced.map(|_| false).map_err(refused)),
                Err(code) if ["ERR", "NOPERM"].contains(&code.as_str()) => trip.tier.ways.refused(&changes[i], way),
                outcome => outcomes[i] = Some(outcome),
            }
        }
        for (i, change) in changes.iter().enumerate() {
            let ways = &trip.tier.ways;
            if outcomes[i].is_none() && ways.of(trip.peer(change.key())?, change) == Way::Watch {
                outcomes[i] = Some(watch(trip, change)?);
            }
        }
        if outcomes.iter().all(Option::is_some) {
            break;
        }
    }
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(Code::new("ERR")))).collect())
}

/// What an error says of one change of many.
fn refused(error: Error) -> Code {
    match error {
        Error::Refused(code) => code,
        _ => Code::new("ERR"),
    }
}

fn outcome(reply: Value) -> Outcome {
    match reply {
        Value::Okay | Value::Int(1..) => Ok(true),
        Value::ServerError(error) => Err(Code::of(&error)),
        _ => Ok(false),
    }
}

fn command(commands: &mut Pipeline, peer: &Peer, change: &Change<'_>) {
    match *change {
        Change::Replace { key, old, new, life, .. } => {
            living(commands.cmd("SET").arg(key).arg(new).arg("IFEQ").arg(old), life);
        }
        Change::Remove { key, old } if peer.server == "redis" => {
            commands.cmd("DELEX").arg(key).arg("IFEQ").arg(old);
        }
        Change::Remove { key, old } => {
            commands.cmd("DELIFEQ").arg(key).arg(old);
        }
        Change::Take { .. } | Change::Refresh { .. } => script(commands, change),
    }
}

/// Adds a life in milliseconds to a SET, or that the key keeps its own.
fn living(set: &mut Pipeline, life: Option<u64>) {
    match life {
        Some(life) => set.arg("PX").arg(life),
        None => set.arg("KEEPTTL"),
    };
}

fn fence(bytes: &[u8]) -> &[u8] {
    &bytes[..FENCE.min(bytes.len())]
}

fn script(commands: &mut Pipeline, change: &Change<'_>) {
    match *change {
        Change::Replace { key, old, new, life, .. } => {
            commands.cmd("EVAL").arg(REPLACE).arg(1).arg(key).arg(fence(old)).arg(new).arg(life.unwrap_or(0));
        }
        Change::Remove { key, old } => {
            commands.cmd("EVAL").arg(REMOVE).arg(1).arg(key).arg(fence(old));
        }
        Change::Take { key, lease_key, old } => {
            commands.cmd("EVAL").arg(TAKE).arg(2).arg(key).arg(lease_key).arg(fence(old));
        }
        Change::Refresh { key, lease_key, lease, old, new, life } => {
            commands.cmd("EVAL").arg(REFRESH).arg(2).arg(key).arg(lease_key);
            commands.arg(fence(lease)).arg(old).arg(new).arg(life);
        }
    }
}

/// One change by `WATCH`: a transaction that fails if somebody has written meanwhile.
fn watch(trip: &mut Trip<'_>, change: &Change<'_>) -> Result<Outcome, Error> {
    let mut look = Pipeline::new();
    let mut then = Pipeline::new();
    then.atomic();
    match *change {
        Change::Replace { key, .. } | Change::Remove { key, .. } | Change::Take { key, .. } => {
            look.cmd("WATCH").arg(key).cmd("GETRANGE").arg(key).arg(0).arg(24);
        }
        Change::Refresh { key, lease_key, .. } => {
            look.cmd("WATCH").arg(key).arg(lease_key).cmd("GETRANGE").arg(key).arg(1).arg(24);
            look.cmd("GETRANGE").arg(lease_key).arg(0).arg(24);
        }
    }
    if let Some(lease_key) = change.fences() {
        number(trip.run(Pipeline::new().cmd("DEL").arg(lease_key))?.pop().unwrap_or(Value::Nil))?;
    }
    let mut replies = trip.run(&look)?.into_iter();
    let mut next = || replies.next().unwrap_or(Value::Nil);
    sound(next())?;
    let is = bytes(next())?.unwrap_or_default();
    let holds = match *change {
        Change::Replace { key, old, new, life, .. } => {
            living(then.cmd("SET").arg(key).arg(new), life);
            is == fence(old)
        }
        Change::Remove { key, old } => {
            then.cmd("DEL").arg(key);
            is == fence(old)
        }
        Change::Take { key, lease_key, old } => {
            then.cmd("DEL").arg(key).arg(lease_key);
            is == fence(old)
        }
        Change::Refresh { key, lease_key, lease, old, new, life } => {
            let mine = bytes(next())?.unwrap_or_default() == fence(lease);
            then.cmd("DEL").arg(lease_key);
            let unchanged = is.is_empty() || is == old;
            if unchanged {
                then.cmd("SET").arg(key).arg(new).arg("PX").arg(life);
            }
            if mine && !unchanged {
                trip.run(&then)?;
                return Ok(Ok(false));
            }
            mine
        }
    };
    if !holds {
        sound(trip.run(Pipeline::new().cmd("UNWATCH"))?.into_iter().next().unwrap_or(Value::Nil))?;
        return Ok(Ok(false));
    }
    let mut replies = trip.run(&then)?;
    // What was refused before `EXEC` says why: `EXEC` says only that nothing was done.
    if let Some(Value::ServerError(error)) = replies.iter().find(|reply| matches!(reply, Value::ServerError(_))) {
        return Ok(Err(Code::of(error)));
    }
    Ok(match replies.pop() {
        Some(Value::Array(results)) => results.into_iter().map(outcome).find(Result::is_err).unwrap_or(Ok(true)),
        // Another client was faster.
        Some(Value::Nil) => Ok(false),
        Some(reply) => outcome(reply),
        None => Ok(false),
    })
}
