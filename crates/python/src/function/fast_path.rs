//! The shortest way to a hit: one or two plain arguments, and the first candidate is the entry.
//!
//! Ring 3. What vectorcall enters first. These functions make no call, so they need no stack frame; whatever is not the
//! usual case (an argument whose hash takes longer, a second candidate, an expired entry, keywords) they leave, with nothing
//! counted or changed, to [`call::any`](super::call::any), which does it all over again.

use pyo3::ffi;

use super::call::{any, finish_plain, ignoring};
use super::fast_lookup::FastLookup;
use super::instance::instance;
use super::keyed::Keyed;
use super::lookup::Entries;
use super::slim::missed;
use super::state::CacheState;
use crate::backend::{HitPath, TakeHit};
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::panics::{caught_in_debug, point};
use crate::capi::reference::{tuple_items, PyRef};
use crate::capi::sharing::{Reader, READERS_MAY_PAUSE};
use crate::function::reply::Reply;
use crate::function::slot_value::Value;
use crate::key::{self, Equality, ONE};
use concurrency::clock;
use engine::index::First;
use engine::slab::{Entry, Token};

/// The shape of a call with two positional arguments.
const TWO: key::Shape = 2;

/// What the first candidate is.
pub(crate) enum Peek {
    /// The value, a new strong reference; the hit was counted.
    Hit(*mut ffi::PyObject),
    /// No entry; the miss was counted.
    Absent(FastLookup),
    /// Of the right hash and shape, but more than a glance is needed. Only where `READERS_MAY_PAUSE`.
    Candidate(Token),
    /// The entry; only the order has not been told, as that takes a call. Only where `READERS_MAY_PAUSE`.
    Found(Token),
    Unsure,
}

/// Whether a call has so many positional arguments and no keywords.
#[inline(always)]
fn is_plain(count: usize, nargsf: usize, names: *mut ffi::PyObject) -> bool {
    // The top bit is `PY_VECTORCALL_ARGUMENTS_OFFSET`; doubling drops it.
    nargsf.wrapping_mul(2) == count * 2 && names.is_null()
}

/// Calls with one positional argument; `TWO_TOO`: those with two go to [`two`].
///
/// # Safety
/// To be called as PEP 590 says, with an untyped instance that takes one argument as it comes (and two).
pub(super) unsafe extern "C-unwind" fn one<B: HitPath, R: Reply, const EXPIRES: bool, const TWO_TOO: bool>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, with a call that lasts until this returns.
    unsafe {
        caught_in_debug!({
            if is_plain(1, nargsf, names) {
                let value = Ref::new(*values);
                if let Some(hash) = key::inline::hash_one(value) {
                    let seen = instance(object).state.peek::<B, EXPIRES>(hash, OneArg(value));
                    return dispatch::<B, R>(seen, object, values, nargsf, hash);
                }
                return lookup::<B, R>(object, values, nargsf);
            }
            if TWO_TOO {
                two::<B, R, EXPIRES>(object, values, nargsf, names)
            } else {
                any::<B, R>(object, values, nargsf, names)
            }
        })
    }
}

/// Calls with two positional arguments.
///
/// # Safety
/// To be called as PEP 590 says, with an untyped instance that takes two arguments as they come.
pub(super) unsafe extern "C-unwind" fn two<B: HitPath, R: Reply, const EXPIRES: bool>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `one`.
    unsafe {
        caught_in_debug!({
            if is_plain(2, nargsf, names) {
                let (first, second) = (Ref::new(*values), Ref::new(*values.add(1)));
                if let Some(hash) = key::inline::hash_two(first, second) {
                    let seen = instance(object).state.peek::<B, EXPIRES>(hash, TwoArgs(first, second));
                    return dispatch::<B, R>(seen, object, values, nargsf, hash);
                }
                return lookup::<B, R>(object, values, nargsf);
            }
            any::<B, R>(object, values, nargsf, names)
        })
    }
}

