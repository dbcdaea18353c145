//! The model of a cache: lists that are searched and sorted afresh at every step, and nothing else.

use engine::policy::Kind;
use engine::slab::Token;

mod queues;

use queues::Queues;

/// The number of a key object or of a value object; no two have the same.
pub type Id = u64;

/// The key and the value of an entry that left.
pub type Gone = (Id, Id);

/// An entry whose value is there.
#[derive(Clone, Debug)]
pub struct Published {
    pub name: u8,
    pub ids: Gone,
    pub token: Token,
    pub deadline: u64,
    /// When it came in, was used last and got its deadline: steps of the model, not time.
    inserted: u64,
    used: u64,
    dated: u64,
    uses: u64,
}

/// An entry whose value is still being computed.
#[derive(Clone, Debug)]
pub struct Reserved {
    pub name: u8,
    pub ids: Gone,
    pub token: Token,
    pub attached: bool,
}

#[derive(Debug)]
pub struct Naive {
    kind: Kind,
    capacity: usize,
    expires: bool,
    step: u64,
    /// The order of SIEVE and S3-FIFO; the others' follows from the entries.
    queues: Queues,
    pub published: Vec<Published>,
    pub reserved: Vec<Reserved>,
}

impl Naive {
    pub fn new(kind: Kind, capacity: Option<usize>, expires: bool) -> Self {
        let capacity = capacity.unwrap_or(usize::MAX);
        Naive {
            kind,
            capacity,
            expires,
            step: 0,
            queues: Queues::new(kind, capacity),
            published: Vec::new(),
            reserved: Vec::new(),
        }
    }

    fn tick(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    /// The published entries, the next victim first.
    pub fn victims(&self) -> Vec<Token> {
        let mut order: Vec<&Published> = self.published.iter().collect();
        order.sort_by_key(|e| match self.kind {
            Kind::Lru => (0, e.used),
            Kind::Mru => (0, u64::MAX - e.used),
            Kind::Lfu => (e.uses, e.used),
            _ => (0, e.inserted),
        });
        if matches!(self.kind, Kind::Sieve | Kind::S3Fifo) {
            return self.queues.victims();
        }
        order.iter().map(|e| e.token).collect()
    }

    pub fn is_expired(&self, entry: &Published, now: u64) -> bool {
        self.expires && entry.deadline <= now
    }

    /// Whether a call for the key would find something.
    pub fn is_present(&self, name: u8, now: u64) -> bool {
        self.reserved.iter().any(|e| e.attached && e.name == name)
            || self.published.iter().any(|e| e.name == name && !self.is_expired(e, now))
    }

    /// The tokens in the table under the key, in rising order.
    pub fn tokens(&self, name: u8) -> Vec<Token> {
        let reserved = self.reserved.iter().filter(|e| e.attached && e.name == name).map(|e| e.token);
        let published = self.published.iter().filter(|e| e.name == name).map(|e| e.token);
        let mut tokens: Vec<Token> = reserved.chain(published).collect();
        tokens.sort_unstable();
        tokens
    }

    /// The key and value in an occupied slot.
    pub fn ids(&self, token: Token) -> Option<Gone> {
        let published = self.published.iter().find(|e| e.token == token).map(|e| e.ids);
        published.or_else(|| self.reserved.iter().find(|e| e.token == token).map(|e| e.ids))
    }

    pub fn reserve(&mut self, name: u8, ids: Gone, token: Token) {
        let attached = true;
        self.reserved.push(Reserved { name, ids, token, attached });
    }

    /// Expired entries leave, the earliest first, then victims until there is room for one.
    pub fn make_room(&mut self, now: u64) -> Vec<Gone> {
        let mut gone = self.expire(now);
        while self.published.len() >= self.capacity {
            let victim = match self.kind {
                Kind::Sieve | Kind::S3Fifo => self.queues.evict().unwrap(),
                _ => self.victims()[0],
            };
            gone.push(self.remove(victim));
        }
        gone
    }

    pub fn add(&mut self, name: u8, ids: Gone, token: Token, deadline: u64) {
        let step = self.tick();
        self.queues.add(token, super::hash(name));
        self.published.push(Published { name, ids, token, deadline, inserted: step, used: step, dated: step, uses: 1 });
    }

    /// Takes a reserved entry, which then leaves or is published.
    pub fn take_reserved(&mut self, token: Token) -> Reserved {
        let at = self.reserved.iter().position(|e| e.token == token).unwrap();
        self.reserved.remove(at)
    }

    fn entry(&mut self, token: Token) -> &mut Published {
        self.published.iter_mut().find(|e| e.token == token).unwrap()
    }

    pub fn hit(&mut self, token: Token) {
        let step = self.tick();
        self.queues.hit(token);
        let entry = self.entry(token);
        entry.used = step;
        entry.uses += 1;
    }

    /// Returns the old value.
    pub fn replace(&mut self, token: Token, value: Id, deadline: u64) -> Id {
        self.hit(token);
        let step = self.step;
        let entry = self.entry(token);
        entry.deadline = deadline;
        entry.dated = step;
        std::mem::replace(&mut entry.ids.1, value)
    }

    pub fn remove(&mut self, token: Token) -> Gone {
        self.queues.remove(token);
        let at = self.published.iter().position(|e| e.token == token).unwrap();
        self.published.remove(at).ids
    }

    pub fn expire(&mut self, now: u64) -> Vec<Gone> {
        let mut expired: Vec<Published> = self.published.iter().filter(|e| self.is_expired(e, now)).cloned().collect();
        expired.sort_by_key(|e| (e.deadline, e.dated));
        expired.iter().map(|e| self.remove(e.token)).collect()
    }

    pub fn clear(&mut self) -> Vec<Gone> {
        let victims = self.victims();
        self.reserved.iter_mut().for_each(|e| e.attached = false);
        let gone = victims.into_iter().map(|token| self.remove(token)).collect();
        self.queues = Queues::new(self.kind, self.capacity);
        gone
    }
}
