//! Single-flight: one computation for each missing key, others wait for it, and no wait can last for ever.
//!
//! Ring 2. A computation has a leader, the thread that computes. While nobody else wants the key, its record is a word in
//! the entry's own slot (ring 3); the first to wait makes a [`Flight`] of it. A wait ends in one of four ways:
//!
//! 1. the leader is done: its outcome goes to every waiter;
//! 2. the leader ended without an outcome that others may have, or goes on and has learnt that there will be none: the
//!    waiters are free, all at once, and wait for nobody else (ring 3 sees to it), so failures are not queued for;
//! 3. the wait would close a cycle (A computes x and needs y, B computes y and needs x): it is refused before it begins;
//! 4. its time is up: one waiter takes over as the new leader, and the others wait for either. A deadlock that is not
//!    visible from here (the leader wants a lock that the waiter holds) ends so, too.
//!
//! For 3, a process-wide registry knows for each waiting thread the leaders it waits for. A thread that is blocked waits
//! for one thing at a time (a signal handler that runs in the middle of a wait is not let into a second one). One that
//! runs green threads, each of which may wait while the others go on, may wait for several. A cycle of threads is found
//! by walking what a wait would lead to. Threads are coarser than what waits and computes in them, so some waits are
//! refused that would have ended; none is let in that would not.
//!
//! How a thread sleeps meanwhile, without the interpreter, is ring 3's matter (`crates/python/src/capi/detach.rs`).
//!
//! Locks: the registry's and a flight's are never held together with each other or with a cache's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::fork;
use crate::primitives::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, UnsafeCell};
use crate::spin::SpinLock;
use crate::thread_id::ThreadId;

/// How a computation ended for those who waited. `T` is shared by all of them.
#[derive(Clone, Debug)]
pub enum Outcome<T> {
    Value(T),
    /// A value of which each is to have a copy of its own: what to make it from.
    Template(T),
    Error(T),
    /// An old value, or what to make it from, which serves as computing has failed.
    Stale(Box<Outcome<T>>),
    /// There is nothing to share: start over.
    Abandoned,
}

#[derive(Debug)]
struct State<T> {
    outcome: Option<Outcome<T>>,
    /// When the present leader began to lead, as far as the waiters know.
    since: Instant,
}

/// A computation that others wait for.
#[derive(Debug)]
pub struct Flight<T> {
    /// Shared with the registry. Written under the registry's lock only.
    leader: Arc<AtomicU64>,
    state: Mutex<State<T>>,
    changed: Condvar,
    /// See [`is_of_this_process`](Flight::is_of_this_process).
    epoch: u64,
}

/// What came of waiting for a while.
#[derive(Debug)]
pub enum Waited<T> {
    Outcome(Outcome<T>),
    /// The leader has had its time: try to take over.
    TimeIsUp,
    /// Nothing yet.
    NotYet,
}

impl<T: Clone> Flight<T> {
    pub fn new(leader: ThreadId) -> Self {
        Flight {
            leader: Arc::new(AtomicU64::new(leader)),
            state: Mutex::new(State { outcome: None, since: Instant::now() }),
            changed: Condvar::new(),
            epoch: fork::epoch(),
        }
    }

