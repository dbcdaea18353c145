//! Tags: groups of entries that become void together, without a walk.
//!
//! A tag is a hash, which names one of the *stamps* in the file. Invalidating a tag adds to its stamp: one atomic addition,
//! no lock, so nobody who is stopped is in the way. Before a computation begins, the stamps of its tags are read, and the
//! entry's head keeps which they were and their sum. Whoever finds the entry adds the stamps up again: another sum, and
//! the entry is void, from the moment of the addition on, also where that was while it was computed.
//!
//! **Why a sum is enough.** Each invalidation adds the same odd number, so the sum of some stamps has the value of before
//! only after 2^60 invalidations of them. Two tags with one stamp make
//! entries void too early, never too late.
//!
//! **Damage.** A stamp that is 0 has never been used, or is lost; who reads one before a computation puts something random
//! in its place. So no stamp of before comes back by zeros, and hardly by anything else: what damage leaves makes entries
//! void. Nothing has to be repaired, and neither repair nor clear touches stamps.
//!
//! **The tag epoch.** Who remembers an entry and hits it again need not add up each time. One word, the epoch, becomes another
//! after each invalidation has changed its stamps, and before it returns. Who finds that the tags hold remembers the epoch from
//! before that look (`Remembered`); as long as it is the same, no invalidation has returned since, and the tags hold. So a
//! hit after such a return finds another epoch, adds up again, and finds the stamps changed: it reads the epoch (acquire)
//! before them. In the other order, epoch before stamps, a reader in between would remember the new epoch with the old
//! sum.
//!
//! A death between stamps and epoch is one of a call that has not returned. Lookups in the file find its entries void; who
//! remembers one may go on being served until the key's slot changes or any tag is invalidated, as if that call had never begun
//! and the entry had been evicted. Neither is told anything but what was right before the call. The epoch begins at random
//! and moves as the stamps do, so damage leaves a number that nobody remembers; 0 is none that anybody does.
//!
//! The stamps' area is reserved when the first tag is named. Where there is no disk for it, nothing with tags is stored,
//! and an invalidation voids the whole cache.

use crate::error::Busy;
use crate::file::atomic::{fence, Ordering};
use crate::file::layout::{ctl, BLOCK_HEAD, PAGE};
use crate::file::units::{Offset, Slot, Word};
use crate::table::reading::{Hit, Remembered};
use crate::table::Table;
use engine::hashing::{split_mix, GOLDEN};

/// Tags that an entry may have.
pub const MAX_TAGS: usize = 16;
const PER_WORD: usize = 4;
/// Words that their numbers take at most.
pub(crate) const MAX_TAG_WORDS: usize = MAX_TAGS / PER_WORD;
/// In the place of a number: none.
const NOTHING: u64 = 1 << 15;

/// The tags of a computation, and how they stood before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags {
    sum: u64,
    /// Numbers of stamps, four in a word; what is left of a word is `NOTHING`.
    numbers: [u64; MAX_TAGS / PER_WORD],
    words: u8,
    /// There was no room for stamps.
    unstorable: bool,
}

impl Tags {
    pub const NONE: Tags = Tags { sum: 0, numbers: [0; MAX_TAGS / PER_WORD], words: 0, unstorable: false };

    /// Words with numbers.
    pub(crate) fn words(&self) -> usize {
        self.words.into()
    }
    pub(crate) fn are_none(&self) -> bool {
        self.words == 0
    }
    pub(crate) fn are_unstorable(&self) -> bool {
        self.unstorable
    }

    /// How they stand, in one word; 0 of none.
    pub(crate) fn word(&self) -> u64 {
        if self.are_none() || self.unstorable {
            0
        } else {
            word_of(self.sum)
        }
    }

    /// The tags of an entry, from the words of its head.
    pub(crate) fn read(words: &[u64], count: usize) -> Tags {
        let mut tags = Tags { words: count as u8, ..Tags::NONE };
        if let (Some(sum), Some(numbers)) = (words.first(), words.get(1..1 + count)) {
            tags.sum = *sum;
            tags.numbers[..count].copy_from_slice(numbers);
        }
        tags
    }

