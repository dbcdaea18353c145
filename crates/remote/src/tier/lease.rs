//! Leases on the server: this process's claims, and those of others.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use concurrency::fork;
use redis::{Pipeline, Value};

use super::compare::{self, Change};
use super::near::Cover;
use super::read::{glance, Judged};
use super::stamps::{Renewal, Stamps};
use super::trip::{number, sound, spared, Must, Trip};
use super::{Call, Failure, Looked, Tier, Why};
use crate::coherence::members::Members;
use crate::coherence::Pair;
use crate::envelope::{Stamp, Token};
use crate::error::{Code, Error};

/// The life of a lease on the server, in milliseconds. (What counts is whether its owner lives.)
pub(super) const DAY: u64 = 24 * 3600 * 1000;
/// How often a look begins again because somebody was faster.
pub(super) const ROUNDS: usize = 3;

/// The right and the duty to compute a value for all hosts. Given to [`Tier::store`] or [`Tier::abandon`]; one that is
/// dropped instead is taken for dead by others after 3 s.
pub struct Lease {
    pub(super) held: Held,
    /// As it lies on the server.
    pub(super) sealed: Vec<u8>,
    /// From before the computation.
    pub(super) stamps: Vec<Stamp<'static>>,
    /// To be made with the store.
    pub(super) renewals: Vec<Renewal>,
    pub(super) cover: Cover,
    /// It lies beside a value that has this token; else in its place.
    pub(super) beside: Option<Token>,
    /// What the caller's wait for it has left for its store: a call waits no longer than the tier's timeout in all.
    pub(super) left: Duration,
}

/// A token that this process is known to hold; until it is dropped.
pub(super) struct Held {
    members: Arc<Members>,
    pub(super) token: Token,
    /// The count of forks of the process: a child owns none of its parent's.
    fork: u64,
}

impl Held {
    pub(super) fn new(members: &Arc<Members>) -> Held {
        let token = members.token();
        members.hold(token);
        Held { members: members.clone(), token, fork: fork::epoch() }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.fork == fork::epoch()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.members.release(&self.token);
    }
}

impl Lease {
    /// By which a flight is known to others of the process: [`Looked::Ours`].
    pub fn token(&self) -> &Token {
        &self.held.token
    }

    /// How the result may be kept near if it is not stored far, because the server cannot hold it.
    pub fn cover(&self) -> Cover {
        self.cover
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease(…)")
    }
}

/// A lease of another process, and when it is looked at next.
pub struct Theirs {
    pub(super) token: Token,
    /// That of the value's stripe, from before the look.
    pub(super) seen: Pair,
    /// The boot clock at which it was taken, as the server's time to live says.
    pub(super) taken: u64,
    /// The boot clock of the next look.
    pub(super) next: u64,
    /// How many leases this one has waited for before.
    pub(super) changes: u32,
    /// It lies beside a value that has this token.
    pub(super) beside: Option<Token>,
}

impl fmt::Debug for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Theirs(…)")
    }
}

/// A key to be claimed.
pub(super) struct Claim {
    pub(super) cover: Cover,
    /// What lies there and is to be replaced; `None`: nothing.
    pub(super) old: Option<Vec<u8>>,
}

impl Tier {
    /// The value of a call, or the right to compute it.
    pub fn look(&self, call: &Call) -> Looked {
        self.look_many(&[call]).pop().expect("an answer for each call")
    }

    /// The same for many calls, with as many trips as one takes.
    pub fn look_many(&self, calls: &[&Call]) -> Vec<Looked> {
        match self.visit(Must::May, |trip| look(trip, calls)) {
            Ok(looked) => looked,
            Err(why) => calls.iter().map(|call| Looked::Alone(self.alone(call), Why::Failed(why.clone()))).collect(),
        }
    }

    /// Whether a flight of this process still has the key, with the present stamps: then who asks may have its result. Unless
    /// the cover has an end, the flight takes over its pair, by which others may join it without asking. `token`: that of its
    /// lease.
    pub fn look_at_flight(&self, call: &Call, token: &Token) -> Option<Cover> {
        let (mut glances, _) = self.visit(Must::May, |trip| glance(trip, &[call])).ok()?;
        let glance = glances.pop()?;
        match glance.judged {
            Judged::Lease { token: found, .. } if found == *token => Some(glance.cover),
            _ => None,
        }
    }
}

/// What has become of a visit that has got a lease.
pub(super) fn mine(trip: &Trip<'_>, lease: Lease) -> Looked {
    Looked::Mine(Box::new(Lease { left: trip.left(), ..lease }))
}

/// When a lease was taken (boot clock), as the time that it still has says.
pub(super) fn taken(now: u64, left: i64) -> u64 {
    now.saturating_sub(DAY.saturating_sub(u64::try_from(left).unwrap_or(0)) * 1_000_000)
}

