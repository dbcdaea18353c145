//! First in, first out: the oldest entry gives way, however often it was used.
//!
//! A hit writes nothing.

use super::list::List;
use super::Policy;
use crate::entry::Token;

#[derive(Debug, Default)]
pub struct Fifo {
    /// Latest insertion in front.
    list: List,
}

impl Policy for Fifo {
    const HIT_WRITES: bool = false;

    fn insert(&mut self, token: Token, limit: usize) {
        self.list.push_front(token, limit);
    }

    #[inline(always)]
    unsafe fn hit(&mut self, _token: Token) {}

    #[inline(always)]
    unsafe fn renew(&mut self, token: Token) {
        // SAFETY: an inserted token is in the list until it is removed.
        unsafe { self.list.move_to_front(token) }
    }

    fn remove(&mut self, token: Token) {
        self.list.remove(token);
    }

    #[inline(always)]
    fn victim(&self) -> Token {
        self.list.back()
    }

    fn victims(&self) -> Vec<Token> {
        let mut tokens: Vec<Token> = self.list.iter().collect();
        tokens.reverse();
        tokens
    }

    fn validate(&self) {
        self.list.validate();
    }
}