/// Calls with two positional arguments, of which the second is the key: those of a method whose instances have a cache each.
///
/// # Safety
/// To be called as PEP 590 says, with an untyped instance that leaves out the first of two arguments as they come.
pub(super) unsafe extern "C-unwind" fn second<B: HitPath, R: Reply, const EXPIRES: bool>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `one`.
    unsafe {
        caught_in_debug!({
            if is_plain(2, nargsf, names) {
                let value = Ref::new(*values.add(1));
                if let Some(hash) = key::inline::hash_one(value) {
                    match instance(object).state.peek::<B, EXPIRES>(hash, OneArg(value)) {
                        Peek::Hit(value) => return R::hit::<B>(value),
                        Peek::Found(token) => return found::<B, R>(object, token),
                        // The miss was counted.
                        Peek::Absent(absent) => return missed::<B, R, 1>(object, values, nargsf, hash, absent),
                        Peek::Candidate(_) | Peek::Unsure => (),
                    }
                }
            }
            ignoring::<B, R>(object, values, nargsf, names)
        })
    }
}

/// What becomes of a call at which a glance was taken.
///
/// # Safety
/// As for [`one`]; `hash` is the untyped hash of the call's values, and `seen` what the glance showed.
#[inline(always)]
unsafe fn dispatch<B: HitPath, R: Reply>(
    seen: Peek,
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
) -> *mut ffi::PyObject {
    // SAFETY: as in `one`.
    unsafe {
        match seen {
            Peek::Hit(value) => R::hit::<B>(value),
            Peek::Absent(absent) => missed::<B, R, 0>(object, values, nargsf, hash, absent),
            Peek::Candidate(token) => compare_candidate::<B, R>(object, values, nargsf, hash, token),
            Peek::Found(token) => found::<B, R>(object, token),
            Peek::Unsure => lookup_hashed::<B, R>(object, values, nargsf, hash),
        }
    }
}

/// A whole lookup of a call without keywords whose hash takes longer.
///
/// # Safety
/// As for [`one`].
#[inline(never)]
unsafe extern "C-unwind" fn lookup<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
) -> *mut ffi::PyObject {
    // SAFETY: as in `one`.
    let (this, arguments) = unsafe { (instance(object), Arguments::plain(values, nargsf)) };
    caught_in_debug!({
        match this.keyed(arguments.plain_values(), &[]) {
            // SAFETY: as in `one`.
            Keyed::View(view) => unsafe { finish_plain::<B, R>(object, values, nargsf, &view) },
            Keyed::NotACall => R::pass_on(this, &arguments),
            Keyed::Failed => std::ptr::null_mut(),
        }
    })
}

/// A whole lookup of a call without keywords.
///
/// # Safety
/// As for [`one`]; `hash` is the untyped hash of the call's values.
#[inline(never)]
unsafe extern "C-unwind" fn lookup_hashed<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
) -> *mut ffi::PyObject {
    // SAFETY: as in `one`.
    unsafe {
        let arguments = Arguments::plain(values, nargsf);
        caught_in_debug!({ finish_plain::<B, R>(object, values, nargsf, &arguments.plain_view(hash)) })
    }
}

/// A hit in an order that takes a call to change.
///
/// # Safety
/// As for [`one`]; `token` names the call's entry, and nothing has changed since it was found.
#[inline(never)]
unsafe extern "C-unwind" fn found<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    token: Token,
) -> *mut ffi::PyObject {
    // SAFETY: the entry has a finished value; otherwise as in `one`.
    unsafe {
        caught_in_debug!({
            let reader = instance(object).get().state.entries.reader();
            let value = reader.slot(token).1.value.object().unwrap_unchecked();
            ffi::Py_INCREF(value);
            reader.hit(token);
            drop(reader);
            R::hit::<B>(value)
        })
    }
}

/// Decides about a candidate with what takes a call: a longer comparison, the clock.
///
/// # Safety
/// As for [`one`]; `hash` is the untyped hash of the call's values, `token` names its first candidate, whose shape is the call's,
/// and nothing has changed since.
#[inline(never)]
unsafe extern "C-unwind" fn compare_candidate<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
    token: Token,
) -> *mut ffi::PyObject {
    // SAFETY: as in `one`.
    unsafe {
        caught_in_debug!({
            let state = &instance(object).get().state;
            let reader = state.entries.reader();
            let (_, entry) = reader.slot(token);
            let arguments = Arguments::plain(values, nargsf);
            let view = arguments.plain_view(hash);
            if view.equals(entry.key.lend(view.py())) == Equality::Yes {
                if let Some(value) = B::Hit::take(state, &reader, token, &entry.value) {
                    drop(reader);
                    return R::hit::<B>(value);
                }
            }
            drop(reader);
            lookup_hashed::<B, R>(object, values, nargsf, hash)
        })
    }
}

