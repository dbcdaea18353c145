//! Entries with weights, tags and lifetimes of their own: how they come in and are replaced.
//!
//! Ring 1. Each way in has a plain twin in `insertion`, which knows a deadline only. Room is made before anything comes in,
//! so the weights never add up to more than they may, and an entry that takes the place of its former self never has to
//! leave for it.

use super::{Cache, Cause, Evicted, Freshness, Instant, Lifetime};
use crate::slab::{Entry, Token, NIL};

/// What is to be known of an entry beside key and value. What a cache was not made for is ignored.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    pub lifetime: Lifetime,
    pub weight: u64,
    /// In the place of all that it had. One that comes twice counts once.
    pub tags: &'a [&'a str],
}

impl Description<'_> {
    /// No end, no weight, no tags.
    pub const PLAIN: Description<'static> =
        Description { lifetime: Lifetime::until(Instant::MAX), weight: 0, tags: &[] };
}

/// An entry that would not fit into an empty cache, handed back; nothing was changed.
#[derive(Debug)]
pub struct TooHeavy<T>(pub T);

/// What stood in an entry before.
#[derive(Debug)]
pub struct Replaced<V> {
    pub value: V,
    /// [`Cause::Expired`] if the entry had ended, else [`Cause::Replaced`].
    pub cause: Cause,
}

impl<K, V> Cache<K, V> {
    /// Whether an entry of this weight fits into the empty cache.
    pub fn can_hold(&self, weight: u64) -> bool {
        self.features.max_weight.is_none_or(|max| weight <= max)
    }

    /// The sum of the weights of all published entries, ended ones included.
    pub fn weight(&self) -> u64 {
        self.extras.as_ref().and_then(|extras| Some(extras.weights.as_ref()?.total())).unwrap_or(0)
    }

    /// The weight of a published entry.
    pub fn weight_of(&self, token: Token) -> u64 {
        self.extras.as_ref().and_then(|extras| Some(extras.weights.as_ref()?.get(token))).unwrap_or(0)
    }

    /// The tags of a published entry, in the order in which they were given.
    pub fn tags_of(&self, token: Token) -> impl Iterator<Item = &str> {
        let tags = self.extras.as_ref().and_then(|extras| extras.tags.as_ref());
        tags.into_iter().flat_map(move |tags| tags.of(token))
    }

