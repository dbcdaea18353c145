//! Ring 1 against a naive model: every strategy, small capacities and none, with and without deadlines, after each step of
//! every kind. The order of victims, what leaves, in which order, and what stays are exact; nothing is dropped inside.

mod naive;

use std::collections::{BTreeMap, BTreeSet};

use engine::cache::{Cache, Cause, Description, Evicted, Lifetime};
use engine::policy::Kind;
use engine::slab::{Token, NIL};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;

use naive::objects::{hash, Object, Objects};
use naive::{Gone, Naive};

const NAMES: u8 = 26;

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert {
        name: u8,
        life: u64,
    },
    Reserve {
        name: u8,
    },
    /// The `nth` is taken modulo the number of entries that the step is possible for, here and below.
    Publish {
        nth: usize,
        life: u64,
    },
    Detach {
        nth: usize,
    },
    Free {
        nth: usize,
    },
    Remove {
        nth: usize,
    },
    Replace {
        nth: usize,
        life: u64,
    },
    HitEffect {
        nth: usize,
        shared: bool,
    },
    /// Something that was a token once, or never.
    Stale {
        token: Token,
    },
    Expire,
    Clear,
    Pass {
        time: u64,
    },
}

fn until(deadline: u64) -> Description<'static> {
    Description { lifetime: Lifetime::until(deadline), ..Description::PLAIN }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES;
    let nth = 0..64usize;
    // Short lives that overlap, and one without an end.
    let life = || prop_oneof![9 => 0..12u64, 1 => Just(u64::MAX)];
    prop::collection::vec(
        prop_oneof![
            8 => (name.clone(), life()).prop_map(|(name, life)| Step::Insert { name, life }),
            5 => name.prop_map(|name| Step::Reserve { name }),
            5 => (nth.clone(), life()).prop_map(|(nth, life)| Step::Publish { nth, life }),
            1 => nth.clone().prop_map(|nth| Step::Detach { nth }),
            2 => nth.clone().prop_map(|nth| Step::Free { nth }),
            2 => nth.clone().prop_map(|nth| Step::Remove { nth }),
            2 => (nth.clone(), life()).prop_map(|(nth, life)| Step::Replace { nth, life }),
            12 => (nth, any::<bool>()).prop_map(|(nth, shared)| Step::HitEffect { nth, shared }),
            1 => select(vec![NIL, 1, 2, 3, 5, 8, 40, u32::MAX]).prop_map(|token| Step::Stale { token }),
            1 => Just(Step::Expire),
            1 => Just(Step::Clear),
            4 => (0..4u64).prop_map(|time| Step::Pass { time }),
        ],
        1..150,
    )
}

struct Pair {
    cache: Cache<Object, Object>,
    model: Naive,
    expires: bool,
    now: u64,
    clears: u64,
    inserts: u64,
    /// The most slots that were occupied at once.
    peak: usize,
    objects: Objects,
}

impl Pair {
    fn new(kind: Kind, capacity: Option<usize>, expires: bool) -> Self {
        Pair {
            cache: Cache::new(kind, capacity, expires),
            model: Naive::new(kind, capacity, expires),
            expires,
            now: 1000,
            clears: 0,
            inserts: 0,
            peak: 0,
            objects: Objects::default(),
        }
    }

    fn evicted(&mut self, evicted: Evicted<Object, Object>, gone: &[Gone]) {
        assert_eq!(evicted.is_empty(), gone.is_empty());
        self.objects.left(evicted, gone);
    }

    fn published(&self, nth: usize) -> Option<Token> {
        let entries = &self.model.published;
        (!entries.is_empty()).then(|| entries[nth % entries.len()].token)
    }

    fn reserved(&self, nth: usize, attached: bool) -> Option<Token> {
        let entries: Vec<_> = self.model.reserved.iter().filter(|e| e.attached || !attached).collect();
        (!entries.is_empty()).then(|| entries[nth % entries.len()].token)
    }