    /// Whether the flight was made by this process. In one inherited through a fork, a thread that is not here may hold the
    /// mutex for ever, so the methods below do not touch it: it can only be given up.
    pub fn is_of_this_process(&self) -> bool {
        self.epoch == fork::epoch()
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No panic is possible while it is held; were there one, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread that computes now.
    pub fn leader(&self) -> ThreadId {
        self.leader.load(Ordering::Relaxed)
    }

    /// Ends the flight, and wakes all waiters. The first outcome counts; a later one is given back.
    pub fn complete(&self, outcome: Outcome<T>) -> Option<Outcome<T>> {
        if !self.is_of_this_process() {
            return Some(outcome);
        }
        let mut state = self.state();
        if state.outcome.is_some() {
            return Some(outcome);
        }
        state.outcome = Some(outcome);
        drop(state);
        self.changed.notify_all();
        None
    }

    /// Makes the calling thread the leader, if `bound` has passed since the last one began and there is no outcome yet.
    pub fn take_over(&self, me: ThreadId, bound: Duration) -> bool {
        if !self.is_of_this_process() {
            return false;
        }
        {
            let mut state = self.state();
            if state.outcome.is_some() || state.since.elapsed() < bound {
                return false;
            }
            state.since = Instant::now();
        }
        let _registry = Registry::lock();
        self.leader.store(me, Ordering::Relaxed);
        true
    }

    /// Waits for at most `slice`, and at most until the leader has had `bound` (`None`: without a bound).
    pub fn wait(&self, slice: Duration, bound: Option<Duration>) -> Waited<T> {
        if !self.is_of_this_process() {
            // A signal handler forked in the middle of the wait.
            return Waited::Outcome(Outcome::Abandoned);
        }
        let mut state = self.state();
        let start = Instant::now();
        loop {
            if let Some(outcome) = &state.outcome {
                return Waited::Outcome(outcome.clone());
            }
            let now = Instant::now();
            let left = bound.map(|b| b.saturating_sub(now.saturating_duration_since(state.since)));
            if left == Some(Duration::ZERO) {
                return Waited::TimeIsUp;
            }
            let rest = slice.saturating_sub(now.saturating_duration_since(start));
            if rest.is_zero() {
                return Waited::NotYet;
            }
            let pause = rest.min(left.unwrap_or(Duration::MAX));
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The registration of a thread as waiting; ends when dropped.
#[derive(Debug)]
pub struct Waiting {
    me: ThreadId,
    leader: Arc<AtomicU64>,
}

impl Waiting {
    /// Registers that thread `me` waits for `flight`, or refuses because the wait would never end: the flight's leader is
    /// `me` itself, or waits (for somebody who waits …) for `me`. Refused, too, while `me` waits already: what blocks a
    /// thread in the middle of a wait is a signal handler, which had better go on. O(waits that this one leads to).
    pub fn begin<T>(me: ThreadId, flight: &Flight<T>) -> Option<Waiting> {
        Self::register(me, flight, false)
    }

    /// The same for a wait that does not block the thread: one of its green threads waits, and others may as well.
    pub fn begin_green<T>(me: ThreadId, flight: &Flight<T>) -> Option<Waiting> {
        Self::register(me, flight, true)
    }

    fn register<T>(me: ThreadId, flight: &Flight<T>, green: bool) -> Option<Waiting> {
        Registry::lock().waits(|waits| {
            if !green && waits.contains_key(&me) || leads_to(waits, flight.leader.load(Ordering::Relaxed), me) {
                return None;
            }
            let leader = Arc::clone(&flight.leader);
            waits.entry(me).or_default().push(Arc::clone(&leader));
            Some(Waiting { me, leader })
        })
    }
}

/// Whether thread `from` is `target`, or waits (for one that waits …) for it. A waiter that has taken over, and is not gone
/// from the registry yet, seems to wait for itself: it is walked past.
fn leads_to(waits: &Waits, from: ThreadId, target: ThreadId) -> bool {
    let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
    while let Some(thread) = open.pop() {
        if thread == target {
            return true;
        }
        let leaders = waits.get(&thread).into_iter().flatten().map(|leader| leader.load(Ordering::Relaxed));
        open.extend(leaders.filter(|leader| seen.insert(*leader)));
    }
    false
}

impl Drop for Waiting {
    fn drop(&mut self) {
        Registry::lock().waits(|waits| {
            // After a fork, the child's registry has nothing of its parent's.
            let Some(leaders) = waits.get_mut(&self.me) else { return };
            if let Some(at) = leaders.iter().position(|leader| Arc::ptr_eq(leader, &self.leader)) {
                leaders.swap_remove(at);
            }
            if leaders.is_empty() {
                waits.remove(&self.me);
            }
        });
    }
}

/// Each waiting thread, with the words that name the leaders it waits for.
type Waits = BTreeMap<ThreadId, Vec<Arc<AtomicU64>>>;

/// The process-wide registry of waits.
#[derive(Debug)]
struct Registry {
    lock: SpinLock,
    /// Guarded by `lock`.
    waits: UnsafeCell<Waits>,
}

// SAFETY: `waits` is reached by the holder of the lock only, one thread at a time.
unsafe impl Sync for Registry {}

#[cfg(not(loom))]
static REGISTRY: Registry = Registry { lock: SpinLock::new(), waits: UnsafeCell::new(Waits::new()) };
#[cfg(loom)]
loom::lazy_static! {
    static ref REGISTRY: Registry = Registry {
        lock: SpinLock::new(),
        waits: UnsafeCell::new(Waits::new()),
    };
}

impl Registry {
    fn lock() -> RegistryLock {
        REGISTRY.lock.lock();
        RegistryLock(())
    }
}

/// The registry's lock, held.
struct RegistryLock(());

impl RegistryLock {
    fn waits<R>(&mut self, f: impl FnOnce(&mut Waits) -> R) -> R {
        // SAFETY: a `RegistryLock` exists only while the lock is held, and this borrows it.
        REGISTRY.waits.with_mut(|waits| f(unsafe { &mut *waits }))
    }
}

impl Drop for RegistryLock {
    fn drop(&mut self) {
        REGISTRY.lock.unlock();
    }
}

/// Takes the registry's lock, for `fork`'s handlers to give back: a child must find it whole.
pub(crate) fn lock_registry_for_fork() {
    std::mem::forget(Registry::lock());
}

/// Gives back what `lock_registry_for_fork` has taken.
pub(crate) fn unlock_registry_after_fork() {
    drop(RegistryLock(()));
}

/// The same in the child: whoever waited is not in this process.
pub(crate) fn empty_registry_after_fork() {
    // The lock is held, by `lock_registry_for_fork` on this very thread.
    RegistryLock(()).waits(Waits::clear);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn an_outcome_reaches_those_who_wait_and_those_who_come_late() {
        let flight = Arc::new(Flight::new(1_000_001));
        let waiter = {
            let flight = Arc::clone(&flight);
            std::thread::spawn(move || flight.wait(LONG, None))
        };
        assert!(matches!(flight.wait(Duration::ZERO, None), Waited::NotYet));
        assert!(flight.complete(Outcome::Value(7)).is_none());
        assert!(matches!(flight.complete(Outcome::Error(8)), Some(Outcome::Error(8))));
        for waited in [waiter.join().unwrap(), flight.wait(LONG, Some(Duration::ZERO))] {
            assert!(matches!(waited, Waited::Outcome(Outcome::Value(7))));
        }
    }

    #[test]
    fn one_waiter_at_a_time_takes_over() {
        let flight = Flight::<u8>::new(1_000_002);
        let bound = Duration::from_millis(20);
        assert!(!flight.take_over(5, bound));
        assert!(matches!(flight.wait(LONG, Some(bound)), Waited::TimeIsUp));
        assert!(flight.take_over(5, bound));
        assert!(!flight.take_over(6, bound), "the new leader has time of its own");
        assert_eq!(flight.leader.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_wait_that_would_close_a_cycle_is_refused() {
        let base = 2_000_000;
        let flights: Vec<_> = (0..4).map(|i| Flight::<u8>::new(base + i)).collect();
        assert!(Waiting::begin(base, &flights[0]).is_none(), "one's own computation");
        let first = Waiting::begin(base, &flights[1]).unwrap();
        let _second = Waiting::begin(base + 1, &flights[2]).unwrap();
        let _third = Waiting::begin(base + 2, &flights[3]).unwrap();
        assert!(Waiting::begin(base + 3, &flights[0]).is_none());
        drop(first);
        assert!(Waiting::begin(base + 3, &flights[0]).is_some());
    }

    #[test]
    fn a_second_wait_of_one_thread_is_refused() {
        let [outer, inner] = [3_000_001, 3_000_002].map(Flight::<u8>::new);
        let waiting = Waiting::begin(3_000_000, &outer).unwrap();
        assert!(Waiting::begin(3_000_000, &inner).is_none());
        drop(waiting);
        assert!(Waiting::begin(3_000_000, &inner).is_some());
    }

    #[test]
    fn green_threads_of_one_thread_wait_side_by_side_and_close_no_cycle() {
        let base = 4_000_000;
        let flights: Vec<_> = (0..4).map(|i| Flight::<u8>::new(base + i)).collect();
        let mut waits: Vec<_> = [1, 2, 1].map(|i| Waiting::begin_green(base, &flights[i]).unwrap()).into();
        assert!(Waiting::begin_green(base, &flights[0]).is_none(), "its own computation");
        assert!(Waiting::begin(base, &flights[3]).is_none(), "a wait that blocks the thread");
        for waiter in [1, 2] {
            assert!(Waiting::begin(base + waiter, &flights[0]).is_none(), "each of its waits counts");
        }
        let third = Waiting::begin(base + 3, &flights[0]).unwrap();
        assert!(Waiting::begin(base + 1, &flights[3]).is_none(), "and counts for those who wait for it");
        waits.truncate(1);
        assert!(Waiting::begin(base + 1, &flights[0]).is_none(), "one of two waits for the same is left");
        assert!(Waiting::begin(base + 2, &flights[0]).is_some());
        drop(third);
    }
}
