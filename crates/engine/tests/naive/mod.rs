//! The model of a cache: lists that are searched and sorted afresh at every step, and nothing else.

// Each test uses a part of it.
#![allow(dead_code)]

use std::collections::VecDeque;

use engine::cache::{Cause, Description, Expires, Features, Freshness, Lifetime};
use engine::policy::Kind;
use engine::slab::{Token, NIL};

pub mod objects;
mod queues;

use objects::hash;
use queues::Queues;

/// The number of a key object or of a value object; no two have the same.
pub type Id = u64;

/// An entry that left.
#[derive(Clone, Debug)]
pub struct Gone {
    /// Of the key and of the value.
    pub ids: (Id, Id),
    pub cause: Cause,
    /// In a cache with an idle time, when it ended.
    pub idle_end: Option<u64>,
}

/// An entry whose value is there.
#[derive(Clone, Debug)]
pub struct Published {
    pub name: u8,
    pub ids: (Id, Id),
    pub token: Token,
    pub lifetime: Lifetime,
    pub weight: u64,
    pub tags: Vec<String>,
    /// When it will have been idle for too long.
    idle_end: u64,
    /// When it came in, was used last, got its deadline and its tags: steps of the model, not time.
    inserted: u64,
    used: u64,
    dated: u64,
    tagged: u64,
    uses: u64,
}

impl Published {
    /// It was not given its tags anew.
    pub fn keep_tagged(&mut self, before: &Published) {
        self.tagged = before.tagged;
    }
}

/// An entry whose value is still being computed.
#[derive(Clone, Debug)]
pub struct Reserved {
    pub name: u8,
    pub ids: (Id, Id),
    pub token: Token,
    pub attached: bool,
}

#[derive(Debug)]
pub struct Naive {
    kind: Kind,
    capacity: usize,
    features: Features,
    step: u64,
    /// The order of SIEVE and S3-FIFO; the others' follows from the entries.
    queues: Queues,
    /// How many entries fit, as a cache with weights has found out.
    room: usize,
    /// TinyLFU has no model: whom it will choose, told by the cache.
    pub chosen: VecDeque<Id>,
    pub published: Vec<Published>,
    pub reserved: Vec<Reserved>,
    pub evictions: u64,
    pub expirations: u64,
}

impl Naive {
    pub fn new(kind: Kind, capacity: Option<usize>, expires: bool) -> Self {
        let expires = if expires { Expires::OneLifetime } else { Expires::No };
        Self::with(kind, capacity, Features { expires, ..Features::default() })
    }

