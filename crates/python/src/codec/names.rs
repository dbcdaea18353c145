//! The names that dicts were decoded with lately: their keys are often the same few.
//!
//! Ring 3. Each short name has one place in a table, where the last one made lies. Found there, it need not be made, nor
//! hashed once more, as a `str` keeps its hash. The GIL guards the table; without one there is none.

use std::cell::Cell;

use pyo3::ffi;

use crate::capi::reference::PyRef;
use crate::capi::sharing::FREE_THREADED;
use engine::hashing::GOLDEN;

/// The longest name that is kept, in characters.
const LONGEST: usize = 32;

/// A `str` of ASCII characters if it lies in the table, else what `make` makes of it, which then does.
///
/// # Safety
/// The thread is attached. `make` gives an exact, compact `str` of these characters, all ASCII, and runs no Python code.
#[inline]
pub unsafe fn name<E>(characters: &[u8], make: impl FnOnce() -> Result<PyRef, E>) -> Result<PyRef, E> {
    if FREE_THREADED || !(2..=LONGEST).contains(&characters.len()) {
        return make();
    }
    let place = &TABLE.0[place_of(characters)];
    let kept = place.get();
    // SAFETY: what lies there is a compact `str` of ASCII characters, which follow its head.
    unsafe {
        if !kept.is_null() {
            let head = kept.cast::<ffi::PyASCIIObject>();
            let data = head.add(1).cast::<u8>();
            if (*head).length as usize == characters.len()
                && std::slice::from_raw_parts(data, characters.len()) == characters
            {
                return Ok(PyRef::borrow(kept));
            }
        }
        let made = make()?;
        place.set(PyRef::borrow(made.as_ptr()).into_ptr());
        if !kept.is_null() {
            drop(PyRef::steal(kept));
        }
        Ok(made)
    }
}

const PLACES: usize = 512;

struct Table([Cell<*mut ffi::PyObject>; PLACES]);

// SAFETY: reached by `name` alone, and there only with a GIL: by threads that hold it, one at a time, and none gives it up in
// between.
unsafe impl Sync for Table {}

/// Null, or a strong reference, for as long as the process lives.
static TABLE: Table = Table([const { Cell::new(std::ptr::null_mut()) }; PLACES]);

/// From the first and the last eight characters, or all if there are less.
#[inline]
fn place_of(characters: &[u8]) -> usize {
    let word = |part: &[u8]| part.iter().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    let (first, last) = match (characters.first_chunk::<8>(), characters.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (word(characters), 0),
    };
    let mixed = (first ^ last.rotate_left(29) ^ characters.len() as u64).wrapping_mul(GOLDEN);
    (mixed >> 55) as usize % PLACES
}
