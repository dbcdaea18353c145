//! Caches seen from outside: nothing is made, changed or taken by a look, whatever there is to be seen.

use super::hostile::Random;
use super::*;
use crate::file::layout::VERSION;
use crate::inspection::{attach, leftovers, remove, survey, try_out, Attached, Found, Removal, State};
use crate::listed::Unusable;
use std::os::unix::fs::{symlink, FileExt, PermissionsExt};

fn only(o: &Options) -> Found {
    let mut found = survey(&o.dir).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn attached(o: &Options) -> SharedCache {
    match attach(&o.dir, "test.cache").unwrap() {
        Attached::Cache(cache) => cache,
        Attached::Unusable(why) => panic!("{why:?}"),
        Attached::Absent => panic!("absent"),
    }
}

fn keys(cache: &SharedCache) -> Vec<Vec<u8>> {
    let (mut found, mut at) = (Vec::new(), Some(0));
    while let Some(from) = at {
        at = cache.look_through(from, 3, |entry| found.push(entry.key.to_vec()));
    }
    found.sort();
    found
}

#[test]
fn a_look_takes_no_line_and_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 50);
    let cache = open_isolated(&o);
    for i in 0..20u8 {
        computed(&cache, &[i], b"value");
    }
    cache.count(0, Event::Miss);
    assert_eq!(only(&o).processes, [u64::from(std::process::id())]);
    drop(cache);
    let path = o.dir.join("test.cache");
    let before = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap());
    let found = only(&o);
    assert!(found.processes.is_empty());
    let State::Sound(parameters) = found.state else { panic!("{found:?}") };
    assert_eq!((parameters.max_size, parameters.max_bytes, parameters.strategy), (50, 4 << 20, Some(Strategy::Lru)));
    let look = attached(&o);
    assert_eq!((look.info().len, look.info().misses, look.parameters().max_size), (20, 1, 50));
    assert_eq!(keys(&look), (0..20u8).map(|i| vec![i]).collect::<Vec<_>>());
    assert!(only(&o).processes.is_empty(), "whoever looks has no line");
    drop(look);
    let after = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap());
    assert!(before == after);
    assert_eq!(std::fs::read_dir(&o.dir).unwrap().count(), 1);
}

#[test]
fn what_changes_from_outside_fences_as_from_inside() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 50);
    let (cache, outside) = (open_isolated(&o), attached(&o));
    // An entry, and a computation of it that is under way.
    computed(&cache, b"k", b"old");
    let began = cache.begin(cache.hash(b"k"));
    let hit = cache.peek(b"k", &mut ReadBuf::new()).unwrap();
    assert_eq!(outside.invalidate(b"k"), Ok(true));
    assert!(!cache.still_current(&hit));
    assert_eq!(cache.insert(b"k", b"old", NEVER, began), Stored::Outdated);
    // One of what is not there yet.
    let began = cache.begin(cache.hash(b"new"));
    assert_eq!(outside.invalidate(b"new"), Ok(false));
    assert_eq!(cache.insert(b"new", b"old", NEVER, began), Stored::Outdated);
    let began = cache.begin(cache.hash(b"k"));
    outside.clear();
    assert_eq!(cache.insert(b"k", b"old", NEVER, began), Stored::Outdated);
    let tagged = Terms { tags: cache.tags(&[7]), ..NEVER.into() };
    assert!(matches!(cache.set(b"t", b"v", tagged), Stored::Done(_)));
    outside.invalidate_tags(&[7]).unwrap();
    assert!(!cache.contains(b"t"));
}

#[test]
fn what_cannot_be_used_is_told_and_left() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 50);
    drop(open_isolated(&o));
    let sound = std::fs::read(o.dir.join("test.cache")).unwrap();
    let mut older = sound.clone();
    older[8..16].copy_from_slice(&(VERSION - 1).to_ne_bytes());
    let mut bit = sound.clone();
    bit[20] ^= 4;
    let put = |name: &str, bytes: &[u8]| {
        let path = o.dir.join(format!("{name}.cache"));
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    put("a-bit", &bit);
    put("b-older", &older);
    put("c-short", &sound[..100]);
    put("d-empty", b"");
    put("e-zeros", &[0; 70_000]);
    put("f-text", b"not a cache at all");
    put("g-wide", &sound);
    std::fs::set_permissions(o.dir.join("g-wide.cache"), std::fs::Permissions::from_mode(0o644)).unwrap();
    symlink("/etc/passwd", o.dir.join("h-link.cache")).unwrap();
    std::fs::create_dir(o.dir.join("i-folder.cache")).unwrap();
    let found = survey(&o.dir).unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|one| match &one.state {
            State::Sound(_) => "sound",
            State::Unusable(Unusable::Version(version)) if *version == VERSION - 1 => "older",
            State::Unusable(Unusable::Damaged) => "damaged",
            State::Unusable(Unusable::NoCache) => "no cache",
            State::Unusable(_) => "other",
            State::Refused(_) => "refused",
        })
        .collect();
    let expected = ["damaged", "older", "damaged", "no cache", "no cache", "no cache", "refused", "refused", "refused"];
    assert_eq!(told, [&expected[..], &["sound"]].concat());
    for one in &found[..6] {
        assert!(matches!(attach(&o.dir, &one.file), Ok(Attached::Unusable(_))), "{one:?}");
    }
    for one in &found[6..9] {
        assert!(attach(&o.dir, &one.file).is_err());
        assert!(remove(&o.dir, &one.file).is_err());
    }
    // (Cut short so that the header is whole.)
    put("c-short", &sound[..5000]);
    assert!(matches!(attach(&o.dir, "c-short.cache"), Ok(Attached::Unusable(Unusable::Damaged))));
    assert!(matches!(attach(&o.dir, "none.cache"), Ok(Attached::Absent)));
    assert_eq!(std::fs::read(o.dir.join("b-older.cache")).unwrap(), older);
    assert_eq!(std::fs::read_dir(&o.dir).unwrap().count(), 10);
}

