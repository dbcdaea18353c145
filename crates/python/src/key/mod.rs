//! Keys: how the arguments of a call are hashed and compared.
//!
//! Ring 3. A lookup works on a [`View`], borrowed from the call: no tuple is built and nothing allocated on a hit. A key in
//! the cache is one object: of a call with one positional argument, that argument; of any other, a tuple of the values, with
//! a tuple of the keywords' names behind them where there are any. The *shape* (how many values stand for positional
//! arguments, whether names follow) is stored beside the key, so that `f(1, a=2)` and `f((1,), (("a", 2),))` never meet.
//!
//! Hashing calls each argument's `__hash__` at most once a call, before any lock is taken. Comparing takes identity first,
//! then compares exact built-in types in place; any other `__eq__` is the user's and is not called here: the answer is
//! [`Equal::Ask`], and `function::lookup` calls it outside the lock.

pub mod inline;
pub mod signature;

use pyo3::ffi;

use crate::capi::layout::{self, Exact};
use crate::capi::reference::{new_tuple, tuple_items, unwinding, Arguments, Owned};
use engine::hashing::{fold_multiply as mix, GOLDEN as MULTIPLIER};

/// The shape of a key: the number of values that stand for positional arguments, and the flag below.
pub type Shape = u32;

/// The shape of a call with one positional argument; its key is the argument itself.
pub const ONE: Shape = 1;
/// Set in a shape where the key's last item is a tuple of names, whose values stand before it.
const NAMED: Shape = 1 << 31;
/// No call has this shape: more arguments than a shape can say.
pub const TOO_MANY: Shape = u32::MAX;

/// Nesting of tuples that is compared in place; beyond it, the comparison is Python's, which knows its stack.
const DEPTH: u32 = 8;

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

/// The answer to "are these equal?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equal {
    Yes,
    No,
    /// Only a call into Python can tell.
    Ask,
}

impl From<bool> for Equal {
    #[inline(always)]
    fn from(equal: bool) -> Self {
        if equal {
            Equal::Yes
        } else {
            Equal::No
        }
    }
}

// ---- hashing ----

const START: u64 = 0x243F_6A88_85A3_08D3;

/// Mixes what two objects hash to into a state: one multiplication.
#[inline(always)]
fn mix_two(state: u64, a: u64, b: u64) -> u64 {
    mix(state ^ a, MULTIPLIER ^ b)
}

/// The state before `values` values are mixed in, the last `names` of which have names.
#[inline(always)]
fn start(values: usize, names: usize) -> u64 {
    START ^ (values as u64) << 8 ^ names as u64
}

/// The hash of one object as Python has it, or `None` with an exception set.
///
/// # Safety
/// `object` is a live object, and the thread is attached.
#[inline(always)]
unsafe fn hash_object(object: *mut ffi::PyObject) -> Option<isize> {
    // SAFETY: the caller's promise; the layouts are read for exact types only.
    unsafe {
        if layout::is_exact(object, &raw mut ffi::PyLong_Type) {
            if let Some(hash) = layout::short_int_hash(object) {
                return Some(hash);
            }
        } else if layout::is_exact(object, &raw mut ffi::PyUnicode_Type) {
            let hash = layout::kept_str_hash(object);
            if hash != -1 {
                return Some(hash);
            }
        }
        hash_slowly(object)
    }
}

#[cold]
unsafe fn hash_slowly(object: *mut ffi::PyObject) -> Option<isize> {
    // SAFETY: as for `hash_object`; the level is left by whoever has entered it.
    unsafe {
        // A class may have a cached function as its `__hash__`, which asks for the hash of its argument, and so on: where no
        // frame of Python's is on the way, nobody else counts the depth.
        let is_of_class = ffi::PyType_HasFeature(layout::type_of(object), ffi::Py_TPFLAGS_HEAPTYPE) != 0;
        if is_of_class && unwinding::Py_EnterRecursiveCall(c" while hashing an argument".as_ptr()) != 0 {
            return None;
        }
        let hash = unwinding::PyObject_Hash(object);
        if is_of_class {
            unwinding::Py_LeaveRecursiveCall();
        }
        (hash != -1).then_some(hash)
    }
}

#[inline(always)]
fn type_bits(object: *mut ffi::PyObject) -> u64 {
    // SAFETY: a live object (the callers').
    (unsafe { layout::type_of(object) } as usize as u64).rotate_left(32)
}

/// The hash of a call with one positional argument, or `None` with an exception set.
///
/// # Safety
/// As for `hash_object`.
#[inline(always)]
pub unsafe fn hash_one(object: *mut ffi::PyObject, typed: bool) -> Option<u64> {
    // SAFETY: the caller's promise.
    let mut hash = unsafe { hash_object(object) }? as u64;
    if typed {
        hash ^= type_bits(object);
    }
    Some(mix(hash ^ START, MULTIPLIER))
}

