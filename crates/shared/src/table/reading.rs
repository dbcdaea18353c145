//! Reading entries without a lock: a copy of one is made, and believed once it has been found whole.

use crate::file::atomic::Ordering;
use crate::file::layout::ctl;
use crate::file::units::{Slot, Word};
use crate::hash::siphash13;
pub(crate) use crate::interface::{Sought, NEVER};
use crate::table::block::ReadBuf;
use crate::table::head::{Kind, Lengths};
use crate::table::Table;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;

/// A reader tries so often before it calls it a miss.
const READ_TRIES: u32 = 4;

/// Where a value was found. Remember `slot` and `word`: while `SharedCache::still_current(slot, word)`, it is the
/// value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    pub slot: u64,
    pub word: u64,
    pub generation: u64,
    /// Until then a hit needs no closer look: `fresh`, or 0 if there is more to it than deadlines.
    pub(crate) until: u64,
    /// Until then it is fresh, and until then it is there: nanoseconds of `clock::boot_now`; `NEVER` = for ever.
    pub fresh: u64,
    pub end: u64,
    pub kind: Kind,
    soft: bool,
    tag_words: u8,
}

/// A [`Hit`] as a level in front of the file remembers it.
#[derive(Debug)]
pub struct Remembered {
    hit: Hit,
    /// The file's tag epoch, as it was before its tags were last found to hold (see `tags`); 0 = they were not looked at yet.
    pub(crate) tag_epoch: AtomicU64,
}

impl From<Hit> for Remembered {
    fn from(hit: Hit) -> Remembered {
        Remembered { hit, tag_epoch: AtomicU64::new(0) }
    }
}

impl Deref for Remembered {
    type Target = Hit;

    fn deref(&self) -> &Hit {
        &self.hit
    }
}

impl Hit {
    /// A part of the word that is another one after each change of the slot.
    pub fn version(&self) -> u32 {
        Word::from_bits(self.word).version() as u32
    }

    /// Whether deadlines are all that there is to it: it has no tags and cannot be idle for too long.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.until != 0
    }
    /// Whether it has tags and no deadline.
    #[inline(always)]
    pub(crate) fn is_for_ever_but_for_tags(&self) -> bool {
        self.tag_words != 0 && self.fresh == NEVER
    }
    /// Whether its head has a soft deadline.
    pub(crate) fn is_soft(&self) -> bool {
        self.soft
    }
    /// Words with its tags.
    pub(crate) fn tag_words(&self) -> usize {
        self.tag_words.into()
    }
}

impl Table {
    /// What is to be remembered of an entry.
    pub(crate) fn hit(&self, slot: Slot, word: Word, generation: u64, lengths: Lengths, fresh: u64, end: u64) -> Hit {
        let tag_words = lengths.tags() as u8;
        Hit {
            slot: slot.number(),
            word: word.bits(),
            generation,
            until: if tag_words != 0 || self.idles() { 0 } else { fresh },
            fresh,
            end,
            kind: lengths.kind(),
            soft: lengths.is_soft(),
            tag_words,
        }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        siphash13(self.header.seed, key)
    }

    /// Acquire: pairs with the release in `begin_clear`. Entries of another generation do not exist.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.region.known(ctl!(generation)).load(Ordering::Acquire)
    }

    /// Copies the entry of `key` into `buf`. Takes no lock, never waits. (Without memory for it: a miss.)
    pub(crate) fn find(&self, hash: u64, key: &[u8], buf: &mut ReadBuf) -> Option<Hit> {
        self.find_or(hash, key, buf, |_| {}).unwrap_or(None)
    }

    /// `find`; says as well which slots have the hash and yet another content. A writer must not take an entry that there
    /// is no memory to look at for an absent one.
    pub(super) fn find_or(
        &self,
        hash: u64,
        key: &[u8],
        buf: &mut ReadBuf,
        mut broken: impl FnMut(Slot),
    ) -> Result<Option<Hit>, NoMemory> {
        for _ in 0..READ_TRIES {
            let (mut disturbed, mut no_memory) = (false, false);
            let generation = self.generation();
            let hit = self.search(hash, |slot| match self.read_slot(slot, hash, key, generation, buf) {
                Read::Entry(hit) => Some(hit),
                Read::Other => None,
                Read::Broken => {
                    broken(slot);
                    None
                }
                Read::Disturbed => {
                    disturbed = true;
                    None
                }
                Read::NoMemory => {
                    no_memory = true;
                    None
                }
            });
            if hit.is_none() && no_memory {
                return Err(NoMemory);
            }
            if hit.is_some() || !disturbed {
                return Ok(hit);
            }
        }
        Ok(None)
    }

    fn read_slot(&self, slot: Slot, hash: u64, key: &[u8], generation: u64, buf: &mut ReadBuf) -> Read {
        let word = self.word(slot);
        let granule = word.granule();
        let Some(head) = self.head(granule) else {
            return if self.unchanged(slot, word) { Read::Other } else { Read::Disturbed };
        };
        if head.hash != hash || head.lengths.key() != key.len() as u64 {
            let other = if head.hash == hash { Read::Broken } else { Read::Other };
            return if self.unchanged(slot, word) { other } else { Read::Disturbed };
        }
        let copied = self.copy_block(granule, &head, buf);
        if !self.unchanged(slot, word) {
            return Read::Disturbed;
        }
        if !copied {
            return Read::NoMemory;
        }
        // From here on `buf` is one consistent state of the block. The sum finds damage, and what a clear has made
        // void.
        if !self.is_whole(generation, granule, buf) || buf.hash() != hash || buf.key() != key {
            return Read::Broken;
        }
        let lengths = buf.lengths();
        Read::Entry(self.hit(slot, word, generation, lengths, buf.fresh(), buf.deadline()))
    }

    /// Copies the entry of a slot, if there is a whole one.
    pub(crate) fn entry(&self, slot: Slot, buf: &mut ReadBuf) -> Option<Hit> {
        let (generation, word) = (self.generation(), self.word(slot));
        let granule = word.granule();
        let head = self.head(granule)?;
        (self.copy_block(granule, &head, buf) && self.unchanged(slot, word) && self.is_whole(generation, granule, buf))
            .then(|| self.hit(slot, word, generation, buf.lengths(), buf.fresh(), buf.deadline()))
    }
}

enum Read {
    Entry(Hit),
    Other,
    /// The hash is right, the rest is not: damage (or of before a clear). Two keys do not share a keyed hash of 64 bits.
    Broken,
    Disturbed,
    NoMemory,
}

/// An entry is larger than the memory that there is.
pub(crate) struct NoMemory;
