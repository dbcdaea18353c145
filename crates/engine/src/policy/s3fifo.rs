//! S3-FIFO: new entries wait in a small queue, and those that were used twice there pass into the main one.
//!
//! Yang, Zhang, Qiu, Yue & Rashmi, "FIFO queues are all you need for cache eviction" (SOSP '23), Algorithm 1, with a small
//! queue of a tenth of the capacity. What leaves the small queue unused is remembered as a ghost; a ghost that comes back
//! goes to the main queue at once. There, an entry that was used goes round again, once for each use it had. A hit counts
//! uses up to three and moves nothing, so most traffic of a popular entry writes nothing.

use super::ghosts::Ghosts;
use super::tuning::s3fifo::{goes_on, rooms, takes_from_small, MAX_FREQUENCY};
use super::{HitEffect, Policy};
use crate::linked_list::List;
use crate::policy::access_bits::AccessBits;
use crate::slab::{reserve_one, Token, NIL};

const SMALL: usize = 0;
const MAIN: usize = 1;

#[derive(Clone, Debug)]
pub struct S3Fifo {
    /// The latest of each queue in front.
    queues: List<2>,
    uses: AccessBits<MAX_FREQUENCY>,
    /// Indexed by token: whether the entry is in the main queue.
    in_main: Vec<bool>,
    lens: [usize; 2],
    /// While the small queue is at least so long, its oldest entry is the next to go.
    small: u64,
    ghosts: Ghosts,
}

impl S3Fifo {
    /// The queue that a new entry goes to.
    fn queue_of(&mut self, hash: u64) -> usize {
        if self.ghosts.take(hash) {
            MAIN
        } else {
            SMALL
        }
    }

    /// Puts an entry that is in one of the queues at the front of one, with no uses.
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    unsafe fn requeue(&mut self, token: Token, queue: usize) {
        self.lens[usize::from(self.in_main[token as usize])] -= 1;
        self.lens[queue] += 1;
        self.in_main[token as usize] = queue == MAIN;
        // SAFETY: an inserted token is in one of the queues until it is removed; `queue` is one of the two.
        unsafe { self.queues.move_to_front(queue, token) };
        self.uses.set(token, 0);
    }

    /// The entry to evict, which is not `kept`. Another one is in.
    #[inline(always)]
    fn find_victim(&mut self, kept: Token) -> Token {
        loop {
            let [small_len, main_len] = self.lens.map(|len| len as u64);
            let is_small = takes_from_small(small_len, main_len, self.small);
            let queue = if is_small { SMALL } else { MAIN };
            let oldest = self.queues.back(queue);
            if oldest == NIL {
                return NIL;
            }
            let uses = self.uses.get(oldest);
            let left = if oldest == kept { Some(uses) } else { goes_on(is_small, uses) };
            let Some(left) = left else { return oldest };
            // SAFETY: what is at the back of a queue was inserted and not removed since.
            unsafe { self.requeue(oldest, MAIN) };
            self.uses.set(oldest, left);
        }
    }
}

impl Policy for S3Fifo {
    const HIT: HitEffect = HitEffect::Shared;
    const HAS_HISTORY: bool = true;

    fn new(capacity: usize) -> Self {
        let (small, main) = rooms(capacity as u64);
        S3Fifo {
            queues: List::default(),
            uses: AccessBits::default(),
            in_main: Vec::new(),
            lens: [0; 2],
            small,
            ghosts: Ghosts::new(main as usize),
        }
    }

    fn resize(&mut self, capacity: usize) {
        let (small, main) = rooms(capacity as u64);
        self.small = small;
        self.ghosts.resize(main as usize);
    }

    fn insert(&mut self, token: Token, hash: u64, limit: usize) {
        while self.in_main.len() <= token as usize {
            reserve_one(&mut self.in_main, limit.saturating_add(1));
            self.in_main.push(false);
        }
        let queue = self.queue_of(hash);
        self.queues.push_front(queue, token, limit);
        self.uses.admit(token, limit);
        self.in_main[token as usize] = queue == MAIN;
        self.lens[queue] += 1;
    }

    #[inline(always)]
    unsafe fn mark(&self, token: Token) {
        // SAFETY: `insert` made room for the token.
        unsafe { self.uses.increment(token) }
    }

    #[inline(always)]
    fn remember(&mut self, token: Token, hash: u64) {
        if !self.in_main[token as usize] {
            self.ghosts.push(hash);
        }
    }

    unsafe fn renew(&mut self, token: Token, left: u64, came: u64) {
        // Before the newcomer is looked up: it may have been the oldest ghost.
        self.remember(token, left);
        let queue = self.queue_of(came);
        // SAFETY: the caller's promise.
        unsafe { self.requeue(token, queue) };
    }

    fn remove(&mut self, token: Token) {
        if self.queues.contains(token) {
            self.lens[usize::from(self.in_main[token as usize])] -= 1;
            self.queues.remove(token);
        }
    }

    /// O(1) amortized: every step undoes a use that a hit has counted.
    fn victim(&mut self) -> Token {
        self.find_victim(NIL)
    }

    /// `kept` goes on wherever it is met, with its uses.
    fn victim_beside(&mut self, kept: Token) -> Token {
        if self.lens[SMALL] + self.lens[MAIN] == 1 {
            return NIL;
        }
        self.find_victim(kept)
    }

    fn validate(&self) {
        self.queues.validate();
        self.ghosts.validate();
        for queue in [SMALL, MAIN] {
            assert_eq!(self.queues.iter(queue).count(), self.lens[queue]);
            assert!(self.queues.iter(queue).all(|token| self.in_main[token as usize] == (queue == MAIN)));
        }
    }
}
