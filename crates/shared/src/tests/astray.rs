//! Processes that have one cache open stay together: whatever word of the header and the control words is damaged before
//! another one comes, and whatever becomes of the file's name.

use super::hostile::Random;
use super::*;
use crate::file::layout::*;
use crate::file::units::Offset;
use std::fs::File;
use std::mem::size_of;
use std::os::unix::fs::{FileExt, MetadataExt};

const SIZE: u64 = 64;
const CALLS: u64 = 150;

fn options_of(dir: &tempfile::TempDir, strategy: Strategy) -> Options {
    Options { max_bytes: Some(Geometry::new(SIZE, 1 << 19, strategy).unwrap().end), ..options(dir, strategy, SIZE) }
}

fn value_of(key: u64) -> Vec<u8> {
    (0..24 + key % 40).map(|i| (key * 31 + i) as u8).collect()
}

/// A process that looks after its file as the backend does.
struct Process {
    options: Options,
    cache: SharedCache,
}

impl Process {
    fn open(options: &Options) -> Process {
        Process { options: options.clone(), cache: open_isolated(options) }
    }

    /// `due`: it is time to look.
    fn look(&mut self, due: bool) -> &SharedCache {
        if (due || self.cache.may_be_astray()) && !self.cache.poisoned() && self.cache.is_astray() {
            self.cache.forsake();
        }
        if self.cache.poisoned() {
            self.cache = open_isolated(&self.options);
        }
        &self.cache
    }

    fn has(&mut self, key: u64) -> bool {
        let mut buf = ReadBuf::new();
        let found = self.look(false).get(&key.to_le_bytes(), &mut buf).is_some();
        assert!(!found || buf.value() == value_of(key), "a wrong value");
        found
    }

    fn store(&mut self, key: u64) -> bool {
        matches!(self.look(false).set(&key.to_le_bytes(), &value_of(key), NEVER), Stored::Done(_))
    }

    fn call(&mut self, key: u64) {
        let found = self.has(key);
        self.cache.count(0, if found { Event::Hit } else { Event::Miss });
        if !found {
            self.store(key);
        }
    }

    fn clear(&mut self) {
        self.look(true).clear();
    }
}

/// Both see what the other stores and clears.
fn are_together(a: &mut Process, b: &mut Process, what: &str) {
    for key in [1_000_001, 1_000_002] {
        let (one, other) = if key % 2 == 1 { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
        assert!(one.store(key) && other.has(key), "{what}: a store is not seen");
        one.clear();
        assert!(!one.has(key) && !other.has(key), "{what}: a clear is not seen");
        assert!(other.store(key) && one.has(key), "{what}: a store after a clear is not seen");
    }
    assert_eq!(file_of(a), file_of(b), "{what}: two files");
}

fn file_of(process: &Process) -> u64 {
    process.cache.path().metadata().unwrap().ino()
}

/// `after`: the file is damaged while both have it open.
fn damaged(at: Offset, new: impl Fn(u64) -> u64, strategy: Strategy, after: bool, what: &str) {
    let dir = tempfile::tempdir().unwrap();
    let o = options_of(&dir, strategy);
    let mut a = Process::open(&o);
    (0..40).for_each(|key| a.call(key));
    let hits: Vec<Hit> = (0..40u64).filter_map(|key| a.cache.get(&key.to_le_bytes(), &mut ReadBuf::new())).collect();
    assert_eq!(hits.len(), 40);
    let file = File::options().read(true).write(true).open(a.cache.path()).unwrap();
    let mut word = [0; 8];
    let early = after.then(|| Process::open(&o));
    file.read_exact_at(&mut word, at.bytes()).unwrap();
    file.write_all_at(&new(u64::from_ne_bytes(word)).to_ne_bytes(), at.bytes()).unwrap();
    let mut b = early.unwrap_or_else(|| Process::open(&o));
    // Nothing of before a clear is served after it, not even for a moment.
    b.clear();
    assert!(hits.iter().all(|hit| !a.cache.still_current(hit)), "{what}: served after a clear");
    assert!((0..40).all(|key| !a.has(key)), "{what}: found after a clear");
    for key in 1000..1000 + CALLS {
        a.call(key);
        b.call(key + CALLS / 2);
    }
    are_together(&mut a, &mut b, what);
}

#[test]
fn every_word_of_the_control_area() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let values: [fn(u64, u64) -> u64; 7] = [
        |_, _| 0,
        |_, _| u64::MAX,
        |_, _| 1 << 40,
        |_, _| 40,
        |old, random| old ^ 1 << (random >> 58),
        |old, _| old.wrapping_add(1),
        |_, random| random,
    ];
    let mut failed = Vec::new();
    let end = CONTROL_AT + size_of::<Control>() as u64;
    for (i, at) in HEADER_AT.words_to(end).enumerate() {
        for (k, value) in values.iter().enumerate() {
            let (drawn, strategy) = (random.next(), Strategy::ALL[(i + k) % Strategy::ALL.len()]);
            let what = format!("offset {at}, value {k}, {strategy:?}");
            let is_well = std::panic::AssertUnwindSafe(|| {
                damaged(at, |old| value(old, drawn), strategy, (i + k) % 5 == 4, &what);
            });
            failed.extend(std::panic::catch_unwind(is_well).err().map(|_| what.clone()));
        }
    }
    assert!(failed.is_empty(), "{} part: {failed:?}", failed.len());
}

