//! Hostile content: files damaged at random and on purpose, before they are opened and while they are mapped.
//!
//! Required is only: no crash, no hang, never a value that was not stored under that key. `WARP_FUZZ` sets the number
//! of rounds.

use super::*;
use crate::file::layout::*;
use std::fs::File;
use std::mem::size_of;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

pub(crate) struct Random(pub(crate) u64);
impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n.max(1)
    }
}

fn value_of(key: u64) -> Vec<u8> {
    let n = (key * 37 % 400) as usize;
    (0..n + 8).map(|i| (key as usize * 31 + i) as u8).collect()
}

/// Everything a handle can do; whatever comes back must be right.
fn exercise(cache: &SharedCache, random: &mut Random) {
    let since = Instant::now();
    let mut buf = ReadBuf::new();
    for _ in 0..60 {
        let k = random.below(60);
        let key = k.to_le_bytes();
        let tagged = Terms { tags: cache.tags(&[k % 5]), fresh: cache.now() + 500_000, ..NEVER.into() };
        match random.below(18) {
            0..=4 => {
                if let Some(hit) = cache.get(&key, &mut buf) {
                    assert_eq!(buf.value(), value_of(k), "a wrong value");
                    cache.hit_again(&hit.into(), &mut 0);
                }
            }
            5..=7 => {
                ignore(cache.set(&key, &value_of(k), if k.is_multiple_of(3) { cache.now() + 1_000_000 } else { NEVER }))
            }
            8 => ignore(cache.invalidate(&key)),
            9 => cache.for_each(|key, value, _| {
                let k = u64::from_le_bytes(key.try_into().expect("a key of eight bytes"));
                assert_eq!(value, value_of(k), "a wrong value");
            }),
            10 => match cache.acquire(&key, Duration::from_millis(1), false) {
                Acquired::Leader(lease) => ignore(cache.complete(lease, &key, &value_of(k), NEVER)),
                Acquired::Follower(t) => ignore(cache.wait(&t, Duration::from_millis(2))),
                Acquired::Alone | Acquired::Present => {}
            },
            11 => ignore(cache.set(&key, &value_of(k), tagged)),
            12 => ignore(cache.insert(&key, &value_of(k), tagged, cache.begin(cache.hash(&key)))),
            13 => ignore(cache.invalidate_tags(&[k % 5])),
            14 => match cache.acquire_to(Purpose::Refresh, &key, &Tags::NONE, Duration::from_millis(1), false) {
                Acquired::Leader(lease) if k.is_multiple_of(2) => cache.refresh_failed(lease),
                Acquired::Leader(lease) => cache.complete_without(lease),
                _ => {}
            },
            15 => {
                if let (_, Some(hit)) = cache.look(&key) {
                    ignore((cache.failures(&hit), cache.is_refresh_due(&hit), cache.ttl(&key)));
                    ignore(cache.hit_while_there(&hit.into(), &mut 0));
                }
            }
            _ => {
                let i = cache.info();
                assert!(i.len <= i.capacity);
                cache.count(0, Event::Hit);
                if random.below(8) == 0 {
                    cache.clear();
                }
            }
        }
    }
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

/// One piece of damage, done through the file.
fn damage(file: &File, geo: &Geometry, random: &mut Random, may_cut: bool) {
    let len = file.metadata().unwrap().len();
    let special = [0, 1, u64::MAX, 1 << 31, (1 << 31) - 1, len, len / 32, 1 << 63, 0xffff_ffff, 1 << 16 | 1];
    let mut areas = vec![
        (HEADER_AT, 1024),
        (CONTROL_AT, size_of::<Control>() as u64),
        (CANDIDATES_AT, 2048),
        (LEASE_STATES_AT, 2048),
        (LEASES_AT, 16384),
        (PROCS_AT, 4096),
        (FENCES_AT, 4096),
        (INDEX_AT, 4096),
        (geo.idle, if geo.has_idle() { 512 } else { 8 }),
        (geo.tags, 4096),
        (geo.cells, 512),
        (geo.metas, 512),
        (geo.links, 512),
        (geo.history, 4096),
        (geo.bitmap, 512),
        (geo.data, 8192),
    ];
    areas.retain(|a| (a.0 + a.1).bytes() <= len);
    if areas.is_empty() {
        return;
    }
    let word = |at: u64, value: u64| ignore(file.write_all_at(&value.to_le_bytes(), at / 8 * 8));
    for _ in 0..1 + random.below(6) {
        let area = areas[random.below(areas.len() as u64) as usize];
        let at = (area.0 + random.below(area.1)).bytes();
        match random.below(if may_cut { 10 } else { 8 }) {
            0..=2 => word(at, special[random.below(10) as usize]),
            3 => word(at, random.next()),
            4 => {
                let mut byte = [0];
                let _ = file.read_exact_at(&mut byte, at);
                byte[0] ^= 1 << random.below(8);
                let _ = file.write_all_at(&byte, at);
            }
            5 => ignore(file.write_all_at(&[0; 4096], at / 4096 * 4096)),
            6 => {
                let mut other = [0; 64];
                let _ = file.read_exact_at(&mut other, (area.0 + random.below(area.1) / 64 * 64).bytes());
                let _ = file.write_all_at(&other, at / 64 * 64);
            }
            7 => ignore(file.write_all_at(
                &(0..512u64).flat_map(|_| random.next().to_le_bytes()).collect::<Vec<_>>(),
                at / 4096 * 4096,
            )),
            8 => ignore(file.set_len(random.below(len))),
            _ => ignore(file.set_len(len + random.below(1 << 16))),
        }
    }
}

fn fill(cache: &SharedCache) {
    for k in 0..40u64 {
        cache.set(&k.to_le_bytes(), &value_of(k), NEVER);
    }
}

fn fuzz(seed: u64, mapped: bool, n: u32) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    for round in 0..n {
        let mut o =
            options(&dir, Strategy::ALL[round as usize % Strategy::ALL.len()], [30, 50, 2000][round as usize % 3]);
        o.max_bytes = Some(500_000);
        o.idle = (round % 4 == 3).then(|| Duration::from_millis(2));
        o.name = format!("fuzz{round}");
        let cache = open_isolated(&o);
        fill(&cache);
        let (path, geo) = (cache.path().to_owned(), cache.table().geo);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        if mapped {
            for _ in 0..3 {
                damage(&file, &geo, &mut random, true);
                exercise(&cache, &mut random);
            }
            let second = open_isolated(&o);
            exercise(&second, &mut random);
            exercise(&cache, &mut random);
        } else {
            drop(cache);
            damage(&file, &geo, &mut random, true);
            let cache = open_isolated(&o);
            exercise(&cache, &mut random);
            fill(&cache);
            exercise(&cache, &mut random);
        }
        std::fs::remove_dir_all(&o.dir).unwrap();
    }
}

