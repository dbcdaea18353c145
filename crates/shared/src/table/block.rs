//! An entry's bytes: how key, value and head become a block of granules, and how a copy of one is checked.
//!
//! The checksum is taken over everything in the block, under a seed made of the file's seed, the cache's generation and
//! the place of the block: bytes of before a `clear`, or of another place, never pass for current ones.

use crate::file::atomic::{fence, Ordering};
use crate::file::layout::{BlockHead, BLOCK_HEAD, GRANULE};
use crate::file::units::{Granule, GranuleIndex};
use crate::file::words::{as_bytes, as_bytes_mut};
use crate::hash::{bind, checksum};
use crate::process::lock::WriteGuard;
use crate::table::head::{self, Kind, Lengths, Terms};
use crate::table::storing::Stored;
use crate::table::tags::{Tags, MAX_TAG_WORDS};
#[cfg(loom)]
use crate::table::Mutant;
use crate::table::Table;
use core::mem::{offset_of, size_of};
use std::cell::Cell;

const HEAD_WORDS: usize = size_of::<BlockHead>() / 8;
const CHECKSUM: usize = offset_of!(BlockHead, checksum) / 8;
const HASH: usize = offset_of!(BlockHead, hash) / 8;
const DEADLINE: usize = offset_of!(BlockHead, deadline) / 8;
const LENGTHS: usize = offset_of!(BlockHead, lengths) / 8;
const BODY: usize = BLOCK_HEAD as usize;

/// A reader's own memory: an entry is copied here before anything in it is believed. Reused, it allocates nothing.
#[derive(Default)]
pub struct ReadBuf {
    words: Vec<u64>,
    /// Bytes of the head beyond that of all entries.
    extra: usize,
    key_len: usize,
    val_len: usize,
}

impl ReadBuf {
    pub fn new() -> ReadBuf {
        ReadBuf::default()
    }
    /// The key of the entry last read.
    pub fn key(&self) -> &[u8] {
        &as_bytes(&self.words)[BODY + self.extra..][..self.key_len]
    }
    /// The value of the entry last read. Its address is a multiple of 8 only by chance.
    pub fn value(&self) -> &[u8] {
        &as_bytes(&self.words)[BODY + self.extra + self.key_len..][..self.val_len]
    }
    /// When the entry last read ends.
    pub fn deadline(&self) -> u64 {
        self.words[DEADLINE]
    }
    /// Until when it is fresh.
    pub fn fresh(&self) -> u64 {
        if self.lengths().is_soft() {
            self.words.get(head::FRESH).copied().unwrap_or(0)
        } else {
            self.deadline()
        }
    }
    pub fn kind(&self) -> Kind {
        self.lengths().kind()
    }
    /// What the entry last read is kept under.
    pub(crate) fn terms(&self) -> Terms {
        let (fresh, end, lengths) = (self.fresh(), self.deadline(), self.lengths());
        let at = BODY / 8 + 2 * usize::from(lengths.is_soft());
        let tags = match lengths.tags().min(MAX_TAG_WORDS) {
            0 => Tags::NONE,
            count => Tags::read(self.words.get(at..).unwrap_or_default(), count),
        };
        Terms { fresh, end, kind: lengths.kind(), tags }
    }
    pub(crate) fn lengths(&self) -> Lengths {
        Lengths(self.words[LENGTHS])
    }
    /// Bytes of memory.
    pub fn capacity(&self) -> usize {
        self.words.capacity() * 8
    }
    pub(crate) fn hash(&self) -> u64 {
        self.words[HASH]
    }
}

/// The first words of a block, as found.
pub(crate) struct Head {
    pub(crate) hash: u64,
    pub(crate) deadline: u64,
    pub(crate) lengths: Lengths,
    /// Where the block begins in the data, and how long it is.
    pub(crate) index: GranuleIndex,
    pub(crate) granules: u64,
    words: u64,
}

impl Table {
    /// The head of the block at `granule`, if the block lies where one can.
    pub(crate) fn head(&self, granule: Granule) -> Option<Head> {
        let mut words = [0; HEAD_WORDS];
        self.place(granule, 1)?;
        self.region.copy_out(granule.offset(), &mut words);
        let lengths = Lengths(words[LENGTHS]);
        let bytes = lengths.bytes();
        let granules = bytes.div_ceil(GRANULE);
        let index = self.place(granule, granules)?;
        let (hash, deadline, words) = (words[HASH], words[DEADLINE], bytes.div_ceil(8));
        Some(Head { hash, deadline, lengths, index, granules, words })
    }

