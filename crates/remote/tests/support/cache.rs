//! A cache in small over a tier, as a host has it: near copies, flights, computations; and faults that it can be given.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use concurrency::boottime;
use remote::coherence::{Pair, Stripe};
use remote::tier::{Call, Cover, Lease, Looked, Stored, Tier};

use super::tiers::{draft, scope};

pub const KEYS: usize = 4;

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Flights are joined whatever was told since they began.
    JoinUnseen,
    /// What was computed is put, whatever became of its lease.
    StoreUncompared,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Near,
    Far,
    Joined,
    Computed,
}

/// What is cached: a number for each key, which only grows.
#[derive(Default)]
pub struct Truth(pub [AtomicU64; KEYS]);

struct Copy {
    version: u64,
    cover: Cover,
    stripes: Vec<Stripe>,
}

struct Flight {
    /// (The newest pair, when it began, the token of its lease.)
    known: Mutex<(Pair, u64, Option<[u8; 24]>)>,
    result: Mutex<Option<u64>>,
    ended: Condvar,
}

pub struct Host {
    pub tier: Arc<Tier>,
    pub calls: Vec<Call>,
    near: Mutex<HashMap<usize, Copy>>,
    flights: Mutex<HashMap<usize, Arc<Flight>>>,
    fault: Fault,
    /// How long a computation takes.
    takes: Duration,
}

fn version(body: &[u8]) -> u64 {
    u64::from_le_bytes(body.try_into().unwrap())
}

impl Host {
    pub fn new(tier: Arc<Tier>, fault: Fault, takes: Duration) -> Host {
        let calls = (0..KEYS).map(|k| scope(&tier).call(&[k as u8], &[]).unwrap()).collect();
        Host { tier, calls, near: Mutex::default(), flights: Mutex::default(), fault, takes }
    }

    pub fn near(&self, k: usize) -> Option<u64> {
        let near = self.tier.near(boottime::now());
        let copies = self.near.lock().unwrap();
        copies.get(&k).filter(|copy| near.holds(copy.cover, &copy.stripes)).map(|copy| copy.version)
    }

    pub fn call(&self, k: usize, truth: &Truth) -> (u64, Source) {
        if let Some(version) = self.near(k) {
            return (version, Source::Near);
        }
        let call = &self.calls[k];
        let running = self.flights.lock().unwrap().get(&k).cloned();
        if let Some(flight) = running.filter(|flight| self.may_join(call, flight)) {
            let result = flight.ended.wait_while(flight.result.lock().unwrap(), |result| result.is_none());
            return (result.unwrap().unwrap(), Source::Joined);
        }
        let known = Mutex::new((self.tier.pair(call), boottime::now(), None));
        let flight = Arc::new(Flight { known, result: Mutex::default(), ended: Condvar::new() });
        self.flights.lock().unwrap().insert(k, flight.clone());
        let result = self.lead(k, &flight, truth);
        let mut flights = self.flights.lock().unwrap();
        if flights.get(&k).is_some_and(|running| Arc::ptr_eq(running, &flight)) {
            flights.remove(&k);
        }
        *flight.result.lock().unwrap() = Some(result.0);
        flight.ended.notify_all();
        result
    }

    fn may_join(&self, call: &Call, flight: &Flight) -> bool {
        let (pair, began, token) = *flight.known.lock().unwrap();
        if self.fault == Fault::JoinUnseen || self.tier.may_join(call, pair, began) {
            return true;
        }
        let Some(newer) = token.and_then(|token| self.tier.look_at_flight(call, &token)) else { return false };
        if newer.until == 0 {
            flight.known.lock().unwrap().0 = newer.pair;
        }
        true
    }

    fn lead(&self, k: usize, flight: &Flight, truth: &Truth) -> (u64, Source) {
        let call = &self.calls[k];
        let mut looked = self.tier.look(call);
        while let Looked::Theirs(theirs) = looked {
            looked = self.tier.wait(call, theirs, Duration::from_secs(30));
        }
        match looked {
            Looked::Found(found) => {
                let version = version(&found.body);
                if !found.cover.is_void() {
                    let copy = Copy { version, cover: found.cover, stripes: found.stripes };
                    self.near.lock().unwrap().insert(k, copy);
                }
                (version, Source::Far)
            }
            Looked::Mine(lease) => {
                flight.known.lock().unwrap().2 = Some(*lease.token());
                let version = self.compute(k, truth);
                self.store(k, lease, version);
                (version, Source::Computed)
            }
            Looked::Ours(_, cover) | Looked::Alone(cover, _) => {
                let version = self.compute(k, truth);
                let copy = Copy { version, cover, stripes: call.stripes().to_vec() };
                self.near.lock().unwrap().insert(k, copy);
                (version, Source::Computed)
            }
            Looked::Theirs(_) => unreachable!(),
        }
    }

    fn compute(&self, k: usize, truth: &Truth) -> u64 {
        let version = truth.0[k].load(Ordering::SeqCst);
        std::thread::sleep(self.takes);
        version
    }

    fn store(&self, k: usize, lease: Box<Lease>, version: u64) {
        let (call, body) = (&self.calls[k], version.to_le_bytes());
        if self.fault == Fault::StoreUncompared {
            self.tier.put(call, draft(&body)).unwrap();
        } else {
            let stored = self.tier.store(call, lease, draft(&body));
            assert!(matches!(stored, Stored::Done | Stored::Fenced), "{stored:?}");
        }
    }
}
