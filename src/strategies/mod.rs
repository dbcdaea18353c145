//! Eviction strategies: which entry gives way when a full cache takes a new one.
//!
//! Ring 1. A strategy knows tokens only: no keys, no values, no time, no locks. One file each; a new one is added by
//! writing its file with an `impl Policy` and giving it a line in [`policies!`] below.

mod fifo;
mod lfu;
pub mod list;
mod lru;
mod mru;

use crate::entry::Token;

/// What a strategy does at the four moments of an entry's life.
pub trait Policy: Default {
    /// Whether a hit must be told to the strategy. Where it is false, a hit writes nothing at all.
    const HIT_WRITES: bool;

    /// Whether a hit right after a hit of the same entry changes anything.
    const REPEATS_COUNT: bool = false;

    /// Whether [`hit`](Self::hit) is inlined into the hit path: a few instructions and no call.
    const HIT_IS_SHORT: bool = true;

    /// An entry came in. `limit` is the largest token expected; it only shapes growth.
    fn insert(&mut self, token: Token, limit: usize);

    /// An entry was used.
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    unsafe fn hit(&mut self, token: Token);

    /// The entry of `token` gave way to a new one, which took over its token: as `remove` and `insert`, but cheaper.
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    unsafe fn renew(&mut self, token: Token);

    /// An entry left; nothing happens if it is not there.
    fn remove(&mut self, token: Token);

    /// The entry to evict next, or [`NIL`](crate::entry::NIL) where there is none.
    fn victim(&self) -> Token;

    /// All entries left.
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// All entries, the next victim first. For inspection and tests; it may take O(n) memory.
    fn victims(&self) -> Vec<Token>;

    /// Checks what must always hold.
    fn validate(&self);
}

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
        }

        /// The order of a cache's entries under its strategy. (With a tag of its own: one in a niche takes longer to read.)
        #[derive(Debug)]
        #[repr(u32)]
        pub enum Order { $($name($policy)),* }

        impl Order {
            pub fn new(kind: Kind) -> Self {
                match kind { $(Kind::$name => Order::$name(Default::default())),* }
            }

            /// See [`Policy::HIT_WRITES`].
            pub fn hit_writes(&self) -> bool {
                match self { $(Order::$name(_) => <$policy as Policy>::HIT_WRITES),* }
            }

            /// See [`Policy::REPEATS_COUNT`].
            pub fn repeats_count(&self) -> bool {
                match self { $(Order::$name(_) => <$policy as Policy>::REPEATS_COUNT),* }
            }

            /// See [`Policy::hit`].
            ///
            /// # Safety
            /// `token` was inserted and not removed since.
            #[inline(always)]
            pub unsafe fn hit(&mut self, token: Token) {
                // SAFETY: the caller's promise is the policy's.
                unsafe { match self { $(Order::$name(p) => p.hit(token)),* } }
            }

            /// [`hit`](Self::hit) where it is short; `false` (and nothing done) where it is not.
            ///
            /// # Safety
            /// `token` was inserted and not removed since.
            #[inline(always)]
            pub unsafe fn hit_at_once(&mut self, token: Token) -> bool {
                match self {
                    $(Order::$name(p) => {
                        if <$policy as Policy>::HIT_IS_SHORT {
                            // SAFETY: the caller's promise is the policy's.
                            unsafe { p.hit(token) };
                        }
                        <$policy as Policy>::HIT_IS_SHORT
                    })*
                }
            }

            /// See [`Policy::renew`].
            ///
            /// # Safety
            /// `token` was inserted and not removed since.
            #[inline(always)]
            pub unsafe fn renew(&mut self, token: Token) {
                // SAFETY: the caller's promise is the policy's.
                unsafe { match self { $(Order::$name(p) => p.renew(token)),* } }
            }

            #[inline]
            pub fn insert(&mut self, token: Token, limit: usize) {
                match self { $(Order::$name(p) => p.insert(token, limit)),* }
            }

            pub fn remove(&mut self, token: Token) {
                match self { $(Order::$name(p) => p.remove(token)),* }
            }

            #[inline(always)]
            pub fn victim(&self) -> Token {
                match self { $(Order::$name(p) => p.victim()),* }
            }

            pub fn clear(&mut self) {
                match self { $(Order::$name(p) => Policy::clear(p)),* }
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
    Lru = 0, lru::Lru;
    Mru = 1, mru::Mru;
    Fifo = 2, fifo::Fifo;
    Lfu = 3, lfu::Lfu;
}