/// Both copies of the header are gone: the file is replaced, and who has the old one is told.
#[test]
fn a_page_of_damage() {
    for value in [0u64, u64::MAX, 0x0101_0101_0101_0101] {
        let dir = tempfile::tempdir().unwrap();
        let o = options_of(&dir, Strategy::Lru);
        let mut a = Process::open(&o);
        (0..40).for_each(|key| a.call(key));
        let hit = a.cache.get(&1u64.to_le_bytes(), &mut ReadBuf::new()).unwrap();
        let file = File::options().write(true).open(a.cache.path()).unwrap();
        HEADER_AT.words_to(CONTROL_AT).for_each(|at| file.write_all_at(&value.to_ne_bytes(), at.bytes()).unwrap());
        let mut b = Process::open(&o);
        assert!(!a.cache.still_current(&hit));
        b.clear();
        a.call(1);
        are_together(&mut a, &mut b, "a page");
    }
}

/// The words that an opener judges by are right again, and what is in the file is kept.
#[test]
fn what_an_opener_finds_damaged_is_healed() {
    let of_header = [0, 8, 16, 96].map(|offset| HEADER_AT + offset);
    for at in [ctl!(index_level), ctl!(slots_ready), ctl!(data_ready)].into_iter().chain(of_header) {
        let dir = tempfile::tempdir().unwrap();
        let o = options_of(&dir, Strategy::Lru);
        let mut a = Process::open(&o);
        (0..40).for_each(|key| a.call(key));
        let right = a.cache.table().region.get(at);
        a.cache.table().region.set(at, u64::MAX - 7);
        let mut b = Process::open(&o);
        // (Where the data end cannot be derived: it is given up.)
        let right = if at == ctl!(data_ready) { 0 } else { right };
        assert_eq!(b.cache.table().region.get(at), right, "offset {at}");
        assert!(at == ctl!(data_ready) || (0..40).all(|key| b.has(key)), "offset {at}");
        are_together(&mut a, &mut b, "healed");
    }
}

/// A file that nobody has open may be made anew.
#[test]
fn a_damaged_file_of_nobody_is_usable() {
    let dir = tempfile::tempdir().unwrap();
    let o = options_of(&dir, Strategy::Lru);
    let mut a = Process::open(&o);
    a.call(1);
    a.cache.table().region.set(ctl!(index_level), u64::MAX);
    drop(a);
    let mut b = Process::open(&o);
    assert!(b.store(2) && b.has(2));
}

/// What somebody may do to a file's name while processes have it open.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Removed,
    Renamed,
    ReplacedByNone,
    ReplacedByACopy,
    DirectoryRenamed,
    DirectoryRemoved,
}

#[test]
fn a_file_that_loses_its_name() {
    use Fate::*;
    for fate in [Removed, Renamed, ReplacedByNone, ReplacedByACopy, DirectoryRenamed, DirectoryRemoved] {
        let dir = tempfile::tempdir().unwrap();
        let o = options_of(&dir, Strategy::Lru);
        let (mut a, mut b) = (Process::open(&o), Process::open(&o));
        (0..40).for_each(|key| a.call(key));
        assert!(b.has(1) && !a.cache.is_astray(), "{fate:?}");
        let hit = b.cache.get(&1u64.to_le_bytes(), &mut ReadBuf::new()).unwrap();
        let (path, other) = (a.cache.path().to_owned(), dir.path().join("other"));
        match fate {
            Removed => std::fs::remove_file(&path).unwrap(),
            Renamed => std::fs::rename(&path, &other).unwrap(),
            ReplacedByNone => {
                std::fs::write(&other, b"").unwrap();
                std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
                std::fs::rename(&other, &path).unwrap();
            }
            ReplacedByACopy => {
                std::fs::copy(&path, &other).unwrap();
                std::fs::rename(&other, &path).unwrap();
            }
            DirectoryRenamed => std::fs::rename(&o.dir, &other).unwrap(),
            DirectoryRemoved => std::fs::remove_dir_all(&o.dir).unwrap(),
        }
        let mut c = Process::open(&o);
        c.clear();
        assert!(a.cache.is_astray() && b.cache.is_astray(), "{fate:?}");
        // One of them looks. Where the file has no name any more, the others need not wait until they are due.
        a.look(true);
        if !matches!(fate, Renamed | DirectoryRenamed) {
            assert!(!b.cache.still_current(&hit) && b.cache.may_be_astray(), "{fate:?}");
        }
        b.look(true);
        are_together(&mut a, &mut b, &format!("{fate:?}"));
        are_together(&mut b, &mut c, &format!("{fate:?}"));
        are_together(&mut c, &mut a, &format!("{fate:?}"));
    }
}

/// A file whose earlier name was another cache's is found when that one has gone.
#[test]
fn the_later_name_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (options_of(&dir, Strategy::Lru), options_of(&dir, Strategy::Fifo));
    let other = Process::open(&first);
    let mut a = Process::open(&second);
    assert_ne!(other.cache.path(), a.cache.path());
    std::fs::remove_file(other.cache.path()).unwrap();
    let mut b = Process::open(&second);
    are_together(&mut a, &mut b, "names");
}

/// Damage to the word that tells others to look costs a look, no more.
#[test]
fn a_false_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let mut a = Process::open(&options_of(&dir, Strategy::Lru));
    a.call(1);
    a.cache.table().region.set(ctl!(moved), 7);
    assert!(a.cache.may_be_astray() && a.has(1));
    assert!(!a.cache.may_be_astray() && !a.cache.poisoned());
}
