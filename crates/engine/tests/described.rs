//! Caches of described entries against the naive model: every strategy with every combination of lifetimes, stale windows, idle
//! time, weights and tags. What leaves, in which order and why, what stays, and what is known of it are exact. (Whom
//! TinyLFU chooses is taken from the cache, and checked to be somebody who may leave when somebody has to.)
//!
//! Longer than most files here: the steps, what each does to the cache and what it does to the model are one table.

mod naive;

use std::collections::BTreeSet;

use engine::cache::{Cache, Cause, Description, Evicted, Expires, Features, Freshness, Lifetime, TooHeavy};
use engine::policy::Kind;
use engine::slab::{Token, NIL};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;

use naive::objects::{hash, Object, Objects};
use naive::{Gone, Naive};

const NAMES: u8 = 40;
const TAGS: [&str; 6] = ["a", "b", "group", "user:1", "user:2", ""];

/// A description, as far as it does not hang on the time.
#[derive(Clone, Debug)]
struct About {
    life: u64,
    window: u64,
    weight: u64,
    tags: Vec<&'static str>,
}

/// `nth` is taken modulo the number of entries that the step is possible for.
#[derive(Clone, Debug)]
enum Step {
    Insert { name: u8, about: About },
    Reserve { name: u8 },
    Publish { nth: usize, about: About },
    Free { nth: usize },
    Remove { nth: usize, cause: Cause },
    Replace { nth: usize, about: About },
    ReplaceValue { nth: usize, weight: u64 },
    SetLifetime { nth: usize, life: u64, window: u64 },
    Hit { nth: usize },
    InvalidateTag { tag: &'static str },
    Evict,
    Expire,
    Clear,
    ResetCounts,
    Pass { time: u64, odd: u64 },
    TurnBack { time: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES;
    let nth = 0..64usize;
    let life = || prop_oneof![9 => 0..14u64, 1 => Just(u64::MAX)];
    let window = || prop_oneof![3 => Just(0), 2 => 0..6u64, 1 => Just(u64::MAX)];
    let weight = || prop_oneof![6 => 0..6u64, 1 => 0..40u64, 1 => Just(u64::MAX)];
    let tags = prop::collection::vec(select(TAGS.to_vec()), 0..4);
    let about = (life(), window(), weight(), tags)
        .prop_map(|(life, window, weight, tags)| About { life, window, weight, tags })
        .boxed();
    let cause = select(vec![Cause::Explicit, Cause::Replaced, Cause::Expired]);
    prop::collection::vec(
        prop_oneof![
            14 => (name.clone(), about.clone()).prop_map(|(name, about)| Step::Insert { name, about }),
            4 => name.prop_map(|name| Step::Reserve { name }),
            4 => (nth.clone(), about.clone()).prop_map(|(nth, about)| Step::Publish { nth, about }),
            1 => nth.clone().prop_map(|nth| Step::Free { nth }),
            2 => (nth.clone(), cause).prop_map(|(nth, cause)| Step::Remove { nth, cause }),
            5 => (nth.clone(), about).prop_map(|(nth, about)| Step::Replace { nth, about }),
            2 => (nth.clone(), weight()).prop_map(|(nth, weight)| Step::ReplaceValue { nth, weight }),
            2 => (nth.clone(), life(), window()).prop_map(|(nth, life, window)| Step::SetLifetime { nth, life, window }),
            12 => nth.prop_map(|nth| Step::Hit { nth }),
            2 => select(TAGS.to_vec()).prop_map(|tag| Step::InvalidateTag { tag }),
            1 => Just(Step::Evict),
            1 => Just(Step::Expire),
            1 => Just(Step::Clear),
            1 => Just(Step::ResetCounts),
            5 => (0..4u64, 0..3u64).prop_map(|(time, odd)| Step::Pass { time, odd }),
            1 => (0..6u64).prop_map(|time| Step::TurnBack { time }),
        ],
        1..150,
    )
}

struct Pair {
    kind: Kind,
    features: Features,
    cache: Cache<Object, Object>,
    model: Naive,
    now: u64,
    /// What a unit of time in a step is.
    unit: u64,
    objects: Objects,
}

impl Pair {
    fn new(kind: Kind, capacity: Option<usize>, unit: u64, features: Features) -> Self {
        let cache = Cache::with(kind, capacity, features);
        let model = Naive::with(kind, capacity, features);
        Pair { kind, features, cache, model, now: 1_000_000, unit, objects: Objects::default() }
    }

    fn lifetime(&self, life: u64, window: u64) -> Lifetime {
        let fresh = self.now.saturating_add(life.saturating_mul(self.unit));
        Lifetime { fresh, end: fresh.saturating_add(window.saturating_mul(self.unit)) }
    }

    fn describe<'a>(&self, about: &'a About) -> Description<'a> {
        let lifetime = self.lifetime(about.life, about.window);
        Description { lifetime, weight: about.weight, tags: &about.tags }
    }

