//! A heap of moments: the entries of a cache by when they are to be looked at, the earliest first, of equals the one
//! scheduled first.
//!
//! Ring 1. Four children a node. A new moment goes up from the bottom, which takes few steps, as most lie later than those
//! that are there; nodes beside each other there have the same parent, so it is near. An entry that leaves before its time
//! leaves its node behind, void, so this is one store. When more than half of the nodes are void they are thrown away and
//! the heap is built anew in O(n): O(1) amortized, and never more than twice the memory. Only an entry that is met at its
//! moment takes O(log n). No operation depends on how far moments lie apart, or on how many are equal.

use super::Instant;
use crate::slab::{reserve_one, Token};

/// The number of children of a node.
const CHILDREN: usize = 4;

/// So many void nodes are always allowed.
const SPARE: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Node {
    at: Instant,
    /// The mark that the entry has while this node is its own; rising, so it orders nodes of the same moment.
    mark: u32,
    token: Token,
}

impl Node {
    #[inline(always)]
    fn is_before(&self, other: &Node) -> bool {
        (self.at, self.mark) < (other.at, other.mark)
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Heap {
    /// The children of the node `i` are from `4 i + 1` on. None is before its parent.
    nodes: Vec<Node>,
    /// The mark of each entry's node, indexed by token; 0 where it has none.
    marks: Vec<u32>,
    /// The number of nodes that are not void.
    len: usize,
    last_mark: u32,
}

impl Heap {
    /// Schedules an entry that is not scheduled. One whose moment is never reached is left out.
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
        reserve_one(&mut self.nodes, usize::MAX);
        self.nodes.push(Node { at, mark: self.last_mark, token });
        self.rise(self.nodes.len() - 1);
    }

    /// Takes an entry out; nothing happens if it is not scheduled. O(1) amortized.
    #[inline]
    pub fn remove(&mut self, token: Token) {
        let Some(mark) = self.marks.get_mut(token as usize).filter(|mark| **mark != 0) else {
            return;
        };
        *mark = 0;
        self.len -= 1;
        if self.nodes.len() > 2 * self.len + SPARE {
            self.compact();
        }
    }

    /// The first entry whose moment is not after `now`, and the moment; it stays scheduled.
    #[inline]
    pub fn next(&mut self, now: Instant) -> Option<(Token, Instant)> {
        loop {
            let first = self.nodes.first().filter(|first| first.at <= now)?;
            if self.is_valid(first) {
                return Some((first.token, first.at));
            }
            self.drop_first();
        }
    }

    #[inline(always)]
    fn is_valid(&self, node: &Node) -> bool {
        self.marks[node.token as usize] == node.mark
    }

    fn drop_first(&mut self) {
        self.nodes.swap_remove(0);
        if !self.nodes.is_empty() {
            self.sink(0);
        }
    }

    /// Throws the void nodes away. O(n).
    #[cold]
    fn compact(&mut self) {
        let marks = &self.marks;
        self.nodes.retain(|node| marks[node.token as usize] == node.mark);
        for at in (0..self.nodes.len().div_ceil(CHILDREN)).rev() {
            self.sink(at);
        }
    }

    /// Moves a node up to its place.
    fn rise(&mut self, mut at: usize) {
        let node = self.nodes[at];
        while at != 0 {
            let parent = (at - 1) / CHILDREN;
            if !node.is_before(&self.nodes[parent]) {
                break;
            }
            self.nodes[at] = self.nodes[parent];
            at = parent;
        }
        self.nodes[at] = node;
    }

    /// Moves a node down to its place.
    fn sink(&mut self, mut at: usize) {
        let node = self.nodes[at];
        loop {
            let first = at * CHILDREN + 1;
            let end = self.nodes.len().min(first + CHILDREN);
            let children = (first..end).map(|child| (child, self.nodes[child]));
            let Some((child, least)) = children.reduce(|a, b| if b.1.is_before(&a.1) { b } else { a }) else {
                break;
            };
            if !least.is_before(&node) {
                break;
            }
            self.nodes[at] = least;
            at = child;
        }
        self.nodes[at] = node;
    }

    /// Checks what must always hold; `check` gets each scheduled entry and its moment.
    pub fn validate(&self, check: impl Fn(Token, Instant)) {
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            assert!(!node.is_before(&self.nodes[(at - 1) / CHILDREN]));
        }
        let valid: Vec<&Node> = self.nodes.iter().filter(|node| self.is_valid(node)).collect();
        assert_eq!(valid.len(), self.len);
        assert_eq!(self.marks.iter().filter(|&&mark| mark != 0).count(), self.len);
        assert!(self.nodes.len() <= 2 * self.len + SPARE + 1);
        valid.iter().for_each(|node| check(node.token, node.at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashing::split_mix;

    /// All that is scheduled, in order.
    fn drain(heap: &mut Heap) -> Vec<Token> {
        std::iter::from_fn(|| {
            let (token, _) = heap.next(Instant::MAX)?;
            heap.remove(token);
            heap.validate(|_, _| ());
            Some(token)
        })
        .collect()
    }

    #[test]
    fn moments_come_in_order_and_equal_ones_as_they_were_scheduled() {
        let mut heap = Heap::default();
        for token in 1..=1000 {
            heap.push(token, split_mix(token.into()) % 50, 1000);
        }
        let mut expected: Vec<Token> = (1..=1000).collect();
        expected.sort_by_key(|&token| split_mix(token.into()) % 50);
        assert_eq!(drain(&mut heap), expected);
    }

    #[test]
    fn void_nodes_are_bounded_and_never_met() {
        let mut heap = Heap::default();
        for round in 0..10_000u64 {
            let token = (split_mix(round) % 100) as Token + 1;
            heap.remove(token);
            heap.push(token, split_mix(round ^ 1 << 40) % 1000, 100);
            heap.validate(|_, _| ());
        }
        assert_eq!(drain(&mut heap).len(), heap.marks.len() - 1);
        heap.push(1, 5, 100);
        assert_eq!((heap.next(4), heap.next(5)), (None, Some((1, 5))));
    }

    #[test]
    fn what_never_ends_is_left_out() {
        let mut heap = Heap::default();
        heap.push(1, Instant::MAX, 1);
        assert_eq!(heap.next(Instant::MAX), None);
        heap.remove(1);
        assert!(heap.nodes.is_empty());
    }
}
