//! Rings 1 and 2 on real threads, some seconds of it: what loom can't reach by trying everything (whole caches, long runs,
//! time) is shaken here. Also the test to run under a thread sanitizer.

// The striped lock is the one that an interpreter with a GIL does without.
#![cfg(not(loom))]

use std::collections::HashMap;
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;
use std::time::Duration;

use concurrency::inflight::{Flight, Outcome, Waited, Waiting};
use concurrency::striped::Shared;
use concurrency::{clock, thread_id};
use engine::cache::{Cache, Cause, Evicted};
use engine::policy::Kind;
use engine::slab::Token;

/// A generator of numbers that need not be good, but differ between threads and not between runs.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Runs `f` elsewhere and fails if it takes longer than anything that is not a deadlock.
fn in_time(f: impl FnOnce() + Send + 'static) {
    let (done, waiting) = mpsc::channel();
    let runner = thread::spawn(move || {
        f();
        done.send(()).unwrap();
    });
    if waiting.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("deadlock");
    }
    runner.join().unwrap();
}

/// A key or a value on the heap, which says whose it is and counts those alive.
#[derive(Debug)]
struct Object(Box<u64>, Arc<AtomicIsize>);

impl Object {
    fn new(key: u64, alive: &Arc<AtomicIsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Object(Box::new(key), Arc::clone(alive))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        *self.0 = u64::MAX;
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

type Entries = Shared<Cache<Object, Object>>;

fn hash(key: u64) -> u64 {
    // Runs of hashes that are equal in their lower halves.
    u64::from((key as u32 & !1).wrapping_mul(0x9E37_79B9)) | key << 32
}

fn find(cache: &Cache<Object, Object>, key: u64) -> Option<(Token, &Object)> {
    cache.candidates(hash(key)).find(|(_, _, entry)| *entry.key.0 == key).map(|(token, _, entry)| (token, &entry.value))
}

struct Load {
    kind: Kind,
    capacity: usize,
    expires: bool,
    stripes: usize,
    calls: u64,
}

impl Load {
    /// What a thread does; returns the number of its hits and misses.
    fn call(&self, shared: &Entries, alive: &Arc<AtomicIsize>, mut random: Random) -> u64 {
        let keys = self.capacity as u64 * 2;
        for call in 0..self.calls {
            let key = random.below(keys).min(random.below(keys));
            let now = clock::now();
            let hit = shared.read(|reader| match find(&reader, key) {
                Some((token, value)) => {
                    assert_eq!(*value.0, key);
                    // SAFETY: all entries of this cache are published when they become visible.
                    if unsafe { reader.expired(token, now) } {
                        reader.miss();
                        return false;
                    }
                    // SAFETY: all entries of this cache are published when they become visible.
                    unsafe { reader.hit(token) };
                    true
                }
                None => {
                    reader.miss();
                    false
                }
            });
            if hit {
                continue;
            }
            let mut evicted = Evicted::default();
            let mut new = Some((Object::new(key, alive), Object::new(key, alive)));
            let old = shared.write(|writer| {
                let cache = writer.value;
                let deadline = clock::deadline(200_000);
                match call % 512 {
                    0 => cache.clear(&mut evicted),
                    1 => cache.expire(now, &mut evicted),
                    2 => cache.validate(),
                    _ => (),
                }
                let found = find(cache, key).map(|(token, _)| token);
                assert!(cache.len() <= self.capacity);
                match (found, random.below(3)) {
                    (Some(token), 0) => {
                        cache.remove(token, Cause::Explicit, &mut evicted);
                        None
                    }
                    // SAFETY: all entries of this cache are published when they become visible.
                    (Some(token), _) => unsafe { cache.replace(token, new.take()?.1, deadline) },
                    (None, 0) => {
                        let (key, value) = new.take()?;
                        cache.insert(hash(*key.0), 0, key, value, deadline, now, &mut evicted);
                        None
                    }
                    (None, _) => {
                        let (key, value) = new.take()?;
                        let placeholder = Object::new(*key.0, alive);
                        let token = cache.reserve(hash(*key.0), 0, key, placeholder);
                        cache.publish(token, value, deadline, now, &mut evicted).map(|(_, old)| old)
                    }
                }
            });
            drop((old, evicted, new));
        }
        self.calls
    }

    fn run(self) {
        let alive = Arc::new(AtomicIsize::new(0));
        let cache = Cache::new(self.kind, Some(self.capacity), self.expires);
        let shared = Arc::new(Entries::with_stripes(cache, self.stripes));
        let this = Arc::new(self);
        let threads: Vec<_> = (1..=4)
            .map(|seed| {
                let (this, shared, alive) = (Arc::clone(&this), Arc::clone(&shared), Arc::clone(&alive));
                thread::spawn(move || this.call(&shared, &alive, Random(seed)))
            })
            .collect();
        // As the garbage collector does.
        for _ in 0..100 {
            if let Some(count) = shared.try_read(|cache| cache.entries().count()) {
                assert!(count <= this.capacity);
            }
            thread::yield_now();
        }
        let calls: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let len = shared.write(|writer| {
            let (hits, misses) = writer.counters();
            assert_eq!(hits + misses, calls);
            assert!(hits > 0 && misses > 0);
            writer.value.validate();
            writer.value.len()
        });
        assert_eq!(alive.load(Ordering::Relaxed), 2 * len as isize);
        drop(shared);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_shared_cache_stays_whole() {
    in_time(|| {
        for &kind in Kind::ALL {
            for (capacity, expires, stripes) in [(3, false, 4), (100, true, 2), (100, false, 8), (1000, true, 1)] {
                let calls = 15_000;
                Load { kind, capacity, expires, stripes, calls }.run();
            }
        }
    });
}

/// One thread's uses are never lost, however busy the others are: its victims are exact.
#[test]
fn the_order_of_one_thread_is_exact() {
    for &kind in Kind::ALL {
        let shared = Shared::with_stripes(Cache::<u64, ()>::new(kind, Some(50), false), 4);
        let mut alone = Cache::<u64, ()>::new(kind, Some(50), false);
        let mut random = Random(7);
        for key in 0..50 {
            let mut evicted = Evicted::default();
            shared.write(|writer| writer.value.insert(key, 0, key, (), 0, 0, &mut evicted));
            alone.insert(key, 0, key, (), 0, 0, &mut evicted);
        }
        for _ in 0..1000 {
            for _ in 0..random.below(200) {
                let token = 1 + random.below(50) as Token;
                // SAFETY: the tokens of a slab that nothing has left are dense.
                shared.read(|reader| unsafe { reader.hit(token) });
                // SAFETY: the tokens of a slab that nothing has left are dense.
                unsafe { alone.hit(token) };
            }
            assert_eq!(shared.write(|writer| writer.value.victims()), alone.victims());
        }
    }
}

/// A value, or the computation that will bring it.
type Record = Result<u64, Arc<Flight<u64>>>;

/// A cache under single-flight as ring 3 has it, over a map: values that need each other in circles.
struct Circles {
    values: Mutex<HashMap<u64, Record>>,
    bound: Option<Duration>,
    computed: AtomicU64,
    waited: AtomicU64,
    refused: AtomicU64,
    taken_over: AtomicU64,
}

const KEYS: u64 = 12;

impl Circles {
    fn get(self: &Arc<Self>, key: u64, depth: u64, random: &mut Random) -> u64 {
        loop {
            let me = thread_id::current();
            let flight = {
                let mut values = self.values.lock().unwrap();
                match values.get(&key) {
                    Some(Ok(value)) => return *value,
                    Some(Err(flight)) => Ok(Arc::clone(flight)),
                    None => {
                        let flight = Arc::new(Flight::new(me));
                        values.insert(key, Err(Arc::clone(&flight)));
                        Err(flight)
                    }
                }
            };
            match flight {
                Err(own) => return self.lead(key, depth, random, &own),
                Ok(flight) => match Waiting::begin(me, &flight) {
                    None => {
                        self.refused.fetch_add(1, Ordering::Relaxed);
                        return self.compute(key, depth, random);
                    }
                    Some(waiting) => {
                        self.waited.fetch_add(1, Ordering::Relaxed);
                        let landed = self.wait(me, &flight);
                        drop(waiting);
                        match landed {
                            Some(Outcome::Value(value)) => return value,
                            Some(_) => (),
                            None => {
                                self.taken_over.fetch_add(1, Ordering::Relaxed);
                                return self.lead(key, depth, random, &flight);
                            }
                        }
                    }
                },
            }
        }
    }

    /// The outcome, or `None` for the one who takes over.
    fn wait(&self, me: u64, flight: &Flight<u64>) -> Option<Outcome<u64>> {
        loop {
            match flight.wait(Duration::from_secs(100), self.bound) {
                Waited::Outcome(outcome) => return Some(outcome),
                Waited::TimeIsUp if flight.take_over(me, self.bound?) => return None,
                Waited::TimeIsUp => (),
                Waited::NotYet => panic!("a wait without an end"),
            }
        }
    }

    fn lead(self: &Arc<Self>, key: u64, depth: u64, random: &mut Random, flight: &Arc<Flight<u64>>) -> u64 {
        let value = self.compute(key, depth, random);
        let abandon = random.below(8) == 0;
        let mut values = self.values.lock().unwrap();
        if matches!(values.get(&key), Some(Err(other)) if Arc::ptr_eq(other, flight)) {
            values.remove(&key);
            if !abandon && random.below(2) == 0 {
                values.insert(key, Ok(value));
            }
        }
        drop(values);
        let outcome = if abandon { Outcome::Abandoned } else { Outcome::Value(value) };
        // Another leader's outcome may have come first.
        let _late = flight.complete(outcome);
        value
    }

    /// Needs two other values on the way, which may need this one.
    fn compute(self: &Arc<Self>, key: u64, depth: u64, random: &mut Random) -> u64 {
        self.computed.fetch_add(1, Ordering::Relaxed);
        if depth < 3 {
            for step in [1, 5] {
                let other = (key + step) % KEYS;
                assert_eq!(self.get(other, depth + 1, random), other * 100);
            }
        } else if random.below(4) == 0 {
            thread::sleep(Duration::from_micros(300));
        }
        key * 100
    }

    fn run(bound: Option<Duration>) {
        let this = Arc::new(Circles {
            values: Mutex::default(),
            bound,
            computed: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            taken_over: AtomicU64::new(0),
        });
        let threads: Vec<_> = (1..=6)
            .map(|seed| {
                let this = Arc::clone(&this);
                thread::spawn(move || {
                    let mut random = Random(seed);
                    for _ in 0..300 {
                        let key = random.below(KEYS);
                        assert_eq!(this.get(key, 0, &mut random), key * 100);
                        if random.below(4) == 0 {
                            this.values.lock().unwrap().retain(|_, value| value.is_err());
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(this.values.lock().unwrap().values().all(Result::is_ok), "a flight without an end");
        let counts = [&this.computed, &this.waited, &this.refused].map(|count| count.load(Ordering::Relaxed));
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
        let taken_over = this.taken_over.load(Ordering::Relaxed);
        assert_eq!(taken_over > 0, bound.is_some(), "{taken_over}");
    }
}

#[test]
fn waits_in_circles_end() {
    in_time(|| Circles::run(None));
}

#[test]
fn waits_in_circles_end_when_leaders_are_replaced() {
    in_time(|| Circles::run(Some(Duration::from_micros(200))));
}

/// A change that panics leaves no lock held, an empty cache, and slots that are nobody's any more.
#[test]
fn a_panic_in_a_change_is_the_end_of_what_was_there() {
    in_time(|| {
        for &kind in Kind::ALL {
            let shared = Arc::new(Shared::with_stripes(Cache::<u64, u64>::new(kind, Some(8), true), 4));
            let evicted = &mut Evicted::default();
            let fill = |writer: concurrency::striped::Writer<'_, Cache<u64, u64>>, evicted: &mut Evicted<u64, u64>| {
                for key in 0..20 {
                    writer.value.insert(hash(key), 1, key, key, u64::MAX, 0, evicted);
                }
                (writer.value.reserve(hash(100), 1, 100, 0), writer.value.clears())
            };
            let (token, clears) = shared.write(|writer| fill(writer, evicted));
            let inserts = shared.read(|reader| reader.inserts());
            let broken = Arc::clone(&shared);
            let panicked = thread::spawn(move || {
                broken.write(|writer| {
                    writer.value.detach(token);
                    panic!("as a test wants it");
                })
            });
            assert!(panicked.join().is_err());
            // From here and from another thread: who waited for a lock would not end.
            let other = Arc::clone(&shared);
            thread::spawn(move || other.write(|writer| writer.value.validate())).join().unwrap();
            shared.read(|reader| {
                assert!(reader.is_empty() && reader.get(token).is_none());
                assert!(!reader.is_of_this_life(clears) && reader.inserts() > inserts);
            });
            let (_, clears) = shared.write(|writer| fill(writer, evicted));
            shared.write(|writer| {
                assert_eq!(writer.value.len(), 8);
                writer.value.clear(evicted);
                assert!(writer.value.is_of_this_life(clears));
                writer.value.validate();
            });
        }
    });
}
