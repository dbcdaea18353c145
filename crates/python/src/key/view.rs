//! The view of a call: the arguments that make its key, borrowed, and the key that is stored for it.
//!
//! Ring 3. What a key and its shape are, the head of [`key`](super) says.

use pyo3::ffi;

use crate::capi::reference::{new_tuple, tuple_items, Arguments, PyRef};

/// The shape of a key: the number of values that stand for positional arguments, and the flag below.
pub type Shape = u32;

/// The shape of a call with one positional argument; its key is the argument itself.
pub const ONE: Shape = 1;
/// Set in a shape where the key's last item is a tuple of names, whose values stand before it.
const NAMED: Shape = 1 << 31;
/// No call has this shape: more arguments than a shape can say.
pub const TOO_MANY: Shape = u32::MAX;
/// No call has this one either: of a key that is a tuple of one `bytes`, by which a backend knows a call.
pub const AS_BYTES: Shape = NAMED - 2;

/// The arguments that make a key, borrowed from a call or from a stored key.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub values: &'a [*mut ffi::PyObject],
    /// The names of the last `names.len()` values.
    pub names: &'a [*mut ffi::PyObject],
    pub shape: Shape,
    pub hash: u64,
    pub typed: bool,
}

/// The shape of a key.
#[inline(always)]
pub fn shape(values: usize, names: usize) -> Shape {
    let positional = values - names;
    if positional >= AS_BYTES as usize {
        TOO_MANY
    } else if names == 0 {
        positional as Shape
    } else {
        positional as Shape | NAMED
    }
}

impl Arguments {
    /// The view of a call without keywords, untyped.
    ///
    /// # Safety
    /// The call still lasts and has at least one argument; `hash` is the hash of its values.
    #[inline(always)]
    pub unsafe fn plain_view(&self, hash: u64) -> View<'_> {
        let count = self.positional();
        // SAFETY: vectorcall passes so many values.
        let values = unsafe { std::slice::from_raw_parts(self.values, count) };
        View { values, names: &[], shape: shape(count, 0), hash, typed: false }
    }
}

impl View<'_> {
    /// The key to store for this call, or `None` with an exception set. May run the garbage collector, so any code.
    ///
    /// # Safety
    /// The view's objects are alive, the thread is attached and holds no lock.
    #[inline]
    pub unsafe fn make_key(&self) -> Option<PyRef> {
        // SAFETY: the caller's promise.
        unsafe {
            if self.shape == ONE {
                Some(PyRef::borrow(*self.values.get_unchecked(0)))
            } else {
                self.tuple_key()
            }
        }
    }

    #[inline(never)]
    unsafe fn tuple_key(&self) -> Option<PyRef> {
        // SAFETY: as for `make_key`.
        unsafe {
            if self.names.is_empty() {
                return new_tuple(self.values.iter().copied());
            }
            let names = new_tuple(self.names.iter().copied())?;
            let count = self.values.len() + 1;
            new_tuple((0..count).map(|i| self.values.get(i).copied().unwrap_or(names.as_ptr())))
        }
    }

    /// The view of a stored key.
    ///
    /// # Safety
    /// `key` is the key of an entry with this shape and hash, and outlives the view.
    pub unsafe fn of_key<'a>(
        key: &'a PyRef,
        pointer: &'a *mut ffi::PyObject,
        shape: Shape,
        hash: u64,
        typed: bool,
    ) -> View<'a> {
        debug_assert_eq!(key.as_ptr(), *pointer);
        let (values, names): (&[_], &[_]) = if shape == ONE {
            (std::slice::from_ref(pointer), &[])
        } else {
            // SAFETY: the key of any other shape is a tuple, whose last item is one where names follow.
            unsafe {
                let items = tuple_items(*pointer);
                match items.split_last() {
                    Some((names, values)) if shape & NAMED != 0 => (values, tuple_items(*names)),
                    _ => (items, &[]),
                }
            }
        };
        View { values, names, shape, hash, typed }
    }
}
