//! The coherence file: which one it is, what a new one holds, and when one is of no use.
//!
//! There is one for each directory, server (host, port, database) and namespace; its name is a hash of these. One of an
//! earlier boot, of another clock or of another version is replaced. A new one begins with an epoch and stripes at
//! random, so that nothing that was kept under another file is taken for valid under this one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use concurrency::{boottime, fork};
use engine::hashing::split_mix;
use shared::file::fixed::{Content, FixedFile, Shape, HEAD};
use shared::inspection::Unneeded;
use shared::OpenError;

use super::layout::{at, HALVES, MAGIC, VERSION};
use super::words::{Words, MOST_STALENESS};
use super::Coherence;
use crate::keys::stripe_hash;
use crate::random;

const SHAPE: Shape = Shape { words: 512, halves: HALVES };
const _: () = assert!(at::END <= SHAPE.words);

/// What coherence is kept of.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// [`crate::url::Url::canonical`].
    pub server: &'a str,
    pub namespace: &'a [u8],
}

impl Subject<'_> {
    /// The file's name. (A hash: nothing of an address is shown.)
    fn name(self) -> String {
        let mut all = Vec::new();
        for part in [self.server.as_bytes(), self.namespace, &boottime::identity().to_le_bytes()] {
            all.extend_from_slice(&(part.len() as u64).to_le_bytes());
            all.extend_from_slice(part);
        }
        format!("{PREFIX}{}{SUFFIX}", blake2b_simd::Params::new().hash_length(HASH).hash(&all).to_hex())
    }
}

const PREFIX: &str = "remote-";
const SUFFIX: &str = ".coherence";
/// Bytes of the hash in a name.
const HASH: usize = 16;

fn is_called_so(name: &str) -> bool {
    let hash = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
    hash.is_some_and(|hash| hash.len() == HASH * 2 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The coherence files of a directory that no process has open, with the bytes that they take; `remove`: they are removed.
/// Nothing is lost: what was kept under one counts only while somebody listens for it.
///
/// # Errors
/// The directory is refused, or the system refuses.
pub fn remove_unused(dir: &Path, remove: bool) -> Result<Vec<Unneeded>, OpenError> {
    FixedFile::remove_unused(dir, is_called_so, |head| head[at::MAGIC] == MAGIC, remove)
}

fn head_sum(head: &[u64; HEAD]) -> u64 {
    let bytes: Vec<u8> = head[..at::CHECKSUM].iter().flat_map(|word| word.to_ne_bytes()).collect();
    stripe_hash(&bytes)
}

fn content() -> Content {
    let mut words = vec![0; SHAPE.words];
    let [high, low] = boottime::boot_id();
    words[at::MAGIC] = MAGIC;
    words[at::VERSION] = VERSION;
    words[at::BOOT] = high;
    words[at::BOOT + 1] = low;
    words[at::CREATED] = boottime::now();
    words[at::CLOCK] = boottime::identity();
    let head: &[u64; HEAD] = words[..HEAD].try_into().expect("the head's words");
    words[at::CHECKSUM] = head_sum(head);
    // It never comes to 0 by raises.
    words[at::EPOCH] = random::u64() >> 1 | 1;
    words[at::STALENESS] = MOST_STALENESS.as_nanos() as u64;
    let seed = random::u64();
    let half = |i: usize| (split_mix(split_mix(seed).wrapping_add(i as u64)) as u32).max(1);
    Content { words, halves: (0..SHAPE.halves).map(half).collect() }
}

/// Whether a file is one of this boot, clock and version.
pub(super) fn is_sound(head: &[u64; HEAD]) -> bool {
    let boot = boottime::boot_id();
    let found = [head[at::BOOT], head[at::BOOT + 1]];
    // (As with caches: who cannot read the boot's id now must not take the file away from those who can.)
    let earlier = boot != [0, 0] && found != [0, 0] && found != boot;
    head[at::MAGIC] == MAGIC
        && head[at::VERSION] == VERSION
        && head[at::CHECKSUM] == head_sum(head)
        && head[at::CLOCK] == boottime::identity()
        && head[at::CREATED] <= boottime::now()
        && !earlier
}

type Known = Vec<((u64, u64), Weak<Coherence>)>;

/// The files that this process has open. Only within `fork::exclusive`, so no child finds it locked.
fn known<R>(f: impl FnOnce(&mut Known) -> R) -> R {
    static KNOWN: Mutex<Known> = Mutex::new(Vec::new());
    fork::exclusive(|| f(&mut KNOWN.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn find(known: &Known, id: (u64, u64)) -> Option<Arc<Coherence>> {
    known.iter().find(|known| known.0 == id)?.1.upgrade().filter(|found| !found.words().is_lost())
}

/// Where a file is.
pub(super) struct Place {
    dir: PathBuf,
    name: String,
}

impl Place {
    pub(super) fn new(dir: &Path, subject: Subject<'_>) -> Place {
        Place { dir: dir.into(), name: subject.name() }
    }

    /// What has the name now, or a new one.
    pub(super) fn words(&self) -> Result<Words, OpenError> {
        FixedFile::open(&self.dir, &self.name, SHAPE, content, is_sound).map(Words::new)
    }
}

/// This one has another file from now on.
pub(super) fn note_renewed(coherence: &Arc<Coherence>) {
    let id = coherence.words().memory.id();
    known(|known| {
        known.retain(|known| known.1.as_ptr() != Arc::as_ptr(coherence));
        known.extend(id.map(|id| (id, Arc::downgrade(coherence))));
    });
}

/// The file in a directory, which is made if need be; the same object for all who open it in one process.
pub(super) fn open(dir: &Path, subject: Subject<'_>) -> Result<Arc<Coherence>, OpenError> {
    let name = subject.name();
    let there = FixedFile::identify(dir, &name).and_then(|id| known(|known| find(known, id)));
    if let Some(found) = there {
        return Ok(found);
    }
    let place = Place { dir: dir.into(), name };
    let words = place.words()?;
    let id = words.memory.id();
    let new = Arc::new(Coherence::over(words, Some(place), None));
    let Some(id) = id else { return Ok(new) };
    // (What is not used is dropped outside.)
    let found = known(|known| {
        known.retain(|known| known.1.strong_count() > 0);
        let found = find(known, id);
        if found.is_none() {
            known.push((id, Arc::downgrade(&new)));
        }
        found
    });
    Ok(found.unwrap_or(new))
}

/// The same in memory of this process's own, which listens for itself.
pub(super) fn private() -> std::io::Result<Words> {
    FixedFile::private(SHAPE, &content()).map(Words::new)
}
