//! What the shared tier costs, without Python: one line per operation, nanoseconds; then two processes against one.
//!
//! `cargo bench -p shared`

use shared::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn ignore<T>(_: T) {}

fn open(dir: &std::path::Path, name: &str, max_size: u64) -> SharedCache {
    open_as(dir, name, max_size, Strategy::Lru)
}

fn open_as(dir: &std::path::Path, name: &str, max_size: u64, strategy: Strategy) -> SharedCache {
    let options = Options {
        dir: dir.join("c"),
        name: name.into(),
        strategy,
        max_size,
        max_bytes: Some(1 << 28),
        idle: None,
        fingerprint: 0,
    };
    SharedCache::open(&options).unwrap()
}

fn time(what: &str, n: u64, mut f: impl FnMut(u64)) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let since = Instant::now();
        (0..n).for_each(&mut f);
        best = best.min(since.elapsed().as_nanos() as f64 / n as f64);
    }
    println!("{what:<44} {best:8.1} ns");
}

/// 90 % hits through remembered hits (as the decoded level does), 10 % stores that evict. Operations per second of
/// processor time: on a busy machine that varies less than wall time, but what is slept away, waiting for the lock or
/// for a processor, is not in it. So the rate of two processes is an upper bound of what they get done in a second.
fn mixed(cache: &SharedCache, seed: u64, time: Duration, caller: u64) -> f64 {
    let (mut random, mut n, since, mut last) = (seed | 1, 0u64, Instant::now(), u64::MAX);
    let cpu = cpu_seconds();
    let mut known: Vec<Option<Remembered>> = (0..4096).map(|_| None).collect();
    let mut buf = ReadBuf::new();
    while n % 256 != 0 || since.elapsed() < time {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        n += 1;
        let hot = n % 10 != 0;
        let k = if hot { (random >> 20) % 500 } else { 500 + (random >> 20) % 3500 };
        if let Some(hit) = &known[k as usize] {
            if cache.hit_again(hit, &mut last) {
                cache.count_alone(0, Event::Hit);
                spin(30 * caller);
                continue;
            }
        }
        spin(600 * caller);
        let key = k.to_le_bytes();
        known[k as usize] = cache.get(&key, &mut buf).map(Remembered::from);
        if known[k as usize].is_none() {
            cache.count_alone(0, Event::Miss);
            if let Stored::Done(hit) = cache.set(&key, b"twelve bytes", NEVER) {
                known[k as usize] = Some(hit.into());
            }
        }
    }
    n as f64 / (cpu_seconds() - cpu)
}

fn cpu_seconds() -> f64 {
    // SAFETY: all-zero is a valid timespec, which the call fills.
    unsafe {
        let mut t: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t);
        t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
    }
}

/// Stands for what a caller in Python does around us (roughly, in nanoseconds).
fn spin(ns: u64) {
    let until = shared::process::clock::time_stamp() + ns * 5 / 2;
    while ns > 0 && shared::process::clock::time_stamp() < until {}
}

