//! A refresh: its lease lies beside the value, which all hosts go on to serve until it is replaced. It is stored only if the
//! lease is still there and the value is the old one or has ended; so an invalidation or a `set` in between wins.

use std::time::Duration;

use concurrency::boottime;
use redis::{Pipeline, Value};

use super::compare::{self, Change};
use super::lease::{self, mine, Held, Lease, Theirs, DAY, ROUNDS};
use super::near::Cover;
use super::read::{glance, Judged};
use super::stamps::{Renewal, Stamps};
use super::trip::{bytes, number, sound, Must, Trip};
use super::wait::{self, Waited, DEAD};
use super::{Call, Looked, Tier, Why};
use crate::envelope::{Opened, Stamp, Token};
use crate::error::Error;

impl Tier {
    /// The right to compute a value anew while the old one, which has this token, is served.
    ///
    /// [`Looked::Found`]: there is another value by now. Where there is none any more, it is [`Tier::look`].
    pub fn refresh(&self, call: &Call, old: &Token) -> Looked {
        self.refresh_for(self.timeout, call, old)
    }

    /// The same of a caller who has waited for the server already: for at most `bound`.
    pub fn refresh_for(&self, bound: Duration, call: &Call, old: &Token) -> Looked {
        self.visit_for(bound, Must::May, |trip| begin(trip, call, old))
            .unwrap_or_else(|why| Looked::Alone(self.alone(call), Why::Failed(why)))
    }
}

/// What lies beside the value.
enum Beside {
    Nothing,
    Lease { token: Token, taken: u64, sealed: Vec<u8>, counts: bool },
    Unreadable(Why),
}

fn beside(trip: &Trip<'_>, call: &Call, stamps: &Stamps, found: Option<Vec<u8>>, left: i64, now: u64) -> Beside {
    let Some(sealed) = found else { return Beside::Nothing };
    let (token, counts) = match trip.tier.sealer.open(&call.keys.refresh, &sealed) {
        Ok(Opened::Lease(lease)) => (lease.token, stamps.count(call, &lease.stamps)),
        Ok(Opened::Entry(_)) => return Beside::Unreadable(Why::Other),
        Err(why) => return Beside::Unreadable(Why::Unreadable(why)),
    };
    Beside::Lease { token, taken: lease::taken(now, left), sealed, counts }
}

/// What a look at the value has come to, before the lease beside it is looked at.
enum Old {
    /// It is the old one still.
    There(Cover, crate::coherence::Pair, Stamps),
    Else(Looked),
}

fn old_value(trip: &mut Trip<'_>, call: &Call, old: &Token) -> Result<Old, Error> {
    let (mut glances, stamps) = glance(trip, &[call])?;
    let Some(glance) = glances.pop() else { return Err(Error::Protocol("no answer")) };
    Ok(match glance.judged {
        Judged::Found(found) if found.token == *old => Old::There(glance.alone, glance.seen, stamps),
        Judged::Found(found) => Old::Else(Looked::Found(found)),
        _ => match lease::look(trip, &[call])?.pop() {
            Some(looked) => Old::Else(looked),
            None => return Err(Error::Protocol("no answer")),
        },
    })
}

fn begin(trip: &mut Trip<'_>, call: &Call, old: &Token) -> Result<Looked, Error> {
    let tier = trip.tier;
    for _ in 0..ROUNDS {
        let (cover, seen, stamps) = match old_value(trip, call, old)? {
            Old::There(cover, seen, stamps) => (cover, seen, stamps),
            Old::Else(looked) => return Ok(looked),
        };
        let (beside, lease) = claim(trip, call, old, cover, stamps)?;
        let members = tier.coherence.members();
        match (beside, lease) {
            (_, Some(lease)) => return Ok(mine(trip, lease)),
            (Beside::Lease { token, .. }, _) if members.is_held(&token) => {
                return Ok(Looked::Ours(token, tier.alone(call)));
            }
            (Beside::Lease { token, taken, counts: true, .. }, _) if !members.is_own(&token) => {
                let next = tier.next_look(taken);
                let theirs = Theirs { token, seen, taken, next, changes: 0, beside: Some(*old) };
                return Ok(Looked::Theirs(Box::new(theirs)));
            }
            (Beside::Unreadable(why), _) => return Ok(Looked::Alone(tier.alone(call), why)),
            (Beside::Lease { .. } | Beside::Nothing, _) => {}
        }
    }
    Ok(Looked::Alone(tier.alone(call), Why::Contended))
}

