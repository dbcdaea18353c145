//! A decoded value: what the decoded level keeps of an entry, and how a caller gets it.
//!
//! Ring 3. Nobody may change what another caller sees. An immutable object is handed out as it is; one with dicts, lists or
//! sets in it is kept for this level alone, and each caller gets a copy of these; of what went through pickle the bytes are
//! kept, and each caller gets an object of their own. With `copy=False` all get the decoded object itself, and with a callable
//! what that makes of it.

use pyo3::ffi;
use pyo3::prelude::*;

use super::held::Note;
use super::template;
use crate::backend::shared::file::File;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions;
use crate::capi::reference::PyRef;
use crate::codec::{self, Sharing};
use crate::function::control_checks::CopyMode;
use crate::function::handout;
use crate::function::lookup::{Accounting, Found, ScanResult};
use crate::function::slot_value::Value;
use crate::function::state::CacheState;
use engine::cache::Cause;
use engine::slab::Token;
use shared::{Event, Hit, Remembered};

/// See the module's documentation.
pub(crate) struct Decoded {
    /// Of what is pickled, the bytes.
    pub object: PyRef,
    how: usize,
    hit: Remembered,
    /// One of the files of the backend of the cache that this is kept in.
    file: *const File,
}

/// A strong reference to a kept object, and how to hand it out, in one word: objects are aligned to eight bytes, and the
/// lowest bit is never set. A pointer moved within them, as in [`Value`].
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct DecodedRef(*mut u8);

const AS_IT_IS: usize = 0;
const COPIED: usize = 0b010;
const UNPICKLED: usize = 0b100;
/// As what the user's `copy` makes of it: the object is a `Handout`.
const BY_CALL: usize = 0b110;
const HOW: usize = 0b110;

/// What handing out came to.
pub(crate) enum Delivered {
    Value(PyRef),
    /// The bytes make no object.
    Damaged,
    /// An exception is set.
    Failed,
}

impl DecodedRef {
    /// What the caller gets for it. It may run user code.
    pub(crate) fn deliver(self, py: Python<'_>) -> Delivered {
        let how = self.0 as usize & HOW;
        // SAFETY: the word owns a reference.
        let object = unsafe { PyRef::steal(self.0.wrapping_sub(how).cast()) };
        let made = match how {
            AS_IT_IS => Some(object),
            BY_CALL => handout::hand_out(py, object),
            COPIED => codec::copy(object.lend(py)),
            _ => match codec::decode_value(py, template::bytes_of(py, &object)) {
                codec::Decoded::Object(object, _) => Some(object),
                codec::Decoded::Damaged => return Delivered::Damaged,
                codec::Decoded::Failed => None,
            },
        };
        made.map_or(Delivered::Failed, Delivered::Value)
    }

    /// `deliver` of what [`take`] has let through: null with an exception set.
    ///
    /// # Safety
    /// `word` is from `take`, and is given up; the thread is attached.
    #[inline(always)]
    pub(crate) unsafe fn deliver_taken(word: *mut ffi::PyObject) -> *mut ffi::PyObject {
        if word as usize & HOW == AS_IT_IS {
            return word;
        }
        // SAFETY: the caller's promise.
        unsafe { Self::copy_taken(word) }
    }

    /// The same of a value that is copied for each caller.
    ///
    /// # Safety
    /// As for [`deliver_taken`](Self::deliver_taken).
    #[inline(never)]
    unsafe fn copy_taken(word: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise: the thread is attached.
        match DecodedRef(word.cast()).deliver(unsafe { Python::assume_attached() }) {
            Delivered::Value(object) => object.into_ptr(),
            Delivered::Damaged | Delivered::Failed => std::ptr::null_mut(),
        }
    }
}

/// `TakeHit::take` of the shared backend.
///
/// # Safety
/// The thread is attached. The decoded level is in order of coming, so it need not hear of uses.
#[inline(always)]
pub(crate) unsafe fn take(value: &Value) -> Option<*mut ffi::PyObject> {
    let decoded = value.as_decoded()?;
    // SAFETY: its file lives as long as the backend.
    unsafe {
        // Unpickling may fail, and then this is no hit.
        if decoded.how == UNPICKLED || !(*decoded.file).hit_again(&decoded.hit) {
            return None;
        }
        (*decoded.file).count(Event::Hit);
        Some(decoded.kept(Python::assume_attached()).0.cast())
    }
}

