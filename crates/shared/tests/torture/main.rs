//! Torture: processes that read, store, clear and compute with self-checking values are killed and stopped at random
//! moments.
//!
//! `WARP_KILLS` sets the number of kills (default: a short form of a few seconds). Children are this very binary, run
//! again.
#![cfg(all(unix, not(loom)))]

mod children;

use children::{as_child, check, complain, ignore, is_right, options, signal, spawn, value, work, Random};
use shared::*;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

#[test]
fn killed_and_stopped_at_random() {
    if let Some(dir) = as_child() {
        work(&dir, true);
    }
    let kills: u32 = std::env::var("WARP_KILLS").ok().and_then(|v| v.parse().ok()).unwrap_or(200);
    for strategy in [Strategy::Lru, Strategy::Sieve, Strategy::S3Fifo, Strategy::TinyLfu] {
        kill_and_stop(strategy, kills.div_ceil(4), "killed_and_stopped_at_random");
    }
}

/// Kills children, which are the test of that name, until so many are dead.
fn kill_and_stop(strategy: Strategy, kills: u32, name: &str) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("strategy"), (strategy as u64).to_string()).unwrap();
    let mut children: Vec<Child> = (0..4).map(|_| spawn(dir.path(), name)).collect();
    let (mut random, mut killed, mut stopped) = (Random(12345), 0, 0);
    while killed < kills {
        std::thread::sleep(Duration::from_micros(random.below(25_000)));
        let i = random.below(4) as usize;
        if random.below(5) == 0 {
            signal(&children[i], libc::SIGSTOP);
            std::thread::sleep(Duration::from_millis(random.below(60)));
            signal(&children[i], libc::SIGCONT);
            stopped += 1;
            continue;
        }
        children[i].kill().unwrap();
        // Half of them stay zombies for a while: the others must not take them for living.
        let dead = std::mem::replace(&mut children[i], spawn(dir.path(), name));
        if random.below(2) == 0 {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                let mut dead = dead;
                dead.wait()
            });
        } else {
            let mut dead = dead;
            let status = dead.wait().unwrap();
            assert_eq!(
                std::os::unix::process::ExitStatusExt::signal(&status),
                Some(libc::SIGKILL),
                "{}",
                std::fs::read_to_string(dir.path().join("stderr")).unwrap()
            );
        }
        killed += 1;
        check(dir.path());
    }
    for mut child in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    check(dir.path());
    // The survivor finds a cache in order.
    let cache = SharedCache::open(&options(dir.path())).unwrap();
    cache.clear();
    assert_eq!((cache.len(), cache.strategy()), (0, strategy));
    let repairs = cache.info().repairs;
    let lives = std::fs::metadata(dir.path().join("lives")).map_or(0, |file| file.len());
    // (Those that were left were killed, too.)
    assert!(
        repairs <= u64::from(kills) + 4 + lives,
        "{repairs} repairs after {kills} kills and {lives} programs begun anew"
    );
    for k in 0..200u64 {
        assert!(matches!(cache.set(&k.to_le_bytes(), &value(k, 0)[..16], NEVER), Stored::Done(_)));
    }
    assert_eq!(cache.len(), 200, "capacity is exact");
    let info = cache.info();
    assert_eq!(info.data_bytes_used, 200 * 64, "nothing has leaked");
    for k in 200..900u64 {
        cache.set(&k.to_le_bytes(), &value(k, 0)[..16], NEVER);
    }
    let info = cache.info();
    assert_eq!((info.len, info.repairs), (200, repairs), "nothing is found out of order");
    println!("{strategy:?}: {killed} kills, {stopped} stops, {repairs} repairs");
}