/// Takes the lease beside a value, if nobody has it; what lies there, and this caller's lease if it was got.
fn claim(
    trip: &mut Trip<'_>,
    call: &Call,
    old: &Token,
    cover: Cover,
    mut stamps: Stamps,
) -> Result<(Beside, Option<Lease>), Error> {
    let keys = Stamps::keys(&[call]);
    let mut renewals = Vec::new();
    if stamps.of(call).is_none() {
        (stamps, renewals) = Stamps::make(trip, &keys)?;
    }
    let Some(own) = stamps.of(call) else { return Ok((Beside::Nothing, None)) };
    let Some(lease) = new(trip, call, old, cover, own) else { return Ok((Beside::Nothing, None)) };
    let key = &call.keys.refresh;
    let mut commands = Pipeline::new();
    commands.cmd("SET").arg(key).arg(&lease.sealed).arg("NX").arg("PX").arg(DAY);
    commands.cmd("GET").arg(key).cmd("PTTL").arg(key);
    keys.iter().for_each(|(key, _)| {
        commands.cmd("PTTL").arg(&key.key);
    });
    let now = boottime::now();
    let mut replies = trip.run(&commands)?.into_iter();
    let mut next = || replies.next().unwrap_or(Value::Nil);
    sound(next())?;
    let (found, left) = (bytes(next())?, number(next())?);
    for (key, life) in &keys {
        Renewal::note(&mut renewals, key, *life, number(next())?);
    }
    let lease = Lease { renewals, ..lease };
    if found.as_ref() == Some(&lease.sealed) {
        return Ok((Beside::Nothing, Some(lease)));
    }
    let beside = beside(trip, call, &stamps, found, left, now);
    let members = trip.tier.coherence.members();
    if let Beside::Lease { token, counts, sealed, .. } = &beside {
        // One whose stamps have passed, or that its flight has dropped.
        if !members.is_held(token) && (!counts || members.is_own(token)) && replace(trip, call, sealed, &lease)? {
            return Ok((beside, Some(lease)));
        }
    }
    Ok((beside, None))
}

fn new(trip: &Trip<'_>, call: &Call, old: &Token, cover: Cover, stamps: Vec<Stamp<'static>>) -> Option<Lease> {
    let held = Held::new(trip.tier.coherence.members());
    call.note_claim(&held.token);
    let sealed = trip.tier.sealer.seal_lease(&call.keys.refresh, &held.token, &stamps).ok()?;
    Some(Lease { held, sealed, stamps, renewals: Vec::new(), cover, beside: Some(*old), left: Duration::ZERO })
}

fn replace(trip: &mut Trip<'_>, call: &Call, old: &[u8], lease: &Lease) -> Result<bool, Error> {
    let change = Change::Replace { key: &call.keys.refresh, old, new: &lease.sealed, life: Some(DAY), fences: None };
    compare::make(trip, &[change])?.pop().unwrap_or(Ok(false)).map_err(Error::Refused)
}

/// A look at somebody else's refresh.
pub(super) fn look(trip: &mut Trip<'_>, call: &Call, theirs: &Theirs, old: &Token) -> Result<Waited, Error> {
    let (cover, seen, stamps) = match old_value(trip, call, old)? {
        Old::There(cover, seen, stamps) => (cover, seen, stamps),
        Old::Else(looked) => return Ok(Waited::Done(looked)),
    };
    let tier = trip.tier;
    let alone = |why| Ok(Waited::Done(Looked::Alone(tier.alone(call), why)));
    let key = &call.keys.refresh;
    let now = boottime::now();
    let mut replies = trip.run(Pipeline::new().cmd("GET").arg(key).cmd("PTTL").arg(key))?.into_iter();
    let mut next = || replies.next().unwrap_or(Value::Nil);
    let (found, left) = (bytes(next())?, number(next())?);
    match beside(trip, call, &stamps, found, left, now) {
        Beside::Lease { token, taken, sealed, .. } if token == theirs.token => {
            if now.saturating_sub(taken) <= DEAD || wait::lives(trip, &token)? {
                return Ok(Waited::Again(seen, taken, token));
            }
            let lease = stamps.of(call).and_then(|stamps| new(trip, call, old, cover, stamps));
            match lease {
                Some(lease) if replace(trip, call, &sealed, &lease)? => Ok(Waited::Done(mine(trip, lease))),
                _ => alone(Why::Ended),
            }
        }
        Beside::Nothing => match claim(trip, call, old, cover, stamps)? {
            (_, Some(lease)) => Ok(Waited::Done(mine(trip, lease))),
            _ => alone(Why::Ended),
        },
        Beside::Lease { .. } => alone(Why::Ended),
        Beside::Unreadable(why) => alone(why),
    }
}
