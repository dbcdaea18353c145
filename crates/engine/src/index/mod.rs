//! The index: a hash table from 32-bit hashes to tokens, in groups of one cache line.
//!
//! Ring 1. A group is 64 bytes: twelve tags of a byte, twelve tokens, and a count of the entries that wanted a place in it
//! when it was full. A probe compares all tags of a group at once; it goes on to the next group only where that count is
//! not zero. So the usual lookup, found or not, reads one line and takes no branch that depends on chance, and deletion
//! needs neither tombstones nor shifting: it takes the entry out and the counts on its way back. (The idea of counts is
//! that of Facebook's F14, Bronson & Shi 2019; the tags are those of Swiss tables.) A cache that evicts for a year probes
//! as fast as a new one (unless more than 254 keys of one group collide: that group's count then stays until the table grows
//! or is cleared). At most five sixths of the places are used: 6.4 to 12.8 bytes an entry.

#[cfg(test)]
mod tests;

use crate::slab::{Token, NIL};

/// Places in a group.
const WIDTH: usize = 12;
/// A count that stays for ever: it stands for "this many or more".
const MANY: u8 = u8::MAX;

/// A set of places in a group, a bit each.
type Places = u32;

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Group {
    /// 0 is an empty place; a used one's tag has its top bit set.
    tags: [u8; WIDTH],
    /// Entries whose way led past this group because it was full.
    passed: u8,
    _reserved: [u8; 3],
    tokens: [Token; WIDTH],
}

const _: () = assert!(size_of::<Group>() == 64);

const ALL: Places = (1 << WIDTH) - 1;
const EMPTY: Group = Group { tags: [0; WIDTH], passed: 0, _reserved: [0; 3], tokens: [NIL; WIDTH] };

impl Group {
    /// The places whose tag is `tag`.
    #[inline(always)]
    fn places(&self, tag: u8) -> Places {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            self.equal_tags(std::arch::x86_64::_mm_set1_epi8(tag as i8)) & ALL
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let equal = |(at, &own): (usize, &u8)| Places::from(own == tag) << at;
            self.tags.iter().enumerate().map(equal).fold(0, |all, bit| all | bit) & ALL
        }
    }

    /// The places whose tag is that of `hash`.
    #[inline(always)]
    fn places_of(&self, hash: u32) -> Places {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            use std::arch::x86_64::*;
            // `tag`, in all bytes of a register: spread first, as that is shorter than `_mm_set1_epi8(tag(hash))`.
            let bytes = _mm_cvtsi32_si128(hash as i32);
            let doubled = _mm_unpacklo_epi8(bytes, bytes);
            let spread = _mm_shuffle_epi32::<0>(_mm_shufflelo_epi16::<0xff>(doubled));
            self.equal_tags(_mm_or_si128(spread, _mm_set1_epi8(0x80u8 as i8))) & ALL
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.places(tag(hash))
    }

    /// The place of an entry in this group.
    #[inline(always)]
    fn place_of(&self, hash: u32, token: Token) -> Option<usize> {
        let mut places = self.places_of(hash);
        while places != 0 {
            let place = places.trailing_zeros() as usize;
            // SAFETY: the bits of `places` are below `WIDTH`.
            if unsafe { *self.tokens.get_unchecked(place) } == token {
                return Some(place);
            }
            places &= places - 1;
        }
        None
    }

    /// Adds an entry; false where there is no place.
    #[inline(always)]
    fn add(&mut self, hash: u32, token: Token) -> bool {
        let free = self.places(0);
        if free == 0 {
            return false;
        }
        let place = free.trailing_zeros() as usize;
        // SAFETY: the bits of `free` are below `WIDTH`.
        unsafe {
            *self.tags.get_unchecked_mut(place) = tag(hash);
            *self.tokens.get_unchecked_mut(place) = token;
        }
        true
    }

    /// Takes an entry out; false where it is not here.
    #[inline(always)]
    fn take(&mut self, hash: u32, token: Token) -> bool {
        let Some(place) = self.place_of(hash, token) else {
            return false;
        };
        // SAFETY: a place is below `WIDTH`.
        unsafe {
            *self.tags.get_unchecked_mut(place) = 0;
            *self.tokens.get_unchecked_mut(place) = NIL;
        }
        true
    }

    /// Gives an entry another token; false where it is not here.
    #[inline(always)]
    fn rename(&mut self, hash: u32, old: Token, new: Token) -> bool {
        let place = self.place_of(hash, old);
        if let Some(place) = place {
            // SAFETY: a place is below `WIDTH`.
            unsafe { *self.tokens.get_unchecked_mut(place) = new };
        }
        place.is_some()
    }

    /// A bit for each of the first 16 bytes that equals that of `tags`.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn equal_tags(&self, tags: std::arch::x86_64::__m128i) -> Places {
        use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_load_si128, _mm_movemask_epi8};
        // SAFETY: SSE2 is part of x86-64. The load reads the first 16 of the group's 64 bytes, which are aligned to 64.
        unsafe {
            let own = _mm_load_si128(std::ptr::from_ref(self).cast::<__m128i>());
            _mm_movemask_epi8(_mm_cmpeq_epi8(own, tags)) as Places
        }
    }
}