pub(super) fn look(trip: &mut Trip<'_>, calls: &[&Call]) -> Result<Vec<Looked>, Error> {
    let tier = trip.tier;
    let mut answers: Vec<Option<Looked>> = calls.iter().map(|_| None).collect();
    for _ in 0..ROUNDS {
        let open: Vec<usize> = (0..calls.len()).filter(|i| answers[*i].is_none()).collect();
        if open.is_empty() {
            break;
        }
        let asked: Vec<&Call> = open.iter().map(|i| calls[*i]).collect();
        let (glances, stamps) = glance(trip, &asked)?;
        let mut claims = Vec::new();
        for (i, glance) in open.into_iter().zip(glances) {
            let (call, cover) = (calls[i], glance.alone);
            let mut claim = |old| claims.push((i, Claim { cover, old }));
            let members = tier.coherence.members();
            answers[i] = match glance.judged {
                Judged::Found(found) => Some(Looked::Found(found)),
                Judged::Unreadable(why) => Some(Looked::Alone(tier.alone(call), Why::Unreadable(why))),
                Judged::Other => Some(Looked::Alone(tier.alone(call), Why::Other)),
                Judged::Refused(code) => Some(refused(tier, call, code)),
                Judged::Lease { token, .. } if members.is_held(&token) => Some(Looked::Ours(token, tier.alone(call))),
                // One that its flight has dropped.
                Judged::Lease { token, .. } if members.is_own(&token) => {
                    claim(Some(glance.sealed));
                    None
                }
                Judged::Lease { token, taken } => {
                    let next = tier.next_look(taken);
                    let theirs = Theirs { token, seen: glance.seen, taken, next, changes: 0, beside: None };
                    Some(Looked::Theirs(Box::new(theirs)))
                }
                Judged::Void => {
                    claim(Some(glance.sealed));
                    None
                }
                Judged::Absent => {
                    claim(None);
                    None
                }
            };
        }
        for (i, claimed) in claim(trip, calls, claims, stamps)? {
            answers[i] = Some(match claimed {
                Ok(lease) => mine(trip, lease),
                Err(code) => refused(tier, calls[i], code),
            });
        }
    }
    let codes = answers.iter().filter_map(|answer| match answer {
        Some(Looked::Alone(_, Why::Failed(Failure::Refused(code)))) => Some(code),
        _ => None,
    });
    trip.note_refused(codes.collect(), calls.len())?;
    let answer = |(answer, call): (Option<Looked>, &&Call)| {
        answer.unwrap_or_else(|| Looked::Alone(tier.alone(call), Why::Contended))
    };
    Ok(answers.into_iter().zip(calls).map(answer).collect())
}

fn refused(tier: &Tier, call: &Call, code: Code) -> Looked {
    Looked::Alone(tier.alone(call), Why::Failed(Failure::Refused(code)))
}

/// The number of a call, and its lease, or what the server refused.
type Claimed = (usize, Result<Lease, Code>);

/// Takes leases; those that were got, and of the others what the server refused.
pub(super) fn claim(
    trip: &mut Trip<'_>,
    calls: &[&Call],
    claims: Vec<(usize, Claim)>,
    mut stamps: Stamps,
) -> Result<Vec<Claimed>, Error> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let claimed: Vec<&Call> = claims.iter().map(|(i, _)| calls[*i]).collect();
    let keys = Stamps::keys(&claimed);
    let mut renewals = Vec::new();
    if keys.iter().any(|(key, _)| stamps.get(key).is_none()) {
        (stamps, renewals) = Stamps::make(trip, &keys)?;
    }

    let (mut leases, mut refused) = (Vec::new(), Vec::new());
    for (i, claim) in claims {
        // (A stamp that cannot be made is one that somebody has put something else under.)
        let Some(named) = stamps.of(calls[i]) else {
            refused.extend(stamps.refused(calls[i], &[]).map(|code| (i, Err(code.clone()))));
            continue;
        };
        let held = Held::new(trip.tier.coherence.members());
        let sealed = trip.tier.sealer.seal_lease(&calls[i].keys.value, &held.token, &named);
        let Ok(sealed) = sealed else { continue };
        calls[i].note_claim(&held.token);
        let (cover, left) = (claim.cover, Duration::ZERO);
        let lease = Lease { held, sealed, stamps: named, renewals: Vec::new(), cover, beside: None, left };
        leases.push((i, claim.old, lease));
    }
    let (mut fresh, mut changes) = (Pipeline::new(), Vec::new());
    for (i, old, lease) in &leases {
        let key = &calls[*i].keys.value[..];
        match old {
            None => {
                fresh.cmd("SET").arg(key).arg(&lease.sealed).arg("NX").arg("PX").arg(DAY);
            }
            Some(old) => {
                changes.push(Change::Replace { key, old, new: &lease.sealed, life: Some(DAY), fences: None });
            }
        }
    }
    keys.iter().for_each(|(key, _)| {
        fresh.cmd("PTTL").arg(&key.key);
    });
    let mut replies = trip.run(&fresh)?.into_iter();
    let mut got = Vec::with_capacity(leases.len());
    for (_, old, _) in &leases {
        // (Its place is taken by the comparisons below.)
        got.push(match old {
            None => spared(sound(replies.next().unwrap_or(Value::Nil)))?.map(|reply| reply == Value::Okay),
            Some(_) => Ok(false),
        });
    }
    for ((key, life), reply) in keys.iter().zip(replies) {
        if let Ok(left) = spared(number(reply))? {
            Renewal::note(&mut renewals, key, *life, left);
        }
    }
    let mut outcomes = compare::make(trip, &changes)?.into_iter();
    for ((_, old, _), got) in leases.iter().zip(&mut got) {
        if old.is_some() {
            *got = outcomes.next().unwrap_or(Ok(false));
        }
    }
    let claimed = leases.into_iter().zip(got).filter_map(|((i, _, lease), got)| match got {
        Ok(true) => {
            let own = |renewal: &&Renewal| calls[i].stamps.iter().any(|key| key.key == renewal.key);
            let renewals = renewals.iter().filter(own).cloned().collect();
            Some((i, Ok(Lease { renewals, ..lease })))
        }
        Ok(false) => None,
        Err(code) => Some((i, Err(code))),
    });
    Ok(refused.into_iter().chain(claimed).collect())
}
