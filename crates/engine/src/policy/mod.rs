//! Eviction strategies: which entry gives way when a full cache takes a new one.
//!
//! Ring 1. A strategy knows tokens only: no keys, no values, no time, no locks. A new one touches two files: its own, with
//! an `impl Policy`, and this one, where it has its `mod` and a line in `policies!` at the end. The enum, its dispatch and
//! all that a cache asks of a strategy follow from these.

mod access_bits;
mod ghosts;
mod hill_climber;
mod lfu;
mod recency;
mod s3fifo;
mod sieve;
mod sketch;
mod tinylfu;
pub mod tuning;

use std::cell::UnsafeCell;

use crate::slab::{Token, NIL};

/// What a hit does to a strategy's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HitEffect {
    /// Nothing at all.
    None,
    /// It sets a mark, which many readers may do at the same time: [`Policy::mark`].
    Shared,
    /// It changes the order, in a few instructions: [`Policy::hit`] is inlined into the hit path.
    Exclusive,
    /// It changes the order by a call.
    ExclusiveCall,
}

/// What a strategy does at the moments of an entry's life: it is inserted, used, and evicted or removed.
pub trait Policy: Clone {
    const HIT: HitEffect;

    /// Whether a hit right after a hit of the same entry changes anything.
    const COUNTS_REPEATS: bool = false;

    /// Whether keys are remembered after they have left. Elsewhere, only the lower half of a hash is known.
    const HAS_HISTORY: bool = false;

    /// The order of a cache for `capacity` entries (`usize::MAX`: unbounded).
    fn new(capacity: usize) -> Self;

    /// From now on the cache has room for about `capacity` entries: how many fit may be known only once it is full. O(n).
    fn resize(&mut self, _capacity: usize) {}

    /// An entry came in. `limit` is the largest token expected; it only shapes growth.
    fn insert(&mut self, token: Token, hash: u64, limit: usize);

    /// An entry was used, where a hit moves or calls.
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    unsafe fn hit(&mut self, _token: Token) {}

    /// An entry was used, where a hit marks.
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    unsafe fn mark(&self, _token: Token) {}

    /// An entry left; nothing happens if it is not there. Unlike an evicted one it is not remembered.
    fn remove(&mut self, token: Token);

    /// The entry to evict, or [`NIL`] where there is none. To look for it may change the order.
    fn victim(&mut self) -> Token;

    /// Notes what is to be known of the victim `token`, whose hash is `hash`, after it has left.
    fn remember(&mut self, _token: Token, _hash: u64) {}

    /// The entry to evict among all but `kept`, which is in; [`NIL`] where there is none. To look for it may change the order.
    fn victim_beside(&mut self, kept: Token) -> Token;

    /// Evicts: chooses the victim, which is not `kept` ([`NIL`]: any), and takes it out. [`NIL`] where there is none. `hash_of`
    /// gives an entry's hash.
    fn evict(&mut self, kept: Token, hash_of: impl FnOnce(Token) -> u64) -> Token {
        let token = if kept == NIL { self.victim() } else { self.victim_beside(kept) };
        if token != NIL {
            self.remember(token, hash_of(token));
            self.remove(token);
        }
        token
    }

    /// Evicts the victim, whose hash is `left`, and inserts a new entry with the hash `came` that takes over its token: the fast
    /// path where one leaves for one. A policy that has a shorter way than out and in again has it here.
    ///
    /// # Safety
    /// `token` came from [`victim`](Self::victim), and nothing has changed since.
    #[inline(always)]
    unsafe fn renew(&mut self, token: Token, left: u64, came: u64) {
        self.remember(token, left);
        self.remove(token);
        // (There is room for the token: it is in.)
        self.insert(token, came, 0);
    }

    /// All entries, the next victim first, if nothing came in and nothing was used meanwhile. For inspection and tests; it
    /// takes O(n) memory.
    fn victims(&self) -> Vec<Token> {
        let mut rest = self.clone();
        let next = || {
            let token = rest.victim();
            rest.remove(token);
            (token != NIL).then_some(token)
        };
        std::iter::from_fn(next).collect()
    }

    /// Checks what must always hold.
    fn validate(&self);
}

/// Lets the compiler lay out the code so that what comes after this is not the usual way.
#[cold]
#[inline(always)]
fn unusual() {}

