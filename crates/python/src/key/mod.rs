//! Keys: how the arguments of a call are hashed and compared.
//!
//! Ring 3. A lookup works on a [`View`], borrowed from the call: no tuple is built and nothing allocated on a hit. A key in
//! the cache is one object: of a call with one positional argument, that argument; of any other, a tuple of the values, with
//! a tuple of the keywords' names behind them where there are any. The *shape* (how many values stand for positional
//! arguments, whether names follow) is stored beside the key, so that `f(1, a=2)` and `f((1,), (("a", 2),))` never meet.
//!
//! Hashing calls each argument's `__hash__` at most once a call, before any lock is taken. Comparing takes identity first,
//! then compares exact built-in types in place; any other `__eq__` is the user's and is not called here: the answer is
//! [`Equality::Unknown`], and `function::lookup` calls it outside the lock.

mod equality;
mod hash;
pub mod inline;
pub mod signature;
mod view;

pub use self::equality::{is_key_itself, same, Equality};
pub use self::hash::{hash_many, hash_one};
pub use self::view::{shape, Shape, View, AS_BYTES, ONE, TOO_MANY};
