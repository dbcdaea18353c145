//! A calendar: the entries of a cache by when they are to be looked at, the earliest first, of equals the one scheduled first.
//!
//! Ring 1. It is a radix heap (Ahuja, Mehlhorn, Orlin & Tarjan, "Faster algorithms for the shortest path problem", 1990): the
//! part of time up to a *horizon* is sorted, and what lies beyond is in bins, the bin `i` having the moments that differ from the
//! horizon in bit `i` and in no higher one. So the bins lie one after the other in time, each twice as wide as the last. When
//! time comes to a bin, the horizon moves into it, and its nodes move to the lower bins, which are empty then, and to the sorted
//! part. A node only moves down, some ten times at most in practice, and nodes of a bin lie beside each other, so a move is
//! a few nanoseconds where the links of a list would have to be fetched from memory.
//!
//! An entry that leaves before its time leaves its node behind, *void*, so this is one store. When more than half of the nodes
//! are void they are thrown away: O(1) amortized, and never more than twice the memory.
//!
//! Storing costs O(1) amortized; entries that are met at their time are sorted, in batches, so each costs O(log of the batch).
//! It does not matter how many moments are equal, how far they lie apart, or how time jumps, but for one case: when
//! time goes backwards, what is scheduled before the horizon is put in a [`Heap`], in O(log of those).

use std::cmp::Reverse;

use super::heap::Heap;
use super::node::Node;
use super::Instant;
use crate::slab::{reserve_one, Token};

/// So many void nodes are always allowed.
const SPARE: usize = 64;

/// A bin of so few nodes is sorted as a whole ...
const FEW: usize = 64;
/// ... if it is no wider than two to this: the horizon should not be far ahead of time (a millisecond).
const NARROW: u32 = 20;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Calendar {
    /// The mark of each entry's node, indexed by token; 0 where it has none.
    marks: Vec<u32>,
    last_mark: u32,
    /// The number of scheduled entries.
    len: usize,
    /// The number of nodes, the void ones included.
    nodes: usize,
    /// What comes next, the earliest last. Here and in `late` are the nodes up to the horizon.
    due: Vec<Node>,
    /// What was scheduled before a horizon that was there already.
    late: Heap,
    horizon: Instant,
    /// What comes after the horizon, by the highest bit in which it differs.
    bins: Vec<Vec<Node>>,
    /// Which bins have nodes.
    used: u64,
}

impl Calendar {
    /// Schedules an entry that is not scheduled. One whose moment is never reached is left out. O(1) amortized.
    pub fn push(&mut self, token: Token, at: Instant, limit: usize) {
        while self.marks.len() <= token as usize {
            reserve_one(&mut self.marks, limit.saturating_add(1));
            self.marks.push(0);
        }
        debug_assert_eq!(self.marks[token as usize], 0);
        if at == Instant::MAX {
            return;
        }
        // After 2³² a mark comes again. Then equal moments may be met in another order, and a void node may be taken for an
        // entry's: it is for the caller to look at the entry.
        self.last_mark = self.last_mark.wrapping_add(1).max(1);
        self.marks[token as usize] = self.last_mark;
        self.len += 1;
        self.nodes += 1;
        let node = Node { at, mark: self.last_mark, token };
        if at > self.horizon {
            self.put(node);
        } else {
            self.late.push(node);
        }
    }

    /// Puts a node that comes after the horizon in its bin.
    #[inline(always)]
    fn put(&mut self, node: Node) {
        let bin = (node.at ^ self.horizon).ilog2() as usize;
        if self.bins.len() <= bin {
            self.bins.resize_with(bin + 1, Vec::new);
        }
        self.used |= 1 << bin;
        reserve_one(&mut self.bins[bin], usize::MAX);
        self.bins[bin].push(node);
    }

    /// Takes an entry out; nothing happens if it is not scheduled. O(1) amortized.
    #[inline]
    pub fn remove(&mut self, token: Token) {
        let Some(mark) = self.marks.get_mut(token as usize).filter(|mark| **mark != 0) else {
            return;
        };
        *mark = 0;
        self.len -= 1;
        if self.nodes > 2 * self.len + SPARE {
            self.throw_away();
        }
    }

    /// The first entry whose moment is not after `now`, and the moment; it stays scheduled. O(1) amortized, but for the sorting.
    #[inline]
    pub fn next(&mut self, now: Instant) -> Option<(Token, Instant)> {
        loop {
            let due = self.due.last().filter(|node| node.at <= now);
            let late = self.late.first().filter(|node| node.at <= now);
            let (node, is_late) = match (due, late) {
                (Some(due), Some(late)) if late.key() < due.key() => (*late, true),
                (None, Some(late)) => (*late, true),
                (Some(due), _) => (*due, false),
                (None, None) if self.may_move(now) => {
                    self.move_horizon(now);
                    continue;
                }
                (None, None) => return None,
            };
            if self.marks[node.token as usize] == node.mark {
                return Some((node.token, node.at));
            }
            self.nodes -= 1;
            if is_late {
                self.late.drop_first();
            } else {
                self.due.pop();
            }
        }
    }

    /// Whether nothing but bins is left, and time has come to one of them.
    #[inline(always)]
    fn may_move(&self, now: Instant) -> bool {
        self.horizon < now && self.due.is_empty() && self.late.len() == 0 && (self.used == 0 || self.start() <= now)
    }

    /// Where the first bin begins. There is one.
    #[inline(always)]
    fn start(&self) -> Instant {
        let bin = self.used.trailing_zeros();
        (self.horizon >> bin | 1) << bin
    }