fn main() {
    let dir = tempfile::Builder::new()
        .tempdir_in(if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." })
        .unwrap();
    for max_size in [128, 1000, 100_000] {
        let cache = open(dir.path(), &format!("m{max_size}"), max_size);
        let mut buf = ReadBuf::new();
        for k in 0..max_size {
            cache.set(&k.to_le_bytes(), b"twelve bytes", NEVER);
        }
        let hits: Vec<Remembered> = (0..100u64)
            .filter_map(|k| cache.get(&(max_size - 1 - k).to_le_bytes(), &mut buf))
            .map(Remembered::from)
            .collect();
        let (m, mut last) = (hits.len() as u64, u64::MAX);
        time(&format!("{max_size}: hit_again + count_alone"), 1_000_000, |i| {
            if black_box(cache.hit_again(&hits[(i % m) as usize], &mut last)) {
                cache.count_alone(0, Event::Hit);
            }
        });
        time(&format!("{max_size}: hit_again, one entry"), 1_000_000, |_| {
            ignore(black_box(cache.hit_again(&hits[0], &mut last)))
        });
        time(&format!("{max_size}: get, 8 + 12 bytes"), 300_000, |i| {
            ignore(black_box(cache.get(&(i % max_size).to_le_bytes(), &mut buf).is_some()))
        });
        let mut k = max_size;
        time(&format!("{max_size}: miss (get)"), 300_000, |i| {
            ignore(black_box(cache.get(&(i + (1 << 40)).to_le_bytes(), &mut buf).is_some()))
        });
        time(&format!("{max_size}: set + evict, 8 + 12 bytes"), 300_000, |_| {
            k += 1;
            black_box(cache.set(&k.to_le_bytes(), b"twelve bytes", NEVER));
        });
        time(&format!("{max_size}: acquire + complete + evict"), 300_000, |_| {
            k += 1;
            if let Acquired::Leader(lease) = cache.acquire(&k.to_le_bytes(), Duration::from_secs(10), false) {
                black_box(cache.complete(lease, &k.to_le_bytes(), b"twelve bytes", NEVER));
            }
        });
        time(&format!("{max_size}: replace"), 300_000, |i| {
            ignore(black_box(cache.set(&(k - i % 50).to_le_bytes(), b"twelve bytes", NEVER)))
        });
    }
    for (strategy, max_size) in Strategy::ALL.into_iter().flat_map(|s| [1000, 100_000].map(|max_size| (s, max_size))) {
        let cache = open_as(dir.path(), &format!("{strategy:?}{max_size}"), max_size, strategy);
        let (mut buf, mut random, mut last) = (ReadBuf::new(), 4711u64, u64::MAX);
        let mut hits = Vec::new();
        for k in 0..max_size {
            if let Stored::Done(hit) = cache.set(&k.to_le_bytes(), b"twelve bytes", NEVER) {
                hits.push(Remembered::from(hit));
            }
        }
        hits.truncate(100);
        time(&format!("{strategy:?}, {max_size}: hit_again"), 1_000_000, |i| {
            ignore(black_box(cache.hit_again(&hits[(i % 100) as usize], &mut last)))
        });
        let mut k = max_size;
        time(&format!("{strategy:?}, {max_size}: set + evict"), 300_000, |_| {
            k += 1;
            black_box(cache.set(&k.to_le_bytes(), b"twelve bytes", NEVER));
        });
        // Keys of which few are asked for often: hits mark, misses find marks.
        time(&format!("{strategy:?}, {max_size}: get, else set"), 300_000, |_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let key = ((8.0 * max_size as f64).powf((random >> 11) as f64 / (1u64 << 53) as f64) as u64).to_le_bytes();
            if cache.get(&key, &mut buf).is_none() {
                black_box(cache.set(&key, b"twelve bytes", NEVER));
            }
        });
    }
    let cache = open(dir.path(), "kb", 1000);
    let mut buf = ReadBuf::new();
    for k in 0..1000u64 {
        cache.set(&k.to_le_bytes(), &[7; 1024], NEVER);
    }
    time("get, 1 kB", 300_000, |i| ignore(black_box(cache.get(&(i % 1000).to_le_bytes(), &mut buf).is_some())));
    time("set, 1 kB, replace", 100_000, |i| ignore(black_box(cache.set(&(i % 1000).to_le_bytes(), &[7; 1024], NEVER))));
    time("set, 1 kB, evict", 100_000, |i| ignore(black_box(cache.set(&(i + 5000).to_le_bytes(), &[7; 1024], NEVER))));
    let cache = open(dir.path(), "heads", 1000);
    let mut last = u64::MAX;
    let hour = cache.now() + 3_600_000_000_000;
    let several: Vec<u64> = (0..MAX_TAGS as u64).collect();
    for (what, terms) in [
        ("plain", Terms::from(NEVER)),
        ("with an end", Terms::from(hour)),
        ("stale", Terms { fresh: 1, ..Terms::from(hour) }),
        ("with a tag", Terms { tags: cache.tags(&several[..1]), ..NEVER.into() }),
        ("with sixteen tags", Terms { tags: cache.tags(&several), ..NEVER.into() }),
    ] {
        let hits: Vec<Remembered> = (0..100u64)
            .filter_map(|k| match cache.set(&k.to_le_bytes(), b"twelve bytes", terms) {
                Stored::Done(hit) => Some(hit.into()),
                _ => None,
            })
            .collect();
        time(&format!("hit_again, {what}"), 1_000_000, |i| {
            let hit = &hits[(i % 100) as usize];
            if !black_box(cache.hit_again(hit, &mut last)) {
                black_box(cache.hit_while_there(hit, &mut last));
            }
        });
    }
    time("invalidate + set", 300_000, |i| {
        let key = (i % 100).to_le_bytes();
        let _ = black_box(cache.invalidate(&key));
        black_box(cache.set(&key, b"twelve bytes", NEVER));
    });
    time("invalidate_tags, one", 300_000, |i| ignore(black_box(cache.invalidate_tags(&[i]))));
    // What a hit through a system call would cost at least (the alternative to mapping).
    let file = std::fs::File::open(cache.path()).unwrap();
    let mut block = [0; 1100];
    time("pread of 1 kB, for comparison", 300_000, |i| {
        ignore(black_box(std::os::unix::fs::FileExt::read_at(&file, &mut block, 500_000 + i % 64 * 1100)))
    });

    // What this machine makes of two processes that share nothing.
    for _ in 0..3 {
        let spins = || {
            let (since, mut n) = (Instant::now(), 0u64);
            while since.elapsed() < Duration::from_millis(400) {
                (0..100_000).for_each(|i| n = black_box(n + i % 2));
            }
            n as f64
        };
        let one = spins();
        // SAFETY: the child only counts and leaves by _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            spins();
            // SAFETY: `_exit` may be called at any moment; nothing of the child's is used after it.
            unsafe { libc::_exit(0) };
        }
        let two = spins();
        // SAFETY: our own child.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        println!("sharing nothing: ratio about {:.2}", 2.0 * two / one);
    }
    let second = Duration::from_millis(700);
    for round in 0..6 {
        let caller = round % 2;
        let cache = open(dir.path(), &format!("mixed{round}"), 1000);
        let one = mixed(&cache, 42, second, caller);
        // SAFETY: the child uses the cache, and leaves by _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let rate = mixed(&cache, 4711, second, caller);
            cache.set(b"child's rate", &rate.to_le_bytes(), NEVER);
            // SAFETY: `_exit` may be called at any moment; nothing of the child's is used after it.
            unsafe { libc::_exit(0) };
        }
        let mine = mixed(&cache, 42, second, caller);
        // SAFETY: our own child.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        let theirs =
            cache.get(b"child's rate", &mut buf).map_or(0.0, |_| f64::from_le_bytes(buf.value().try_into().unwrap()));
        println!(
            "10 % writes{}: 1 process {:.2} M/s, 2 processes {:.2} M/s, ratio {:.2}",
            ["", ", with a caller's time"][caller as usize],
            one / 1e6,
            (mine + theirs) / 1e6,
            (mine + theirs) / one
        );
    }
}