    /// Whether a published entry has the tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.tags.as_ref().is_some_and(|tags| tags.contains(tag)))
    }

    /// Removes the published entries that have the tag, the one that was given it last first. Returns their number. O(that and
    /// their tags).
    pub fn invalidate_tag(&mut self, tag: &str, evicted: &mut Evicted<K, V>) -> usize {
        let Some(tags) = self.extras.as_ref().and_then(|extras| extras.tags.as_ref()) else {
            return 0;
        };
        let tokens: Vec<Token> = tags.entries(tag).collect();
        for &token in &tokens {
            self.remove(token, Cause::Explicit, evicted);
        }
        tokens.len()
    }

    /// [`insert`](Self::insert) of an entry with a description; returns its token. Entries that have ended leave first,
    /// then victims until there is room. Hands key and value back if they are too heavy.
    #[allow(clippy::too_many_arguments)]
    pub fn insert_described(
        &mut self,
        hash: u64,
        meta: u32,
        key: K,
        value: V,
        description: &Description<'_>,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Result<Token, TooHeavy<Entry<K, V>>> {
        let entry = Entry { key, value };
        if !self.can_hold(description.weight) {
            return Err(TooHeavy(entry));
        }
        self.expire(now, evicted);
        self.make_room(NIL, description.weight, evicted);
        let token = self.enter(hash, meta, entry, description.lifetime, now, evicted);
        self.describe(token, description.weight, Some(description.tags));
        Ok(token)
    }

    /// [`publish`](Self::publish) of a reserved entry with a description, as [`insert_described`](Self::insert_described) adds
    /// one. Hands the value back if it is too heavy: the entry is still reserved then.
    pub fn publish_described(
        &mut self,
        token: Token,
        value: V,
        description: &Description<'_>,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Result<Option<(Token, V)>, TooHeavy<V>> {
        debug_assert!(self.is_attached(token));
        if !self.can_hold(description.weight) {
            return Err(TooHeavy(value));
        }
        self.expire(now, evicted);
        self.make_room(NIL, description.weight, evicted);
        let published = self.publish_as(token, value, description.lifetime, now, evicted);
        if let Some((token, _)) = published {
            self.describe(token, description.weight, Some(description.tags));
        }
        Ok(published)
    }

    /// [`replace`](Self::replace) of a published entry, by a value with a description. Other entries leave as in
    /// [`insert_described`](Self::insert_described); it stays, even if it had ended. Hands the value back if it is too heavy:
    /// the entry is as it was then.
    ///
    /// # Safety
    /// `token` names a published entry.
    pub unsafe fn replace_described(
        &mut self,
        token: Token,
        value: V,
        description: &Description<'_>,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Result<Option<Replaced<V>>, TooHeavy<V>> {
        let Description { lifetime, weight, tags } = *description;
        // SAFETY: the caller's promise; of the entries, this one stays.
        unsafe {
            let old = self.exchange(token, value, lifetime, weight, Some(tags), now, evicted)?;
            self.hit(token);
            Ok(old)
        }
    }

    /// [`replace_described`](Self::replace_described), where the entry keeps its lifetime and its tags. It has not ended, and
    /// the policy has heard of the use.
    ///
    /// # Safety
    /// `token` names a published entry.
    pub unsafe fn replace_value(
        &mut self,
        token: Token,
        value: V,
        weight: u64,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Result<Option<Replaced<V>>, TooHeavy<V>> {
        // SAFETY: the caller's promise.
        unsafe { self.exchange(token, value, self.lifetime(token), weight, None, now, evicted) }
    }

    /// Replaces a published entry's value and what is known of it; `tags`: `None` for those that it has.
    ///
    /// # Safety
    /// `token` names a published entry.
    #[allow(clippy::too_many_arguments)]
    unsafe fn exchange(
        &mut self,
        token: Token,
        value: V,
        lifetime: Lifetime,
        weight: u64,
        tags: Option<&[&str]>,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Result<Option<Replaced<V>>, TooHeavy<V>> {
        if !self.can_hold(weight) {
            return Err(TooHeavy(value));
        }
        let had_ended = self.freshness(token, now) == Freshness::Ended;
        let cause = if had_ended { Cause::Expired } else { Cause::Replaced };
        // Without a lifetime it is not among those that have ended.
        self.expiration.remove(token);
        self.expire(now, evicted);
        self.make_room(token, weight, evicted);
        let slots = self.slots();
        self.expiration.insert(token, lifetime, now, slots);
        self.describe(token, weight, tags);
        self.count(cause);
        Ok(self.value_mut(token).map(|old| Replaced { value: std::mem::replace(old, value), cause }))
    }

    /// Evicts until an entry of the weight has room in the place of `kept` ([`NIL`]: in no one's), which stays.
    fn make_room(&mut self, kept: Token, weight: u64, evicted: &mut Evicted<K, V>) {
        if self.has_room(kept, weight) {
            return;
        }
        self.learn_room(true);
        while !self.has_room(kept, weight) && self.evict_beside(kept, evicted) {}
        // What weighs anything is published, and so in the order.
        debug_assert!(self.has_room(kept, weight));
    }

    fn has_room(&self, kept: Token, weight: u64) -> bool {
        let weights = self.extras.as_ref().and_then(|extras| extras.weights.as_ref());
        weights.is_none_or(|weights| weights.has_room(weights.get(kept), weight))
    }

    /// Tells the policy how many entries fit, where that has changed much.
    fn learn_room(&mut self, is_full: bool) {
        let weights = self.extras.as_mut().and_then(|extras| extras.weights.as_mut());
        if let Some(entries) = weights.and_then(|weights| weights.learn(self.live, is_full)) {
            self.order.get_mut().resize(entries);
        }
    }

    /// Notes what is to be known of a published entry for which there is room.
    #[inline]
    fn describe(&mut self, token: Token, weight: u64, tags: Option<&[&str]>) {
        let slots = self.slots();
        let Some(extras) = &mut self.extras else { return };
        if let Some(weights) = &mut extras.weights {
            weights.set(token, weight, slots);
        }
        if let (Some(own), Some(names)) = (&mut extras.tags, tags) {
            own.set(token, names, slots);
        }
        self.learn_room(false);
    }
}