/// Makes [`Order`] (enum dispatch over the strategies) and [`Kind`] (their stable numbers).
macro_rules! policies {
    ($($name:ident = $number:literal, $policy:ty;)*) => {
        /// The strategies by the numbers that Python's `Strategy` gives them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind { $($name = $number),* }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            pub fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Kind::$name),)* _ => None }
            }

            /// What Python's `Strategy` calls it, but for the case.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$name => stringify!($name)),* }
            }
        }

        /// The order of a cache's entries under its strategy. (With a tag of its own: one in a niche takes longer to read.)
        #[derive(Debug)]
        #[repr(u32)]
        pub enum Order { $($name($policy)),* }

        impl Order {
            pub fn new(kind: Kind, capacity: usize) -> Self {
                match kind { $(Kind::$name => Order::$name(Policy::new(capacity))),* }
            }

            pub fn kind(&self) -> Kind {
                match self { $(Order::$name(_) => Kind::$name),* }
            }

            /// See [`Policy::HIT`].
            pub fn hit_does(&self) -> HitEffect {
                match self { $(Order::$name(_) => <$policy as Policy>::HIT),* }
            }

            /// See [`Policy::HAS_HISTORY`].
            pub fn has_history(&self) -> bool {
                match self { $(Order::$name(_) => <$policy as Policy>::HAS_HISTORY),* }
            }

            /// See [`Policy::COUNTS_REPEATS`].
            pub fn repeats_count(&self) -> bool {
                match self { $(Order::$name(_) => <$policy as Policy>::COUNTS_REPEATS),* }
            }

            /// See [`Policy::resize`].
            pub fn resize(&mut self, capacity: usize) {
                match self { $(Order::$name(p) => p.resize(capacity)),* }
            }

            /// An entry was used.
            ///
            /// # Safety
            /// `does` is [`hit_does`](Self::hit_does), and `token` was inserted and not removed since. No other thread has a
            /// reference to the order, but for others in this method where a hit marks, and for all where it does nothing.
            #[inline(always)]
            pub unsafe fn hit(order: &UnsafeCell<Self>, does: HitEffect, token: Token) {
                // SAFETY: the caller's promise.
                unsafe {
                    // Each asks for the rest among the strategies of its kind only. The usual one comes first.
                    if does == HitEffect::Exclusive {
                        return Self::hit_of(order, HitEffect::Exclusive, token);
                    }
                    unusual();
                    if does == HitEffect::Shared {
                        Self::hit_of(order, HitEffect::Shared, token);
                    } else if does == HitEffect::ExclusiveCall {
                        Self::hit_of(order, HitEffect::ExclusiveCall, token);
                    }
                }
            }

            /// As [`hit`](Self::hit), for a constant `does`.
            ///
            /// # Safety
            /// As for `hit`; and the order's policy is one whose `HIT` is `does`.
            #[inline(always)]
            unsafe fn hit_of(order: &UnsafeCell<Self>, does: HitEffect, token: Token) {
                // SAFETY: the caller's promise: the strategy is one whose hit does this, and where it moves anything, the
                // order is the caller's alone; elsewhere, all have shared references.
                unsafe {
                    match &*order.get() {
                        $(Order::$name(_) if <$policy as Policy>::HIT != does => std::hint::unreachable_unchecked(),)*
                        $(Order::$name(policy) => if does == HitEffect::Shared {
                            policy.mark(token);
                        } else if let Order::$name(policy) = &mut *order.get() {
                            policy.hit(token);
                        })*
                    }
                }
            }

            /// See [`Policy::renew`].
            ///
            /// # Safety
            /// `token` came from [`victim`](Self::victim), and nothing has changed since.
            #[inline(always)]
            pub unsafe fn renew(&mut self, token: Token, left: u64, came: u64) {
                // SAFETY: the caller's promise is the policy's.
                unsafe { match self { $(Order::$name(p) => p.renew(token, left, came)),* } }
            }

            #[inline]
            pub fn insert(&mut self, token: Token, hash: u64, limit: usize) {
                match self { $(Order::$name(p) => p.insert(token, hash, limit)),* }
            }

            pub fn remove(&mut self, token: Token) {
                match self { $(Order::$name(p) => p.remove(token)),* }
            }

            #[inline(always)]
            pub fn victim(&mut self) -> Token {
                match self { $(Order::$name(p) => p.victim()),* }
            }

            /// See [`Policy::evict`].
            pub fn evict(&mut self, kept: Token, hash_of: impl FnOnce(Token) -> u64) -> Token {
                match self { $(Order::$name(p) => p.evict(kept, hash_of)),* }
            }

            pub fn victims(&self) -> Vec<Token> {
                match self { $(Order::$name(p) => p.victims()),* }
            }

            pub fn validate(&self) {
                match self { $(Order::$name(p) => p.validate()),* }
            }
        }
    };
}

policies! {
    Lru = 0, recency::Lru;
    Mru = 1, recency::Mru;
    Fifo = 2, recency::Fifo;
    Lfu = 3, lfu::Lfu;
    Sieve = 4, sieve::Sieve;
    S3Fifo = 5, s3fifo::S3Fifo;
    TinyLfu = 6, tinylfu::TinyLfu;
}