    /// The words of an entry's head.
    pub(crate) fn write(&self, to: &mut [u64]) {
        if self.words > 0 {
            to[0] = self.sum;
            to[1..1 + self.words()].copy_from_slice(&self.numbers[..self.words()]);
        }
    }
}

/// Spreads a sum's bits, so that an invalidation of a tag does not look like one of a key.
fn word_of(sum: u64) -> u64 {
    split_mix(sum) | 1
}

impl Default for Tags {
    fn default() -> Tags {
        Tags::NONE
    }
}

impl Table {
    fn tag_at(&self, number: u64) -> Offset {
        self.geo.tag(number & (self.geo.tag_words - 1))
    }

    /// Which stamp a tag has.
    pub(crate) fn number_of(&self, tag: u64) -> u64 {
        split_mix(tag ^ self.header.seed[1]) & (self.geo.tag_words - 1)
    }

    /// Whether the stamps can be reached.
    fn has_stamps(&self) -> bool {
        // Acquire: pairs with the release in `make_stamps`.
        self.region.load(ctl!(tags_ready), Ordering::Acquire) == 1
    }

    /// Reserves the stamps' area, as often as anybody likes.
    #[cold]
    fn make_stamps(&self) -> bool {
        let bytes = (self.geo.tag_words * 8).next_multiple_of(PAGE);
        let made = self.region.reserve(self.geo.tags, bytes).is_ok();
        if made {
            // Release: who sees it finds the area reserved.
            self.region.store(ctl!(tags_ready), 1, Ordering::Release);
        }
        made
    }

    /// A tag's stamp, before a computation.
    fn stamp_of(&self, number: u64) -> u64 {
        let at = self.tag_at(number);
        // Acquire: pairs with the release in `invalidate_tags`. What had been done before an invalidation that this counts is
        // seen by the computation.
        match self.region.load(at, Ordering::Acquire) {
            0 => {
                let new = self.random_stamp(number);
                match self.region.cas(at, 0, new, Ordering::AcqRel) {
                    Ok(_) => new,
                    // (An exchange that fails is relaxed.)
                    Err(_) => self.region.load(at, Ordering::Acquire),
                }
            }
            stamp => stamp,
        }
    }

    fn random_stamp(&self, number: u64) -> u64 {
        #[cfg(not(loom))]
        let random = {
            use std::hash::{BuildHasher, Hasher};
            std::collections::hash_map::RandomState::new().build_hasher().finish()
        };
        #[cfg(loom)]
        let random = 7;
        split_mix(random ^ number).max(1)
    }

    /// The tags of a computation that is about to begin; no more than `MAX_TAGS`.
    pub(crate) fn tags(&self, tags: &[u64]) -> Tags {
        let tags = tags.get(..MAX_TAGS).unwrap_or(tags);
        let words = tags.len().div_ceil(PER_WORD);
        if words == 0 {
            return Tags::NONE;
        }
        if !self.has_stamps() && !self.make_stamps() {
            return Tags { words: words as u8, unstorable: true, ..Tags::NONE };
        }
        let (mut sum, mut numbers) = (0u64, [0; MAX_TAGS / PER_WORD]);
        for i in 0..words * PER_WORD {
            let number = tags.get(i).map_or(NOTHING, |tag| self.number_of(*tag));
            if number != NOTHING {
                sum = sum.wrapping_add(self.stamp_of(number));
            }
            numbers[i / PER_WORD] |= number << (16 * (i % PER_WORD));
        }
        Tags { sum, numbers, words: words as u8, unstorable: false }
    }

    /// (The area is before the data, so the first mapping has it.)
    #[inline(always)]
    fn sum_of(&self, numbers: &[u64]) -> u64 {
        let mut sum = 0u64;
        for word in numbers {
            let mut word = *word;
            // What is not a number comes last.
            for _ in 0..PER_WORD {
                if word & NOTHING != 0 {
                    break;
                }
                // Acquire: pairs with the release in `invalidate_tags`.
                sum = sum.wrapping_add(self.region.known(self.tag_at(word)).load(Ordering::Acquire));
                word >>= 16;
            }
        }
        sum
    }

