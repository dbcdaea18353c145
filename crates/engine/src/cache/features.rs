//! What a cache knows of its entries beside key and value.
//!
//! Ring 1. Weights and tags are in a box of their own, so that a cache without them asks for them once where an entry leaves, and
//! nowhere else.

use super::Cache;
use crate::expiration::{Expiration, Expires};
use crate::slab::Token;
use crate::tags::Tags;
use crate::weights::Weights;

/// What a cache is to know of its entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    pub expires: Expires,
    /// An entry that was not used for so many nanoseconds has ended; up to a thousandth of it earlier.
    pub idle: Option<u64>,
    /// The sum of the weights of published entries is never more.
    pub max_weight: Option<u64>,
    /// Entries have tags.
    pub tagged: bool,
}

/// What some caches know of their entries.
#[derive(Debug)]
pub(super) struct Extras {
    pub(super) weights: Option<Weights>,
    pub(super) tags: Option<Tags>,
}

impl Extras {
    pub(super) fn new(features: Features, capacity: usize) -> Option<Box<Self>> {
        let weights = features.max_weight.map(|max| Weights::new(max, capacity));
        let tags = features.tagged.then(Tags::default);
        (weights.is_some() || tags.is_some()).then(|| Box::new(Extras { weights, tags }))
    }

    /// For how many entries the policy shares out its cache.
    pub(super) fn room(&self, capacity: usize) -> usize {
        self.weights.as_ref().map_or(capacity, Weights::room)
    }

    /// Forgets an entry; nothing happens if it is not known.
    pub(super) fn remove(&mut self, token: Token) {
        if let Some(weights) = &mut self.weights {
            weights.remove(token);
        }
        if let Some(tags) = &mut self.tags {
            tags.remove(token);
        }
    }

    /// Forgets all entries; returns [`room`](Self::room).
    pub(super) fn clear(&mut self, capacity: usize) -> usize {
        if let Some(weights) = &mut self.weights {
            weights.clear();
        }
        if let Some(tags) = &mut self.tags {
            tags.clear();
        }
        self.room(capacity)
    }

    pub(super) fn validate(&self, published: &[Token]) {
        if let Some(weights) = &self.weights {
            weights.validate();
            let sum: u64 = published.iter().map(|&token| weights.get(token)).sum();
            assert_eq!(sum, weights.total());
        }
        if let Some(tags) = &self.tags {
            tags.validate(|token| published.contains(&token));
        }
    }
}

impl<K, V> Cache<K, V> {
    /// Makes the cache know more of its entries from now on: `varied`, lifetimes of their own; `tagged`, tags. O(n) where it is
    /// new to it, else O(1).
    pub fn know_more(&mut self, varied: bool, tagged: bool) {
        if varied && self.features.idle.is_none() && self.features.expires != Expires::Varied {
            let slots = self.slots();
            let mut expiration = Expiration::new(Expires::Varied, None);
            for token in self.victims() {
                expiration.insert(token, self.lifetime(token), 0, slots);
            }
            self.expiration = expiration;
            self.features.expires = Expires::Varied;
        }
        if tagged && !self.features.tagged {
            self.features.tagged = true;
            match &mut self.extras {
                Some(extras) => extras.tags = Some(Tags::default()),
                extras => *extras = Extras::new(self.features, self.capacity),
            }
        }
    }
}
