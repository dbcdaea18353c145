//! Death in the middle of an operation: the states that it can leave a file in, and what survivors must make of each.

use super::*;
use crate::file::layout::{proc_at, PROCS};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) type Content = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) options: Options,
    pub(crate) before: Content,
    pub(crate) after: Content,
    pub(crate) keys: Vec<Vec<u8>>,
    /// Every so many copies, the repair of the copy is itself stopped at every store.
    pub(crate) nested_every: usize,
}

static STATES: AtomicUsize = AtomicUsize::new(0);
static NESTED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn value(key: &[u8], version: u8) -> Vec<u8> {
    let mut v = key.to_vec();
    v.resize(20 + version as usize * 9, version);
    v
}

pub(crate) fn content(cache: &SharedCache, keys: &[Vec<u8>]) -> Content {
    let mut buf = ReadBuf::new();
    keys.iter().filter_map(|k| cache.peek(k, &mut buf).map(|_| (k.clone(), buf.value().to_vec()))).collect()
}

/// Writes a copy in which no process lives.
pub(crate) fn write_copy(bytes: &[u8], dir: &Path) -> Options {
    let mut bytes = bytes.to_vec();
    for slot in 0..PROCS {
        let at = proc_at(slot).bytes() as usize;
        if at + 8 <= bytes.len() {
            let ident = u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
            if ident as u32 != 0 {
                let dead = ident & !0xffff_ffff | 0x7fff_fff0;
                bytes[at..at + 8].copy_from_slice(&dead.to_ne_bytes());
            }
        }
    }
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let _ = std::fs::DirBuilder::new().mode(0o700).create(dir);
    let path = dir.join("test.cache");
    let _ = std::fs::remove_file(&path);
    let mut file = std::fs::OpenOptions::new().mode(0o600).create_new(true).write(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    Options {
        dir: dir.into(),
        name: "test".into(),
        strategy: Strategy::Lru,
        max_size: 0,
        max_bytes: None,
        idle: None,
        fingerprint: 0,
    }
}

fn open_copy(bytes: &[u8], dir: &Path, case: &Case) -> SharedCache {
    let o = Options { dir: write_copy(bytes, dir).dir, ..case.options.clone() };
    open_isolated(&o)
}

fn check_value(k: &[u8], found: Option<&Vec<u8>>, case: &Case, missing_is_fine: bool) {
    let (before, after) = (case.before.get(k), case.after.get(k));
    let right = found == before || found == after || (found.is_none() && (missing_is_fine || before != after));
    assert!(right, "{k:?}: found {found:?}, was {before:?}, to become {after:?}");
}

/// What any survivor must be able to do with a file that somebody died over.
pub(crate) fn survive(bytes: &[u8], dir: &Path, case: &Case) {
    STATES.fetch_add(1, Ordering::Relaxed);
    let cache = open_copy(bytes, dir, case);
    let found = content(&cache, &case.keys);
    for k in &case.keys {
        // Without a lock, while index or so are in a state of change, a reader may miss.
        check_value(k, found.get(k), case, true);
    }
    // A writer: finds the dead owner, repairs. The key is in no one's way.
    cache.invalidate(b"no such key").unwrap();
    let found = content(&cache, &case.keys);
    for k in &case.keys {
        check_value(k, found.get(k), case, false);
    }
    let mut all = 0;
    cache.for_each(|_, _, _| all += 1);
    // (What a tag has made void is counted until it is displaced.)
    let has_tags = cache.table().region.get(crate::file::layout::ctl!(tags_ready)) != 0;
    assert!((cache.len() == all || has_tags && cache.len() > all) && all as usize >= found.len());
    validate(&cache);
    let repairs = cache.info().repairs;
    // Everything works: exact capacity, no double use of memory, nothing more to repair.
    let capacity = cache.info().capacity.min(400) as u32;
    for i in 0..capacity {
        assert!(matches!(
            cache.set(&[&b"new"[..], &i.to_le_bytes()].concat(), &value(b"new", i as u8 % 4), NEVER),
            Stored::Done(_)
        ));
    }
    let mut buf = ReadBuf::new();
    for i in 0..capacity {
        let found = cache.peek(&[&b"new"[..], &i.to_le_bytes()].concat(), &mut buf).is_some();
        // (LFU keeps what was used more often than these, and so do the strategies with queues.)
        assert!(found || case.options.strategy as u64 >= Strategy::Lfu as u64, "{i}");
        assert!(!found || buf.value() == value(b"new", i as u8 % 4));
    }
    if u64::from(capacity) == cache.info().capacity {
        assert_eq!(cache.len(), u64::from(capacity));
    }
    assert_eq!(cache.info().repairs, repairs);
    validate(&cache);
    let used = cache.info().data_bytes_used;
    cache.table().lock(Duration::from_secs(1)).map(|_guard| cache.table().repair()).unwrap();
    assert_eq!(cache.info().data_bytes_used, used, "a repair finds what the counts said");
}

/// The repairer dies, too: at each of its stores.
fn survive_the_repair(bytes: &[u8], dir: &Path, case: &Case) {
    let cache = open_copy(bytes, dir, case);
    cache.table().identity();
    let inner = dir.join("inner");
    std::fs::create_dir_all(&inner).unwrap();
    let off = hook(&cache, case, move |bytes, case| {
        NESTED.fetch_add(1, Ordering::Relaxed);
        survive(bytes, &inner.join("copy"), case);
    });
    cache.invalidate(b"no such key").unwrap();
    off.store(true, Ordering::Relaxed);
}

/// Calls `f` before each store, with what the file holds, until the flag that it returns is set.
fn hook(cache: &SharedCache, case: &Case, f: impl Fn(&[u8], &Case) + Send + Sync + 'static) -> Arc<AtomicBool> {
    let (path, case, off) = (cache.path().to_owned(), case.clone(), Arc::new(AtomicBool::new(false)));
    let seen = off.clone();
    let hook = move |_: &crate::file::mapping::Region| {
        if !off.load(Ordering::Relaxed) {
            // By name, not by the region's descriptor; closing it drops the handle's byte-range locks, which nobody
            // asks for here.
            f(&std::fs::read(&path).unwrap(), &case);
        }
    };
    assert!(cache.table().region.hook.set(Box::new(hook)).is_ok());
    seen
}

/// Runs one operation on a file, dying at each of its stores.
pub(crate) fn die_everywhere(
    options: &Options,
    keys: &[Vec<u8>],
    nested_every: usize,
    operation: impl Fn(&SharedCache),
) {
    let dir = tempfile::tempdir().unwrap();
    let start = std::fs::read(options.dir.join("test.cache")).unwrap();
    let mut case = Case {
        options: options.clone(),
        before: Content::new(),
        after: Content::new(),
        keys: keys.to_vec(),
        nested_every,
    };
    // Once to see what it does...
    let rehearsal = open_copy(&start, &dir.path().join("rehearsal"), &case);
    case.before = content(&rehearsal, keys);
    operation(&rehearsal);
    case.after = content(&rehearsal, keys);
    drop(rehearsal);
    // ...and once more, stopping at each store.
    let cache = open_copy(&start, &dir.path().join("stage"), &case);
    cache.table().identity();
    let copies = Arc::new(Mutex::new(0usize));
    let copy_dir = dir.path().to_owned();
    let count = copies.clone();
    let off = hook(&cache, &case, move |bytes, case| {
        let n = {
            let mut n = count.lock().unwrap();
            *n += 1;
            *n
        };
        survive(bytes, &copy_dir.join("copy"), case);
        if n % case.nested_every == 0 {
            survive_the_repair(bytes, &copy_dir.join("nested"), case);
        }
    });
    operation(&cache);
    assert_eq!(content(&cache, keys), case.after, "the second run did what the first did");
    off.store(true, Ordering::Relaxed);
    drop(cache);
    assert!(*copies.lock().unwrap() > 0 || case.before == case.after);
}

pub(crate) fn prepared(
    dir: &tempfile::TempDir,
    strategy: Strategy,
    max_size: u64,
    fill: u32,
) -> (Options, Vec<Vec<u8>>) {
    let mut o = options(dir, strategy, max_size);
    o.max_bytes = Some(320_000);
    TICK_MODE.set(Some(0));
    let cache = open_isolated(&o);
    TICK_MODE.set(None);
    let keys: Vec<Vec<u8>> = (0..fill + 4).map(|i| format!("key {i}").into_bytes()).collect();
    for k in &keys[..fill as usize] {
        assert!(matches!(cache.set(k, &value(k, 1), NEVER), Stored::Done(_)));
    }
    (o, keys)
}

/// Says how many states there were so far.
pub(crate) fn report() {
    println!("{} states, {} of them of a repairer", STATES.load(Ordering::Relaxed), NESTED.load(Ordering::Relaxed));
}
