//! Ghosts: the keys that left last, remembered by their hashes.
//!
//! Ring 1. A ring of so many places, the oldest overwritten by the newest, and a table that finds a hash in it. A key that
//! comes back is a ghost no more, but its place is taken until its turn comes: that is the queue of the S3-FIFO paper. Two
//! keys are taken for one if all 64 bits of their hashes agree.

use crate::index::Index;
use crate::slab::{reserve_one, Token};

#[derive(Debug)]
pub struct Ghosts {
    /// The hash in each place. The table knows those that are still ghosts, by their place plus 1.
    hashes: Vec<u64>,
    table: Index,
    /// The place that is taken next, once there are `most`.
    oldest: usize,
    most: usize,
}

impl Clone for Ghosts {
    fn clone(&self) -> Self {
        let mut clone = Ghosts { hashes: self.hashes.clone(), table: Index::new(), ..*self };
        self.table.tokens().for_each(|token| clone.remember(token));
        clone
    }
}

impl Ghosts {
    /// Remembers at most `most` keys. Memory is taken as they come: about 14 bytes for each.
    pub fn new(most: usize) -> Self {
        Ghosts { hashes: Vec::new(), table: Index::new(), oldest: 0, most: most.min(Token::MAX as usize - 1) }
    }

    /// Remembers at most `most` keys from now on, and of those known the ones that left last. O(n).
    pub fn resize(&mut self, most: usize) {
        let mut resized = Ghosts::new(most);
        let places = (self.oldest..self.hashes.len()).chain(0..self.oldest);
        let is_ghost = self.places_of_ghosts();
        places.filter(|&place| is_ghost[place]).for_each(|place| resized.push(self.hashes[place]));
        *self = resized;
    }

    /// Which places hold a key that is still a ghost.
    fn places_of_ghosts(&self) -> Vec<bool> {
        let mut is_ghost = vec![false; self.hashes.len()];
        self.table.tokens().for_each(|token| is_ghost[token as usize - 1] = true);
        is_ghost
    }

    fn remember(&mut self, token: Token) {
        if self.table.is_full() {
            let hashes = &self.hashes;
            self.table.grow(|token| hashes[token as usize - 1] as u32);
        }
        self.table.insert(self.hashes[token as usize - 1] as u32, token);
    }

    /// A key has left. Expected O(1) amortized.
    #[inline]
    pub fn push(&mut self, hash: u64) {
        if self.hashes.len() < self.most {
            reserve_one(&mut self.hashes, self.most);
            self.hashes.push(hash);
            self.remember(self.hashes.len() as Token);
        } else if self.most > 0 {
            let place = self.oldest;
            self.oldest = (place + 1) % self.most;
            let forgotten = std::mem::replace(&mut self.hashes[place], hash);
            self.table.remove(forgotten as u32, place as Token + 1);
            self.remember(place as Token + 1);
        }
    }

    /// Whether a key that comes was a ghost; it is none any more. Expected O(1).
    pub fn take(&mut self, hash: u64) -> bool {
        let mut probe = self.table.probe(hash as u32);
        while let Some(token) = self.table.next(&mut probe) {
            if self.hashes[token as usize - 1] == hash {
                return self.table.remove(hash as u32, token);
            }
        }
        false
    }

    /// Checks that the table names ghosts only.
    pub fn validate(&self) {
        self.table.validate(|token| self.hashes[token as usize - 1] as u32);
        assert!(self.hashes.len() <= self.most && self.table.len() <= self.hashes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resized_they_are_the_last_ones_and_no_others() {
        let mut ghosts = Ghosts::new(5);
        (1..=7).for_each(|hash| ghosts.push(hash));
        // 3 to 7 are known; 5 comes back, and is none any more.
        assert!(!ghosts.take(2) && ghosts.take(5));
        ghosts.resize(10);
        ghosts.validate();
        assert!(!ghosts.take(5) && ghosts.take(3));
        (8..=9).for_each(|hash| ghosts.push(hash));
        ghosts.resize(3);
        ghosts.validate();
        assert!(!ghosts.take(4) && !ghosts.take(6) && ghosts.take(7) && ghosts.take(8) && ghosts.take(9));
    }
}
