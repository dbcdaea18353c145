//! A host in small: a coherence file, near copies, a connection; and the checker of what its reads return.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Value};
use remote::breaker::ProcessBreaker;
use remote::coherence::file::Subject;
use remote::coherence::listener::Settings;
use remote::coherence::{Coherence, Pair, Stripe};
use remote::connection::Connection;
use remote::keys::{Keys, Name};
use remote::pool::Pool;

use super::{late, open, target, until};

pub const KEYS: u8 = 8;
pub const SUBJECT: Subject<'_> = Subject { server: "the server", namespace: b"test" };

pub fn keys() -> Keys {
    Keys::new(b"test")
}

pub fn key(i: u8) -> Vec<u8> {
    keys().call(&Name::new(b"f", None), &[i]).value
}

/// Opens the coherence of a directory and has it attended by this process, through this address.
pub fn attended(dir: Option<&Path>, url: &str, staleness: Duration) -> Arc<Coherence> {
    let coherence = Coherence::open(dir, SUBJECT).unwrap();
    coherence.words().ask_staleness(staleness);
    coherence.attend(&settings(url));
    coherence
}

pub fn settings(url: &str) -> Arc<Settings> {
    let (target, login) = target(url);
    Arc::new(Settings {
        route: Pool::new(target, Box::new(move |_| Ok(login.clone())), 2).into(),
        keys: keys(),
        breaker: Arc::new(ProcessBreaker::default()),
        timeout: Duration::from_millis(250),
    })
}

/// A value (`None`: it has gone), and the boot clock after its write was acknowledged.
type Write = (Option<u64>, u64);

/// What was written to each key, in order.
#[derive(Default)]
pub struct History {
    writes: [Mutex<Vec<Write>>; KEYS as usize],
}

impl History {
    /// Writes the next version of a key, and notes that.
    pub fn write(&self, connection: &mut Connection, i: u8) {
        let mut writes = self.writes[usize::from(i)].lock().unwrap();
        let version = writes.len() as u64 + 1;
        let set = connection.request(cmd("SET").arg(key(i)).arg(version), late());
        assert_eq!(set, Ok(Value::Okay));
        writes.push((Some(version), boottime::now()));
    }

    /// All keys have gone.
    pub fn wiped(&self) {
        let now = boottime::now();
        self.writes.iter().for_each(|writes| writes.lock().unwrap().push((None, now)));
    }

    /// When the last write was acknowledged.
    fn last(&self) -> u64 {
        let last = |writes: &Mutex<Vec<Write>>| writes.lock().unwrap().last().map_or(0, |write| write.1);
        self.writes.iter().map(last).max().unwrap_or(0)
    }

    /// By how much (nanoseconds) a read is older than what was acknowledged before it began.
    fn lateness(&self, i: u8, version: Option<u64>, began: u64) -> u64 {
        let writes = self.writes[usize::from(i)].lock().unwrap();
        let at = match version {
            // (Its place is its number.)
            Some(version) => version as usize,
            // It has gone in the last such write, or was never there.
            None => writes.iter().rposition(|write| write.0.is_none()).map_or(0, |at| at + 1),
        };
        writes.get(at).map_or(0, |overwritten| began.saturating_sub(overwritten.1))
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Near,
    Far,
}

struct Copy {
    pair: Pair,
    version: Option<u64>,
}

/// One reader of a host.
pub struct Reader {
    coherence: Arc<Coherence>,
    connection: Option<Connection>,
    url: String,
    near: HashMap<u8, Copy>,
    /// What is taken for fresh, in nanoseconds: a mutant's may be endless.
    pub bound: u64,
    /// A mutant: the stamp is read after the value.
    pub stamp_after: bool,
}

impl Reader {
    pub fn new(coherence: &Arc<Coherence>, url: &str, bound: u64) -> Reader {
        let coherence = coherence.clone();
        Reader { coherence, connection: None, url: url.to_owned(), near: HashMap::new(), bound, stamp_after: false }
    }

    pub fn near(&mut self, i: u8) -> Option<Option<u64>> {
        let look = self.coherence.words().look(boottime::now(), self.bound)?;
        let copy = self.near.get(&i)?;
        self.coherence.words().holds(&look, copy.pair, &[Stripe::of_value(&key(i))]).then_some(copy.version)
    }

    /// Reads, near or far; `None` if the server does not answer.
    pub fn read(&mut self, i: u8) -> Option<(Option<u64>, From)> {
        if let Some(version) = self.near(i) {
            return Some((version, From::Near));
        }
        let far = self.far(i);
        if far.is_none() {
            self.connection = None;
        }
        far.map(|version| (version, From::Far))
    }

    fn far(&mut self, i: u8) -> Option<Option<u64>> {
        if self.connection.as_ref().is_none_or(|connection| !connection.is_usable()) {
            self.connection = Some(open(&self.url, late()).ok()?);
        }
        let connection = self.connection.as_mut()?;
        let proved = self.coherence.words().prove(connection, &keys(), "", late()).ok()?;
        let mut pair = self.coherence.words().pair(&[Stripe::of_value(&key(i))]);
        let version = match connection.request(cmd("GET").arg(key(i)), late()).ok()? {
            Value::BulkString(text) => Some(std::str::from_utf8(&text).unwrap().parse().unwrap()),
            Value::Nil => None,
            other => panic!("{other:?}"),
        };
        if self.stamp_after {
            pair = self.coherence.words().pair(&[Stripe::of_value(&key(i))]);
        }
        // (`proved` is of the epoch that `pair` has, or the pair is void by now.)
        if proved && connection.proof == pair.epoch {
            self.near.insert(i, Copy { pair, version });
        }
        Some(version)
    }
}

/// Readers that read all the time, and what they saw.
#[derive(Default)]
pub struct Seen {
    pub near: AtomicU64,
    pub far: AtomicU64,
    /// The worst, in nanoseconds.
    pub lateness: AtomicU64,
    stop: AtomicBool,
}

/// Runs with readers that read all keys over and over; `f` writes, and makes trouble.
pub fn with_readers(readers: Vec<Reader>, history: &History, f: impl FnOnce(&Seen)) -> Seen {
    let (seen, bound) = (Seen::default(), readers[0].bound);
    std::thread::scope(|scope| {
        struct Stop<'a>(&'a Seen);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.stop.store(true, Ordering::Relaxed);
            }
        }
        for mut reader in readers {
            let seen = &seen;
            scope.spawn(move || {
                while !seen.stop.load(Ordering::Relaxed) {
                    for i in 0..KEYS {
                        let began = boottime::now();
                        let Some((version, from)) = reader.read(i) else { continue };
                        seen.lateness.fetch_max(history.lateness(i, version, began), Ordering::Relaxed);
                        match from {
                            From::Near => seen.near.fetch_add(1, Ordering::Relaxed),
                            From::Far => seen.far.fetch_add(1, Ordering::Relaxed),
                        };
                    }
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
        let _stop = Stop(&seen);
        f(&seen);
        // What is wrong now that all is quiet would stay so: they read on until it shows.
        let quiet = history.last().saturating_add(bound.saturating_mul(2));
        until("time passes", || bound == u64::MAX || boottime::now() > quiet);
    });
    seen
}