    /// Tells the model whom TinyLFU has chosen.
    fn tell(&mut self, evicted: &Evicted<Object, Object>) {
        let chosen = evicted.iter().filter(|departed| departed.cause == Cause::Size);
        self.model.chosen = chosen.map(|departed| departed.entry.key.id).collect();
    }

    fn left(&mut self, evicted: Evicted<Object, Object>, mut gone: Vec<Gone>) {
        assert!(self.kind != Kind::TinyLfu || self.model.chosen.is_empty(), "more left than had to");
        if self.kind == Kind::TinyLfu && gone.iter().all(|gone| gone.cause == Cause::Explicit) {
            // A clearing has the order of victims, which the model does not know.
            let place = |gone: &Gone| evicted.iter().position(|departed| departed.entry.key.id == gone.ids.0);
            gone.sort_by_key(place);
        }
        self.objects.left(evicted, &gone);
    }

    fn published(&self, nth: usize) -> Option<Token> {
        let entries = &self.model.published;
        (!entries.is_empty()).then(|| entries[nth % entries.len()].token)
    }

    fn reserved(&self, nth: usize) -> Option<Token> {
        let entries: Vec<_> = self.model.reserved.iter().filter(|entry| entry.attached).collect();
        (!entries.is_empty()).then(|| entries[nth % entries.len()].token)
    }

    fn is_too_heavy(&self, weight: u64) -> bool {
        self.features.max_weight.is_some_and(|max| weight > max)
    }