impl CacheState {
    /// Looks at the first candidate of a hash, which is that of what is sought, at a glance.
    #[inline(always)]
    pub(crate) fn peek<B: HitPath, const EXPIRES: bool>(&self, hash: u64, sought: impl Probe) -> Peek {
        let reader = self.entries.reader();
        point("glance");
        let token = match reader.first(hash) {
            First::Token(token) => token,
            First::Absent => {
                reader.miss();
                return Peek::Absent(FastLookup::absent(reader.inserts()));
            }
            First::Unsure => return Peek::Unsure,
        };
        // SAFETY: the token was found under this reader.
        let (slot, entry) = unsafe { reader.slot(token) };
        if slot.hash != hash as u32 || slot.meta != sought.shape() {
            return Peek::Unsure;
        }
        // SAFETY: the token names the entry, whose shape is right; the caller's promise.
        let seen = unsafe { B::Hit::fast_path::<EXPIRES>(&reader, token, entry, sought) };
        if let Some(seen) = seen {
            return seen;
        }
        if READERS_MAY_PAUSE {
            Peek::Candidate(token)
        } else {
            Peek::Unsure
        }
    }
}

/// A glance at an entry with a value of this process.
///
/// # Safety
/// As for [`TakeHit::fast_path`].
#[inline(always)]
pub(crate) unsafe fn fast_path<const EXPIRES: bool>(
    reader: &Reader<'_, Entries>,
    token: Token,
    entry: &Entry<PyRef, Value>,
    sought: impl Probe,
) -> Option<Peek> {
    let object = entry.value.object()?;
    // SAFETY: an entry with a finished value is published; counting a reference runs nothing. Otherwise the caller's promise.
    unsafe {
        if !sought.is_in(&entry.key) || EXPIRES && !is_fresh(reader, token) {
            return None;
        }
        if !reader.hit_inline(token) {
            return Some(Peek::Found(token));
        }
        ffi::Py_INCREF(object);
        Some(Peek::Hit(object))
    }
}

/// The arguments of a call, to be found among the stored keys. (No closure: the compiler would call it.)
pub(crate) trait Probe: Copy {
    fn shape(self) -> key::Shape;

    /// Whether a stored key is surely this one.
    ///
    /// # Safety
    /// The key has this shape.
    unsafe fn is_in(self, key: &PyRef) -> bool;
}

/// One argument.
#[derive(Clone, Copy)]
pub(crate) struct OneArg<'a>(pub Ref<'a>);

impl Probe for OneArg<'_> {
    #[inline(always)]
    fn shape(self) -> key::Shape {
        ONE
    }

    #[inline(always)]
    unsafe fn is_in(self, key: &PyRef) -> bool {
        is_same(key.lend(self.0.py()), self.0)
    }
}

/// Two arguments.
#[derive(Clone, Copy)]
struct TwoArgs<'a>(Ref<'a>, Ref<'a>);

impl Probe for TwoArgs<'_> {
    #[inline(always)]
    fn shape(self) -> key::Shape {
        TWO
    }

    #[inline(always)]
    unsafe fn is_in(self, key: &PyRef) -> bool {
        // SAFETY: a key of this shape is a tuple of two; otherwise the caller's promise.
        unsafe {
            let items = tuple_items(key.as_ptr()).as_ptr();
            is_same(Ref::new(*items), self.0) && is_same(Ref::new(*items.add(1)), self.1)
        }
    }
}

/// Whether the stored value is surely the call's, as far as it is to be found out here.
#[inline(always)]
fn is_same(stored: Ref<'_>, value: Ref<'_>) -> bool {
    key::inline::same(stored, value) || !READERS_MAY_PAUSE && key::same(stored, value)
}

/// Whether the entry has surely not expired.
///
/// # Safety
/// `token` names a published entry.
#[inline(always)]
unsafe fn is_fresh(reader: &Reader<'_, Entries>, token: Token) -> bool {
    // SAFETY: the caller's promise.
    clock::recent().is_some_and(|now| unsafe { !reader.expired(token, now) })
}