/// The tag of a hash: bits that do not choose the group in any table of less than 2²⁴ groups.
#[inline(always)]
fn tag(hash: u32) -> u8 {
    (hash >> 24) as u8 | 0x80
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Index {
    /// A power of two of them.
    groups: Box<[Group]>,
    /// `groups.len() - 1`.
    mask: u32,
    used: usize,
    /// How many entries fit before the table grows.
    limit: usize,
}

/// Where a probe stands, to go on from after a candidate that was not the key.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    hash: u32,
    group: u32,
    /// Places of the group that are still to be looked at.
    places: Places,
    /// Groups looked at before this one.
    steps: u32,
}

/// What a probe's first step shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// An entry that may have the hash; there may be more.
    Token(Token),
    /// No entry has the hash.
    Absent,
    /// It takes a whole probe to tell.
    Unsure,
}

impl Probe {
    /// The hash that is looked for.
    #[inline(always)]
    pub fn hash(&self) -> u32 {
        self.hash
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    pub fn new() -> Self {
        Self::with_groups(1)
    }

    fn with_groups(n: usize) -> Self {
        debug_assert!(n.is_power_of_two() && n - 1 <= u32::MAX as usize);
        Index { groups: vec![EMPTY; n].into_boxed_slice(), mask: (n - 1) as u32, used: 0, limit: n * WIDTH * 5 / 6 }
    }

    pub fn len(&self) -> usize {
        self.used
    }

    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    #[inline(always)]
    fn group(&self, at: u32) -> &Group {
        debug_assert!(at <= self.mask);
        // SAFETY: every `at` was masked with `mask`, which is `groups.len() - 1`.
        unsafe { self.groups.get_unchecked(at as usize) }
    }

    #[inline(always)]
    fn group_mut(&mut self, at: u32) -> &mut Group {
        debug_assert!(at <= self.mask);
        // SAFETY: as in `group`.
        unsafe { self.groups.get_unchecked_mut(at as usize) }
    }

    /// A probe's first step alone, in as few instructions as there can be.
    #[inline(always)]
    pub fn first(&self, hash: u32) -> First {
        let group = self.group(hash & self.mask);
        let places = group.places_of(hash);
        if places != 0 {
            // SAFETY: the bits of `places` are below `WIDTH`.
            First::Token(unsafe { *group.tokens.get_unchecked(places.trailing_zeros() as usize) })
        } else if group.passed == 0 {
            First::Absent
        } else {
            First::Unsure
        }
    }

    /// Starts a probe for `hash`.
    #[inline(always)]
    pub fn probe(&self, hash: u32) -> Probe {
        let group = hash & self.mask;
        Probe { hash, group, places: self.group(group).places_of(hash), steps: 0 }
    }

    /// The next token that may have the probe's hash (most have), or `None` at the end. If the table has changed since the
    /// probe was started, tokens may be missed, and what comes may be [`NIL`]. Expected O(1).
    #[inline(always)]
    pub fn next(&self, probe: &mut Probe) -> Option<Token> {
        while probe.places == 0 {
            if self.group(probe.group & self.mask).passed == 0 || probe.steps >= self.mask {
                return None;
            }
            probe.steps += 1;
            probe.group = (probe.group + 1) & self.mask;
            probe.places = self.group(probe.group).places_of(probe.hash);
        }
        let place = probe.places.trailing_zeros() as usize;
        probe.places &= probe.places - 1;
        // SAFETY: the bits of `places` are below `WIDTH`; the mask repeats what `places` promises.
        Some(unsafe { *self.group(probe.group & self.mask).tokens.get_unchecked(place) })
    }

    /// Adds an entry; the caller knows that `token` is not in the table and that the table is not full. Expected O(1).
    #[inline(always)]
    pub fn insert(&mut self, hash: u32, token: Token) {
        debug_assert!(token != NIL && !self.is_full());
        self.used += 1;
        if !self.group_mut(hash & self.mask).add(hash, token) {
            self.insert_away(hash, token);
        }
    }

    /// Adds an entry whose home group is full.
    #[cold]
    #[inline(never)]
    fn insert_away(&mut self, hash: u32, token: Token) {
        let mut at = hash & self.mask;
        // A free place exists: no more than five sixths are used.
        while !self.group_mut(at).add(hash, token) {
            let group = self.group_mut(at);
            group.passed = group.passed.saturating_add(1);
            at = (at + 1) & self.mask;
        }
    }

    /// Whether [`grow`](Self::grow) is due before the next insertion.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    /// Doubles the table. `hash_of` gives the hash of each token in it, as hashes are not kept here. O(n).
    #[cold]
    pub fn grow(&mut self, hash_of: impl Fn(Token) -> u32) {
        let mut larger = Self::with_groups(self.groups.len() * 2);
        for token in self.tokens() {
            larger.insert(hash_of(token), token);
        }
        *self = larger;
    }

    /// Removes the entry `token` with hash `hash`; false if it is not there. Expected O(1).
    #[inline(always)]
    pub fn remove(&mut self, hash: u32, token: Token) -> bool {
        let removed = self.group_mut(hash & self.mask).take(hash, token) || self.remove_away(hash, token);
        self.used -= usize::from(removed);
        removed
    }

    /// Gives an entry in the table another token. Expected O(1).
    #[inline(always)]
    pub fn rename(&mut self, hash: u32, old: Token, new: Token) {
        if !self.group_mut(hash & self.mask).rename(hash, old, new) {
            if let Some(at) = self.find(hash, old) {
                self.group_mut(at).rename(hash, old, new);
            }
        }
    }

    /// Removes an entry that is not in its home group.
    #[cold]
    #[inline(never)]
    fn remove_away(&mut self, hash: u32, token: Token) -> bool {
        let Some(found) = self.find(hash, token) else {
            return false;
        };
        self.group_mut(found).take(hash, token);
        let mut at = hash & self.mask;
        while at != found {
            let group = self.group_mut(at);
            if group.passed != MANY {
                group.passed -= 1;
            }
            at = (at + 1) & self.mask;
        }
        true
    }

    /// The group of an entry.
    #[cold]
    fn find(&self, hash: u32, token: Token) -> Option<u32> {
        let mut at = hash & self.mask;
        for _ in 0..=self.mask {
            let group = self.group(at);
            if group.place_of(hash, token).is_some() {
                return Some(at);
            }
            if group.passed == 0 {
                return None;
            }
            at = (at + 1) & self.mask;
        }
        None
    }

    /// Every token in the table.
    pub fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.groups.iter().flat_map(|g| g.tokens).filter(|&t| t != NIL)
    }

    /// Empties the table and gives its memory back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Checks what must always hold: tags and tokens agree, counts are large enough, and `hash_of` leads to every entry.
    pub fn validate(&self, hash_of: impl Fn(Token) -> u32) {
        let mut passed = vec![0u32; self.groups.len()];
        let mut used = 0;
        for (at, group) in (0u32..).zip(&self.groups) {
            for (&own, &token) in group.tags.iter().zip(&group.tokens) {
                assert_eq!(own == 0, token == NIL);
                if token != NIL {
                    let hash = hash_of(token);
                    assert_eq!(own, tag(hash));
                    assert_eq!(self.find(hash, token), Some(at));
                    let mut way = hash & self.mask;
                    while way != at {
                        passed[way as usize] += 1;
                        way = (way + 1) & self.mask;
                    }
                    used += 1;
                }
            }
        }
        assert_eq!(used, self.used);
        assert!(self.used <= self.groups.len() * WIDTH * 5 / 6);
        for (group, expected) in self.groups.iter().zip(passed) {
            assert!(group.passed == MANY || u32::from(group.passed) == expected);
        }
    }
}
