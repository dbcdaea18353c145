//! A cluster as one process knows it: who has which slot, and a pool and a breaker for each node.
//!
//! Who has what is asked of any node (`CLUSTER SLOTS`), first of those that the address names: at the first use, after a
//! node that was not reached, after a redirection, and now and then by the process's own thread, beside.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use concurrency::fork;
use concurrency::signals::in_programs_threads;

use super::Ear;
use crate::breaker::{Admission, Failure, ProcessBreaker};
use crate::connection::{Role, Target};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::pool::{Lease, Logins, Pool};
use crate::topology::slots::Slots;
use crate::topology::Place;
use crate::url::Address;

/// So long an answer serves where there is no doubt.
const SERVES: Duration = Duration::from_secs(5);
/// Where there is doubt, it is asked again no sooner than this.
const PAUSE: Duration = Duration::from_millis(100);
/// The bound of a question that nobody waits for.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// A node, as this process reaches it.
pub(super) struct Server {
    address: Address,
    pub(super) pool: Arc<Pool>,
    pub(super) breaker: ProcessBreaker,
}

struct Known {
    slots: Option<Arc<Slots>>,
    /// Raised when there are other masters.
    generation: u64,
    servers: Vec<Arc<Server>>,
    asked: Option<Instant>,
    is_doubted: bool,
    /// The count of forks of the process whose thread asks.
    asking: u64,
}

pub struct Cluster {
    /// How each node is spoken to.
    base: Target,
    seeds: Vec<Address>,
    login: Arc<Logins>,
    most_idle: usize,
    /// Locked within `fork::exclusive` only, so nobody waits and no child finds it locked.
    known: Mutex<Known>,
}

