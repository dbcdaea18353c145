//! The hash of a key, from the hashes of its arguments.
//!
//! Ring 3. [`inline`](super::inline) has the same hashes where they take no call.

use pyo3::ffi;

use crate::capi::borrowed::Ref;
use crate::capi::reference::calls;
use engine::hashing::fold_multiply as mix;

pub(super) const START: u64 = 0x243F_6A88_85A3_08D3;

/// The factor by which keys are multiplied: the first of wyhash's. With the golden ratio, ints in a row meet one another's tags in
/// the index (of sixteen, 2.75 on the average); with this one, none.
pub(super) const MULTIPLIER: u64 = 0xA076_1D64_78BD_642F;

/// Mixes what two objects hash to into a state: one multiplication.
#[inline(always)]
pub(super) fn mix_two(state: u64, a: u64, b: u64) -> u64 {
    mix(state ^ a, MULTIPLIER ^ b)
}

/// The state before `values` values are mixed in, the last `names` of which have names.
#[inline(always)]
pub(super) fn start(values: usize, names: usize) -> u64 {
    START ^ (values as u64) << 8 ^ names as u64
}

/// The hash of one object as Python has it, or `None` with an exception set.
#[inline(always)]
fn hash_object(object: Ref<'_>) -> Option<isize> {
    if let Some(int) = object.as_int() {
        if let Some(hash) = int.short_hash() {
            return Some(hash);
        }
    } else if let Some(string) = object.as_str() {
        let hash = string.kept_hash();
        if hash != -1 {
            return Some(hash);
        }
    }
    hash_slowly(object)
}

#[cold]
fn hash_slowly(object: Ref<'_>) -> Option<isize> {
    // SAFETY: a live object; the level is left by whoever has entered it.
    unsafe {
        // A class may have a cached function as its `__hash__`, which asks for the hash of its argument, and so on: where no
        // frame of Python's is on the way, nobody else counts the depth.
        let is_of_class = ffi::PyType_HasFeature(object.kind(), ffi::Py_TPFLAGS_HEAPTYPE) != 0;
        if is_of_class && calls::Py_EnterRecursiveCall(c" while hashing an argument".as_ptr()) != 0 {
            return None;
        }
        let hash = calls::PyObject_Hash(object.as_ptr());
        if is_of_class {
            calls::Py_LeaveRecursiveCall();
        }
        (hash != -1).then_some(hash)
    }
}

#[inline(always)]
fn type_bits(object: Ref<'_>) -> u64 {
    (object.kind() as usize as u64).rotate_left(32)
}

/// The hash of a call with one positional argument, or `None` with an exception set.
#[inline(always)]
pub fn hash_one(object: Ref<'_>, typed: bool) -> Option<u64> {
    let mut hash = hash_object(object)? as u64;
    if typed {
        hash ^= type_bits(object);
    }
    Some(mix(hash ^ START, MULTIPLIER))
}

/// The hash of any other call, or `None` with an exception set.
#[inline(always)]
pub fn hash_many(values: &[Ref<'_>], names: &[Ref<'_>], typed: bool) -> Option<u64> {
    let mut state = start(values.len(), names.len());
    let hash_of = |value| {
        let hash = hash_object(value)? as u64;
        Some(if typed { hash ^ type_bits(value) } else { hash })
    };
    let mut pairs = values.chunks_exact(2);
    for pair in &mut pairs {
        state = mix_two(state, hash_of(pair[0])?, hash_of(pair[1])?);
    }
    for &value in pairs.remainder() {
        state = mix_two(state, hash_of(value)?, 0);
    }
    for &name in names {
        state = mix_two(state, hash_object(name)? as u64, 0);
    }
    Some(state)
}