    /// A step for which no entry is there does nothing.
    fn apply(&mut self, step: Step) -> Option<()> {
        let now = self.now;
        let mut evicted = Evicted::default();
        match step {
            Step::Insert { name, life } => {
                if self.model.is_present(name, now) {
                    return None;
                }
                let (key, value) = (self.objects.make(name), self.objects.make(name));
                let ids = (key.id, value.id);
                let deadline = now.saturating_add(life);
                let gone = self.model.make_room(now, NIL, 0);
                self.cache.insert(hash(name), u32::from(name), key, value, deadline, now, &mut evicted);
                let token = self.new_token(name);
                self.inserts += 1;
                self.model.add(name, ids, token, &until(deadline), now);
                self.evicted(evicted, &gone);
            }
            Step::Reserve { name } => {
                if self.model.is_present(name, now) {
                    return None;
                }
                let (key, value) = (self.objects.make(name), self.objects.make(name));
                let ids = (key.id, value.id);
                let token = self.cache.reserve(hash(name), u32::from(name), key, value);
                assert_eq!(token, self.new_token(name));
                self.inserts += 1;
                self.model.reserve(name, ids, token);
            }
            Step::Publish { nth, life } => {
                let token = self.reserved(nth, true)?;
                let deadline = now.saturating_add(life);
                let entry = self.model.take_reserved(token);
                let gone = self.model.make_room(now, NIL, 0);
                let value = self.objects.make(entry.name);
                let id = value.id;
                let placeholder = self.cache.publish(token, value, deadline, now, &mut evicted);
                let (token, placeholder) = placeholder.unzip();
                assert_eq!(placeholder.as_ref().map(|v| v.id), Some(entry.ids.1));
                self.model.add(entry.name, (entry.ids.0, id), token?, &until(deadline), now);
                self.objects.end(placeholder, &[entry.ids.1]);
                self.evicted(evicted, &gone);
            }
            Step::Detach { nth } => {
                let token = self.reserved(nth, false)?;
                let entry = self.model.reserved.iter_mut().find(|e| e.token == token)?;
                assert_eq!(self.cache.detach(token), entry.attached);
                entry.attached = false;
            }
            Step::Free { nth } => {
                let token = self.reserved(nth, false)?;
                let ids = self.model.take_reserved(token).ids;
                let entry = self.cache.free(token);
                assert!(entry.is_some());
                self.objects.end(entry, &[ids.0, ids.1]);
            }
            Step::Remove { nth } => {
                let token = self.published(nth)?;
                let gone = self.model.remove(token, Cause::Explicit);
                self.cache.remove(token, Cause::Explicit, &mut evicted);
                self.evicted(evicted, &[gone]);
            }
            Step::Replace { nth, life } => {
                let token = self.published(nth)?;
                let value = self.objects.make(0);
                let deadline = now.saturating_add(life);
                let id = self.model.replace(token, value.id, &until(deadline), now, true);
                // SAFETY: the model knows that the token names a published entry.
                let old = unsafe { self.cache.replace(token, value, deadline) };
                self.objects.end(old, &[id]);
            }
            Step::HitEffect { nth, shared } => {
                let token = self.published(nth)?;
                self.model.hit(token);
                // SAFETY: the model knows that the token names a published entry, and there is one thread.
                unsafe {
                    if shared {
                        self.cache.hit_shared(token);
                    } else {
                        self.cache.hit(token);
                    }
                }
            }
            Step::Stale { token } => {
                if self.model.ids(token).is_some() {
                    return None;
                }
                assert!(!self.cache.detach(token) && !self.cache.is_attached(token));
                assert!(self.cache.free(token).is_none() && self.cache.get(token).is_none());
                assert!(self.cache.value_mut(token).is_none());
                self.cache.remove(token, Cause::Explicit, &mut evicted);
                self.evicted(evicted, &[]);
            }
            Step::Expire => {
                let gone = self.model.expire(now, NIL);
                self.cache.expire(now, &mut evicted);
                self.evicted(evicted, &gone);
            }
            Step::Clear => {
                let gone = self.model.clear();
                self.cache.clear(&mut evicted);
                self.clears += 1;
                self.evicted(evicted, &gone);
            }
            Step::Pass { time } => self.now += time,
        }
        Some(())
    }

    /// The tokens in the table whose key has the name, in rising order.
    fn tokens(&self, name: u8) -> Vec<Token> {
        let mut tokens = Vec::new();
        for (token, slot, entry) in self.cache.candidates(hash(name)) {
            assert_eq!((slot.hash, slot.meta), (hash(name) as u32, u32::from(entry.key.name)));
            if entry.key.name == name {
                tokens.push(token);
            }
        }
        tokens.sort_unstable();
        tokens
    }

    /// The token under the name that the model does not know yet.
    fn new_token(&self, name: u8) -> Token {
        let known = self.model.tokens(name);
        let new: Vec<Token> = self.tokens(name).into_iter().filter(|t| !known.contains(t)).collect();
        assert_eq!(new.len(), 1);
        new[0]
    }

