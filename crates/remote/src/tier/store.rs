//! Storing what was computed under a lease, or giving the lease up. Both are fenced: done only if the lease is still there.

use std::time::Duration;

use redis::Pipeline;

use super::compare::{self, Change};
use super::lease::Lease;
use super::stamps::outlive;
use super::trip::{Must, Trip};
use super::{Call, Draft, Failure, Stored, Tier};
use crate::envelope::{Entry, Stamp, Token, Unstorable};
use crate::error::{Code, Error};

/// A computation's result, and under what it is stored.
pub struct Store<'a> {
    pub call: &'a Call,
    pub lease: Box<Lease>,
    pub draft: Draft<'a>,
}

/// A sealed value, and its life on the server in milliseconds.
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    pub(super) life: u64,
}

impl Tier {
    pub(super) fn seal(
        &self,
        call: &Call,
        token: Token,
        stamps: &[Stamp<'static>],
        draft: &Draft<'_>,
    ) -> Result<Sealed, Unstorable> {
        // The server's lives are whole milliseconds; an age is what has passed of one.
        let life = u64::try_from(draft.lifetime.as_millis()).unwrap_or(u64::MAX).clamp(1, MOST);
        let lifetime = Duration::from_millis(life);
        let entry = Entry {
            kind: draft.kind,
            token,
            codec: draft.codec,
            lifetime,
            fresh: draft.fresh.min(lifetime),
            computed: draft.computed,
            stamps: stamps.to_vec(),
            call: call.inscribed().into(),
            body: draft.body.into(),
        };
        Ok(Sealed { bytes: self.sealer.seal(&call.keys.value, &entry)?, life })
    }

    /// Stores a value, if its lease is still there. It waits for what the call that has the lease has left of the timeout.
    pub fn store(&self, call: &Call, lease: Box<Lease>, draft: Draft<'_>) -> Stored {
        self.store_many(vec![Store { call, lease, draft }]).pop().expect("an answer for each store")
    }

    /// The same for many, in one trip.
    pub fn store_many(&self, mut stores: Vec<Store<'_>>) -> Vec<Stored> {
        let stored = self.store_together(&stores);
        let is_too_long =
            |stored: &Stored| matches!(stored, Stored::Failed(Failure::Refused(code)) if code.is_of_length());
        if stores.len() < 2 || !stored.iter().any(is_too_long) {
            return stored.into_iter().zip(&stores).map(|(stored, store)| self.too_long(stored, store)).collect();
        }
        // One of them was longer than the server takes, and has taken the others with it: what any server takes once more
        // together, the others one by one. (What was stored before it is found to be fenced now.)
        let sizes: Vec<usize> =
            stores.iter().map(|store| store.draft.body.len() + store.call.inscribed().len()).collect();
        let short = sizes.iter().filter(|size| **size <= SURELY).count();
        let (mut order, mut answers): (Vec<usize>, Vec<Option<Stored>>) = ((0..stores.len()).collect(), Vec::new());
        order.sort_by_key(|i| sizes[*i]);
        answers.resize_with(stores.len(), || None);
        let mut sorted: Vec<Option<Store<'_>>> = stores.drain(..).map(Some).collect();
        let mut take = |i: usize| sorted[i].take().expect("each once");
        let together: Vec<Store<'_>> = order[..short].iter().map(|i| take(*i)).collect();
        for (i, stored) in order[..short].iter().zip(self.store_together(&together)) {
            answers[*i] = Some(stored);
        }
        for i in &order[short..] {
            let store = take(*i);
            let stored = self.store_together(std::slice::from_ref(&store)).pop();
            answers[*i] = stored.map(|stored| self.too_long(stored, &store));
        }
        answers.into_iter().map(|answer| answer.expect("an answer for each store")).collect()
    }

    /// What the server did not take for its length is dropped with its lease.
    fn too_long(&self, stored: Stored, store: &Store<'_>) -> Stored {
        match stored {
            Stored::Failed(Failure::Refused(code)) if code.is_of_length() => {
                self.release(store.call, &store.lease);
                Stored::Unstorable(Unstorable::Length(store.draft.body.len()))
            }
            stored => stored,
        }
    }

    fn store_together(&self, stores: &[Store<'_>]) -> Vec<Stored> {
        let members = self.coherence.members();
        let sealed: Vec<Result<Sealed, Stored>> = stores
            .iter()
            .map(|Store { call, lease, draft }| {
                if !lease.held.is_ours() {
                    return Err(Stored::Fenced);
                }
                self.seal(call, members.token(), &lease.stamps, draft).map_err(Stored::Unstorable)
            })
            .collect();
        // What a refresh replaces lies near here. (Of a lease in the value's place nothing does.)
        let replacing =
            stores.iter().zip(&sealed).filter(|(store, sealed)| sealed.is_ok() && store.lease.beside.is_some());
        let _raise = self.raise(replacing.map(|(store, _)| store.call.stripe()));
        let asked = || stores.iter().zip(&sealed).filter(|(store, _)| store.lease.held.is_ours());
        let outcomes = if asked().next().is_none() {
            Ok(Vec::new())
        } else {
            let bound = asked().map(|(store, _)| store.lease.left).min().unwrap_or(self.timeout);
            self.visit_for(bound, Must::May, |trip| {
                renew(trip, stores.iter().map(|store| &*store.lease))?;
                outlive(trip, stores.iter().map(|store| (store.call, &store.lease.stamps[..], store.draft.lifetime)))?;
                let changes: Vec<Change<'_>> = asked()
                    .map(|(store, sealed)| match sealed {
                        Ok(sealed) => change(store.call, &store.lease, sealed),
                        Err(_) => give_up(store.call, &store.lease),
                    })
                    .collect();
                let outcomes = compare::make(trip, &changes)?;
                // A lease that could not be replaced keeps others waiting.
                let refused: Vec<Change<'_>> = asked()
                    .zip(&outcomes)
                    .filter(|(_, outcome)| outcome.is_err())
                    .map(|((store, _), _)| give_up(store.call, &store.lease))
                    .collect();
                compare::make(trip, &refused)?;
                Ok(outcomes)
            })
        };
        match &outcomes {
            Ok(outcomes) => outcomes.iter().for_each(|outcome| self.breaker.note_stored(outcome.as_ref().err())),
            Err(Failure::Refused(code)) => self.breaker.note_stored(Some(code)),
            Err(_) => {}
        }
        let mut outcomes = outcomes.map(Vec::into_iter);
        let stored = |(store, sealed): (&Store<'_>, &Result<Sealed, Stored>)| match (sealed, &mut outcomes) {
            (Err(stored), outcomes) => {
                if let (Ok(outcomes), true) = (outcomes, store.lease.held.is_ours()) {
                    outcomes.next();
                }
                stored.clone()
            }
            (Ok(_), Err(failure)) => Stored::Failed(failure.clone()),
            (Ok(_), Ok(outcomes)) => match outcomes.next() {
                Some(Ok(true)) => Stored::Done,
                Some(Ok(false)) => Stored::Fenced,
                Some(Err(code)) => Stored::Failed(Failure::Refused(code)),
                None => Stored::Failed(Failure::Refused(Code::new("ERR"))),
            },
        };
        stores.iter().zip(&sealed).map(stored).collect()
    }

    /// Gives a lease up: the computation raised, or its result is not to be stored. Who waits elsewhere computes. Whether it
    /// was still there, as far as the server said.
    pub fn abandon(&self, call: &Call, lease: Box<Lease>) -> bool {
        self.release(call, &lease)
    }

    fn release(&self, call: &Call, lease: &Lease) -> bool {
        if !lease.held.is_ours() {
            return false;
        }
        // (One that the server does not hear of is dead to others after 3 s.)
        let outcome = self.visit_for(lease.left, Must::May, |trip| compare::make(trip, &[give_up(call, lease)]));
        matches!(outcome.as_deref(), Ok([Ok(true)]))
    }
}

/// Any server takes what is so long (its `proto-max-bulk-len` is a megabyte at least), with the rest of an envelope.
const SURELY: usize = 1 << 19;
/// The longest life of a value: ten years.
const MOST: u64 = 10 * 366 * 24 * 3600 * 1000;

fn change<'a>(call: &'a Call, lease: &'a Lease, sealed: &'a Sealed) -> Change<'a> {
    let (key, new, life) = (&call.keys.value[..], &sealed.bytes[..], sealed.life);
    match &lease.beside {
        None => Change::Replace { key, old: &lease.sealed, new, life: Some(life), fences: None },
        Some(old) => Change::Refresh { key, lease_key: &call.keys.refresh, lease: &lease.sealed, old, new, life },
    }
}

fn give_up<'a>(call: &'a Call, lease: &'a Lease) -> Change<'a> {
    let key = if lease.beside.is_some() { &call.keys.refresh } else { &call.keys.value };
    Change::Remove { key, old: &lease.sealed }
}

/// Gives new lives to stamps of which half is over, before values name them for longer.
pub(super) fn renew<'a>(trip: &mut Trip<'_>, leases: impl Iterator<Item = &'a Lease>) -> Result<(), Error> {
    let mut commands = Pipeline::new();
    leases.flat_map(|lease| &lease.renewals).for_each(|renewal| renewal.ask(&mut commands));
    trip.run(&commands).map(drop)
}