    /// A step for which no entry is there does nothing.
    fn apply(&mut self, step: &Step) -> Option<()> {
        let now = self.now;
        let mut evicted = Evicted::default();
        match *step {
            Step::Insert { name, ref about } => {
                if self.model.is_present(name, now) {
                    return None;
                }
                let (key, value) = (self.objects.make(name), self.objects.make(name));
                let ids = (key.id, value.id);
                let description = self.describe(about);
                let cache = &mut self.cache;
                match cache.insert_described(hash(name), name.into(), key, value, &description, now, &mut evicted) {
                    Err(TooHeavy(entry)) => {
                        assert!(self.is_too_heavy(about.weight));
                        self.objects.end(entry, &[ids.0, ids.1]);
                        assert!(evicted.is_empty());
                    }
                    Ok(token) => {
                        self.tell(&evicted);
                        let gone = self.model.make_room(now, NIL, about.weight);
                        self.model.add(name, ids, token, &description, now);
                        self.left(evicted, gone);
                    }
                }
            }
            Step::Reserve { name } => {
                if self.model.is_present(name, now) {
                    return None;
                }
                let (key, value) = (self.objects.make(name), self.objects.make(name));
                let ids = (key.id, value.id);
                let token = self.cache.reserve(hash(name), name.into(), key, value);
                self.model.reserve(name, ids, token);
            }
            Step::Publish { nth, ref about } => {
                let token = self.reserved(nth)?;
                let name = self.model.reserved.iter().find(|entry| entry.token == token)?.name;
                let value = self.objects.make(name);
                let id = value.id;
                let description = self.describe(about);
                match self.cache.publish_described(token, value, &description, now, &mut evicted) {
                    Err(TooHeavy(value)) => {
                        assert!(self.is_too_heavy(about.weight));
                        self.objects.end(value, &[id]);
                        assert!(evicted.is_empty());
                    }
                    Ok(published) => {
                        let entry = self.model.take_reserved(token);
                        self.tell(&evicted);
                        let gone = self.model.make_room(now, NIL, about.weight);
                        let (token, placeholder) = published?;
                        self.model.add(name, (entry.ids.0, id), token, &description, now);
                        self.objects.end(placeholder, &[entry.ids.1]);
                        self.left(evicted, gone);
                    }
                }
            }
            Step::Free { nth } => {
                let token = self.reserved(nth)?;
                let ids = self.model.take_reserved(token).ids;
                let entry = self.cache.free(token);
                self.objects.end(entry, &[ids.0, ids.1]);
            }
            Step::Remove { nth, cause } => {
                let token = self.published(nth)?;
                let gone = self.model.remove(token, cause);
                self.cache.remove(token, cause, &mut evicted);
                self.left(evicted, vec![gone]);
            }
            Step::Replace { nth, ref about } => {
                let token = self.published(nth)?;
                self.replace(token, &self.describe(about), true);
            }
            Step::ReplaceValue { nth, weight } => {
                let token = self.published(nth)?;
                let entry = self.model.entry(token).clone();
                if self.model.has_ended(&entry, now) {
                    return None;
                }
                let tags: Vec<&str> = entry.tags.iter().map(String::as_str).collect();
                let lifetime = self.model.lifetime(&entry);
                self.replace(token, &Description { lifetime, weight, tags: &tags }, false);
            }
            Step::SetLifetime { nth, life, window } => {
                let token = self.published(nth)?;
                let lifetime = self.lifetime(life, window);
                self.cache.set_lifetime(token, lifetime);
                self.model.set_lifetime(token, lifetime);
            }
            Step::Hit { nth } => {
                let token = self.published(nth)?;
                if self.cache.freshness(token, now) == Freshness::Ended {
                    return None;
                }
                self.model.hit(token);
                self.model.used_at(token, now);
                // SAFETY: the model knows that the token names a published entry, and there is one thread.
                unsafe {
                    self.cache.hit_shared(token);
                    let is_idle = self.features.idle.is_some();
                    let is_fresh = self.cache.freshness(token, now) == Freshness::Fresh;
                    assert_eq!(self.cache.use_if_fresh(token, now), is_idle && is_fresh);
                    self.cache.used_at(token, now);
                }
            }
            Step::InvalidateTag { tag } => {
                let gone = self.model.invalidate_tag(tag);
                assert_eq!(self.cache.invalidate_tag(tag, &mut evicted), gone.len());
                assert!(!self.cache.has_tag(tag));
                self.left(evicted, gone);
            }
            Step::Evict => {
                assert_eq!(self.cache.evict(&mut evicted), !self.model.published.is_empty());
                self.tell(&evicted);
                let gone = self.model.evict();
                self.left(evicted, gone.into_iter().collect());
            }
            Step::Expire => {
                let gone = self.model.expire(now, NIL);
                self.cache.expire(now, &mut evicted);
                self.left(evicted, gone);
            }
            Step::Clear => {
                let gone = self.model.clear();
                self.cache.clear(&mut evicted);
                self.left(evicted, gone);
            }
            Step::ResetCounts => {
                self.cache.reset_counts();
                (self.model.evictions, self.model.expirations) = (0, 0);
            }
            Step::Pass { time, odd } => self.now += time * self.unit + odd,
            Step::TurnBack { time } => self.now -= time * self.unit,
        }
        Some(())
    }

