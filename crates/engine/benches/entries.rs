//! What lifetimes, idle times and tags cost: `cargo bench -p engine --bench entries`.
//!
//! Times of one run on one thread, the least of several; ratios are what counts. (It runs for a minute or two.)

use std::hint::black_box;
use std::time::Instant as Clock;

use engine::cache::{Cache, Cause, Description, Evicted, Expires, Features, Lifetime};
use engine::hashing::{scale, split_mix};
use engine::policy::Kind;

const MANY: usize = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const ROUNDS: usize = 5;

type Entries = Cache<u64, u64>;

/// How lifetimes are dealt out.
#[derive(Clone, Copy)]
enum Lives {
    One(u64),
    /// Below the bound.
    Random(u64),
    /// All end in one millisecond, in random order.
    Together(u64),
}

impl Lives {
    fn end(self, key: u64, now: u64) -> u64 {
        match self {
            Lives::One(life) => now + life,
            Lives::Random(most) => now + scale(split_mix(key ^ 0xABCD), most),
            Lives::Together(at) => at + scale(split_mix(key), 1_000_000),
        }
    }

    fn expires(self) -> Expires {
        if matches!(self, Lives::One(_)) {
            Expires::OneLifetime
        } else {
            Expires::Varied
        }
    }
}

/// Nanoseconds for each, the least of the rounds.
fn least(mut measure: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

/// Stores keys from `first` on, `step` nanoseconds apart; nanoseconds for each.
fn store(cache: &mut Entries, lives: Lives, first: usize, count: usize, step: u64) -> f64 {
    let start = Clock::now();
    for key in first as u64..(first + count) as u64 {
        let now = key * step;
        let mut evicted = Evicted::default();
        cache.insert(split_mix(key), 0, key, key, lives.end(key, now), now, &mut evicted);
        drop(black_box(evicted));
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

fn cache(lives: Lives, capacity: Option<usize>, idle: Option<u64>) -> Entries {
    Cache::with(Kind::Lru, capacity, Features { expires: lives.expires(), idle, ..Features::default() })
}

/// Fills a cache of a million, and goes on as long again.
fn stores(lives: Lives, idle: Option<u64>, step: u64) -> [f64; 2] {
    let mut cache = cache(lives, Some(MANY), idle);
    [store(&mut cache, lives, 0, MANY, step), store(&mut cache, lives, MANY, MANY, step)]
}

/// Half a million are there, and for each that comes one leaves from anywhere: what has to be paid for that, if one knew which.
fn stores_where_others_leave() -> [f64; 2] {
    let lives = Lives::One(3600 * SECOND);
    let mut cache = cache(lives, Some(MANY), None);
    let filled = store(&mut cache, lives, 0, MANY / 2, 1000);
    let start = Clock::now();
    for key in MANY as u64 / 2..MANY as u64 {
        let mut evicted = Evicted::default();
        // (Slots are used again at once.)
        let token = 1 + scale(split_mix(key), MANY as u64 / 2) as u32;
        cache.remove(token, Cause::Expired, &mut evicted);
        let now = key * 1000;
        cache.insert(split_mix(key), 0, key, key, lives.end(key, now), now, &mut evicted);
        drop(black_box(evicted));
    }
    let full = start.elapsed().as_nanos() as f64 / (MANY / 2) as f64;
    [filled, full]
}

/// Lets a million end at once.
fn end_all(lives: Lives) -> f64 {
    least(|| {
        let mut cache = cache(lives, None, None);
        store(&mut cache, lives, 0, MANY, 0);
        let mut evicted = Evicted::default();
        let start = Clock::now();
        cache.expire(u64::MAX - 1, &mut evicted);
        assert_eq!((cache.len(), evicted.len()), (0, MANY));
        start.elapsed().as_nanos() as f64 / MANY as f64
    })
}

/// Hits random entries among so many; `idle`: of a cache with an idle time.
fn hits(count: u64, idle: Option<u64>) -> f64 {
    let lives = Lives::One(3600 * SECOND);
    let mut cache = cache(lives, None, idle);
    store(&mut cache, lives, 0, count as usize, 1);
    let mut now = SECOND;
    least(|| {
        let start = Clock::now();
        let mut sum = 0;
        for i in 0..MANY as u64 {
            let key = scale(split_mix(i), count);
            let hash = split_mix(key);
            now += 100;
            let found = cache.candidates(hash).find(|(_, _, entry)| entry.key == key);
            let (token, _, entry) = found.expect("it is there");
            sum += entry.value;
            // SAFETY: the token was found just now.
            unsafe {
                if idle.is_some() {
                    assert!(cache.use_if_fresh(token, now));
                } else {
                    assert!(!cache.expired(token, now));
                }
                cache.hit_shared(token);
            }
        }
        black_box(sum);
        start.elapsed().as_nanos() as f64 / MANY as f64
    })
}

/// Invalidates tags that ten of so many entries have, one after the other; nanoseconds for each tag.
fn invalidate(count: u64) -> f64 {
    const TAGS: u64 = 50;
    least(|| {
        let mut cache: Entries = Cache::with(Kind::Lru, None, Features { tagged: true, ..Features::default() });
        let mut evicted = Evicted::default();
        for key in 0..count {
            let tag = format!("tag:{}", key % (count / 10));
            let description = Description { tags: &[&tag], ..Description::PLAIN };
            let stored = cache.insert_described(split_mix(key), 0, key, key, &description, 0, &mut evicted);
            assert!(stored.is_ok());
        }
        let tags: Vec<String> = (0..TAGS).map(|n| format!("tag:{}", scale(split_mix(n), count / 10))).collect();
        let mut left = 0;
        let start = Clock::now();
        for tag in &tags {
            left += cache.invalidate_tag(tag, &mut evicted);
        }
        let elapsed = start.elapsed().as_nanos() as f64;
        assert!(left > 0 && evicted.iter().all(|departed| departed.cause == Cause::Explicit));
        elapsed * 10.0 / left as f64
    })
}

/// Stores under a million tags, each of which goes with its entry, in a small cache.
fn passing_tags() -> f64 {
    let features = Features { expires: Expires::Varied, tagged: true, ..Features::default() };
    let mut cache: Entries = Cache::with(Kind::Lru, Some(100), features);
    let start = Clock::now();
    for key in 0..MANY as u64 {
        let tag = format!("tag:{key}");
        let lifetime = Lifetime { fresh: key + 50, end: key + 100 };
        let description = Description { lifetime, weight: 0, tags: &[&tag] };
        let mut evicted = Evicted::default();
        let stored = cache.insert_described(split_mix(key), 0, key, key, &description, key, &mut evicted);
        assert!(stored.is_ok());
    }
    start.elapsed().as_nanos() as f64 / MANY as f64
}

fn main() {
    let hour = 3600 * SECOND;
    // By turns, so that whatever else the machine does meets all of them.
    let mut times = [[f64::INFINITY; 2]; 6];
    for _ in 0..ROUNDS {
        let round = [
            stores(Lives::One(hour), None, 1000),
            stores(Lives::Random(hour), None, 1000),
            stores(Lives::One(hour), Some(hour), 1000),
            // Half a million are there at a time, and nobody is evicted.
            stores(Lives::One(SECOND / 2), None, 1000),
            stores(Lives::Random(SECOND), None, 1000),
            stores_where_others_leave(),
        ];
        for (least, time) in times.iter_mut().flatten().zip(round.iter().flatten()) {
            *least = least.min(*time);
        }
    }
    for (what, time, base) in [
        ("one lifetime", 0, 0),
        ("random lifetimes", 1, 0),
        ("one lifetime, idle time", 2, 0),
        ("one lifetime, which ends", 3, 3),
        ("any one leaves for each", 5, 5),
        ("random lifetimes, which end", 4, 5),
    ] {
        let ([filled, full], [filling_base, full_base]) = (times[time], times[base]);
        let (a, b) = (filled / filling_base, full / full_base);
        println!("store, {what:<32} filling {filled:6.1} ns ({a:4.2})  full {full:6.1} ns ({b:4.2})");
    }
    let base = end_all(Lives::One(hour));
    for (what, lives) in [
        ("one lifetime", Lives::One(hour)),
        ("random lifetimes", Lives::Random(hour)),
        ("one millisecond", Lives::Together(hour)),
    ] {
        let each = end_all(lives);
        println!("a million end at once, {what:<22} {each:6.1} ns each ({:4.2})", each / base);
    }
    for count in [1000, MANY as u64] {
        let (ttl, tti) = (hits(count, None), hits(count, Some(hour)));
        println!("hit among {count:>7}: lifetime {ttl:5.1} ns, idle time too {tti:5.1} ns ({:4.2})", tti / ttl);
    }
    let (few, many) = (invalidate(1000), invalidate(MANY as u64));
    println!("invalidate 10 of 10^3 {few:6.0} ns, 10 of 10^6 {many:6.0} ns ({:4.2})", many / few);
    println!("store under a tag of its own, with a lifetime, in a cache of 100: {:5.1} ns", passing_tags());
}
