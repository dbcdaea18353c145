//! SIEVE and S3-FIFO as their papers have them, over plain lists: what the queues in the file are compared with.

use std::collections::{HashMap, VecDeque};

/// The order of a cache's keys under a strategy.
pub(crate) trait Reference {
    fn hit(&mut self, key: u32);
    /// The key that gives way, which is gone then.
    fn evict(&mut self) -> u32;
    fn insert(&mut self, key: u32);
    fn remove(&mut self, key: u32);
    fn clear(&mut self);
}

/// NSDI 2024, Algorithm 1. The head of the queue is the end of the list.
#[derive(Default)]
pub(crate) struct Sieve {
    queue: Vec<(u32, bool)>,
    hand: usize,
}

impl Reference for Sieve {
    fn hit(&mut self, key: u32) {
        self.queue.iter_mut().filter(|e| e.0 == key).for_each(|e| e.1 = true);
    }
    fn evict(&mut self) -> u32 {
        loop {
            if self.hand >= self.queue.len() {
                self.hand = 0;
            }
            let (key, visited) = self.queue[self.hand];
            if !visited {
                // The next one moves up to where the hand is.
                self.queue.remove(self.hand);
                return key;
            }
            self.queue[self.hand].1 = false;
            self.hand += 1;
        }
    }
    fn insert(&mut self, key: u32) {
        // A hand beyond the head means "at the tail".
        if self.hand == self.queue.len() {
            self.hand = 0;
        }
        self.queue.push((key, false));
    }
    fn remove(&mut self, key: u32) {
        if let Some(i) = self.queue.iter().position(|e| e.0 == key) {
            self.queue.remove(i);
            if self.hand > i {
                self.hand -= 1;
            } else if self.hand == self.queue.len() {
                self.hand = 0;
            }
        }
    }
    fn clear(&mut self) {
        *self = Sieve::default();
    }
}

/// SOSP 2023, Algorithm 1; the ghosts are the keys of the last evictions from the small queue.
pub(crate) struct S3Fifo {
    room: (usize, usize),
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    ghosts: VecDeque<Option<u32>>,
    frequency: HashMap<u32, u8>,
}

impl S3Fifo {
    pub(crate) fn new(capacity: usize) -> S3Fifo {
        let small = (capacity / 10).max(1);
        let none = VecDeque::new;
        S3Fifo {
            room: (small, capacity - small),
            small: none(),
            main: none(),
            ghosts: VecDeque::new(),
            frequency: HashMap::new(),
        }
    }

    fn evict_from_main(&mut self) -> u32 {
        loop {
            let key = self.main.pop_back().unwrap();
            let frequency = self.frequency.get_mut(&key).unwrap();
            if *frequency == 0 {
                self.frequency.remove(&key);
                return key;
            }
            *frequency -= 1;
            self.main.push_front(key);
        }
    }
}

impl Reference for S3Fifo {
    fn hit(&mut self, key: u32) {
        self.frequency.entry(key).and_modify(|f| *f = (*f + 1).min(3));
    }
    fn evict(&mut self) -> u32 {
        if self.small.len() >= self.room.0 || self.main.is_empty() {
            while let Some(key) = self.small.pop_back() {
                if self.frequency[&key] <= 1 {
                    self.frequency.remove(&key);
                    self.ghosts.push_front(Some(key));
                    self.ghosts.truncate(self.room.1);
                    return key;
                }
                self.frequency.insert(key, 0);
                self.main.push_front(key);
                if self.main.len() > self.room.1 {
                    break;
                }
            }
        }
        self.evict_from_main()
    }
    fn insert(&mut self, key: u32) {
        self.frequency.insert(key, 0);
        match self.ghosts.iter_mut().find(|ghost| **ghost == Some(key)) {
            Some(ghost) => {
                *ghost = None;
                self.main.push_front(key);
            }
            None => self.small.push_front(key),
        }
    }
    fn remove(&mut self, key: u32) {
        self.small.retain(|k| *k != key);
        self.main.retain(|k| *k != key);
        self.frequency.remove(&key);
    }
    fn clear(&mut self) {
        *self = S3Fifo::new(self.room.0 + self.room.1);
    }
}
