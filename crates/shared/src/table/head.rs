//! An entry's head: what is kept of an entry beside key and value, and in which words of its block.
//!
//! All entries have the four words of `BlockHead`. What few entries have follows, and flags beside the lengths say what:
//! - *a soft deadline* (`fresh`) that comes before the end, and a word about refreshes that have failed;
//! - *tags*: the sum of the tags' stamps when the computation began, and which stamps these are (see `tags`).
//!
//! The word about failures is the one word of a published block that is ever written: under the writers' lock, in one store,
//! while the slot's word still points there. So no reader takes it for anything else, and no checksum is over it. What
//! cannot be right in it says nothing.

use crate::error::Busy;
use crate::file::layout::BLOCK_HEAD;
use crate::file::units::{Offset, Slot, Word};
pub(crate) use crate::interface::{Failures, Freshness, Kind, Terms};
use crate::process::lock::STORE_TIMEOUT;
use crate::table::reading::{Hit, Remembered, NEVER};
use crate::table::Table;

const KEY_BITS: u32 = 26;
/// Keys are shorter.
pub(crate) const KEY_LIMIT: usize = 1 << KEY_BITS;
const _: () = assert!(crate::interface::MOST_KEY + 1 == KEY_LIMIT);
const EXCEPTION: u64 = 1 << KEY_BITS;
const SOFT: u64 = 1 << (KEY_BITS + 1);
const TAGS_AT: u32 = KEY_BITS + 2;
const TAGS_MASK: u64 = 0b111;

/// Words from the start of a block.
pub(crate) const FRESH: usize = (BLOCK_HEAD / 8) as usize;
pub(crate) const FAILURES: usize = FRESH + 1;

/// The word of lengths and flags.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths(pub(crate) u64);

impl Lengths {
    pub(crate) fn new(key: usize, value: u32, terms: &Terms) -> Lengths {
        let kind = if terms.kind == Kind::Exception { EXCEPTION } else { 0 };
        let soft = if terms.fresh < terms.end { SOFT } else { 0 };
        Lengths(u64::from(value) << 32 | (terms.tags.words() as u64) << TAGS_AT | soft | kind | key as u64)
    }
    pub(crate) fn key(self) -> u64 {
        self.0 & (KEY_LIMIT as u64 - 1)
    }
    pub(crate) fn value(self) -> u64 {
        self.0 >> 32
    }
    pub(crate) fn kind(self) -> Kind {
        if self.0 & EXCEPTION != 0 {
            Kind::Exception
        } else {
            Kind::Value
        }
    }
    pub(crate) fn is_soft(self) -> bool {
        self.0 & SOFT != 0
    }
    /// Words with numbers of stamps; 0 = no tags.
    pub(crate) fn tags(self) -> usize {
        (self.0 >> TAGS_AT & TAGS_MASK) as usize
    }
    /// Words of the head beyond those of all entries.
    #[inline]
    pub(crate) fn extra(self) -> u64 {
        if self.0 & (SOFT | TAGS_MASK << TAGS_AT) == 0 {
            return 0;
        }
        let tags = self.tags() as u64;
        2 * u64::from(self.is_soft()) + if tags > 0 { 1 + tags } else { 0 }
    }
    /// Bytes of the block.
    #[inline]
    pub(crate) fn bytes(self) -> u64 {
        BLOCK_HEAD + 8 * self.extra() + self.key() + self.value()
    }
}

/// The words of a head that few entries have.
pub(crate) fn write_extra(terms: &Terms, to: &mut [u64]) {
    let soft = 2 * usize::from(terms.fresh < terms.end);
    if soft > 0 {
        (to[0], to[1]) = (terms.fresh, 0);
    }
    terms.tags.write(&mut to[soft..]);
}

const SECOND: u64 = 1_000_000_000;
const LONGEST_PAUSE: u64 = 30 * SECOND;
/// Moments are kept in units of so many bits of nanoseconds: about a microsecond, for two thousand years.
const UNIT: u32 = 8;