    fn compare(&mut self) {
        self.objects.assert_quiet();
        self.cache.validate();
        assert_eq!(self.cache.victims(), self.model.victims());
        assert_eq!(self.cache.len(), self.model.published.len());
        assert_eq!(self.cache.is_empty(), self.model.published.is_empty());
        assert_eq!((self.cache.clears(), self.cache.inserts()), (self.clears, self.inserts));
        for name in 0..NAMES {
            assert_eq!(self.tokens(name), self.model.tokens(name));
        }
        for entry in &self.model.published {
            assert!(self.cache.is_attached(entry.token));
            // SAFETY: the model knows that the token names a published entry.
            let expired = unsafe { self.cache.expired(entry.token, self.now) };
            assert_eq!(expired, self.expires && entry.lifetime.end <= self.now);
        }
        for entry in &self.model.reserved {
            assert_eq!(self.cache.is_attached(entry.token), entry.attached);
        }
        let occupied = self.model.published.len() + self.model.reserved.len();
        assert_eq!(self.cache.entries().count(), occupied);
        // Slots are used again before new ones are made.
        self.peak = self.peak.max(occupied);
        assert!(self.cache.victims().into_iter().all(|token| token as usize <= self.peak));
        for token in 0..=2 * occupied as Token + 8 {
            let ids = self.cache.get(token).map(|e| (e.key.id, e.value.id));
            assert_eq!(ids, self.model.ids(token));
        }
    }

    /// Whatever was made and has not ended ends with the cache.
    fn finish(self) {
        self.objects.finish(self.cache);
    }
}

fn behaves(kind: Kind, capacity: Option<usize>, expires: bool, steps: &[Step]) {
    let mut pair = Pair::new(kind, capacity, expires);
    for step in steps {
        pair.apply(*step);
        pair.compare();
    }
    pair.finish();
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 250,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

fn capacity() -> impl Strategy<Value = Option<usize>> {
    select(vec![Some(1), Some(2), Some(3), Some(7), Some(21), None])
}

macro_rules! behaves {
    ($($name:ident: $kind:expr;)*) => { $(proptest! {
        #![proptest_config(config())]
        #[test]
        fn $name(capacity in capacity(), expires in any::<bool>(), steps in steps()) {
            behaves($kind, capacity, expires, &steps);
        }
    })* };
}

behaves! {
    lru_behaves_like_the_model: Kind::Lru;
    mru_behaves_like_the_model: Kind::Mru;
    fifo_behaves_like_the_model: Kind::Fifo;
    lfu_behaves_like_the_model: Kind::Lfu;
    sieve_behaves_like_the_model: Kind::Sieve;
    s3fifo_behaves_like_the_model: Kind::S3Fifo;
}

/// Where sorting at every step would take too long: growth far beyond the first allocations, and steady eviction.
#[test]
fn large_caches_evict_in_order() {
    const CAPACITY: usize = 5000;
    for kind in [Kind::Lru, Kind::Mru, Kind::Fifo, Kind::Lfu] {
        let mut cache = Cache::new(kind, Some(CAPACITY), false);
        // Key to token, number of uses, last use, insertion; and the order that these give.
        let mut model: BTreeMap<u32, (Token, u64, u64, u64)> = BTreeMap::new();
        let mut order: BTreeSet<(u64, u64, u32)> = BTreeSet::new();
        let rank = |key, &(_, uses, used, inserted): &(Token, u64, u64, u64)| match kind {
            Kind::Lru => (0, used, key),
            Kind::Mru => (0, u64::MAX - used, key),
            Kind::Lfu => (uses, used, key),
            _ => (0, inserted, key),
        };
        let mut random = 1u64;
        for step in 0..60_000u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let draw = (random >> 33) as u32;
            // Half of the draws from few keys, so that counts spread.
            let key = if draw & 1 == 0 { draw % 12_000 } else { draw % 600 };
            let hash = u64::from(key.wrapping_mul(0x9E37_79B9).rotate_left(13));
            if let Some(entry) = model.get_mut(&key) {
                order.remove(&rank(key, entry));
                (entry.1, entry.2) = (entry.1 + 1, step);
                order.insert(rank(key, entry));
                // SAFETY: the token of a published entry.
                unsafe { cache.hit(entry.0) };
                continue;
            }
            let mut evicted = Evicted::default();
            let token = cache.reserve(hash, 0, key, step);
            let (token, old) = cache.publish(token, step, 0, 0, &mut evicted).unwrap();
            assert_eq!((old, evicted.is_empty()), (step, model.len() < CAPACITY));
            if model.len() == CAPACITY {
                let (_, _, victim) = order.pop_first().unwrap();
                let (old, ..) = model.remove(&victim).unwrap();
                assert!(cache.get(old).is_none_or(|e| e.key != victim), "{kind:?}: {victim} was the victim");
            }
            let entry = (token, 1, step, step);
            order.insert(rank(key, &entry));
            model.insert(key, entry);
        }
        cache.validate();
        let victims: Vec<Token> = order.iter().map(|&(_, _, key)| model[&key].0).collect();
        assert_eq!(cache.victims(), victims);
    }
}
