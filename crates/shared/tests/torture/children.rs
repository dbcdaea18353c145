//! What a child does: it calls one cache, checks what it finds, and complains where something is wrong.

use shared::*;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No operation may take longer. (The longest bound is that of `clear` and `remove`, 2 s; the machine may be busy.)
pub const LONGEST: Duration = Duration::from_secs(8);

pub struct Random(pub u64);
impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}

/// A result that nobody wants.
pub fn ignore<T>(_: T) {}

/// That of the directory, if it names one, so that children find it, too.
pub fn strategy(dir: &Path) -> Strategy {
    let number = std::fs::read_to_string(dir.join("strategy")).ok().and_then(|n| n.parse().ok());
    number.and_then(Strategy::from_number).unwrap_or(Strategy::Lru)
}

pub fn options(dir: &Path) -> Options {
    Options {
        dir: dir.join("caches"),
        name: "torture".into(),
        strategy: strategy(dir),
        max_size: 200,
        max_bytes: Some(600_000),
        idle: None,
        fingerprint: 1,
    }
}

pub fn value(key: u64, version: u64) -> Vec<u8> {
    let mut v = [key.to_le_bytes(), version.to_le_bytes()].concat();
    v.resize(16 + (key.wrapping_mul(7919).wrapping_add(version * 31) % 3000) as usize, (key ^ version) as u8);
    v
}

pub fn is_right(key: u64, found: &[u8]) -> bool {
    found.len() >= 16
        && found[..8] == key.to_le_bytes()
        && found == value(key, u64::from_le_bytes(found[8..16].try_into().unwrap()))
}

pub fn complain(dir: &Path, what: &str) -> ! {
    std::fs::write(dir.join("complaint"), what).unwrap();
    std::process::abort();
}

/// This program, begun anew in the same process; noted, as it ends the life of one who may hold a lock.
pub fn become_itself(dir: &Path) {
    let noted = std::fs::File::options().append(true).create(true).open(dir.join("lives"));
    let _ = noted.and_then(|mut file| std::io::Write::write_all(&mut file, b"."));
    let arguments: Vec<_> =
        std::env::args_os().map(|a| std::ffi::CString::new(a.into_encoded_bytes()).unwrap()).collect();
    let mut list: Vec<_> = arguments.iter().map(|a| a.as_ptr()).collect();
    list.push(std::ptr::null());
    // SAFETY: NUL-terminated strings in a list that ends with a null pointer. It returns only if it fails: then the
    // process is what it was.
    unsafe { libc::execv(c"/proc/self/exe".as_ptr(), list.as_ptr()) };
}

/// What a child does until it becomes itself again (if it `begins_anew` at times), or is killed.
pub fn work(dir: &Path, begins_anew: bool) -> ! {
    let cache = SharedCache::open(&options(dir)).unwrap_or_else(|e| complain(dir, &format!("cannot open: {e}")));
    let mut random = Random(u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut buf = ReadBuf::new();
    let lives_on = random.below(60_000);
    if begins_anew {
        let dir = dir.to_owned();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(lives_on));
            become_itself(&dir);
        });
    }
    loop {
        let (k, since) = (random.below(400), Instant::now());
        let key = k.to_le_bytes();
        let op = random.below(1000);
        match op {
            0..=599 => {
                if cache.get(&key, &mut buf).is_some() && !is_right(k, buf.value()) {
                    complain(dir, &format!("key {k}: wrong value {:?}", buf.value()));
                }
            }
            600..=899 => ignore(cache.set(&key, &value(k, random.below(1 << 20)), NEVER)),
            900..=949 => ignore(cache.invalidate(&key)),
            950..=996 => {
                if let Acquired::Leader(lease) = cache.acquire(&key, Duration::from_millis(50), false) {
                    cache.complete(lease, &key, &value(k, random.below(1 << 20)), cache.now() + 5_000_000);
                }
            }
            997 => cache.clear(),
            _ => cache.for_each(|key, v, _| {
                let k = u64::from_le_bytes(key.try_into().unwrap_or([0xff; 8]));
                if key != b"after" && !is_right(k, v) {
                    complain(dir, &format!("key {k}: wrong value in a walk"));
                }
            }),
        }
        // Being stopped counts, too, so stops are short against this.
        if since.elapsed() > LONGEST {
            complain(dir, &format!("operation {op} took {:?}", since.elapsed()));
        }
    }
}

pub fn spawn(dir: &Path, test: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("WARP_TORTURE_DIR", dir)
        .stdout(Stdio::null())
        .stderr(std::fs::File::options().append(true).create(true).open(dir.join("stderr")).unwrap())
        .spawn()
        .unwrap()
}

pub fn as_child() -> Option<PathBuf> {
    std::env::var_os("WARP_TORTURE_DIR").map(PathBuf::from)
}

pub fn signal(child: &Child, signal: i32) {
    // SAFETY: our own, unreaped child.
    unsafe { libc::kill(child.id() as i32, signal) };
}

pub fn check(dir: &Path) {
    if let Ok(complaint) = std::fs::read_to_string(dir.join("complaint")) {
        panic!("{complaint}");
    }
    let errors = std::fs::read_to_string(dir.join("stderr")).unwrap_or_default();
    assert!(errors.is_empty(), "a child has failed: {errors}");
}
