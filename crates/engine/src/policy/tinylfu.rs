//! W-TinyLFU: a small window takes in what is new, and a newcomer stays only if it is used more often than who would leave.
//!
//! Einziger, Friedman & Manes, "TinyLFU: a highly efficient cache admission policy" (ACM TOS '17), with the window that
//! adapts itself (see [`hill_climber`](crate::policy::hill_climber)). An entry begins in the window, an LRU list. Whoever
//! falls out of it competes with the earliest entry on probation for its place; an entry used on probation is protected.
//! The uses of an entry are counted with it, up to 15; a [`Sketch`] keeps the counts of those that have left, so that a
//! key that comes back goes on where it was. After each sample of lookups all counts are halved.

use super::sketch::Sketch;
use super::tuning::tinylfu::{admits, initial_count, MAX_COUNT};
use super::{HitEffect, Policy};
use crate::hashing::XorShift;
use crate::linked_list::List;
use crate::policy::hill_climber::Climber;
use crate::slab::{reserve_one, Token, NIL};

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

/// Entries moved at most from list to list in one go after the limits have changed.
const MOVED: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Node {
    list: u8,
    uses: u8,
}

#[derive(Clone, Debug)]
pub struct TinyLfu {
    /// Each list has its latest use in front.
    lists: List<3>,
    /// Indexed by token.
    nodes: Vec<Node>,
    lens: [usize; 3],
    /// How long the window and the protected list may be.
    window: usize,
    protected: usize,
    sketch: Sketch,
    climber: Climber,
    capacity: usize,
    random: XorShift,
}

impl TinyLfu {
    /// Moves an entry to the front of a list.
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    #[inline(always)]
    unsafe fn move_to(&mut self, token: Token, list: usize) {
        let node = &mut self.nodes[token as usize];
        self.lens[node.list as usize] -= 1;
        self.lens[list] += 1;
        node.list = list as u8;
        // SAFETY: an inserted token is in one of the lists until it is removed; `list` is one of the three.
        unsafe { self.lists.move_to_front(list, token) };
    }

    /// Brings the lists within their limits, or nearer.
    #[inline(always)]
    fn rebalance(&mut self) {
        for (list, limit) in [(WINDOW, self.window), (PROTECTED, self.protected)] {
            if self.lens[list] > limit {
                self.demote_some(list, self.lens[list] - limit);
            }
        }
    }

    /// Moves the earliest entries of a list to the front of those on probation, at most [`MOVED`].
    fn demote_some(&mut self, list: usize, count: usize) {
        for _ in 0..count.min(MOVED) {
            // SAFETY: the list is longer than its limit by `count`, and what is in it was inserted and not removed since.
            unsafe { self.move_to(self.lists.back(list), PROBATION) };
        }
    }

    /// Counts a miss and what may come with it. Returns how often the entry that comes in was used, this use included.
    fn initial_frequency(&mut self, hash: u64) -> u8 {
        if self.climber.miss() {
            (self.window, self.protected) = self.climber.rooms();
            self.nodes.iter_mut().for_each(|node| node.uses /= 2);
            self.sketch.halve();
        }
        initial_count(self.sketch.estimate(hash))
    }

    /// Whether the candidate may stay in the place of the victim.
    fn admits(&mut self, candidate: Token, victim: Token) -> bool {
        let (uses, against) = (self.nodes[candidate as usize].uses, self.nodes[victim as usize].uses);
        admits(uses, against, || self.random.number().into())
    }

    /// The earliest entry of a list, or [`NIL`]; not `kept`.
    #[inline(always)]
    fn back(&self, list: usize, kept: Token) -> Token {
        match self.lists.back(list) {
            NIL => NIL,
            token if token == kept => self.lists.before(token),
            token => token,
        }
    }

    /// O(1). The entry that would fall out of the window, or the one that it wins against; not `kept`.
    #[inline(always)]
    fn find_victim(&mut self, kept: Token) -> Token {
        let candidate = self.back(WINDOW, kept);
        let main = [PROBATION, PROTECTED].into_iter().map(|list| self.back(list, kept)).find(|&token| token != NIL);
        let Some(victim) = main else { return candidate };
        if candidate == NIL || self.lens[WINDOW] < self.window {
            return victim;
        }
        if !self.admits(candidate, victim) {
            return candidate;
        }
        // SAFETY: what is in a list was inserted and not removed since.
        unsafe { self.move_to(candidate, PROBATION) };
        victim
    }
}

impl Policy for TinyLfu {
    const HIT: HitEffect = HitEffect::ExclusiveCall;
    const COUNTS_REPEATS: bool = true;
    const HAS_HISTORY: bool = true;

    fn new(capacity: usize) -> Self {
        let climber = Climber::new(capacity);
        let (window, protected) = climber.rooms();
        TinyLfu {
            lists: List::default(),
            nodes: Vec::new(),
            lens: [0; 3],
            window,
            protected,
            sketch: Sketch::new(capacity),
            climber,
            capacity,
            random: XorShift::default(),
        }
    }

    fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.climber.resize(capacity);
        (self.window, self.protected) = self.climber.rooms();
        self.sketch.resize(capacity);
    }

    fn insert(&mut self, token: Token, hash: u64, limit: usize) {
        while self.nodes.len() <= token as usize {
            reserve_one(&mut self.nodes, limit.saturating_add(1));
            self.nodes.push(Node { list: 0, uses: 0 });
        }
        let uses = self.initial_frequency(hash);
        self.nodes[token as usize] = Node { list: WINDOW as u8, uses };
        self.lists.push_front(WINDOW, token, limit);
        self.lens[WINDOW] += 1;
        self.rebalance();
    }

    // A call of its own: inlined, its registers would be saved on every hit of every strategy.
    #[inline(never)]
    unsafe fn hit(&mut self, token: Token) {
        self.climber.hit();
        let Node { list, uses } = self.nodes[token as usize];
        if uses < MAX_COUNT {
            self.nodes[token as usize].uses += 1;
        }
        let list = if list as usize == WINDOW { WINDOW } else { PROTECTED };
        // SAFETY: the caller's promise.
        unsafe { self.move_to(token, list) };
        self.rebalance();
    }

    #[inline(always)]
    fn remember(&mut self, token: Token, hash: u64) {
        self.sketch.increment(hash, self.nodes[token as usize].uses);
    }

    unsafe fn renew(&mut self, token: Token, left: u64, came: u64) {
        self.remember(token, left);
        self.nodes[token as usize].uses = self.initial_frequency(came);
        // SAFETY: the caller's promise.
        unsafe { self.move_to(token, WINDOW) };
        self.rebalance();
    }

    fn remove(&mut self, token: Token) {
        if self.lists.contains(token) {
            self.lens[self.nodes[token as usize].list as usize] -= 1;
            self.lists.remove(token);
        }
    }

    fn victim(&mut self) -> Token {
        self.find_victim(NIL)
    }

    fn victim_beside(&mut self, kept: Token) -> Token {
        self.find_victim(kept)
    }

    fn validate(&self) {
        self.lists.validate();
        for list in [WINDOW, PROBATION, PROTECTED] {
            assert_eq!(self.lists.iter(list).count(), self.lens[list]);
            assert!(self.lists.iter(list).all(|token| self.nodes[token as usize].list as usize == list));
        }
        assert!(self.window >= 1 && self.window + self.protected <= self.capacity);
        assert!(self.lists.iter(WINDOW).all(|token| self.nodes[token as usize].uses <= MAX_COUNT));
    }
}