/// The hash of any other call, or `None` with an exception set.
///
/// # Safety
/// As for `hash_object`, for every value and name.
#[inline(always)]
pub unsafe fn hash_many(values: &[*mut ffi::PyObject], names: &[*mut ffi::PyObject], typed: bool) -> Option<u64> {
    let mut state = start(values.len(), names.len());
    // SAFETY: the caller's promise.
    let hash_of = |value| unsafe {
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
        // SAFETY: the caller's promise.
        state = mix_two(state, unsafe { hash_object(name) }? as u64, 0);
    }
    Some(state)
}

/// The shape of a key.
#[inline(always)]
pub fn shape(values: usize, names: usize) -> Shape {
    let positional = values - names;
    if positional >= NAMED as usize - 1 {
        TOO_MANY
    } else if names == 0 {
        positional as Shape
    } else {
        positional as Shape | NAMED
    }
}

// ---- comparing ----

/// Whether two objects are equal, as far as can be said without running user code.
#[inline(always)]
fn objects_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject, typed: bool) -> Equal {
    if a == b {
        return Equal::Yes;
    }
    // SAFETY: live objects; the layouts are read for exact types only.
    unsafe {
        if layout::is_exact(a, &raw mut ffi::PyLong_Type) && layout::is_exact(b, &raw mut ffi::PyLong_Type) {
            return layout::ints_equal(a, b).into();
        }
        if layout::is_exact(a, &raw mut ffi::PyUnicode_Type) && layout::is_exact(b, &raw mut ffi::PyUnicode_Type) {
            return strs_equal(a, b);
        }
    }
    others_equal(a, b, typed, DEPTH)
}

/// # Safety
/// Both are exact `str`s.
#[inline(never)]
unsafe fn strs_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> Equal {
    // SAFETY: the caller's promise.
    unsafe { layout::strs_equal(a, b) }.map_or(Equal::Ask, Equal::from)
}

#[inline(never)]
fn others_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject, typed: bool, depth: u32) -> Equal {
    // SAFETY: live objects; the layouts are read for exact types only.
    unsafe {
        if typed && layout::type_of(a) != layout::type_of(b) {
            return Equal::No;
        }
        match (layout::exact(a), layout::exact(b)) {
            (Exact::Str, Exact::Str) => strs_equal(a, b),
            (Exact::Int, Exact::Int) => layout::ints_equal(a, b).into(),
            (Exact::Bytes, Exact::Bytes) => layout::bytes_equal(a, b).into(),
            (Exact::Float, Exact::Float) => layout::floats_equal(a, b).into(),
            // Both are singletons, and identity was looked at before.
            (Exact::Bool, Exact::Bool) | (Exact::None, Exact::None) => Equal::No,
            (Exact::Tuple, Exact::Tuple) => tuples_equal(a, b, depth),
            (Exact::Other, _) | (_, Exact::Other) => Equal::Ask,
            (Exact::Int | Exact::Float | Exact::Bool, Exact::Int | Exact::Float | Exact::Bool) => Equal::Ask,
            // Exact types that never equal one another.
            _ => Equal::No,
        }
    }
}

/// As Python compares tuples: `typed` does not reach into them, as in functools.
unsafe fn tuples_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject, depth: u32) -> Equal {
    // SAFETY: the caller passes exact tuples.
    let (a, b) = unsafe { (tuple_items(a), tuple_items(b)) };
    if a.len() != b.len() {
        return Equal::No;
    }
    if depth == 0 {
        return Equal::Ask;
    }
    for (&x, &y) in a.iter().zip(b) {
        if x != y {
            match others_equal(x, y, false, depth - 1) {
                Equal::Yes => (),
                // In the order of the items: what comes after an unequal item is not looked at, nor asked.
                answer => return answer,
            }
        }
    }
    Equal::Yes
}

/// Whether functools takes a lone argument itself for a key: an exact `int` or `str`. Of any other it makes a tuple.
///
/// # Safety
/// It is alive; the thread is attached.
pub unsafe fn is_key_itself(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        layout::is_exact(object, &raw mut ffi::PyLong_Type) || layout::is_exact(object, &raw mut ffi::PyUnicode_Type)
    }
}