    /// Whether none of these has been invalidated since they were read.
    pub(crate) fn are_current(&self, tags: &Tags) -> bool {
        tags.are_none() || (self.has_stamps() && self.sum_of(&tags.numbers[..tags.words()]) == tags.sum)
    }

    /// The same, also of tags that found no room for stamps: as long as there is none, an invalidation voids everything.
    pub(crate) fn are_not_invalidated(&self, tags: &Tags) -> bool {
        if tags.are_unstorable() {
            !self.has_stamps()
        } else {
            self.are_current(tags)
        }
    }

    /// Whether no tag has made an entry void that was found in this slot. No lock: the block's words, and the slot's word again.
    /// (The word is one under which a whole block was found; whoever stored that had the stamps' area reserved.)
    #[inline(always)]
    pub(crate) fn tags_hold(&self, hit: &Hit) -> bool {
        let n = hit.tag_words();
        if n == 0 {
            return true;
        }
        let (slot, word) = (Slot::new(hit.slot), Word::from_bits(hit.word));
        let mut words = [0; 1 + MAX_TAGS / PER_WORD];
        let words = &mut words[..(1 + n).min(1 + MAX_TAGS / PER_WORD)];
        self.region.copy_out(self.tags_at(hit), words);
        self.sum_of(&words[1..]) == words[0] && self.unchanged_again(slot, word)
    }

    /// `tags_hold` of an entry that is hit again and again, each time at the price of one word as long as no tag is
    /// invalidated.
    #[inline(always)]
    pub(crate) fn tags_hold_again(&self, hit: &Remembered) -> bool {
        // Acquire: pairs with the release in `raise_tag_epoch`. Who sees an invalidation's epoch sees its stamps.
        let epoch = self.region.known(ctl!(tag_epoch)).load(Ordering::Acquire);
        // Relaxed, here and below: whichever thread's number is there, it was read before that thread found that the tags hold.
        if epoch == hit.tag_epoch.load(Ordering::Relaxed) && epoch != 0 {
            return true;
        }
        let hold = self.tags_hold(hit);
        if hold {
            hit.tag_epoch.store(epoch, Ordering::Relaxed);
        }
        hold
    }

    /// How the tags of an entry stood when it was stored, as [`Tags::word`] has it. No lock: it may be another entry's by now.
    pub(crate) fn tag_word(&self, hit: &Hit) -> u64 {
        if hit.tag_words() == 0 {
            return 0;
        }
        let mut sum = [0];
        self.region.copy_out(self.tags_at(hit), &mut sum);
        word_of(sum[0])
    }

    /// Where an entry's tags are.
    #[inline(always)]
    fn tags_at(&self, hit: &Hit) -> Offset {
        let soft = if hit.is_soft() { 16 } else { 0 };
        Word::from_bits(hit.word).granule().offset() + BLOCK_HEAD + soft
    }

    /// Makes all entries void that have one of these tags, and those that are being computed with one.
    pub(crate) fn invalidate_tags(&self, tags: &[u64]) -> Result<(), Busy> {
        if tags.is_empty() {
            return Ok(());
        }
        if !self.has_stamps() && !self.make_stamps() {
            // (By damage alone there may be such entries all the same.)
            return self.void_all();
        }
        #[cfg(loom)]
        if self.mutant == crate::table::Mutant::EpochFirst {
            self.raise_tag_epoch();
        }
        for tag in tags {
            // Release: pairs with the acquires in `stamp_of` and `sum_of`.
            self.region.add(self.tag_at(self.number_of(*tag)), GOLDEN, Ordering::AcqRel);
        }
        #[cfg(loom)]
        if self.mutant == crate::table::Mutant::EpochFirst {
            return Ok(());
        }
        self.raise_tag_epoch();
        fence(Ordering::SeqCst);
        if self.region.truncated() {
            return Err(Busy);
        }
        Ok(())
    }

    /// After stamps have changed: who remembers entries looks at theirs.
    fn raise_tag_epoch(&self) {
        // Release: pairs with the acquire in `tags_hold_again`.
        self.region.add(ctl!(tag_epoch), GOLDEN, Ordering::AcqRel);
    }
}
