//! The view of a call: the arguments that make its key, borrowed, and the key that is stored for it.
//!
//! Ring 3. What a key and its shape are, the head of [`key`](super) says.

use pyo3::prelude::*;

use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::reference::{new_tuple, tuple_items, PyRef};

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
    pub values: &'a [Ref<'a>],
    /// The names of the last `names.len()` values.
    pub names: &'a [Ref<'a>],
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

impl<'a> Arguments<'a> {
    /// The view of a call without keywords, untyped. `hash` is the hash of its values.
    #[inline(always)]
    pub fn plain_view(&self, hash: u64) -> View<'a> {
        let values = self.plain_values();
        View { values, names: &[], shape: shape(values.len(), 0), hash, typed: false }
    }
}

impl<'a> View<'a> {
    /// The key to store for this call, or `None` with an exception set. May run the garbage collector, so any code.
    #[inline]
    pub fn make_key(&self) -> Option<PyRef> {
        if self.shape == ONE {
            Some(self.one().to_owned())
        } else {
            self.tuple_key()
        }
    }

    /// The value of a view whose shape is [`ONE`].
    #[inline(always)]
    pub(super) fn one(&self) -> Ref<'a> {
        debug_assert!(self.shape == ONE && !self.values.is_empty());
        // SAFETY: a shape of one positional argument has one value.
        unsafe { *self.values.get_unchecked(0) }
    }

    #[inline(never)]
    fn tuple_key(&self) -> Option<PyRef> {
        let py = self.py();
        if self.names.is_empty() {
            return new_tuple(py, self.values.iter().copied());
        }
        let names = new_tuple(py, self.names.iter().copied())?;
        let count = self.values.len() + 1;
        new_tuple(py, (0..count).map(|i| self.values.get(i).copied().unwrap_or(names.lend(py))))
    }

    /// That the thread is attached: whoever has a view is, as its objects show.
    #[inline(always)]
    pub fn py(&self) -> Python<'a> {
        // SAFETY: a view is made of a call or of a stored key on an attached thread, and does not leave it.
        unsafe { Python::assume_attached() }
    }

    /// The view of a stored key.
    ///
    /// # Safety
    /// `key` is the key of an entry with this shape and hash.
    pub unsafe fn of_key(key: &'a Ref<'a>, shape: Shape, hash: u64, typed: bool) -> View<'a> {
        let (values, names): (&[_], &[_]) = if shape == ONE {
            (std::slice::from_ref(key), &[])
        } else {
            // SAFETY: the key of any other shape is a tuple, whose last item is one where names follow.
            unsafe {
                let items = Ref::row(tuple_items(key.as_ptr()));
                match items.split_last() {
                    Some((names, values)) if shape & NAMED != 0 => (values, Ref::row(tuple_items(names.as_ptr()))),
                    _ => (items, &[]),
                }
            }
        };
        View { values, names, shape, hash, typed }
    }
}
