//! Reading: what lies under calls' keys, and what of it counts.
//!
//! In one trip: each value and its time to live, **then** the stamps. So stamps that agree with a value's were the server's
//! after the value was. The pairs are read before all of it.

use concurrency::boottime;
use redis::{Pipeline, Value};

use super::lease::taken;
use super::near::Cover;
use super::stamps::Stamps;
use super::trip::{bytes, number, spared, Must, Trip};
use super::{Call, Found, Tier};
use crate::coherence::Pair;
use crate::envelope::{Entry, Opened, Stamp, Token, Unreadable};
use crate::error::{Code, Error};

/// What was read of one call.
pub(super) struct Glance {
    /// From before.
    pub(super) cover: Cover,
    /// The same for what is computed now, and the server does not get.
    pub(super) alone: Cover,
    /// That of the value's stripe alone, from before.
    pub(super) seen: Pair,
    pub(super) judged: Judged,
    /// As it lies there, for a comparison; of what is found, [`Found`] has it.
    pub(super) sealed: Vec<u8>,
}

pub(super) enum Judged {
    Found(Box<Found>),
    /// Somebody computes with the present stamps, since a moment of the boot clock.
    Lease {
        token: Token,
        taken: u64,
    },
    /// What lies there counts no longer, and may be replaced by comparison.
    Void,
    Absent,
    Unreadable(Unreadable),
    /// Another call's.
    Other,
    /// The server did not say. (Of one call alone that is an error.)
    Refused(Code),
}

/// What lies under one key, before the stamps are known.
struct Raw {
    bytes: Option<Vec<u8>>,
    /// In milliseconds; −1: it has no end, −2: it has ended since it was read.
    left: i64,
}

impl Tier {
    /// What the server has for a call, if it can be had and read: no lease is taken, none is waited for.
    pub fn peek(&self, call: &Call) -> Option<Found> {
        self.peek_many(&[call]).pop().flatten()
    }

    /// The same for many calls in one trip.
    pub fn peek_many(&self, calls: &[&Call]) -> Vec<Option<Found>> {
        let Ok((glances, _)) = self.visit(Must::May, |trip| glance(trip, calls)) else {
            return calls.iter().map(|_| None).collect();
        };
        let found = |glance: Glance| match glance.judged {
            Judged::Found(found) => Some(*found),
            _ => None,
        };
        glances.into_iter().map(found).collect()
    }
}

/// Reads calls, and the stamps of all of them.
pub(super) fn glance(trip: &mut Trip<'_>, calls: &[&Call]) -> Result<(Vec<Glance>, Stamps), Error> {
    if calls.is_empty() {
        return Ok((Vec::new(), Stamps::default()));
    }
    let tier = trip.tier;
    let words = tier.coherence.words();
    let keys = Stamps::keys(calls);
    let read = calls.iter().map(|call| &call.keys.value[..]).chain(keys.iter().map(|(key, _)| &key.key[..]));
    let proved = trip.proved(read)?;
    // Before anything that the values depend on is read.
    let began = boottime::now();
    let pairs: Vec<(Pair, Pair)> =
        calls.iter().map(|call| (words.pair(call.stripes()), words.pair(&[call.stripe()]))).collect();

    let mut commands = Pipeline::new();
    for call in calls {
        commands.cmd("GET").arg(&call.keys.value).cmd("PTTL").arg(&call.keys.value);
    }
    keys.iter().for_each(|(key, _)| Stamps::ask(&mut commands, key));
    let mut replies = trip.run(&commands)?.into_iter();
    let mut next = || replies.next().unwrap_or(Value::Nil);
    let (mut raws, mut refused) = (Vec::with_capacity(calls.len()), Vec::with_capacity(calls.len()));
    for _ in calls {
        let (found, left) = (spared(bytes(next()))?, spared(number(next()))?);
        let (raw, code) = match (found, left) {
            (Ok(bytes), Ok(left)) => (Raw { bytes, left }, None),
            (Err(code), _) | (_, Err(code)) => (Raw { bytes: None, left: -2 }, Some(code)),
        };
        raws.push(raw);
        refused.push(code);
    }
    let mut stamps = Stamps::default();
    for (key, _) in &keys {
        stamps.note(key, next())?;
    }

    let opened: Vec<_> = calls.iter().zip(&raws).map(|(call, raw)| open(tier, call, raw)).collect();
    let named = |opened: &Result<Option<Opened<'_>>, Unreadable>, call: &Call| match opened {
        Ok(Some(Opened::Entry(entry))) => stamps.unknown(call, &entry.stamps),
        Ok(Some(Opened::Lease(lease))) => stamps.unknown(call, &lease.stamps),
        _ => Vec::new(),
    };
    let unknown: Vec<_> = opened.iter().zip(calls).map(|(opened, call)| named(opened, call)).collect();
    let mut has_strayed = trip.has_strayed();
    let has_more = unknown.iter().any(|more| !more.is_empty());
    if has_more && trip.is_spread() {
        has_strayed |= trip.proved(unknown.iter().flatten().map(|key| &key.key[..]))? != proved;
    }
    // Their stripes, then their keys.
    let pairs: Vec<_> = pairs
        .into_iter()
        .zip(&unknown)
        .map(|((pair, seen), more)| {
            let stripes: Vec<_> = more.iter().map(|key| key.stripe).collect();
            (words.with_more(pair, &stripes), seen)
        })
        .collect();
    if has_more {
        let mut commands = Pipeline::new();
        unknown.iter().flatten().for_each(|key| Stamps::ask(&mut commands, key));
        let replies = trip.run(&commands)?;
        for (key, reply) in unknown.iter().flatten().zip(replies) {
            stamps.note(key, reply)?;
        }
    }

    if trip.is_spread() {
        confirm(trip, &mut stamps, calls, &opened)?;
    }
    has_strayed |= trip.has_strayed();

    let cover = |pair: Pair| {
        let covered = proved != 0 && proved == pair.epoch && !has_strayed;
        Cover { pair, until: if covered { 0 } else { began.saturating_add(tier.staleness) } }
    };
    for ((refused, call), more) in refused.iter_mut().zip(calls).zip(&unknown) {
        *refused = refused.take().or_else(|| stamps.refused(call, more).cloned());
    }
    trip.note_refused(refused.iter().flatten().collect(), calls.len())?;
    let glances = opened.iter().zip(&raws).zip(calls).zip(&unknown).zip(pairs).zip(refused);
    let glances = glances.map(|(((((opened, raw), call), more), (pair, seen)), refused)| {
        let cover = cover(pair);
        let judged = match (refused, opened) {
            (Some(code), _) => Judged::Refused(code),
            (None, Err(why)) => Judged::Unreadable(*why),
            (None, Ok(None)) => Judged::Absent,
            // (No end of its life: not ours.)
            (None, Ok(Some(_))) if raw.left == -1 => Judged::Void,
            (None, Ok(Some(Opened::Lease(lease)))) if stamps.count(call, &lease.stamps) => {
                Judged::Lease { token: lease.token, taken: taken(began, raw.left) }
            }
            (None, Ok(Some(Opened::Entry(entry)))) if entry.call[..] != *call.inscribed() => Judged::Other,
            (None, Ok(Some(Opened::Entry(entry)))) if stamps.count(call, &entry.stamps) => {
                let mut stripes = call.stripes.clone();
                stripes.extend(more.iter().map(|key| key.stripe));
                Judged::Found(Box::new(found(entry, raw.left, began, cover, stripes)))
            }
            (None, Ok(Some(_))) => Judged::Void,
        };
        let alone = Cover { until: began.saturating_add(tier.staleness), ..cover };
        Glance { cover, alone, seen, judged, sealed: Vec::new() }
    });
    let mut glances: Vec<Glance> = glances.collect();
    drop(opened);
    for (glance, raw) in glances.iter_mut().zip(raws) {
        let sealed = raw.bytes.unwrap_or_default();
        match &mut glance.judged {
            Judged::Found(found) => found.sealed = sealed,
            _ => glance.sealed = sealed,
        }
    }
    Ok((glances, stamps))
}

