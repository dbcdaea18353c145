//! Names of hosts, looked up by threads of our own and kept.
//!
//! The system's look-up (`getaddrinfo`) can take minutes and cannot be stopped, so no caller makes it: one thread for each
//! name does, for as long as it takes, and the caller waits until his deadline. What was found is kept for the process;
//! when it is older than [`FRESH`], or a connection to it failed or led to the wrong server ([`refresh`]), it is looked up again beside its use. A
//! look-up that fails leaves what was known.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use concurrency::fork;

use crate::deadline::Deadline;
use crate::error::Error;

/// The age after which a name is looked up again at its next use.
const FRESH: Duration = Duration::from_secs(30);
/// A name is looked up again no sooner than this after the last time.
const PAUSE: Duration = Duration::from_secs(1);

type Lookup = fn(&str, u16) -> Vec<SocketAddr>;

#[derive(Default)]
struct Name {
    addresses: Vec<SocketAddr>,
    /// When the last look-up ended.
    ended: Option<Instant>,
    running: bool,
}

/// The names that one process knows. A thread that is not there after a fork may have left it locked, so a child makes its
/// own.
struct Names {
    known: Mutex<HashMap<(String, u16), Name>>,
    ended: Condvar,
    lookup: Lookup,
}

impl Names {
    fn new(lookup: Lookup) -> Arc<Names> {
        Arc::new(Names { known: Mutex::default(), ended: Condvar::new(), lookup })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, u16), Name>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolve(self: &Arc<Self>, host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Error> {
        let key = (host.to_owned(), port);
        let mut known = self.lock();
        let name = known.entry(key.clone()).or_default();
        if name.ended.is_none_or(|ended| ended.elapsed() > if name.addresses.is_empty() { PAUSE } else { FRESH }) {
            self.look_up(&key, name);
        }
        loop {
            let name = known.entry(key.clone()).or_default();
            match (name.addresses.as_slice(), name.running) {
                ([], true) => {}
                ([], false) => return Err(Error::Resolve),
                (addresses, _) => return Ok(addresses.to_vec()),
            }
            let left = deadline.remaining()?;
            known = self.ended.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn refresh(self: &Arc<Self>, host: &str, port: u16) {
        let key = (host.to_owned(), port);
        if let Some(name) = self.lock().get_mut(&key) {
            if name.ended.is_some_and(|ended| ended.elapsed() > PAUSE) {
                self.look_up(&key, name);
            }
        }
    }

    /// Starts a look-up, if none is running.
    fn look_up(self: &Arc<Self>, key: &(String, u16), name: &mut Name) {
        if name.running {
            return;
        }
        let (names, key) = (self.clone(), key.clone());
        let work = move || {
            let addresses = (names.lookup)(&key.0, key.1);
            let mut known = names.lock();
            let name = known.entry(key).or_default();
            if !addresses.is_empty() {
                name.addresses = addresses;
            }
            name.ended = Some(Instant::now());
            name.running = false;
            names.ended.notify_all();
        };
        name.running = std::thread::Builder::new().name("warp-resolve".into()).spawn(work).is_ok();
        if !name.running {
            name.ended = Some(Instant::now());
        }
    }
}

fn system(host: &str, port: u16) -> Vec<SocketAddr> {
    (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
}

/// The names of this process.
fn names() -> Arc<Names> {
    // Locked within `fork::exclusive` only, so no child finds it locked.
    static NAMES: Mutex<Option<(u64, Arc<Names>)>> = Mutex::new(None);
    fork::exclusive(|| {
        let mut kept = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.take() {
            Some((epoch, names)) if epoch == fork::epoch() => kept.insert((epoch, names)).1.clone(),
            other => {
                // The parent's may be half changed: it is left alone.
                std::mem::forget(other);
                kept.insert((fork::epoch(), Names::new(system))).1.clone()
            }
        }
    })
}

/// The addresses of a host: at once for an address or a known name, otherwise by the deadline.
///
/// # Errors
/// [`Error::Resolve`], [`Error::Timeout`] (the look-up goes on, for the next caller).
pub fn resolve(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Error> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Err(_) => names().resolve(host, port, deadline),
    }
}

/// Says that the known addresses of a host did not answer, or are no longer those of its master: they are looked up again, without a wait.
pub fn refresh(host: &str, port: u16) {
    names().refresh(host, port);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(20))
    }

    fn late() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    #[test]
    fn a_look_up_that_never_ends_costs_the_caller_his_deadline_and_one_thread() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        static OPEN: AtomicBool = AtomicBool::new(false);
        fn stuck(_: &str, port: u16) -> Vec<SocketAddr> {
            CALLS.fetch_add(1, Ordering::SeqCst);
            while !OPEN.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            vec![SocketAddr::new([127, 0, 0, 1].into(), port)]
        }
        let names = Names::new(stuck);
        for _ in 0..3 {
            assert_eq!(names.resolve("stuck.example", 1, soon()), Err(Error::Timeout));
        }
        OPEN.store(true, Ordering::SeqCst);
        assert_eq!(names.resolve("stuck.example", 1, late()).unwrap().len(), 1);
        // Kept: no further look-up, and no wait.
        assert_eq!(names.resolve("stuck.example", 1, late()).unwrap()[0].port(), 1);
        assert_eq!(CALLS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_name_without_an_address_is_an_error_and_a_known_one_outlives_failures() {
        let names = Names::new(|_, _| Vec::new());
        assert_eq!(names.resolve("nowhere.example", 1, late()), Err(Error::Resolve));
        let known = SocketAddr::new([127, 0, 0, 1].into(), 1);
        let mut entry = Name { addresses: vec![known], ..Name::default() };
        entry.ended = Instant::now().checked_sub(2 * FRESH);
        names.lock().insert(("old.example".into(), 1), entry);
        for _ in 0..3 {
            assert_eq!(names.resolve("old.example", 1, late()), Ok(vec![known]));
            names.refresh("old.example", 1);
        }
    }

    #[test]
    fn a_name_that_has_moved_is_followed() {
        static AT: AtomicUsize = AtomicUsize::new(1);
        fn moving(_: &str, port: u16) -> Vec<SocketAddr> {
            vec![SocketAddr::new([127, 0, 0, AT.load(Ordering::SeqCst) as u8].into(), port)]
        }
        let at = |number: usize| Ok(vec![SocketAddr::new([127, 0, 0, number as u8].into(), 1)]);
        let names = Names::new(moving);
        assert_eq!(names.resolve("moved.example", 1, late()), at(1));
        let age = |by: Duration| {
            let mut known = names.lock();
            known.get_mut(&("moved.example".to_owned(), 1)).unwrap().ended = Instant::now().checked_sub(by);
        };
        let ends_at = |number: usize| {
            let since = Instant::now();
            while names.resolve("moved.example", 1, late()) != at(number) {
                assert!(since.elapsed() < Duration::from_secs(60), "it is not followed");
                std::thread::yield_now();
            }
        };
        // One that failed, or led to a replica.
        AT.store(2, Ordering::SeqCst);
        age(2 * PAUSE);
        assert_eq!(names.resolve("moved.example", 1, late()), at(1), "it is kept");
        names.refresh("moved.example", 1);
        ends_at(2);
        // One that is merely old.
        AT.store(3, Ordering::SeqCst);
        age(2 * FRESH);
        ends_at(3);
    }

    #[test]
    fn addresses_need_no_look_up() {
        assert_eq!(resolve("127.0.0.1", 7, soon()).unwrap(), ["127.0.0.1:7".parse().unwrap()]);
        assert_eq!(resolve("::1", 7, soon()).unwrap(), ["[::1]:7".parse().unwrap()]);
        assert!(resolve("localhost", 7, late()).unwrap().iter().all(|address| address.ip().is_loopback()));
    }
}
