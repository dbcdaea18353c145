//! Address space: mappings that grow, in their place or elsewhere, under those who read; processes that cannot map what
//! others have stored; a file that is cut short under several mappings and threads.

use super::*;
use crate::testing::NO_ADDRESSES;
use std::sync::atomic::{AtomicBool, Ordering};

fn value(k: u64) -> Vec<u8> {
    vec![k as u8; 40_000]
}

fn large(dir: &tempfile::TempDir) -> Options {
    Options { max_bytes: Some(256 << 20), ..options(dir, Strategy::Lru, 2000) }
}

/// Puts something right behind each mapping of the file, so that none can grow where it is.
#[cfg(target_os = "linux")]
fn build_walls(path: &std::path::Path) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for line in maps.lines().filter(|line| line.ends_with(path.to_str().unwrap())) {
        let end = line.split(['-', ' ']).nth(1).unwrap();
        let end = usize::from_str_radix(end, 16).unwrap();
        // SAFETY: a hint; where something lies already nothing is replaced.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED_NOREPLACE;
            libc::mmap(end as *mut libc::c_void, 4096, libc::PROT_NONE, flags, -1, 0);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn readers_go_on_while_the_mapping_moves() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, reader) = (open_isolated(&large(&dir)), open_isolated(&large(&dir)));
    writer.set(b"first", b"value", NEVER);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for cache in [&reader, &writer, &reader] {
            let done = &done;
            scope.spawn(move || {
                let mut buf = ReadBuf::new();
                while !done.load(Ordering::Relaxed) {
                    let hit = cache.get(b"first", &mut buf).unwrap();
                    assert_eq!(buf.value(), b"value");
                    assert!(cache.still_current(&hit));
                }
            });
        }
        let mut buf = ReadBuf::new();
        for k in 0..1000u64 {
            if k % 50 == 0 {
                build_walls(writer.path());
            }
            assert!(matches!(writer.set(&k.to_le_bytes(), &value(k), NEVER), Stored::Done(_)));
            assert!(reader.get(&k.to_le_bytes(), &mut buf).is_some() && buf.value() == value(k));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!((writer.info().repairs, writer.len()), (0, 1001));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let count = || maps.lines().filter(|line| line.ends_with(writer.path().to_str().unwrap())).count();
    assert!(count() > 4, "none has moved: {}", count());
    let path = writer.path().to_owned();
    drop((writer, reader));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains(path.to_str().unwrap()), "a mapping is left");
}

#[test]
fn who_cannot_map_it_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (rich, poor) = (open_isolated(&large(&dir)), open_isolated(&large(&dir)));
    let poorest = open_isolated(&large(&dir));
    for k in 0..500u64 {
        rich.set(&k.to_le_bytes(), &value(k), NEVER);
    }
    NO_ADDRESSES.with(|none| none.set(true));
    let mut buf = ReadBuf::new();
    for k in 0..500u64 {
        if poor.get(&k.to_le_bytes(), &mut buf).is_some() {
            assert_eq!(buf.value(), value(k));
        }
        assert_eq!(computed(&poor, &k.to_le_bytes(), b"x"), Stored::NoSpace);
    }
    // A cache that may not grow: entries give way.
    NO_ADDRESSES.with(|none| none.set(false));
    let small = open(&Options { name: "small".into(), ..large(&dir) });
    NO_ADDRESSES.with(|none| none.set(true));
    for k in 0..500u64 {
        if let Stored::Done(_) = small.set(&k.to_le_bytes(), &value(k), NEVER) {
            assert!(small.get(&k.to_le_bytes(), &mut buf).is_some() && buf.value() == value(k));
        }
    }
    assert!(SharedCache::open(&Options { name: "none".into(), ..large(&dir) }).is_err());
    NO_ADDRESSES.with(|none| none.set(false));
    assert_eq!((small.info().repairs, rich.info().repairs, rich.len()), (0, 0, 500));
    for k in 0..500u64 {
        assert!(rich.get(&k.to_le_bytes(), &mut buf).is_some() && buf.value() == value(k));
        assert!(poor.get(&k.to_le_bytes(), &mut buf).is_some() && buf.value() == value(k));
    }
    // It takes no lock, so it voids all.
    NO_ADDRESSES.with(|none| none.set(true));
    assert_eq!(poorest.set(&7u64.to_le_bytes(), b"x", NEVER), Stored::NoSpace);
    NO_ADDRESSES.with(|none| none.set(false));
    assert_eq!(rich.len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn cut_short_under_many_threads_and_mappings() {
    for round in 0..20u64 {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&large(&dir));
        for k in 0..200u64 {
            if k % 20 == 0 {
                build_walls(cache.path());
            }
            cache.set(&k.to_le_bytes(), &value(k), NEVER);
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut buf = ReadBuf::new();
                    for k in (0..200u64).cycle().take(2000) {
                        if cache.get(&k.to_le_bytes(), &mut buf).is_some() {
                            assert_eq!(buf.value(), value(k));
                        }
                    }
                });
            }
            // Others come and go, and take over what the handler knows of those that are gone.
            scope.spawn(|| {
                for n in 0..50 {
                    let other = open(&Options { name: format!("other{}", n % 3), ..large(&dir) });
                    other.set(b"k", &value(n), NEVER);
                }
            });
            let file = std::fs::OpenOptions::new().write(true).open(cache.path()).unwrap();
            file.set_len(round * 4096 * 16).unwrap();
        });
        assert!(cache.poisoned());
    }
}
