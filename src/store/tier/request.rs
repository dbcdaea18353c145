//! One key of a tier: looking it up in the file, and storing a value for it.
//!
//! Ring 3.

use pyo3::ffi;

use super::buffers::Lent;
use super::file::File;
use super::kept::Decoded;
use super::Tier;
use crate::codec::{self, Encoded};
use crate::key::{self, View};
use crate::python::panics::point;
use crate::shm::{Event, Lease, SharedCache, Stored};
use crate::store::value::Value;
use crate::store::{CachedFunction, Put};

/// Behind the key of a lone argument that functools keeps apart from an equal int or str.
const APART: u8 = 0xff;

/// A key as bytes, and the file to use it on.
pub(super) struct Request<'a> {
    tier: &'a Tier,
    pub file: &'a File,
    buffers: Lent,
}

/// What comes of making a key.
pub(super) enum Asked<'a> {
    Request(Request<'a>),
    /// Nothing can be stored under it.
    Unstorable,
    /// An exception is set.
    Failed,
}

/// What a look into the file brings.
pub(super) enum Look {
    /// A new strong reference for the caller, and what to keep of it.
    Found(*mut ffi::PyObject, Option<Box<Decoded>>),
    Absent,
    /// An exception is set.
    Failed,
}

/// On what condition a result is stored.
pub(in crate::store) enum Hold {
    /// The lease is ended, whatever comes of it.
    Lease(Lease),
    /// Unless the cache was cleared since it had this generation.
    Since(u64),
    /// None: over whatever is there.
    Nothing,
}

/// A result is being stored: its lease ends also where that panics.
struct Storing<'a> {
    shm: &'a SharedCache,
    lease: Option<Lease>,
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take().filter(|_| std::thread::panicking()) {
            self.shm.abandon(lease);
        }
    }
}

/// An exception is set.
#[derive(Debug)]
pub(in crate::store) struct Raised;

impl<'a> Request<'a> {
    /// The key of a call.
    ///
    /// # Safety
    /// The view's objects are alive; the thread is attached and holds no lock. User code may run, as in all methods but
    /// `key`.
    pub unsafe fn ask(tier: &'a Tier, view: &View<'_>) -> Asked<'a> {
        let mut buffers = Lent::new();
        // SAFETY: the caller's promise.
        let encoded = unsafe {
            let encoded = codec::encode_key(view, &mut buffers.key);
            point("encode the key");
            if matches!(encoded, Encoded::Done)
                && tier.lone_apart
                && view.shape == key::ONE
                && !key::is_key_itself(view.values[0])
            {
                // Keys say where they end, so this is none that another call has.
                buffers.key.push(APART);
            }
            encoded
        };
        match encoded {
            Encoded::Done if buffers.key.len() <= tier.max_key_size => {
                // SAFETY: the caller's promise.
                match unsafe { tier.files.follow() } {
                    Ok(true) => Asked::Request(Request { tier, file: tier.files.working(), buffers }),
                    Ok(false) => Asked::Unstorable,
                    Err(Raised) => Asked::Failed,
                }
            }
            Encoded::Done | Encoded::Unstorable => Asked::Unstorable,
            Encoded::Failed => Asked::Failed,
        }
    }

    pub fn key(&self) -> &[u8] {
        &self.buffers.key
    }

    /// Looks into the file, as a use. Counts nothing.
    ///
    /// # Safety
    /// As for `ask`.
    pub unsafe fn look(&mut self) -> Look {
        point("look into the file");
        let buffers = &mut *self.buffers;
        let Some(hit) = self.file.shm.get(&buffers.key, &mut buffers.read) else {
            return Look::Absent;
        };
        let bytes = buffers.read.value();
        // SAFETY: the caller's promise; the object is held until what is to be kept of it is made.
        unsafe {
            match codec::decode_value(bytes) {
                codec::Decoded::Object(object, sharing) => {
                    let kept = Decoded::new(self.file, hit, object.as_ptr(), sharing, bytes);
                    Look::Found(object.into_ptr(), kept)
                }
                codec::Decoded::Damaged => Look::Absent,
                codec::Decoded::Failed => Look::Failed,
            }
        }
    }

    /// Stores a result that is there now; gives what to keep of it, if it is stored.
    ///
    /// # Safety
    /// As for `ask`; `result` is alive.
    pub unsafe fn store(&mut self, result: *mut ffi::PyObject, hold: Hold) -> Result<Option<Box<Decoded>>, Raised> {
        let (shm, buffers) = (&self.file.shm, &mut *self.buffers);
        let lease = if let Hold::Lease(lease) = &hold { Some(lease.clone()) } else { None };
        let storing = Storing { shm, lease };
        let deadline = shm.deadline(self.tier.ttl);
        buffers.value.clear();
        // SAFETY: the caller's promise.
        let encoded = unsafe { codec::encode_value(result, &mut buffers.value) };
        if encoded.is_ok() {
            // What the function is may have changed while it ran.
            // SAFETY: as above; no exception is set.
            let right = unsafe { self.tier.files.is_right(self.file) };
            if !matches!(right, Ok(true)) {
                if let Hold::Lease(lease) = hold {
                    shm.abandon(lease);
                }
                return right.map(|_| None);
            }
        }
        let (key, value) = (&buffers.key[..], &buffers.value[..]);
        point("store in the file");
        let sharing = match encoded {
            Ok(sharing) if value.len() <= self.tier.max_value_size => sharing,
            skipped => {
                if let Hold::Lease(lease) = hold {
                    shm.abandon(lease);
                }
                if matches!(skipped, Err(Encoded::Failed)) {
                    return Err(Raised);
                }
                self.file.count(Event::Oversize);
                return Ok(None);
            }
        };
        let stored = match hold {
            Hold::Lease(lease) => shm.complete(lease, key, value, deadline),
            Hold::Since(generation) => shm.insert(key, value, deadline, generation),
            Hold::Nothing => shm.set(key, value, deadline),
        };
        drop(storing);
        match stored {
            // SAFETY: the caller's promise; no exception is set.
            Stored::Done(hit) => Ok(unsafe { Decoded::new(self.file, hit, result, sharing, value) }),
            Stored::TooLarge => {
                self.file.count(Event::Oversize);
                Ok(None)
            }
            Stored::NoSpace | Stored::Outdated | Stored::Busy => Ok(None),
        }
    }
}

impl CachedFunction {
    /// Puts into the decoded level what was found in the file or stored there.
    ///
    /// # Safety
    /// As for [`put`](Self::put); no exception is set.
    pub(super) unsafe fn keep(&self, view: &View<'_>, kept: Option<Box<Decoded>>, mode: Put) {
        if let Some(kept) = kept {
            // SAFETY: the caller's promise. Where that fails, the entry is in the file all the same.
            unsafe {
                if !self.put(view, Value::decoded(kept), mode) {
                    ffi::PyErr_Clear();
                }
            }
        }
    }
}
