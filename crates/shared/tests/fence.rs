//! The fence among processes that are killed and stopped at random: after an invalidation has returned, nobody is served
//! what was being computed before it. `WARP_FENCE` = kills.
#![cfg(unix)]

use shared::*;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const KEYS: u64 = 6;

/// Of each key: the state of what it is computed from; which state had been reached at an invalidation that has returned;
/// and how often somebody has looked.
struct Source(&'static [AtomicU64]);

impl Source {
    fn open(dir: &Path) -> Source {
        use std::os::fd::AsRawFd;
        let file =
            std::fs::File::options().read(true).write(true).create(true).truncate(false).open(dir.join("source"));
        let file = file.unwrap();
        file.set_len(4096).unwrap();
        // SAFETY: a new mapping of a page that the file has, never unmapped, and reached as atomics by everybody.
        unsafe {
            let (read_write, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            let at = libc::mmap(std::ptr::null_mut(), 4096, read_write, shared, file.as_raw_fd(), 0);
            assert_ne!(at, libc::MAP_FAILED);
            Source(std::slice::from_raw_parts(at.cast(), 512))
        }
    }
    fn state(&self, key: u64) -> &AtomicU64 {
        &self.0[key as usize]
    }
    fn invalidated(&self, key: u64) -> &AtomicU64 {
        &self.0[(KEYS + key) as usize]
    }
    fn looks(&self) -> &AtomicU64 {
        &self.0[2 * KEYS as usize]
    }
}

fn random(state: &mut u64, n: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
}

fn open(dir: &Path) -> SharedCache {
    let options = Options {
        dir: dir.join("caches"),
        name: "fence".into(),
        strategy: Strategy::Lru,
        max_size: 10,
        max_bytes: Some(600_000),
        idle: None,
        fingerprint: 0,
    };
    SharedCache::open(&options).unwrap()
}

/// Invalidates and computes until it is killed.
fn work(dir: &Path) -> ! {
    let (cache, source, mut buf) = (open(dir), Source::open(dir), ReadBuf::new());
    let large = vec![0; 1 << 20];
    let seed = &mut (u64::from(std::process::id()) << 20 | 1);
    loop {
        let key = random(seed, KEYS);
        let (name, tag) = (key.to_le_bytes(), 100 + key % 3);
        if random(seed, 4) == 0 {
            let now = source.state(key).fetch_add(1, Ordering::SeqCst) + 1;
            match random(seed, 4) {
                0 => cache.invalidate_tags(&[tag]).unwrap(),
                // What cannot be stored drops and fences.
                1 => assert!(!matches!(cache.put(&name, &large, NEVER), Ok(Stored::Done(_)) | Err(_))),
                2 if random(seed, 20) == 0 => cache.clear(),
                _ => {
                    cache.invalidate(&name).unwrap();
                }
            }
            source.invalidated(key).fetch_max(now, Ordering::SeqCst);
        }
        let least = source.invalidated(key).load(Ordering::SeqCst);
        let terms = Terms { tags: cache.tags(&[tag]), ..NEVER.into() };
        let compute = |seed: &mut u64| {
            let state = source.state(key).load(Ordering::SeqCst);
            (0..random(seed, 2000)).for_each(|_| std::hint::spin_loop());
            state
        };
        let value = if cache.get(&name, &mut buf).is_some() {
            u64::from_le_bytes(buf.value().try_into().unwrap())
        } else {
            match cache.acquire(&name, Duration::from_millis(20), false) {
                Acquired::Leader(lease) => {
                    let value = compute(seed);
                    cache.complete(lease, &name, &value.to_le_bytes(), terms);
                    value
                }
                Acquired::Follower(ticket) => {
                    cache.wait(&ticket, Duration::from_millis(1));
                    continue;
                }
                _ => {
                    let began = cache.begin(cache.hash(&name));
                    let value = compute(seed);
                    cache.insert(&name, &value.to_le_bytes(), terms, began);
                    value
                }
            }
        };
        if value < least {
            eprintln!("key {key}: {value}, {least} was invalidated");
            std::process::exit(1);
        }
        source.looks().fetch_add(1, Ordering::Relaxed);
    }
}

fn spawn(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["the_fence_holds", "--exact", "--nocapture"])
        .env("WARP_FENCE_DIR", dir)
        .stdout(Stdio::null())
        .stderr(std::fs::File::options().append(true).create(true).open(dir.join("stderr")).unwrap())
        .spawn()
        .unwrap()
}

#[test]
fn the_fence_holds() {
    if let Some(dir) = std::env::var_os("WARP_FENCE_DIR").map(PathBuf::from) {
        work(&dir);
    }
    let kills: u32 = std::env::var("WARP_FENCE").ok().and_then(|v| v.parse().ok()).unwrap_or(100);
    let dir = tempfile::tempdir().unwrap();
    let mut children: Vec<Child> = (0..4).map(|_| spawn(dir.path())).collect();
    let mut seed = 4711;
    // SAFETY: our own, unreaped child.
    let signal = |child: &Child, signal: i32| unsafe { libc::kill(child.id() as i32, signal) };
    for n in 0..kills {
        std::thread::sleep(Duration::from_millis(random(&mut seed, 40)));
        let child = &mut children[random(&mut seed, 4) as usize];
        if n % 10 == 9 {
            // Longer than others wait for its lock.
            signal(child, libc::SIGSTOP);
            std::thread::sleep(Duration::from_millis(300));
            signal(child, libc::SIGCONT);
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        *child = spawn(dir.path());
    }
    for mut child in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let errors = std::fs::read_to_string(dir.path().join("stderr")).unwrap_or_default();
    assert!(errors.is_empty(), "{errors}");
    let looks = Source::open(dir.path()).looks().load(Ordering::Relaxed);
    assert!(looks > 1000, "{looks}");
    println!("{looks} looks, {kills} kills and stops, {} repairs", open(dir.path()).info().repairs);
}
