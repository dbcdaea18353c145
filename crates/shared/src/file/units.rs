//! Numbers of things in the file, each a type of its own, so that none is taken for another. All are one `u64`, and what
//! the file has of them is that number.

use crate::file::layout::{GRANULE, OFFSET_BITS};
use std::ops::{Add, Sub};

/// The place of a byte in the file, from its start. What is added to it, and what lies between two, is a number of bytes.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    pub const START: Offset = Offset(0);

    pub const fn new(bytes: u64) -> Offset {
        Offset(bytes)
    }
    /// Bytes before it: the length of a file that ends here.
    pub const fn bytes(self) -> u64 {
        self.0
    }
    /// `+` for constants.
    #[inline(always)]
    pub const fn plus(self, bytes: u64) -> Offset {
        Offset(self.0 + bytes)
    }
    /// The words from here to `end`.
    pub fn words_to(self, end: Offset) -> impl Iterator<Item = Offset> {
        (self.0..end.0).step_by(8).map(Offset)
    }
}

impl Add<u64> for Offset {
    type Output = Offset;

    #[inline(always)]
    fn add(self, bytes: u64) -> Offset {
        self.plus(bytes)
    }
}

impl Sub for Offset {
    type Output = u64;

    #[inline(always)]
    fn sub(self, from: Offset) -> u64 {
        self.0 - from.0
    }
}

impl std::fmt::Display for Offset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a slot in the table.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u64);

impl Slot {
    pub const fn new(number: u64) -> Slot {
        Slot(number)
    }
    pub const fn number(self) -> u64 {
        self.0
    }
    /// The first `n` slots.
    pub fn first(n: u64) -> impl DoubleEndedIterator<Item = Slot> + Clone {
        Slot::range(0, n)
    }
    pub fn range(from: u64, end: u64) -> impl DoubleEndedIterator<Item = Slot> + Clone {
        (from..end).map(Slot)
    }
    /// Links, ends and chains name a slot by its number plus 1, so that 0 names none.
    pub const fn to_link(self) -> u64 {
        self.0 + 1
    }
    pub fn from_link(link: u64) -> Option<Slot> {
        link.checked_sub(1).map(Slot)
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A slot's word, `version << 31 | granule`: where the entry's bytes begin, and a number that differs after each change.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(u64);

impl Word {
    /// Versions have so many bits set at most.
    pub const VERSION_MASK: u64 = u64::MAX >> OFFSET_BITS;

    pub const fn new(version: u64, granule: Granule) -> Word {
        Word(version << OFFSET_BITS | granule.0)
    }
    pub const fn from_bits(bits: u64) -> Word {
        Word(bits)
    }
    pub const fn bits(self) -> u64 {
        self.0
    }
    /// Where the entry begins; `Granule::NONE` if the slot is free.
    pub const fn granule(self) -> Granule {
        Granule(self.0 & ((1 << OFFSET_BITS) - 1))
    }
    pub const fn version(self) -> u64 {
        self.0 >> OFFSET_BITS
    }
    /// Whether the slot has no entry.
    pub const fn is_free(self) -> bool {
        self.granule().0 == 0
    }
    /// Whether the slot has never had one.
    pub const fn is_unused(self) -> bool {
        self.0 == 0
    }
}

/// A granule by its place in the file, as words have it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Granule(u64);

impl Granule {
    /// That of the header, where no entry can be.
    pub const NONE: Granule = Granule(0);

    pub const fn new(number: u64) -> Granule {
        Granule(number)
    }
    pub const fn number(self) -> u64 {
        self.0
    }
    /// Its first byte in the file. (Of a number that only damage can have brought up: anything.)
    pub const fn offset(self) -> Offset {
        Offset(self.0.wrapping_mul(GRANULE))
    }
}

/// A granule by its place in the data, as the bitmap has it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GranuleIndex(u64);

impl GranuleIndex {
    pub const fn new(number: u64) -> GranuleIndex {
        GranuleIndex(number)
    }
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A point in the order of uses: a reading of the time-stamp counter, lifted by `tick_offset`, or a count of uses.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(u64);

impl Tick {
    pub const fn new(number: u64) -> Tick {
        Tick(number)
    }
    pub const fn number(self) -> u64 {
        self.0
    }
    /// How much later than a stamp it is.
    pub const fn since(self, stamp: u64) -> u64 {
        self.0.wrapping_sub(stamp)
    }
}