/// Of a cluster, stamps were read beside the values, and perhaps before them. One that does not agree is read again, so that
/// nothing is replaced which was stored in between.
fn confirm(
    trip: &mut Trip<'_>,
    stamps: &mut Stamps,
    calls: &[&Call],
    opened: &[Result<Option<Opened<'_>>, Unreadable>],
) -> Result<(), Error> {
    let mut doubtful = Vec::new();
    for (call, opened) in calls.iter().zip(opened) {
        let named = match opened {
            Ok(Some(Opened::Entry(entry))) => &entry.stamps,
            Ok(Some(Opened::Lease(lease))) => &lease.stamps,
            _ => continue,
        };
        if !stamps.count(call, named) {
            doubtful.extend(Stamps::named(call, named));
        }
    }
    let mut commands = Pipeline::new();
    doubtful.iter().for_each(|key| Stamps::ask(&mut commands, key));
    let replies = if doubtful.is_empty() { Vec::new() } else { trip.run(&commands)? };
    doubtful.iter().zip(replies).try_for_each(|(key, reply)| stamps.note(key, reply))
}

fn open<'a>(tier: &Tier, call: &Call, raw: &'a Raw) -> Result<Option<Opened<'a>>, Unreadable> {
    raw.bytes.as_ref().map(|bytes| tier.sealer.open(&call.keys.value, bytes)).transpose()
}

fn found(entry: &Entry<'_>, left: i64, began: u64, cover: Cover, stripes: Vec<crate::coherence::Stripe>) -> Found {
    // What has ended since it was read is returned, and not kept.
    let ended = left < 0;
    let left = u64::try_from(left).unwrap_or(0) * 1_000_000;
    let nanoseconds = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let age = nanoseconds(entry.lifetime).saturating_sub(left);
    let fresh = nanoseconds(entry.fresh);
    Found {
        kind: entry.kind,
        codec: entry.codec,
        body: entry.body.to_vec(),
        fresh_until: began.saturating_add(fresh).saturating_sub(age),
        ends: began.saturating_add(left),
        lifetime: entry.lifetime,
        fresh: entry.fresh,
        computed: entry.computed,
        cover: if ended { Cover::VOID } else { cover },
        stripes,
        tags: entry.stamps.iter().filter(|s| !s.tag.is_empty()).map(|s| s.tag.to_string()).collect(),
        token: entry.token,
        stamps: entry.stamps.iter().map(|s| Stamp { tag: s.tag.to_string().into(), stamp: s.stamp }).collect(),
        sealed: Vec::new(),
    }
}