#[test]
fn only_what_nobody_has_open_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 50);
    let cache = open_isolated(&o);
    cache.after_fork_child();
    assert_eq!(remove(&o.dir, "test.cache").unwrap(), Removal::InUse);
    drop(cache);
    std::fs::write(o.dir.join("text.cache"), "mine").unwrap();
    std::fs::set_permissions(o.dir.join("text.cache"), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(remove(&o.dir, "text.cache").unwrap(), Removal::NoCache);
    // One that looks has no line; it is told that the file has gone.
    let look = attached(&o);
    assert_eq!(remove(&o.dir, "test.cache").unwrap(), Removal::Removed);
    assert!(look.may_be_astray() && look.is_astray());
    assert_eq!(remove(&o.dir, "test.cache").unwrap(), Removal::Absent);
    assert!(o.dir.join("text.cache").exists());
}

#[test]
fn leftovers_of_killed_makers_and_a_trial() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 50);
    drop(open_isolated(&o));
    let (old, young) = (".test.cache.77.1.tmp", ".test.cache.78.1.tmp");
    for name in [old, young, ".test.cache.notes"] {
        std::fs::write(o.dir.join(name), "").unwrap();
    }
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
    for name in [old, ".test.cache.notes"] {
        std::fs::File::options().write(true).open(o.dir.join(name)).unwrap().set_modified(long_ago).unwrap();
    }
    // What cannot be removed is named with the reason, and the others are removed none the less.
    let folder = ".test.cache.76.1.tmp";
    std::fs::create_dir(o.dir.join(folder)).unwrap();
    std::fs::File::open(o.dir.join(folder)).unwrap().set_modified(long_ago).unwrap();
    let kept = |remove| {
        let mut found = leftovers(&o.dir, remove).unwrap();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found.into_iter().map(|one| (one.name, one.kept.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(kept(false), [(folder.to_owned(), false), (old.to_owned(), false)]);
    assert_eq!(kept(true), [(folder.to_owned(), true), (old.to_owned(), false)]);
    std::fs::remove_dir(o.dir.join(folder)).unwrap();
    assert!(!o.dir.join(old).exists() && o.dir.join(young).exists() && o.dir.join(".test.cache.notes").exists());
    assert!(try_out(&o.dir).unwrap() > 0);
    assert_eq!(std::fs::read_dir(&o.dir).unwrap().count(), 3, "a trial leaves nothing");
    assert!(try_out(&o.dir.join("none")).is_err() && survey(&o.dir.join("none")).is_err());
}

#[test]
fn damage_of_all_kinds_is_looked_at_without_harm() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::S3Fifo, 60);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut seen = 0;
    for round in 0..times("WARP_FUZZ", 150) {
        let _ = std::fs::remove_file(o.dir.join("test.cache"));
        let cache = open_isolated(&o);
        for i in 0..40u8 {
            computed(&cache, &[i], &[i; 30]);
        }
        // Half of the time a process has it open meanwhile.
        let cache = (round.is_multiple_of(2)).then_some(cache);
        let path = o.dir.join("test.cache");
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        for _ in 0..1 + random.next() % 30 {
            let at = if random.next().is_multiple_of(3) { random.next() % 1344 } else { random.next() % length };
            file.write_all_at(&random.next().to_ne_bytes(), at / 8 * 8).unwrap();
        }
        if round.is_multiple_of(7) {
            file.set_len(random.next() % length).unwrap();
        }
        for one in survey(&o.dir).unwrap() {
            ignore(format!("{one:?}"));
        }
        if let Ok(Attached::Cache(look)) = attach(&o.dir, "test.cache") {
            let info = look.info();
            assert!(info.len <= info.capacity);
            let mut at = Some(0);
            while let Some(from) = at {
                at = look.look_through(from, 7, |entry| {
                    assert_eq!(entry.value, [entry.key[0]; 30], "a wrong value");
                    seen += 1;
                });
                assert!(at.is_none_or(|at| at > from));
            }
        }
        drop(cache);
    }
    assert!(seen > 100, "only {seen} entries were ever seen");
}