impl Decoded {
    /// What to keep of an object that somebody else has (unless `copy` lets all have it), found as `hit` and encoded as
    /// `bytes`. `None` where memory is short.
    pub fn new(
        copy: &CopyMode,
        file: &File,
        hit: Hit,
        object: Ref<'_>,
        sharing: Sharing,
        bytes: &[u8],
    ) -> Option<Box<Decoded>> {
        let py = object.py();
        let (object, how) = match (copy, sharing) {
            (CopyMode::Never, _) => (Some(object.to_owned()), AS_IT_IS),
            (CopyMode::Call(with), _) => (handout::of_call(with, object), BY_CALL),
            (_, Sharing::Immutable) => (Some(object.to_owned()), AS_IT_IS),
            (_, Sharing::Containers) => (codec::copy(object), COPIED),
            (_, Sharing::Pickled) => (template::of_bytes(py, bytes), UNPICKLED),
        };
        if object.is_none() {
            // The value is there all the same.
            drop(exceptions::take(py));
        }
        Some(Box::new(Decoded { object: object?, how, hit: hit.into(), file }))
    }

    /// What the backend is to know of it, once it is in the decoded level. `hash`: of its key.
    pub fn note(&self, hash: u64) -> Note {
        Note { file: self.file, hit: *self.hit, hash }
    }

    /// Whether it was found in this slot, when that was so.
    pub fn is_from(&self, slot: u64, version: u32) -> bool {
        self.hit.slot == slot && self.hit.version() == version
    }

    /// Whether all may have the same object.
    pub fn is_immutable(&self) -> bool {
        self.how == AS_IT_IS
    }

    /// A new reference, and how to hand it out.
    #[inline(always)]
    fn kept(&self, py: Python<'_>) -> DecodedRef {
        let object = self.object.clone_ref(py).into_ptr();
        debug_assert_eq!(object as usize & (HOW | 1), 0);
        DecodedRef(object.cast::<u8>().wrapping_add(self.how))
    }

    /// A lookup that comes to this value, in the slot `token`.
    pub fn step(&self, py: Python<'_>, token: Token, count: Accounting) -> ScanResult {
        // SAFETY: its file lives as long as the backend.
        unsafe {
            let file = &*self.file;
            if count == Accounting::None {
                return if file.is_there(&self.hit) {
                    ScanResult::DecodedRef(token, self, self.kept(py))
                } else {
                    ScanResult::Gone(token, self)
                };
            }
            if file.hit_again(&self.hit) {
                return ScanResult::DecodedRef(token, self, self.kept(py));
            }
            match file.hit_stale(&self.hit) {
                Some(_) if count == Accounting::AccessOnly => ScanResult::DecodedRef(token, self, self.kept(py)),
                Some(is_due) => ScanResult::StaleRef(token, self, self.kept(py), is_due),
                None => ScanResult::Gone(token, self),
            }
        }
    }
}

impl CacheState {
    /// Hands a kept value out, and counts it as `count` says; `Absent` where that is not possible.
    pub(crate) fn deliver(&self, py: Python<'_>, kept: DecodedRef, count: Accounting) -> Found {
        match kept.deliver(py) {
            Delivered::Value(object) => {
                if let (Some(shared), Accounting::HitOrMiss) = (self.backend.shared(), count) {
                    shared.count(Event::Hit);
                }
                Found::Value(object)
            }
            Delivered::Damaged => Found::Absent,
            Delivered::Failed => Found::Failed,
        }
    }

    /// Takes a value out of the decoded level that is no longer what is in the file.
    #[cold]
    pub(crate) fn forget_gone(&self, token: Token, decoded: *const Decoded) {
        let mut evicted = Default::default();
        self.entries.write(|writer| {
            let entry = writer.value.get(token);
            // Another one that has come to lie at the same address is decoded again, no more.
            if entry.and_then(|entry| entry.value.as_decoded()).is_some_and(|other| std::ptr::eq(other, decoded)) {
                writer.value.remove(token, Cause::Explicit, &mut evicted);
            }
        });
        drop(evicted);
    }
}