    pub fn with(kind: Kind, capacity: Option<usize>, features: Features) -> Self {
        let capacity = capacity.unwrap_or(usize::MAX);
        let room = if features.max_weight.is_some() { capacity.min(16) } else { capacity };
        Naive {
            kind,
            capacity,
            features,
            step: 0,
            queues: Queues::new(kind, room),
            room,
            chosen: VecDeque::new(),
            published: Vec::new(),
            reserved: Vec::new(),
            evictions: 0,
            expirations: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    /// The published entries, the next victim first; of TinyLFU in any order.
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

    fn victim_beside(&mut self, kept: Token) -> Option<Token> {
        match self.kind {
            Kind::Sieve | Kind::S3Fifo => self.queues.evict(kept),
            Kind::TinyLfu if self.published.iter().all(|e| e.token == kept) => None,
            Kind::TinyLfu => {
                let key = self.chosen.pop_front().expect("another one has to leave");
                let token = self.published.iter().find(|e| e.ids.0 == key).expect("it was there").token;
                assert_ne!(token, kept, "the entry made itself leave");
                Some(token)
            }
            _ => self.victims().into_iter().find(|&token| token != kept),
        }
    }

    /// The end of an entry that nobody uses.
    pub fn end(&self, entry: &Published) -> u64 {
        let idle_end = if self.features.idle.is_some() { entry.idle_end } else { u64::MAX };
        self.lifetime(entry).end.min(idle_end)
    }

    pub fn lifetime(&self, entry: &Published) -> Lifetime {
        match self.features.expires {
            Expires::No => Lifetime::until(u64::MAX),
            _ => entry.lifetime,
        }
    }

    pub fn freshness(&self, entry: &Published, now: u64) -> Freshness {
        if self.end(entry) <= now {
            Freshness::Ended
        } else if self.lifetime(entry).fresh <= now {
            Freshness::Stale
        } else {
            Freshness::Fresh
        }
    }

    pub fn has_ended(&self, entry: &Published, now: u64) -> bool {
        self.freshness(entry, now) == Freshness::Ended
    }

    pub fn weight(&self) -> u64 {
        self.published.iter().map(|e| e.weight).sum()
    }

    /// Whether a call for the key would find something.
    pub fn is_present(&self, name: u8, now: u64) -> bool {
        self.reserved.iter().any(|e| e.attached && e.name == name)
            || self.published.iter().any(|e| e.name == name && !self.has_ended(e, now))
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
    pub fn ids(&self, token: Token) -> Option<(Id, Id)> {
        let published = self.published.iter().find(|e| e.token == token).map(|e| e.ids);
        published.or_else(|| self.reserved.iter().find(|e| e.token == token).map(|e| e.ids))
    }

    pub fn reserve(&mut self, name: u8, ids: (Id, Id), token: Token) {
        let attached = true;
        self.reserved.push(Reserved { name, ids, token, attached });
    }

    /// Ended entries leave, the earliest first, then victims until there is room for one of this weight, in the place of `kept`
    /// (or of none).
    pub fn make_room(&mut self, now: u64, kept: Token, weight: u64) -> Vec<Gone> {
        let mut gone = self.expire(now, kept);
        if let Some(max) = self.features.max_weight {
            let own = self.published.iter().find(|e| e.token == kept).map_or(0, |e| e.weight);
            if u128::from(self.weight() - own) + u128::from(weight) > max.into() {
                self.learn(true);
            }
            while u128::from(self.weight() - own) + u128::from(weight) > max.into() {
                let victim = self.victim_beside(kept).unwrap();
                gone.push(self.remove(victim, Cause::Size));
            }
        }
        while kept == NIL && self.published.len() >= self.capacity {
            let victim = self.victim_beside(NIL).unwrap();
            gone.push(self.remove(victim, Cause::Size));
        }
        gone
    }

    fn learn(&mut self, is_full: bool) {
        let (entries, near) = (self.published.len(), self.room / 8);
        let is_less = is_full && entries > 0 && entries + near < self.room;
        if self.features.max_weight.is_some() && (is_less || entries > self.room + near) {
            self.room = entries;
            self.queues.resize(entries);
        }
    }

    /// Makes the next victim leave.
    pub fn evict(&mut self) -> Option<Gone> {
        let victim = self.victim_beside(NIL)?;
        Some(self.remove(victim, Cause::Size))
    }

    pub fn add(&mut self, name: u8, ids: (Id, Id), token: Token, description: &Description<'_>, now: u64) {
        let step = self.tick();
        self.queues.add(token, hash(name));
        self.published.push(Published {
            name,
            ids,
            token,
            lifetime: description.lifetime,
            weight: 0,
            tags: Vec::new(),
            idle_end: now.saturating_add(self.features.idle.unwrap_or(0)),
            inserted: step,
            used: step,
            dated: step,
            tagged: step,
            uses: 1,
        });
        self.describe(token, description);
    }

    fn describe(&mut self, token: Token, description: &Description<'_>) {
        let step = self.step;
        let features = self.features;
        let entry = self.entry(token);
        if features.max_weight.is_some() {
            entry.weight = description.weight;
        }
        if features.tagged {
            entry.tags.clear();
            for &tag in description.tags {
                if !entry.tags.iter().any(|own| own == tag) {
                    entry.tags.push(tag.into());
                }
            }
            entry.tagged = step;
        }
        self.learn(false);
    }

    /// Takes a reserved entry, which then leaves or is published.
    pub fn take_reserved(&mut self, token: Token) -> Reserved {
        let at = self.reserved.iter().position(|e| e.token == token).unwrap();
        self.reserved.remove(at)
    }

    pub fn entry(&mut self, token: Token) -> &mut Published {
        self.published.iter_mut().find(|e| e.token == token).unwrap()
    }

    pub fn hit(&mut self, token: Token) {
        let step = self.tick();
        self.queues.hit(token);
        let entry = self.entry(token);
        entry.used = step;
        entry.uses += 1;
    }

    /// The entry was used in a cache with an idle time.
    pub fn used_at(&mut self, token: Token, now: u64) {
        let idle = self.features.idle.unwrap_or(0);
        let entry = self.entry(token);
        if entry.idle_end < now.saturating_add(idle - idle / 1024) {
            entry.idle_end = now.saturating_add(idle);
        }
    }

    pub fn set_lifetime(&mut self, token: Token, lifetime: Lifetime) {
        let step = self.tick();
        let entry = self.entry(token);
        (entry.lifetime, entry.dated) = (lifetime, step);
    }

    /// Returns the old value. `is_use`: the policy is to hear of it.
    pub fn replace(&mut self, token: Token, value: Id, description: &Description<'_>, now: u64, is_use: bool) -> Id {
        if is_use {
            self.hit(token);
        }
        self.set_lifetime(token, description.lifetime);
        let idle_end = now.saturating_add(self.features.idle.unwrap_or(0));
        self.entry(token).idle_end = idle_end;
        self.describe(token, description);
        std::mem::replace(&mut self.entry(token).ids.1, value)
    }

    pub fn remove(&mut self, token: Token, cause: Cause) -> Gone {
        self.queues.remove(token);
        let at = self.published.iter().position(|e| e.token == token).unwrap();
        let entry = self.published.remove(at);
        self.count(cause);
        Gone { ids: entry.ids, cause, idle_end: self.features.idle.map(|_| self.end(&entry)) }
    }

    pub fn count(&mut self, cause: Cause) {
        self.evictions += u64::from(cause == Cause::Size);
        self.expirations += u64::from(cause == Cause::Expired);
    }

    /// The entries with a tag leave, the one that was given it last first.
    pub fn invalidate_tag(&mut self, tag: &str) -> Vec<Gone> {
        let mut tagged: Vec<Published> = self.published.clone();
        tagged.retain(|e| e.tags.iter().any(|own| own == tag));
        tagged.sort_by_key(|e| u64::MAX - e.tagged);
        tagged.iter().map(|e| self.remove(e.token, Cause::Explicit)).collect()
    }

    /// The entries that have ended leave, but for `kept`.
    pub fn expire(&mut self, now: u64, kept: Token) -> Vec<Gone> {
        let mut ended: Vec<Published> = self.published.iter().filter(|e| self.has_ended(e, now)).cloned().collect();
        ended.retain(|e| e.token != kept);
        ended.sort_by_key(|e| (self.end(e), e.dated));
        ended.iter().map(|e| self.remove(e.token, Cause::Expired)).collect()
    }

    pub fn clear(&mut self) -> Vec<Gone> {
        let victims = self.victims();
        self.reserved.iter_mut().for_each(|e| e.attached = false);
        let gone = victims.into_iter().map(|token| self.remove(token, Cause::Explicit)).collect();
        self.queues = Queues::new(self.kind, self.room);
        gone
    }
}