    /// Copies a whole block, as long as `head` says; false if there is no memory for that. What the copy is worth,
    /// `is_whole` tells.
    pub(crate) fn copy_block(&self, granule: Granule, head: &Head, buf: &mut ReadBuf) -> bool {
        let more = (head.words as usize).saturating_sub(buf.words.len());
        if buf.words.try_reserve(more).is_err() {
            return false;
        }
        buf.words.resize(head.words as usize, 0);
        self.region.copy_out(granule.offset(), &mut buf.words);
        let lengths = buf.lengths();
        // The lengths may have changed since: never reach beyond what was copied.
        let body = (head.words * 8 - BLOCK_HEAD) as usize;
        buf.extra = (8 * lengths.extra() as usize).min(body);
        buf.key_len = (lengths.key() as usize).min(body - buf.extra);
        buf.val_len = (lengths.value() as usize).min(body - buf.extra - buf.key_len);
        if lengths.is_soft() {
            // No checksum is over it.
            buf.words.get_mut(head::FAILURES).into_iter().for_each(|failures| *failures = 0);
        }
        true
    }

    /// Whether the copy in `buf` is what a writer of this generation put there.
    pub(crate) fn is_whole(&self, generation: u64, granule: Granule, buf: &ReadBuf) -> bool {
        buf.words[CHECKSUM]
            == bind(checksum(self.header.seed[0], as_bytes(&buf.words[CHECKSUM + 1..])), generation, granule.number())
    }

    /// Makes the bytes of an entry: all of the work that needs no lock.
    pub(crate) fn prepare(&self, hash: u64, key: &[u8], value: &[u8], terms: &Terms) -> Result<Prepared, Stored> {
        let Some(val_len) = u32::try_from(value.len()).ok().filter(|_| key.len() < head::KEY_LIMIT) else {
            return Err(Stored::TooLarge);
        };
        if terms.tags.are_unstorable() {
            return Err(Stored::NoSpace);
        }
        let lengths = Lengths::new(key.len(), val_len, terms);
        let extra = lengths.extra() as usize;
        let bytes = BODY + 8 * extra + key.len() + value.len();
        let granules = (bytes as u64).div_ceil(GRANULE);
        if granules > self.geo.granules {
            return Err(Stored::TooLarge);
        }
        let mut words = SPARE.try_with(Cell::take).unwrap_or_default();
        words.try_reserve_exact(bytes.div_ceil(8)).map_err(|_| self.no_memory())?;
        words.resize(bytes.div_ceil(8), 0);
        words[HASH] = hash;
        words[DEADLINE] = terms.end;
        words[LENGTHS] = lengths.0;
        if extra > 0 {
            head::write_extra(terms, &mut words[BODY / 8..]);
        }
        let body = &mut as_bytes_mut(&mut words)[BODY + 8 * extra..];
        body[..key.len()].copy_from_slice(key);
        body[key.len()..][..value.len()].copy_from_slice(value);
        words[CHECKSUM] = checksum(self.header.seed[0], as_bytes(&words[CHECKSUM + 1..]));
        Ok(Prepared { words, granules, hash, terms: *terms })
    }

    /// Writes a block to granules that no word points to (any more).
    pub(crate) fn write_block(&self, _: &WriteGuard<'_>, granule: Granule, generation: u64, block: &Prepared) {
        // Between the store of whichever word has ceased to point here and the first write. Pairs with `unchanged`.
        #[cfg(loom)]
        if self.mutant != Mutant::NoFence {
            fence(Ordering::Release);
        }
        #[cfg(not(loom))]
        fence(Ordering::Release);
        self.region.set(granule.offset(), bind(block.words[CHECKSUM], generation, granule.number()));
        self.region.copy_in(granule.offset() + 8, &block.words[CHECKSUM + 1..]);
    }
}

/// An entry's bytes, ready to be copied in; the checksum is still without place and generation.
pub(crate) struct Prepared {
    words: Vec<u64>,
    pub(crate) granules: u64,
    pub(crate) hash: u64,
    pub(crate) terms: Terms,
}

thread_local! {
    /// The memory of this thread's last `Prepared`, empty, unless that was much.
    static SPARE: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
}
/// Words that are kept.
const SPARED: usize = 512;

impl Drop for Prepared {
    fn drop(&mut self) {
        if self.words.capacity() <= SPARED {
            let mut words = std::mem::take(&mut self.words);
            words.clear();
            // (In a thread that ends it is dropped.)
            let _ = SPARE.try_with(|spare| spare.set(words));
        }
    }
}

impl Prepared {
    pub(crate) fn lengths(&self) -> Lengths {
        Lengths(self.words[LENGTHS])
    }
}

const _: () = assert!(CHECKSUM == 0);