    /// Moves the horizon to `now`, or as far as the first bin goes, and the nodes of the bin to where they belong then.
    #[inline(never)]
    fn move_horizon(&mut self, now: Instant) {
        if self.used == 0 {
            self.horizon = now;
            return;
        }
        let bin = self.used.trailing_zeros();
        let last = self.start() | ((1 << bin) - 1);
        let mut nodes = std::mem::take(&mut self.bins[bin as usize]);
        self.used &= !(1 << bin);
        let is_small = bin <= NARROW && nodes.len() <= FEW;
        // Bits above the bin's stay as they are, so the higher bins need not be looked at.
        self.horizon = if is_small { last } else { now.min(last) };
        for node in nodes.drain(..) {
            if self.marks[node.token as usize] != node.mark {
                self.nodes -= 1;
            } else if node.at <= self.horizon {
                self.due.push(node);
            } else {
                self.put(node);
            }
        }
        self.due.sort_unstable_by_key(|node| Reverse(node.key()));
        if nodes.capacity() <= FEW {
            self.bins[bin as usize] = nodes;
        }
    }

    /// Throws the void nodes away. O(n).
    #[cold]
    fn throw_away(&mut self) {
        let marks = &self.marks;
        let is_valid = |node: &Node| marks[node.token as usize] == node.mark;
        self.due.retain(is_valid);
        self.due.shrink_to(FEW.max(self.due.len() * 2));
        self.late.retain(is_valid);
        for (bin, nodes) in self.bins.iter_mut().enumerate() {
            nodes.retain(is_valid);
            nodes.shrink_to(FEW.max(nodes.len() * 2));
            if nodes.is_empty() {
                self.used &= !(1 << bin);
            }
        }
        self.nodes = self.len;
    }

    fn iter(&self) -> impl Iterator<Item = &Node> {
        self.due.iter().chain(self.late.iter()).chain(self.bins.iter().flatten())
    }

    /// Checks what must always hold; `check` gets each scheduled entry and its moment.
    pub fn validate(&self, check: impl Fn(Token, Instant)) {
        self.late.validate();
        assert!(self.due.windows(2).all(|pair| pair[0].key() > pair[1].key()));
        assert!(self.due.iter().chain(self.late.iter()).all(|node| node.at <= self.horizon));
        for (bin, nodes) in self.bins.iter().enumerate() {
            assert_eq!(nodes.is_empty(), self.used >> bin & 1 == 0);
            for node in nodes {
                assert!(node.at > self.horizon && (node.at ^ self.horizon).ilog2() as usize == bin);
            }
        }
        let valid: Vec<&Node> = self.iter().filter(|node| self.marks[node.token as usize] == node.mark).collect();
        assert_eq!(valid.len(), self.len);
        assert_eq!(self.marks.iter().filter(|&&mark| mark != 0).count(), self.len);
        assert_eq!(self.iter().count(), self.nodes);
        assert!(self.nodes <= 2 * self.len + SPARE + 1);
        valid.iter().for_each(|node| check(node.token, node.at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A random time of any magnitude.
    fn span() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0..4u64, 4 => (0..64u32, any::<u64>()).prop_map(|(bits, any)| any >> bits)]
    }

    proptest! {
        /// Pushes (some many at once), removes and looks, where time goes on, stands and jumps, both ways.
        #[test]
        fn it_is_as_a_sorted_map(
            steps in prop::collection::vec((0..6u8, span(), 0..60 as Token, any::<bool>()), 1..300),
        ) {
            let mut calendar = Calendar::default();
            let mut sorted: BTreeMap<(Instant, u64), Token> = BTreeMap::new();
            let mut now = 1u64 << 50;
            for (step, &(what, span, token, many)) in (0..).step_by(1000).zip(&steps) {
                match what {
                    0..=2 => for (n, token) in (token..token + if many { 200 } else { 1 }).enumerate() {
                        calendar.remove(token + 1);
                        sorted.retain(|_, other| *other != token + 1);
                        let at = now.saturating_add(span).saturating_add(n as u64 / 3);
                        calendar.push(token + 1, at, 100);
                        if at != u64::MAX {
                            sorted.insert((at, step + n as u64), token + 1);
                        }
                    },
                    3 => {
                        calendar.remove(token + 1);
                        sorted.retain(|_, other| *other != token + 1);
                    }
                    4 => now = now.saturating_add(span).min(u64::MAX - 1),
                    _ => now = now.saturating_sub(span),
                }
                while let Some((token, at)) = calendar.next(now) {
                    let first = sorted.pop_first().expect("it was scheduled");
                    prop_assert_eq!(((at, token), at <= now), ((first.0.0, first.1), true));
                    calendar.remove(token);
                    if many {
                        break;
                    }
                }
                calendar.validate(|_, _| ());
                prop_assert!(many || sorted.first_key_value().is_none_or(|((at, _), _)| *at > now));
            }
        }
    }

    #[test]
    fn void_nodes_are_bounded() {
        let mut calendar = Calendar::default();
        for round in 0..100_000u64 {
            calendar.remove(1);
            calendar.push(1, round * 1000 + 1_000_000, 1);
            assert!(calendar.nodes <= SPARE + 3);
        }
        assert_eq!(calendar.len, 1);
        calendar.validate(|_, _| ());
    }

    /// A node moves down some times, and is not looked at again and again.
    #[test]
    fn a_million_in_one_millisecond_are_not_walked_again_and_again() {
        const MANY: Token = 100_000;
        let mut calendar = Calendar::default();
        for token in 1..=MANY {
            calendar.push(token, 1 << 41 | u64::from(token * 10), 1);
        }
        let mut met = 0;
        for now in (1 << 41..1 << 41 | 1_000_000).step_by(10).chain([1 << 42]) {
            while let Some((token, at)) = calendar.next(now) {
                assert!(at <= now);
                calendar.remove(token);
                met += 1;
            }
        }
        assert_eq!(met, MANY);
    }
}
