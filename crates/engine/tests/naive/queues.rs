//! The model of SIEVE and S3-FIFO: their papers' algorithms over lists that are searched afresh at every step.

use engine::policy::Kind;
use engine::slab::{Token, NIL};

#[derive(Clone, Debug)]
struct Entry {
    token: Token,
    /// Who it is when it comes back.
    hash: u64,
    /// Uses counted: at most one by SIEVE, three by S3-FIFO.
    uses: u8,
}

/// Each queue has its oldest entry first.
#[derive(Clone, Debug)]
pub struct Queues {
    kind: Kind,
    /// SIEVE has this one alone.
    small: Vec<Entry>,
    main: Vec<Entry>,
    /// The places of the ghost queue, the oldest first; one that has come back is `None`.
    ghosts: Vec<Option<u64>>,
    /// Where SIEVE's hand is: before the entry at this index.
    hand: usize,
    small_target: usize,
    ghosts_most: usize,
}

impl Queues {
    pub fn new(kind: Kind, capacity: usize) -> Self {
        let small_target = (capacity / 10).max(1);
        Queues {
            kind,
            small: Vec::new(),
            main: Vec::new(),
            ghosts: Vec::new(),
            hand: 0,
            small_target,
            ghosts_most: capacity - small_target,
        }
    }

    pub fn add(&mut self, token: Token, hash: u64) {
        let entry = Entry { token, hash, uses: 0 };
        match self.ghosts.iter().position(|ghost| *ghost == Some(hash)) {
            Some(at) => {
                self.ghosts[at] = None;
                self.main.push(entry);
            }
            None => self.small.push(entry),
        }
    }

    pub fn hit(&mut self, token: Token) {
        let most = if self.kind == Kind::Sieve { 1 } else { 3 };
        let entry = self.small.iter_mut().chain(&mut self.main).find(|e| e.token == token).unwrap();
        entry.uses = most.min(entry.uses + 1);
    }

    pub fn remove(&mut self, token: Token) {
        if let Some(at) = self.small.iter().position(|e| e.token == token) {
            self.take(at);
        }
        self.main.retain(|e| e.token != token);
    }

    /// Takes an entry out of the first queue; a hand that stood there moves to the next newer one, after the newest to the
    /// oldest.
    fn take(&mut self, at: usize) -> Token {
        self.hand -= usize::from(at < self.hand);
        let token = self.small.remove(at).token;
        self.hand %= self.small.len().max(1);
        token
    }

    /// So many entries fit from now on.
    pub fn resize(&mut self, capacity: usize) {
        self.small_target = (capacity / 10).max(1);
        self.ghosts_most = capacity - self.small_target;
        self.ghosts.retain(Option::is_some);
        let over = self.ghosts.len().saturating_sub(self.ghosts_most);
        self.ghosts.drain(..over);
    }

    /// Makes one entry leave, which is not `kept`.
    pub fn evict(&mut self, kept: Token) -> Option<Token> {
        if self.small.iter().chain(&self.main).all(|entry| entry.token == kept) {
            return None;
        }
        Some(if self.kind == Kind::Sieve { self.sieve(kept) } else { self.s3fifo(kept) })
    }

    fn sieve(&mut self, kept: Token) -> Token {
        loop {
            if self.small[self.hand].uses == 0 && self.small[self.hand].token != kept {
                return self.take(self.hand);
            }
            self.small[self.hand].uses = 0;
            self.hand = (self.hand + 1) % self.small.len();
        }
    }

    fn s3fifo(&mut self, kept: Token) -> Token {
        loop {
            if self.small.len() >= self.small_target || self.main.is_empty() {
                let entry = self.small.remove(0);
                if entry.token == kept {
                    self.main.push(entry);
                    continue;
                }
                if entry.uses >= 2 {
                    self.main.push(Entry { uses: 0, ..entry });
                    continue;
                }
                self.ghosts.push(Some(entry.hash));
                while self.ghosts.len() > self.ghosts_most {
                    self.ghosts.remove(0);
                }
                return entry.token;
            }
            let entry = self.main.remove(0);
            if entry.token == kept {
                self.main.push(entry);
                continue;
            }
            if entry.uses == 0 {
                return entry.token;
            }
            self.main.push(Entry { uses: entry.uses - 1, ..entry });
        }
    }

    /// All entries, the next victim first.
    pub fn victims(&self) -> Vec<Token> {
        let mut rest = self.clone();
        std::iter::from_fn(|| rest.evict(NIL)).collect()
    }
}