/// Nobody dies, so nothing is ever out of order: hits, expiry, evictions, clears and computations side by side.
#[test]
fn without_a_death_nothing_is_repaired() {
    if let Some(dir) = as_child() {
        work(&dir, false);
    }
    for strategy in Strategy::ALL {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("strategy"), (strategy as u64).to_string()).unwrap();
        let cache = SharedCache::open(&options(dir.path())).unwrap();
        let mut children: Vec<Child> =
            (0..3).map(|_| spawn(dir.path(), "without_a_death_nothing_is_repaired")).collect();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(cache.info().repairs, 0, "{strategy:?}");
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        check(dir.path());
    }
}

#[test]
fn counters_of_the_dead_count() {
    if let Some(dir) = as_child() {
        let cache = SharedCache::open(&options(&dir)).unwrap();
        for i in 0..1000 {
            cache.count(i, Event::Hit);
            cache.count_alone(0, Event::Miss);
            cache.count_load(7, i % 2 == 0, i % 3 == 0);
            cache.count_rare(LoadCounter::StaleHits);
        }
        // SAFETY: our own process.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    let dir = tempfile::tempdir().unwrap();
    let mut children: Vec<Child> = (0..12).map(|_| spawn(dir.path(), "counters_of_the_dead_count")).collect();
    for child in &mut children {
        child.wait().unwrap();
    }
    let info = SharedCache::open(&options(dir.path())).unwrap().info();
    assert_eq!((info.hits, info.misses), (12_000, 12_000));
    assert_eq!(info.loads, [12_000, 6_000, 84_000, 12_000, 0]);
}

/// Six ask, one computes; it is killed, exactly one other takes over, the rest get its result.
#[test]
fn a_killed_leader_is_replaced_by_one() {
    if let Some(dir) = as_child() {
        let cache = SharedCache::open(&options(&dir)).unwrap();
        let mut buf = ReadBuf::new();
        loop {
            if cache.get(b"k", &mut buf).is_some() {
                std::process::exit(0);
            }
            match cache.acquire(b"k", Duration::from_secs(10), false) {
                Acquired::Leader(lease) => {
                    std::fs::write(dir.join(format!("leader-{}", std::process::id())), "").unwrap();
                    std::thread::sleep(Duration::from_millis(400));
                    cache.complete(lease, b"k", b"v", NEVER);
                    std::process::exit(0);
                }
                Acquired::Follower(ticket) => ignore(cache.wait(&ticket, Duration::from_secs(1))),
                Acquired::Present => {}
                Acquired::Alone => complain(&dir, "no lease to be had"),
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut children: Vec<Child> = (0..6).map(|_| spawn(dir.path(), "a_killed_leader_is_replaced_by_one")).collect();
    let leaders = || -> Vec<u32> {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter_map(|n| n.strip_prefix("leader-")?.parse().ok()).collect()
    };
    let since = Instant::now();
    while leaders().is_empty() {
        assert!(since.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(150));
    let first = leaders()[0];
    children.iter().filter(|c| c.id() == first).for_each(|c| signal(c, libc::SIGKILL));
    let killed = Instant::now();
    while leaders().len() < 2 {
        std::thread::sleep(Duration::from_millis(2));
        assert!(killed.elapsed() < Duration::from_secs(2), "taken over at once");
    }
    for child in &mut children {
        child.wait().unwrap();
    }
    check(dir.path());
    assert_eq!(leaders().len(), 2);
}

#[test]
fn a_stopped_writer_delays_nobody_for_long() {
    if let Some(dir) = as_child() {
        work(&dir, true);
    }
    let dir = tempfile::tempdir().unwrap();
    let cache = SharedCache::open(&options(dir.path())).unwrap();
    for round in 0..15u64 {
        let mut child = spawn(dir.path(), "a_stopped_writer_delays_nobody_for_long");
        std::thread::sleep(Duration::from_millis(15 + round));
        signal(&child, libc::SIGSTOP);
        let mut buf = ReadBuf::new();
        let since = Instant::now();
        let mut skipped = 0;
        for k in 0..100u64 {
            if cache.get(&k.to_le_bytes(), &mut buf).is_some() {
                assert!(is_right(k, buf.value()));
            }
            skipped += u32::from(cache.set(&k.to_le_bytes(), &value(k, 1), NEVER) == Stored::Busy);
        }
        assert!(since.elapsed() < Duration::from_secs(3), "{:?}, {skipped} skipped", since.elapsed());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(cache.set(b"after", b"death", NEVER), Stored::Done(_)), "the lock is taken over");
    }
    check(dir.path());
}

#[test]
fn a_forks_child_is_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    let cache = SharedCache::open(&options(dir.path())).unwrap();
    cache.set(b"p", b"parent", NEVER);
    cache.count(0, Event::Hit);
    // SAFETY: the child uses the cache only and leaves by _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let mut buf = ReadBuf::new();
        let ok = cache.get(b"p", &mut buf).is_some()
            && matches!(cache.set(b"c", b"child", NEVER), Stored::Done(_))
            && matches!(cache.acquire(b"x", Duration::from_secs(10), false), Acquired::Leader(_));
        cache.count(0, Event::Hit);
        // SAFETY: `_exit` may be called at any moment; nothing of the child's is used after it.
        unsafe { libc::_exit(i32::from(!ok)) };
    }
    let mut status = 0;
    // SAFETY: our own child.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(status, 0);
    let mut buf = ReadBuf::new();
    assert!(cache.get(b"c", &mut buf).is_some());
    assert_eq!(cache.info().hits, 2);
    // Its lease died with it, though its parent lives.
    assert!(matches!(cache.acquire(b"x", Duration::from_secs(10), false), Acquired::Leader(_)));
}

#[test]
fn many_create_at_once() {
    if let Some(dir) = as_child() {
        let cache = SharedCache::open(&options(&dir)).unwrap_or_else(|e| complain(&dir, &e.to_string()));
        cache.set(&std::process::id().to_le_bytes(), b"here", NEVER);
        std::process::exit(0);
    }
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let mut children: Vec<Child> = (0..12).map(|_| spawn(dir.path(), "many_create_at_once")).collect();
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
        check(dir.path());
        let cache = SharedCache::open(&options(dir.path())).unwrap();
        assert_eq!(cache.len(), 12, "all in one file");
        let left: Vec<_> =
            std::fs::read_dir(dir.path().join("caches")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["torture.cache"]);
    }
}

/// Two processes that both are number 1, each in a pid namespace of its own: only the kernel's locks tell them apart.
#[cfg(target_os = "linux")]
#[test]
fn equal_pids_in_two_namespaces() {
    if let Some(dir) = as_child() {
        assert_eq!(std::process::id(), 1);
        work(&dir, true);
    }
    let dir = tempfile::tempdir().unwrap();
    let cache = SharedCache::open(&options(dir.path())).unwrap();
    for round in 0..10u64 {
        let first = |dir: PathBuf| {
            std::thread::spawn(move || {
                // SAFETY: concerns only the children of this thread, which ends after one.
                (unsafe { libc::unshare(libc::CLONE_NEWPID) } == 0).then(|| spawn(&dir, "equal_pids_in_two_namespaces"))
            })
        };
        let (a, b) = (first(dir.path().into()), first(dir.path().into()));
        let (Some(mut a), Some(mut b)) = (a.join().unwrap(), b.join().unwrap()) else {
            println!("skipped: a pid namespace needs root");
            return;
        };
        std::thread::sleep(Duration::from_millis(20 + round));
        signal(&a, libc::SIGSTOP);
        let mut buf = ReadBuf::new();
        let since = Instant::now();
        for k in 0..100u64 {
            if cache.get(&k.to_le_bytes(), &mut buf).is_some() {
                assert!(is_right(k, buf.value()));
            }
            ignore(cache.set(&k.to_le_bytes(), &value(k, 1), NEVER));
        }
        assert!(since.elapsed() < Duration::from_secs(3));
        for child in [&mut a, &mut b] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(matches!(cache.set(b"after", b"death", NEVER), Stored::Done(_)), "the lock is taken over");
    }
    check(dir.path());
}
