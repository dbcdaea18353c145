//! Hashes and comparisons that take no call: what a glance at a call can tell of its key.
//!
//! Ring 3. They agree with `key::hash_one`, `key::hash_many` and `View::equals` wherever they decide.

use super::hash::{mix_two, start, MULTIPLIER, START};
use crate::capi::borrowed::Ref;
use engine::hashing::fold_multiply as mix;

/// The hash of one object where it takes no call to tell: of ints of one digit that are not negative, of strings that keep
/// theirs, and of objects that hash by their address.
#[inline(always)]
fn hash_object(object: Ref<'_>) -> Option<u64> {
    if let Some(int) = object.as_int() {
        int.plain_digit().map(u64::from)
    } else if let Some(string) = object.as_str() {
        let hash = string.kept_hash();
        (hash != -1).then_some(hash as u64)
    } else {
        object.address_hash().map(|hash| hash as u64)
    }
}

/// [`key::hash_one`](super::hash_one), untyped, where it takes no call to tell.
#[inline(always)]
pub fn hash_one(object: Ref<'_>) -> Option<u64> {
    hash_object(object).map(|hash| mix(hash ^ START, MULTIPLIER))
}

/// [`key::hash_many`](super::hash_many) of two values, untyped, where it takes no call to tell.
#[inline(always)]
pub fn hash_two(a: Ref<'_>, b: Ref<'_>) -> Option<u64> {
    let (a, b) = (hash_object(a)?, hash_object(b)?);
    Some(mix_two(start(2, 0), a, b))
}

/// Whether two objects are equal, where it takes no call to tell; `false` may also mean that it does. The second has a hash
/// at a glance: an exact `int` has a plain digit.
#[inline(always)]
pub fn same(stored: Ref<'_>, value: Ref<'_>) -> bool {
    stored == value || value.as_int().is_some_and(|value| value.is_same_digit(stored))
}
