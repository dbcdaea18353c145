//! An entry's bytes: how key, value and deadline become a block of granules, and how a copy of one is checked.
//!
//! The checksum is taken over everything in the block, under a seed made of the file's seed, the cache's generation and
//! the place of the block: bytes of before a `clear`, or of another place, never pass for current ones.

use crate::file::atomic::{fence, Ordering};
use crate::file::layout::{BlockHead, BLOCK_HEAD, GRANULE};
use crate::file::units::{Granule, GranuleIndex};
use crate::file::words::{as_bytes, as_bytes_mut};
use crate::hash::{bind, checksum};
use crate::process::lock::WriteGuard;
use crate::table::storing::Stored;
#[cfg(loom)]
use crate::table::Mutant;
use crate::table::Table;
use core::mem::{offset_of, size_of};

const HEAD_WORDS: usize = size_of::<BlockHead>() / 8;
const CHECKSUM: usize = offset_of!(BlockHead, checksum) / 8;
const HASH: usize = offset_of!(BlockHead, hash) / 8;
const DEADLINE: usize = offset_of!(BlockHead, deadline) / 8;
const LENGTHS: usize = offset_of!(BlockHead, lengths) / 8;

/// A reader's own memory: an entry is copied here before anything in it is believed. Reused, it allocates nothing.
#[derive(Default)]
pub struct ReadBuf {
    words: Vec<u64>,
    key_len: usize,
    val_len: usize,
}

impl ReadBuf {
    pub fn new() -> ReadBuf {
        ReadBuf::default()
    }
    /// The key of the entry last read.
    pub fn key(&self) -> &[u8] {
        &as_bytes(&self.words)[BLOCK_HEAD as usize..][..self.key_len]
    }
    /// The value of the entry last read. Its address is a multiple of 8 only by chance.
    pub fn value(&self) -> &[u8] {
        &as_bytes(&self.words)[BLOCK_HEAD as usize + self.key_len..][..self.val_len]
    }
    pub fn deadline(&self) -> u64 {
        self.words[DEADLINE]
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
    pub(crate) key_len: u64,
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
        let (key_len, val_len) = (words[LENGTHS] & 0xffff_ffff, words[LENGTHS] >> 32);
        let bytes = BLOCK_HEAD + key_len + val_len;
        let granules = bytes.div_ceil(GRANULE);
        let index = self.place(granule, granules)?;
        let (hash, deadline, words) = (words[HASH], words[DEADLINE], bytes.div_ceil(8));
        Some(Head { hash, deadline, key_len, index, granules, words })
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
        let lengths = buf.words[LENGTHS];
        // The lengths may have changed since: never reach beyond what was copied.
        let body = (head.words * 8 - BLOCK_HEAD) as usize;
        buf.key_len = ((lengths & 0xffff_ffff) as usize).min(body);
        buf.val_len = ((lengths >> 32) as usize).min(body - buf.key_len);
        true
    }

    /// Whether the copy in `buf` is what a writer of this generation put there.
    pub(crate) fn is_whole(&self, generation: u64, granule: Granule, buf: &ReadBuf) -> bool {
        buf.words[CHECKSUM]
            == bind(checksum(self.header.seed[0], as_bytes(&buf.words[CHECKSUM + 1..])), generation, granule.number())
    }

    /// Makes the bytes of an entry: all of the work that needs no lock.
    pub(crate) fn prepare(&self, hash: u64, key: &[u8], value: &[u8], deadline: u64) -> Result<Prepared, Stored> {
        let (Ok(key_len), Ok(val_len)) = (u32::try_from(key.len()), u32::try_from(value.len())) else {
            return Err(Stored::TooLarge);
        };
        let bytes = BLOCK_HEAD as usize + key.len() + value.len();
        let granules = (bytes as u64).div_ceil(GRANULE);
        if granules > self.geo.granules {
            return Err(Stored::TooLarge);
        }
        let mut words = Vec::new();
        words.try_reserve_exact(bytes.div_ceil(8)).map_err(|_| self.no_memory())?;
        words.resize(bytes.div_ceil(8), 0);
        words[HASH] = hash;
        words[DEADLINE] = deadline;
        words[LENGTHS] = u64::from(val_len) << 32 | u64::from(key_len);
        let body = &mut as_bytes_mut(&mut words)[BLOCK_HEAD as usize..];
        body[..key.len()].copy_from_slice(key);
        body[key.len()..][..value.len()].copy_from_slice(value);
        words[CHECKSUM] = checksum(self.header.seed[0], as_bytes(&words[CHECKSUM + 1..]));
        Ok(Prepared { words, granules, hash, deadline })
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
    pub(crate) deadline: u64,
}

const _: () = assert!(CHECKSUM == 0);
