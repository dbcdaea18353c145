//! The naive model that the whole tier is compared with.

use super::reference::Reference;
use super::*;
use crate::file::units::Offset;
use std::collections::HashMap;

pub(super) struct Entry {
    pub(super) value: Vec<u8>,
    pub(super) fresh: u64,
    pub(super) deadline: u64,
    /// A stamp, and what it was.
    pub(super) tag: Option<(u64, u64)>,
    pub(super) last: u64,
    pub(super) used: u64,
    pub(super) count: u64,
}

pub(super) struct Model {
    pub(super) strategy: Strategy,
    pub(super) max: usize,
    pub(super) entries: HashMap<u8, Entry>,
    /// Of a strategy with queues, but for TinyLFU: which entry that evicts is its own affair, as long as it is one.
    pub(super) order: Option<Box<dyn Reference>>,
    pub(super) tick: u64,
    pub(super) now: u64,
    /// Time to idle.
    pub(super) idle: Option<u64>,
    /// Of keys and of tags, by what they share: how often they were invalidated.
    pub(super) fences: HashMap<Offset, u64>,
    pub(super) stamps: HashMap<u64, u64>,
    pub(super) cleared: u64,
}

/// A millisecond, the unit of this model's time.
pub(super) const UNIT: u64 = 1_000_000;

impl Model {
    pub(super) fn is_there(&self, e: &Entry) -> bool {
        e.deadline > self.now && self.idle.is_none_or(|idle| e.last + idle > self.now)
    }
    pub(super) fn is_void(&self, e: &Entry) -> bool {
        e.tag.is_some_and(|(number, stamp)| self.stamp(number) != stamp)
    }
    pub(super) fn lives(&self, e: &Entry) -> bool {
        self.is_there(e) && !self.is_void(e)
    }
    pub(super) fn is_fresh(&self, key: u8) -> bool {
        self.entries.get(&key).is_some_and(|e| self.lives(e) && e.fresh > self.now)
    }
    pub(super) fn stamp(&self, number: u64) -> u64 {
        self.stamps.get(&number).copied().unwrap_or(0)
    }
    pub(super) fn fence(&self, at: Offset) -> u64 {
        self.fences.get(&at).copied().unwrap_or(0)
    }
    pub(super) fn raise_fence(&mut self, cache: &SharedCache, key: u8) {
        *self.fences.entry(fence_of(cache, key)).or_default() += 1;
    }

    pub(super) fn get(&mut self, key: u8) -> Option<Vec<u8>> {
        self.tick += 1;
        let lives = self.entries.get(&key).is_some_and(|e| self.lives(e));
        lives.then(|| self.note_use(key))
    }

    pub(super) fn note_use(&mut self, key: u8) -> Vec<u8> {
        let (now, tick, strategy) = (self.now, self.tick, self.strategy);
        let e = self.entries.get_mut(&key).unwrap();
        e.count += 1;
        e.last = now;
        if strategy != Strategy::Fifo {
            e.used = tick;
        }
        if let Some(order) = &mut self.order {
            order.hit(key.into());
        }
        e.value.clone()
    }

    pub(super) fn remove(&mut self, key: u8) -> bool {
        if let Some(order) = &mut self.order {
            order.remove(key.into());
        }
        let gone = self.entries.remove(&key);
        gone.is_some_and(|e| self.lives(&e))
    }

    pub(super) fn expire(&mut self) {
        let gone: Vec<u8> = self.entries.iter().filter(|(_, e)| !self.is_there(e)).map(|(k, _)| *k).collect();
        gone.into_iter().for_each(|key| ignore(self.remove(key)));
    }

    /// After `cache` has stored it.
    pub(super) fn set(&mut self, key: u8, value: Vec<u8>, terms: Terms, tag: Option<(u64, u64)>, cache: &SharedCache) {
        self.expire();
        self.tick += 1;
        let (fresh, deadline) = (terms.fresh, terms.end);
        if self.entries.contains_key(&key) {
            self.note_use(key);
            let e = self.entries.get_mut(&key).unwrap();
            (e.value, e.fresh, e.deadline, e.tag) = (value, fresh, deadline, tag);
            return;
        }
        if self.entries.len() == self.max {
            let order = self.order.as_mut().map(|order| order.evict() as u8);
            let missing = |key: &&u8| {
                let (table, key) = (cache.table(), key_bytes(**key));
                table.find(table.hash(&key), &key, &mut ReadBuf::new()).is_none()
            };
            let victim = match self.strategy {
                Strategy::Sieve | Strategy::S3Fifo => order,
                Strategy::TinyLfu => {
                    assert_eq!(self.entries.keys().filter(missing).count(), 1, "one gives way for one");
                    self.entries.keys().find(missing).copied()
                }
                _ => self.victim_by_stamps(),
            };
            self.entries.remove(&victim.unwrap());
        }
        if let Some(order) = &mut self.order {
            order.insert(key.into());
        }
        let (used, last) = (self.tick, self.now);
        self.entries.insert(key, Entry { value, fresh, deadline, tag, last, used, count: 1 });
    }

    pub(super) fn victim_by_stamps(&self) -> Option<u8> {
        let victim = match self.strategy {
            Strategy::Mru => self.entries.iter().max_by_key(|(_, e)| e.used),
            Strategy::Lfu => self.entries.iter().min_by_key(|(_, e)| (e.count, e.used)),
            _ => self.entries.iter().min_by_key(|(_, e)| e.used),
        };
        victim.map(|(key, _)| *key)
    }

    pub(super) fn live(&self) -> Vec<(u8, Vec<u8>)> {
        let mut all: Vec<_> =
            self.entries.iter().filter(|(_, e)| self.lives(e)).map(|(k, e)| (*k, e.value.clone())).collect();
        all.sort();
        all
    }
}

/// A tag for the file, and for the model.
pub(super) fn tags_of(cache: &SharedCache, model: &Model, tag: Option<u8>) -> (Tags, Option<(u64, u64)>) {
    let tags: Vec<u64> = tag.into_iter().map(u64::from).collect();
    let number = tags.first().map(|tag| cache.table().number_of(*tag));
    (cache.tags(&tags), number.map(|number| (number, model.stamp(number))))
}

pub(super) fn key_bytes(key: u8) -> Vec<u8> {
    vec![key; 1 + key as usize * 3]
}

/// What stands for the key's fence.
pub(super) fn fence_of(cache: &SharedCache, key: u8) -> Offset {
    crate::table::fences::fence_at(cache.hash(&key_bytes(key)))
}