/// Whether two objects are equal, untyped; `false` may also mean that only Python can tell.
///
/// # Safety
/// Both are alive; the thread is attached.
pub unsafe fn same(stored: *mut ffi::PyObject, value: *mut ffi::PyObject) -> bool {
    objects_equal(stored, value, false) == Equal::Yes
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
    /// Whether this call's key is `key`, whose shape is the view's, as far as can be said without running user code.
    ///
    /// # Safety
    /// `key` is the live key of an entry whose stored shape is `self.shape`; the thread is attached.
    #[inline]
    pub unsafe fn equals(&self, key: *mut ffi::PyObject) -> Equal {
        // SAFETY: the caller's promise.
        unsafe {
            if self.shape == ONE {
                self.equals_one(key)
            } else {
                self.equals_many(key)
            }
        }
    }

    /// [`equals`](Self::equals) where the shape is `ONE`.
    ///
    /// # Safety
    /// As for `equals`.
    #[inline(always)]
    pub unsafe fn equals_one(&self, key: *mut ffi::PyObject) -> Equal {
        // SAFETY: a shape of one positional argument has one value.
        objects_equal(key, unsafe { *self.values.get_unchecked(0) }, self.typed)
    }

    /// [`equals`](Self::equals) where the shape is another.
    ///
    /// # Safety
    /// As for `equals`.
    #[inline(always)]
    pub unsafe fn equals_many(&self, key: *mut ffi::PyObject) -> Equal {
        // SAFETY: the key of any shape but `ONE` is a tuple.
        unsafe { self.equals_tuple(tuple_items(key)) }
    }

    #[inline(always)]
    unsafe fn equals_tuple(&self, items: &[*mut ffi::PyObject]) -> Equal {
        let count = self.values.len();
        if items.len() != count + usize::from(!self.names.is_empty()) {
            return Equal::No;
        }
        for (&stored, &value) in items.iter().zip(self.values) {
            match objects_equal(stored, value, self.typed) {
                Equal::Yes => (),
                answer => return answer,
            }
        }
        if self.names.is_empty() {
            return Equal::Yes;
        }
        // SAFETY: where names follow, the last item is a tuple of them.
        let names = unsafe { tuple_items(items[count]) };
        if names.len() != self.names.len() {
            return Equal::No;
        }
        for (&stored, &name) in names.iter().zip(self.names) {
            match objects_equal(stored, name, false) {
                Equal::Yes => (),
                answer => return answer,
            }
        }
        Equal::Yes
    }

    /// Whether this call has a lone argument that functools keeps apart from the one in `key`, though they may be equal.
    ///
    /// # Safety
    /// As for [`equals`](Self::equals).
    pub unsafe fn is_apart(&self, key: *mut ffi::PyObject) -> bool {
        // SAFETY: a shape of one positional argument has one value; the caller's promise.
        unsafe { self.shape == ONE && is_key_itself(key) != is_key_itself(*self.values.get_unchecked(0)) }
    }

    /// Asks Python whether this call's key is `key`; `None` with an exception set. Runs user code.
    ///
    /// # Safety
    /// As for [`equals`](Self::equals); the caller holds a strong reference to `key` and no lock.
    pub unsafe fn ask(&self, key: *mut ffi::PyObject) -> Option<bool> {
        // SAFETY: the caller's promise. Stored keys come first, as in `dict`.
        unsafe {
            if self.shape == ONE {
                return self.ask_one(key, self.values[0], self.typed);
            }
            let items = tuple_items(key);
            for (&stored, &value) in items.iter().zip(self.values) {
                if !self.ask_one(stored, value, self.typed)? {
                    return Some(false);
                }
            }
            if !self.names.is_empty() {
                for (&stored, &name) in tuple_items(items[self.values.len()]).iter().zip(self.names) {
                    if !self.ask_one(stored, name, false)? {
                        return Some(false);
                    }
                }
            }
            Some(true)
        }
    }

    unsafe fn ask_one(&self, stored: *mut ffi::PyObject, value: *mut ffi::PyObject, typed: bool) -> Option<bool> {
        match objects_equal(stored, value, typed) {
            Equal::Yes => Some(true),
            Equal::No => Some(false),
            // SAFETY: live objects, no lock held.
            Equal::Ask => match unsafe { unwinding::PyObject_RichCompareBool(stored, value, ffi::Py_EQ) } {
                -1 => None,
                answer => Some(answer != 0),
            },
        }
    }

    /// The key to store for this call, or `None` with an exception set. May run the garbage collector, so any code.
    ///
    /// # Safety
    /// The view's objects are alive, the thread is attached and holds no lock.
    #[inline]
    pub unsafe fn make_key(&self) -> Option<Owned> {
        // SAFETY: the caller's promise.
        unsafe {
            if self.shape == ONE {
                Some(Owned::borrow(*self.values.get_unchecked(0)))
            } else {
                self.tuple_key()
            }
        }
    }

    #[inline(never)]
    unsafe fn tuple_key(&self) -> Option<Owned> {
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
        key: &'a Owned,
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