#[test]
fn damaged_before_opening() {
    fuzz(0x9e3779b97f4a7c15, false, times("WARP_FUZZ", 150));
}

#[test]
fn damaged_while_mapped() {
    fuzz(0xd1b54a32d192ed03, true, times("WARP_FUZZ", 150));
}

#[test]
fn cut_short_while_mapped_is_a_miss_and_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 50);
    for len in [0, 4096, 100_000] {
        let cache = open(&o);
        fill(&cache);
        File::options().write(true).open(cache.path()).unwrap().set_len(len).unwrap();
        let mut buf = ReadBuf::new();
        for k in 0..40u64 {
            if cache.get(&k.to_le_bytes(), &mut buf).is_some() {
                assert_eq!(buf.value(), value_of(k));
            }
            cache.set(&k.to_le_bytes(), &value_of(k), NEVER);
        }
        let again = open(&o);
        fill(&again);
        assert_eq!(again.len(), 40);
        assert!(!again.poisoned());
    }
}

#[test]
fn a_full_disk_costs_entries_not_the_process() {
    for strategy in Strategy::ALL {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&options(&dir, strategy, 2000));
        fill(&cache);
        DISK_FULL.set(true);
        let mut buf = ReadBuf::new();
        for k in 100..2000u64 {
            assert!(matches!(cache.set(&k.to_le_bytes(), &value_of(k), NEVER), Stored::Done(_)));
            cache.get(&k.to_le_bytes(), &mut buf).unwrap();
            assert_eq!(buf.value(), value_of(k));
        }
        assert!(cache.len() < 1900 && cache.len() > 20);
        assert_eq!(cache.set(b"large", &[1; 1_000_000], NEVER), Stored::NoSpace);
        validate(&cache);
        DISK_FULL.set(false);
    }
}