impl Failures {
    fn from_word(word: u64, now: u64) -> Failures {
        let not_before = (word & (u64::MAX >> 8)) << UNIT;
        // What lies further ahead is damage.
        if not_before > now.saturating_add(LONGEST_PAUSE + SECOND) {
            return Failures::default();
        }
        Failures { count: (word >> 56) as u8, not_before }
    }

    fn one_more(self, now: u64) -> Failures {
        let pause = (SECOND << self.count.min(5)).min(LONGEST_PAUSE);
        Failures { count: self.count.saturating_add(1), not_before: now.saturating_add(pause) }
    }

    fn word(self) -> u64 {
        u64::from(self.count) << 56 | self.not_before >> UNIT
    }
}

impl Table {
    fn failures_at(&self, word: Word) -> Option<Offset> {
        self.place(word.granule(), 2)?;
        Some(word.granule().offset() + 8 * FAILURES as u64)
    }

    /// The hash of the key of an entry that was found, if it is there still. No lock.
    pub(crate) fn hash_of(&self, hit: &Hit) -> Option<u64> {
        let word = Word::from_bits(hit.word);
        let head = self.head(word.granule())?;
        self.unchanged(Slot::new(hit.slot), word).then_some(head.hash)
    }

    /// What is known of failed refreshes of an entry that was found. No lock.
    pub(crate) fn failures(&self, hit: &Hit, now: u64) -> Failures {
        let word = Word::from_bits(hit.word);
        let at = if hit.is_soft() { self.failures_at(word) } else { None };
        let failures = at.map_or(0, |at| self.region.get(at));
        if self.unchanged(Slot::new(hit.slot), word) {
            Failures::from_word(failures, now)
        } else {
            Failures::default()
        }
    }

    /// Notes one more failure, if the entry is still that one.
    pub(crate) fn note_failure(&self, slot: Slot, word: Word) -> Result<(), Busy> {
        let _guard = self.lock(STORE_TIMEOUT)?;
        let head = if self.word(slot) == word { self.head(word.granule()) } else { None };
        if head.is_some_and(|head| head.lengths.is_soft()) && self.owns() {
            let now = self.now();
            if let Some(at) = self.failures_at(word) {
                self.region.set(at, Failures::from_word(self.region.get(at), now).one_more(now).word());
            }
        }
        Ok(())
    }

    /// How an entry that was found stands, if it is still the slot's.
    pub(crate) fn freshness(&self, hit: &Hit) -> Freshness {
        self.freshness_at(hit, if hit.end == NEVER && hit.is_plain() { 0 } else { self.now() })
    }

    /// The same at a moment that was read just now.
    pub(crate) fn freshness_at(&self, hit: &Hit, now: u64) -> Freshness {
        if now >= hit.end || !(hit.is_plain() || self.holds(hit, now)) {
            Freshness::Gone
        } else if now >= hit.fresh {
            Freshness::Stale
        } else {
            Freshness::Fresh
        }
    }

    /// `holds` of an entry that is hit again and again.
    #[inline]
    pub(crate) fn holds_again(&self, hit: &Remembered, now: u64) -> bool {
        (hit.tag_words() == 0 || self.tags_hold_again(hit)) && !self.is_idle(Slot::new(hit.slot), now)
    }

    /// Of an entry that is not plain: no tag has made it void, and it has not been idle for too long.
    #[inline]
    pub(crate) fn holds(&self, hit: &Hit, now: u64) -> bool {
        self.tags_hold(hit) && !self.is_idle(Slot::new(hit.slot), now)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_failures() {
        let (mut failures, mut now, mut pauses) = (Failures::default(), 77 * SECOND, Vec::new());
        for _ in 0..300 {
            failures = Failures::from_word(failures.one_more(now).word(), now);
            pauses.push((failures.not_before - now).div_ceil(SECOND));
            now = failures.not_before;
        }
        assert_eq!(pauses[..7], [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!((pauses[299], failures.count), (30, 255));
        assert_eq!(Failures::from_word(u64::MAX, now), Failures::default());
    }
}