impl Cluster {
    /// `base`: how the nodes are spoken to; `seeds`: some of them.
    pub fn new(base: Target, seeds: Vec<Address>, login: Arc<Logins>, most_idle: usize) -> Arc<Cluster> {
        let (slots, servers, asked) = (None, Vec::new(), None);
        let known = Mutex::new(Known { slots, generation: 0, servers, asked, is_doubted: false, asking: 0 });
        Arc::new(Cluster { base: base.followed(), seeds, login, most_idle, known })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Known) -> R) -> R {
        fork::exclusive(|| f(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Who has what; asks, if nobody has asked yet.
    pub(super) fn slots(&self, deadline: Deadline) -> Result<Arc<Slots>, Error> {
        if let Some(slots) = self.with(|known| known.slots.clone()) {
            return Ok(slots);
        }
        self.ask(deadline)?;
        self.with(|known| known.slots.clone()).ok_or(Error::Resolve)
    }

    pub(super) fn generation(&self) -> u64 {
        self.with(|known| known.generation)
    }

    /// The node at an address.
    pub(super) fn server(&self, address: &Address) -> Arc<Server> {
        let find = |known: &mut Known| known.servers.iter().find(|server| server.address == *address).cloned();
        if let Some(found) = self.with(find) {
            return found;
        }
        let place = Place::Fixed(self.base.at(address.clone()));
        let pool = Pool::at(place, self.login.clone(), self.most_idle);
        let new = Arc::new(Server { address: address.clone(), pool, breaker: ProcessBreaker::default() });
        self.with(|known| {
            find(known).unwrap_or_else(|| {
                known.servers.push(new.clone());
                new
            })
        })
    }

    /// A connection to a node, if it is not known to be down; with what its breaker is told.
    pub(super) fn take(&self, address: &Address, must: bool, deadline: Deadline) -> Result<(Lease, Told), Error> {
        let server = self.server(address);
        let admission = if must { Admission::Pass } else { server.breaker.admit() };
        if admission == Admission::Deny {
            return Err(Error::Unasked);
        }
        let told = Told { server, admission };
        match told.server.pool.take(deadline) {
            Ok(lease) => Ok((lease, told)),
            Err(error) => {
                if error.is_unreachable() {
                    told.server.breaker.failed(told.admission, Failure::Connect);
                }
                self.doubt();
                Err(error)
            }
        }
    }

    /// What is known may be wrong.
    pub(super) fn doubt(&self) {
        self.with(|known| known.is_doubted = true);
    }

    /// A slot has moved.
    pub(super) fn moved(&self, slot: u16, address: &Address) {
        let Some(slots) = self.with(|known| known.slots.clone()) else { return };
        if slots.owner(slot).is_some_and(|owner| owner.address == *address) {
            return;
        }
        let moved = Arc::new(slots.moved(slot, address.clone()));
        let former = self.with(|known| {
            known.is_doubted = true;
            // (If somebody has learned more meanwhile, that stays.)
            let is_same = known.slots.as_ref().is_some_and(|known| Arc::ptr_eq(known, &slots));
            if is_same {
                known.slots.replace(moved)
            } else {
                None
            }
        });
        drop(former);
    }

    /// A node has said who has what. Other masters than before: whoever listens begins again.
    pub(crate) fn learn(&self, slots: Slots) {
        if self.with(|known| known.slots.as_deref() == Some(&slots)) {
            self.with(|known| (known.asked, known.is_doubted) = (Some(Instant::now()), false));
            return;
        }
        let slots = Arc::new(slots);
        let masters: Vec<Address> = slots.masters().into_iter().map(|node| node.address.clone()).collect();
        let (former, known) = self.with(|known| (known.slots.clone(), known.servers.clone()));
        let is_other = former.as_ref().is_some_and(|former| !former.has_masters_of(&slots));
        let (stay, gone): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|server| !is_other || masters.contains(&server.address));
        let replaced = self.with(|known| {
            known.generation += u64::from(is_other);
            known.asked = Some(Instant::now());
            known.is_doubted = false;
            let servers = is_other.then(|| std::mem::replace(&mut known.servers, stay));
            (known.slots.replace(slots), servers)
        });
        drop((replaced, gone, former));
    }

    /// Asks one node after the other, until one knows who has what.
    ///
    /// # Errors
    /// The last one's: none knows.
    pub(crate) fn ask(&self, deadline: Deadline) -> Result<(), Error> {
        let mut candidates: Vec<Address> = Vec::new();
        if let Some(slots) = self.with(|known| known.slots.clone()) {
            candidates.extend(slots.masters().into_iter().map(|node| node.address.clone()));
        }
        candidates.extend(self.seeds.iter().cloned());
        let mut seen: Vec<Address> = Vec::with_capacity(candidates.len());
        candidates.retain(|address| !seen.contains(address) && (seen.push(address.clone()), true).1);
        // First those that have answered lately.
        candidates.sort_by_cached_key(|address| self.server(address).breaker.is_open());
        let mut last = Error::Resolve;
        for (i, address) in candidates.iter().enumerate() {
            // One that is silent leaves time for the others, and for what is to be asked then.
            let share = Deadline::after(deadline.remaining()? / (candidates.len() - i + 1) as u32);
            match self.ask_one(address, share) {
                Ok(slots) => {
                    self.learn(slots);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        self.with(|known| known.asked = Some(Instant::now()));
        Err(last)
    }

    fn ask_one(&self, address: &Address, deadline: Deadline) -> Result<Slots, Error> {
        let pool = self.server(address).pool.clone();
        let mut lease = pool.take(deadline)?;
        let mut reply = lease.request(&Slots::question(), deadline);
        if lease.is_reused() && reply == Err(Error::Closed) {
            lease = pool.open(deadline)?;
            reply = lease.request(&Slots::question(), deadline);
        }
        Slots::read(&reply?, address)
    }

    /// Connections to all masters there are now, with the mark of each.
    pub(super) fn open_all(&self, deadline: Deadline) -> Result<(Vec<Ear>, u64), Error> {
        self.ask(deadline)?;
        let (slots, generation) = self.with(|known| (known.slots.clone(), known.generation));
        let slots = slots.ok_or(Error::Resolve)?;
        let mut ears = Vec::new();
        for node in slots.masters() {
            // (A node that only a redirection has named is known after the next question.)
            let mark = slots.mark(node).ok_or(Error::Resolve)?;
            let connection = self.server(&node.address).pool.open(deadline).inspect_err(|_| self.doubt())?.keep();
            if connection.peer().role != Role::Master {
                self.doubt();
                return Err(Error::Closed);
            }
            ears.push(Ear { connection, node: Some((node.clone(), mark)) });
        }
        Ok((ears, generation))
    }

    /// Asks beside, if it is time. Nobody waits for it.
    pub(super) fn look_around(self: &Arc<Self>) {
        let begins = self.with(|known| {
            let wait = if known.is_doubted { PAUSE } else { SERVES };
            let is_old = known.asked.is_none_or(|asked| asked.elapsed() >= wait);
            // (A cluster that nobody has asked yet is asked at the first use.)
            let begins = is_old && known.slots.is_some() && known.asking != fork::epoch();
            if begins {
                known.asking = fork::epoch();
            }
            begins
        });
        if !begins {
            return;
        }
        let cluster = self.clone();
        let builder = std::thread::Builder::new().name("warp-cluster".into());
        let ask = move || {
            // (Doubt stays, if nobody answers.)
            let _ = cluster.ask(Deadline::after(ASK_TIMEOUT));
            cluster.with(|known| known.asking = 0);
        };
        if in_programs_threads(|| builder.spawn(ask)).is_err() {
            self.with(|known| known.asking = 0);
        }
    }

    /// Tries one node that is down, if it is time.
    pub(super) fn probe(&self, timeout: Duration) {
        let servers = self.with(|known| known.servers.clone());
        for server in servers.iter().filter(|server| server.breaker.is_open()) {
            let admission = server.breaker.admit();
            if admission == Admission::Deny {
                continue;
            }
            match server.pool.open(Deadline::after(timeout)) {
                Err(_) => server.breaker.failed(admission, Failure::Connect),
                Ok(_) => server.breaker.answered(),
            }
            return;
        }
    }
}

/// What a node's breaker is told of; that nothing came about, if nothing else was told.
pub(super) struct Told {
    server: Arc<Server>,
    admission: Admission,
}

impl Told {
    pub(super) fn answered(&self) {
        self.server.breaker.answered();
    }

    pub(super) fn failed(&self) {
        self.server.breaker.failed(self.admission, Failure::Timeout);
    }

    pub(super) fn reopen(&self, deadline: Deadline) -> Result<Lease, Error> {
        let opened = self.server.pool.open(deadline);
        opened.inspect_err(|_| self.server.breaker.failed(self.admission, Failure::Connect))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.server.breaker.abandoned(self.admission);
    }
}
