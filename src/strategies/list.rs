//! A doubly linked list of tokens in one array: the order behind LRU, MRU, FIFO and the deadlines.
//!
//! Ring 1. Circular, with token 0 as the sentinel, so that linking never branches. Eight bytes an entry, apart from the
//! slots.

use super::Policy;
use crate::entry::{reserve_one, Token, NIL};

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: Token,
    next: Token,
}

/// A list from the front (latest) to the back (earliest).
#[derive(Debug)]
pub struct List {
    /// `links[0]` is the sentinel: its `next` is the front and its `prev` the back. A token that is not in the list
    /// points to itself. Every `prev` and `next` is less than `links.len()`.
    links: Vec<Link>,
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    pub fn new() -> Self {
        List { links: vec![Link { prev: NIL, next: NIL }] }
    }

    #[inline(always)]
    fn sentinel(&self) -> Link {
        debug_assert!(!self.links.is_empty());
        // SAFETY: the sentinel always exists.
        unsafe { *self.links.get_unchecked(0) }
    }

    #[inline(always)]
    pub fn front(&self) -> Token {
        self.sentinel().next
    }

    #[inline(always)]
    pub fn back(&self) -> Token {
        self.sentinel().prev
    }

    /// The neighbour of `token` towards the back; of the back one, the sentinel.
    pub fn after(&self, token: Token) -> Token {
        self.links[token as usize].next
    }

    pub fn contains(&self, token: Token) -> bool {
        token != NIL && self.links.get(token as usize).is_some_and(|l| l.next != token)
    }

    /// Makes room for `token`, which is not in the list yet.
    fn admit(&mut self, token: Token, limit: usize) {
        while self.links.len() <= token as usize {
            reserve_one(&mut self.links, limit.saturating_add(1));
            let own = self.links.len() as Token;
            self.links.push(Link { prev: own, next: own });
        }
        debug_assert!(token != NIL && !self.contains(token));
    }

    /// Puts `token`, which is not in the list, at the front. O(1) amortized.
    pub fn push_front(&mut self, token: Token, limit: usize) {
        self.insert_after(NIL, token, limit);
    }

    /// Puts `token`, which is not in the list, behind `before` (the sentinel: at the front). O(1) amortized.
    pub fn insert_after(&mut self, before: Token, token: Token, limit: usize) {
        self.admit(token, limit);
        let next = self.links[before as usize].next;
        self.links[token as usize] = Link { prev: before, next };
        self.links[before as usize].next = token;
        self.links[next as usize].prev = token;
    }

    /// Takes `token` out; nothing happens if it is not in the list. O(1).
    pub fn remove(&mut self, token: Token) {
        if self.contains(token) {
            let Link { prev, next } = self.links[token as usize];
            self.links[prev as usize].next = next;
            self.links[next as usize].prev = prev;
            self.links[token as usize] = Link { prev: token, next: token };
        }
    }

    /// Moves `token` to the front. O(1): this is what an LRU hit writes.
    ///
    /// # Safety
    /// `token` is in the list.
    #[inline(always)]
    pub unsafe fn move_to_front(&mut self, token: Token) {
        debug_assert!(self.contains(token));
        let links = self.links.as_mut_ptr();
        // SAFETY: `token` is in the list, so it is less than `links.len()`, and so is every `prev` and `next` (the
        // invariant of `links`). The sentinel always exists.
        unsafe {
            let front = (*links).next;
            if front == token {
                return;
            }
            let Link { prev, next } = *links.add(token as usize);
            (*links.add(prev as usize)).next = next;
            (*links.add(next as usize)).prev = prev;
            *links.add(token as usize) = Link { prev: NIL, next: front };
            (*links.add(front as usize)).prev = token;
            (*links).next = token;
        }
    }

    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// The tokens from front to back.
    pub fn iter(&self) -> impl Iterator<Item = Token> + '_ {
        let mut at = NIL;
        std::iter::from_fn(move || {
            at = self.links[at as usize].next;
            (at != NIL).then_some(at)
        })
    }

    /// Checks that both directions agree.
    pub fn validate(&self) {
        let mut prev = NIL;
        for token in self.iter() {
            assert_eq!(self.links[token as usize].prev, prev);
            prev = token;
        }
        assert_eq!(self.back(), prev);
    }
}

/// A strategy whose order is one list, the latest in front. `HIT_MOVES`: a hit makes its entry the latest; else it writes
/// nothing. `LATEST_LEAVES`: the latest entry gives way, else the earliest.
#[derive(Debug, Default)]
pub struct Listed<const HIT_MOVES: bool, const LATEST_LEAVES: bool>(List);

impl<const HIT_MOVES: bool, const LATEST_LEAVES: bool> Policy for Listed<HIT_MOVES, LATEST_LEAVES> {
    const HIT_WRITES: bool = HIT_MOVES;

    fn insert(&mut self, token: Token, limit: usize) {
        self.0.push_front(token, limit);
    }

    #[inline(always)]
    unsafe fn hit(&mut self, token: Token) {
        if HIT_MOVES {
            // SAFETY: an inserted token is in the list until it is removed.
            unsafe { self.0.move_to_front(token) }
        }
    }

    #[inline(always)]
    unsafe fn renew(&mut self, token: Token) {
        // A latest entry that leaves is in front already.
        if !LATEST_LEAVES {
            // SAFETY: an inserted token is in the list until it is removed.
            unsafe { self.0.move_to_front(token) }
        }
    }

    fn remove(&mut self, token: Token) {
        self.0.remove(token);
    }

    #[inline(always)]
    fn victim(&self) -> Token {
        if LATEST_LEAVES {
            self.0.front()
        } else {
            self.0.back()
        }
    }

    fn victims(&self) -> Vec<Token> {
        let mut tokens: Vec<Token> = self.0.iter().collect();
        if !LATEST_LEAVES {
            tokens.reverse();
        }
        tokens
    }

    fn validate(&self) {
        self.0.validate();
    }
}
