//! Doubly linked lists of tokens in one array: the order behind LRU, MRU, FIFO and the deadlines, and the queues of others.
//!
//! Ring 1. Circular, with a sentinel for each list, so that linking never branches. Eight bytes an entry, apart from the
//! slots.

use crate::slab::{reserve_one, Token, NIL};

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
}

/// `N` lists (by default one) that share their tokens: a token is in one of them or in none. Each goes from the front
/// (latest) to the back (earliest).
#[derive(Clone, Debug)]
pub struct List<const N: usize = 1> {
    /// The first `N` are the sentinels: a sentinel's `next` is its list's front and its `prev` the back. Then come the tokens
    /// from 1 on, named by where they stand here; one that is in no list points to itself. Every `prev` and `next` is less
    /// than `links.len()`.
    links: Vec<Link>,
}

impl<const N: usize> Default for List<N> {
    fn default() -> Self {
        List { links: (0..N as u32).map(|own| Link { prev: own, next: own }).collect() }
    }
}

/// Where a token stands in the array. (There is no memory for so many entries that this were not exact.)
#[inline(always)]
const fn at<const N: usize>(token: Token) -> u32 {
    token.saturating_add(N as u32 - 1)
}

/// The token that stands there; of a sentinel, [`NIL`].
#[inline(always)]
const fn token_at<const N: usize>(at: u32) -> Token {
    at.saturating_sub(N as u32 - 1)
}

impl<const N: usize> List<N> {
    #[inline(always)]
    fn sentinel(&self, list: usize) -> Link {
        debug_assert!(list < N && N <= self.links.len());
        // SAFETY: the sentinels always exist, and each caller names one of them.
        unsafe { *self.links.get_unchecked(list) }
    }

    /// The latest token of a list, or [`NIL`].
    ///
    /// # Panics
    /// In debug builds, if there is no such list; so do the others below.
    #[inline(always)]
    pub fn front(&self, list: usize) -> Token {
        token_at::<N>(self.sentinel(list).next)
    }

    /// The earliest token of a list, or [`NIL`].
    #[inline(always)]
    pub fn back(&self, list: usize) -> Token {
        token_at::<N>(self.sentinel(list).prev)
    }

    /// The neighbour of `token` towards the back; of the back one, [`NIL`].
    pub fn after(&self, token: Token) -> Token {
        token_at::<N>(self.links[at::<N>(token) as usize].next)
    }

    /// The neighbour of `token` towards the front; of the front one, [`NIL`].
    pub fn before(&self, token: Token) -> Token {
        token_at::<N>(self.links[at::<N>(token) as usize].prev)
    }

    pub fn contains(&self, token: Token) -> bool {
        token != NIL && self.links.get(at::<N>(token) as usize).is_some_and(|l| l.next != at::<N>(token))
    }

    /// Makes room for `token`, which is in no list yet.
    fn admit(&mut self, token: Token, limit: usize) {
        while self.links.len() <= at::<N>(token) as usize {
            reserve_one(&mut self.links, limit.saturating_add(N));
            let own = self.links.len() as u32;
            self.links.push(Link { prev: own, next: own });
        }
        debug_assert!(token != NIL && !self.contains(token));
    }

    /// Puts `token`, which is in no list, at the front of one. O(1) amortized.
    pub fn push_front(&mut self, list: usize, token: Token, limit: usize) {
        self.admit(token, limit);
        self.link_behind(list as u32, at::<N>(token));
    }

    /// Puts `token`, which is in no list, behind `before`, which is in one. O(1) amortized.
    pub fn insert_after(&mut self, before: Token, token: Token, limit: usize) {
        debug_assert!(self.contains(before));
        self.admit(token, limit);
        self.link_behind(at::<N>(before), at::<N>(token));
    }

    fn link_behind(&mut self, before: u32, own: u32) {
        let next = self.links[before as usize].next;
        self.links[own as usize] = Link { prev: before, next };
        self.links[before as usize].next = own;
        self.links[next as usize].prev = own;
    }

    /// Takes `token` out; nothing happens if it is in no list. O(1).
    pub fn remove(&mut self, token: Token) {
        if self.contains(token) {
            let own = at::<N>(token);
            let Link { prev, next } = self.links[own as usize];
            self.links[prev as usize].next = next;
            self.links[next as usize].prev = prev;
            self.links[own as usize] = Link { prev: own, next: own };
        }
    }

    /// Moves `token` to the front of a list, be it its own or another. O(1): this is what an LRU hit writes.
    ///
    /// # Safety
    /// `token` is in one of the lists, and `list` is less than `N`.
    #[inline(always)]
    pub unsafe fn move_to_front(&mut self, list: usize, token: Token) {
        debug_assert!(list < N && self.contains(token));
        let own = at::<N>(token);
        let links = self.links.as_mut_ptr();
        // SAFETY: `token` is in a list, so its place is less than `links.len()`, and so is every `prev` and `next` (the
        // invariant of `links`). The sentinels always exist.
        unsafe {
            let sentinel = links.add(list);
            let front = (*sentinel).next;
            if front == own {
                return;
            }
            let Link { prev, next } = *links.add(own as usize);
            (*links.add(prev as usize)).next = next;
            (*links.add(next as usize)).prev = prev;
            *links.add(own as usize) = Link { prev: list as u32, next: front };
            (*links.add(front as usize)).prev = own;
            (*sentinel).next = own;
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// A list's tokens from front to back.
    pub fn iter(&self, list: usize) -> impl Iterator<Item = Token> + '_ {
        let mut next = self.front(list);
        std::iter::from_fn(move || {
            let token = next;
            (token != NIL).then(|| {
                next = self.after(token);
                token
            })
        })
    }

    /// Checks that both directions of each list agree.
    pub fn validate(&self) {
        for list in 0..N {
            let mut before = NIL;
            for token in self.iter(list) {
                assert_eq!(self.before(token), before);
                before = token;
            }
            assert_eq!(self.back(list), before);
        }
    }
}