    /// `is_all`: with its lifetime and its tags.
    fn replace(&mut self, token: Token, description: &Description<'_>, is_all: bool) {
        let (now, weight) = (self.now, description.weight);
        let mut evicted = Evicted::default();
        let value = self.objects.make(0);
        let id = value.id;
        let entry = self.model.entry(token).clone();
        // SAFETY: the model knows that the token names a published entry.
        let replaced = unsafe {
            if is_all {
                self.cache.replace_described(token, value, description, now, &mut evicted)
            } else {
                self.cache.replace_value(token, value, weight, now, &mut evicted)
            }
        };
        match replaced {
            Err(TooHeavy(value)) => {
                assert!(self.is_too_heavy(weight));
                self.objects.end(value, &[id]);
                assert!(evicted.is_empty());
            }
            Ok(replaced) => {
                let replaced = replaced.expect("it is published");
                let cause = if self.model.has_ended(&entry, now) { Cause::Expired } else { Cause::Replaced };
                assert_eq!((replaced.value.id, replaced.cause), (entry.ids.1, cause));
                self.tell(&evicted);
                let gone = self.model.make_room(now, token, weight);
                self.model.replace(token, id, description, now, is_all);
                if !is_all {
                    self.model.entry(token).keep_tagged(&entry);
                }
                self.model.count(cause);
                self.objects.end(replaced, &[entry.ids.1]);
                self.left(evicted, gone);
            }
        }
    }

    fn compare(&mut self) {
        let (cache, model, now) = (&mut self.cache, &self.model, self.now);
        self.objects.assert_quiet();
        cache.validate();
        let mut victims = cache.victims();
        let mut expected = model.victims();
        if self.kind == Kind::TinyLfu {
            victims.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(victims, expected);
        assert_eq!((cache.len(), cache.weight()), (expected.len(), model.weight()));
        assert!(self.features.max_weight.is_none_or(|max| cache.weight() <= max));
        assert_eq!((cache.evictions(), cache.expirations()), (model.evictions, model.expirations));
        let live = model.published.iter().filter(|entry| !model.has_ended(entry, now)).map(|entry| entry.token);
        assert_eq!(cache.tokens(now).into_iter().collect::<BTreeSet<_>>(), live.collect());
        for entry in &model.published {
            let token = entry.token;
            assert_eq!(cache.get(token).map(|own| (own.key.id, own.value.id)), Some(entry.ids));
            assert_eq!(cache.lifetime(token), model.lifetime(entry));
            assert_eq!(cache.end(token), model.end(entry));
            let freshness = model.freshness(entry, now);
            assert_eq!(cache.freshness(token, now), freshness);
            // SAFETY: the model knows that the token names a published entry.
            let (expired, or_idle, idle) = unsafe {
                (cache.expired(token, now), cache.expired_or_idle(token, now), cache.idle_expired(token, now))
            };
            assert_eq!(expired, freshness != Freshness::Fresh);
            assert_eq!(or_idle, self.features.idle.is_some() && expired);
            assert!(!idle || freshness == Freshness::Ended);
            assert_eq!(cache.weight_of(token), entry.weight);
            assert!(cache.tags_of(token).eq(&entry.tags));
        }
        for tag in TAGS {
            assert_eq!(cache.has_tag(tag), model.published.iter().any(|e| e.tags.iter().any(|own| own == tag)));
        }
    }
}

fn features(unit: u64) -> impl Strategy<Value = Features> {
    let expires = select(vec![Expires::No, Expires::OneLifetime, Expires::Varied]);
    let idle = select(vec![None, Some(6 * unit)]);
    let max_weight = select(vec![None, Some(0), Some(5), Some(30), Some(120), Some(u64::MAX)]);
    (expires, idle, max_weight, any::<bool>()).prop_map(|(expires, idle, max_weight, tagged)| Features {
        expires,
        idle,
        max_weight,
        tagged,
    })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

macro_rules! behaves {
    ($($name:ident: $kind:expr;)*) => { $(proptest! {
        #![proptest_config(config())]
        #[test]
        fn $name(
            capacity in select(vec![Some(1), Some(2), Some(5), Some(21), None, None]),
            // (With the larger one a use is noted to a few nanoseconds.)
            (unit, features) in select(vec![1, 700]).prop_flat_map(|unit| (Just(unit), features(unit))),
            steps in steps(),
        ) {
            let mut pair = Pair::new($kind, capacity, unit, features);
            for step in &steps {
                pair.apply(step);
                pair.compare();
            }
            pair.objects.finish(pair.cache);
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
    tinylfu_keeps_the_rules: Kind::TinyLfu;
}
