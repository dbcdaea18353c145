//! Storing under one key of a shared cache: on what condition, and what became of it.
//!
//! Ring 3.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::super::skips::Skipped;
use super::super::template;
use super::super::Shared;
use super::KeyAccess;
use crate::backend::shared::decoded::Decoded;
use crate::backend::shared::file::File;
use crate::capi::borrowed::Ref;
use crate::capi::detach::detached;
use crate::capi::exceptions::{self, ErrSet, Raise};
use crate::capi::guarded::GuardedCalls;
use crate::capi::panics::point;
use crate::capi::reference::{import, PyRef};
use crate::codec::global::Function;
use crate::codec::{self, Encoded, Refusal, Sharing, Stop};
use crate::function::control_checks::CopyMode;
use crate::function::deadline::Keeping;
use crate::function::slot_value::SharedObject;
use crate::function::state::CacheState;
use concurrency::inflight::Outcome;
use shared::{Began, Busy, Hit, Lease, SharedCache, Skip, Stored, Tags as FileTags, Terms};

/// What became of a result.
pub(crate) enum Put {
    /// It is stored, and this is what to keep of it, unless memory is short; and what there is to say, counted: it may have
    /// cost others their place though there are fewer than there may be.
    Stored(Option<Box<Decoded>>, Option<Skipped>),
    /// Counted.
    Skipped(Skipped),
}

/// What became of bytes that were to be stored.
enum InFile {
    /// They are where this says, and there is this to say, counted.
    Stored(Hit, Sharing, Option<Skipped>),
    /// Counted.
    Skipped(Skipped),
}

/// On what condition a result is stored.
pub(crate) enum StoreCondition {
    /// The lease is ended, whatever comes of it.
    Lease(Lease),
    /// Unless it has been fenced since it began so.
    Began(Began),
    /// Unless its key has been: a clear since is none of its business, as in functools.
    OverClears(Began),
    /// None: over whatever is there.
    Nothing,
}

/// A result is being stored: its lease ends also where that panics.
struct Storing<'a> {
    shm: &'a SharedCache,
    lease: Option<Lease>,
}

impl<'a> Storing<'a> {
    fn begin(file: &'a File, hold: &StoreCondition) -> Self {
        let lease = if let StoreCondition::Lease(lease) = hold { Some(lease.clone()) } else { None };
        Storing { shm: &file.shm, lease }
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take().filter(|_| std::thread::panicking()) {
            self.shm.abandon_privately(lease);
        }
    }
}

/// Sets the error of an invalidation that could not even be written: `CacheUnavailable`, an `OSError`.
#[cold]
pub(crate) fn not_fenced(py: Python<'_>) -> ErrSet {
    let message = "the shared cache cannot be written to, so what it has cannot be invalidated";
    let made = import(py, "warp_cache._object.errors")
        .and_then(|module| module.getattr("CacheUnavailable")?.guarded_call((message,)));
    let error = match made {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    };
    error.raise(py);
    ErrSet
}

impl StoreCondition {
    /// On which a computation without a lease is stored that began so.
    pub fn since(state: &CacheState, began: Began) -> Self {
        if state.stores_over_clears {
            StoreCondition::OverClears(began)
        } else {
            StoreCondition::Began(began)
        }
    }

    /// Ends a lease without a value: with a result that is not stored, or with the exception that is set.
    pub fn give_up(self, py: Python<'_>, shm: &SharedCache, is_raised: bool) {
        let StoreCondition::Lease(lease) = self else { return };
        if is_raised && !exceptions::is_set_shareable(py) {
            shm.abandon_privately(lease);
        } else {
            shm.abandon(lease);
        }
    }
}

impl KeyAccess<'_> {
    /// Stores an exception, as `exceptions::store` has made it; counts it if it cannot be, and gives what there is to say.
    pub fn store_raised(&mut self, raised: &PyRef, hold: StoreCondition) -> Result<Option<Skipped>, ErrSet> {
        static PACK: Function = Function::new(c"warp_cache._packed", c"pack");
        let _storing = Storing::begin(self.file, &hold);
        let packed = PACK.call_with(self.py, &[raised.lend(self.py)]);
        let encoded = match packed.as_ref().map(|packed| packed.as_py().bind(self.py).cast::<PyBytes>()) {
            Ok(Ok(packed)) => {
                self.buffers.value.clear();
                self.buffers.value.extend_from_slice(packed.as_bytes());
                Ok(Sharing::Pickled)
            }
            Err(Stop::Failed) => Err(Encoded::Failed),
            Ok(_) | Err(Stop::Unstorable) => Err(Encoded::Unstorable),
        };
        self.store_encoded(encoded, None, hold, false).map(|stored| match stored {
            InFile::Stored(_, _, skipped) => skipped,
            InFile::Skipped(skipped) => Some(skipped),
        })
    }

    /// Stores a result that is there now; counts it if it cannot be.
    pub fn store(&mut self, result: Ref<'_>, hold: StoreCondition) -> Result<Put, ErrSet> {
        let _storing = Storing::begin(self.file, &hold);
        let buffers = &mut *self.buffers;
        buffers.value.clear();
        let encode = || codec::encode_value(result, &mut buffers.value);
        let (encoded, refusal) = codec::noting(self.shared.skips.wanted(Skip::Value), encode);
        self.encoded = encoded;
        match self.store_encoded(encoded, refusal, hold, true)? {
            InFile::Stored(hit, sharing, skipped) => {
                let (copy, value) = (&self.shared.copy, &self.buffers.value);
                let kept = Decoded::new(copy, self.file, hit, result, sharing, value);
                Ok(Put::Stored(kept, skipped))
            }
            InFile::Skipped(skipped) => Ok(Put::Skipped(skipped)),
        }
    }

    /// Stores what is in the buffer, if it was encoded; what is not stored is counted. `is_newer`: it is a result, so what it
    /// would have replaced goes in any case.
    fn store_encoded(
        &mut self,
        encoded: Result<Sharing, Encoded>,
        refusal: Option<Refusal>,
        hold: StoreCondition,
        is_newer: bool,
    ) -> Result<InFile, ErrSet> {
        let (shm, buffers) = (&self.file.shm, &mut *self.buffers);
        let terms = self.terms.take().map_or_else(|| Terms::from(shm.deadline(self.shared.ttl)), |terms| *terms);
        if encoded.is_ok() {
            // What the function is may have changed while it ran, and what functions and classes are that it was given.
            let right = match (self.shared.files.is_right(self.py, self.file), &self.editable) {
                (Ok(true), Some(editable)) => editable.is_unedited(self.shared, &buffers.key),
                (right, _) => right,
            };
            if !matches!(right, Ok(true)) {
                hold.give_up(self.py, shm, right.is_err());
                return right.map(|_| Self::skip(self.shared, self.file, Skipped::new(Skip::Superseded)));
            }
        }
        let (key, value) = (&buffers.key[..], &buffers.value[..]);
        point("store in the file");
        self.file.forget_last();
        let sharing = match encoded {
            Ok(sharing) if value.len() <= self.shared.max_value_size => sharing,
            Err(Encoded::Failed) => {
                hold.give_up(self.py, shm, true);
                return Err(ErrSet);
            }
            skipped => {
                let why = match skipped {
                    Ok(_) => Skipped { size: value.len(), ..Skipped::new(Skip::ValueSize) },
                    Err(_) => Skipped { refusal, ..Skipped::new(Skip::Value) },
                };
                if is_newer {
                    self.drop_older(hold, &terms.tags);
                } else {
                    hold.give_up(self.py, shm, false);
                }
                return Ok(Self::skip(self.shared, self.file, why));
            }
        };
        let stored = match hold {
            StoreCondition::Lease(lease) => shm.complete(lease, key, value, terms),
            StoreCondition::Began(began) => shm.insert_hashed(self.hash, key, value, terms, began),
            // (What fences without the lock fences the key as well, before it voids the others.)
            StoreCondition::OverClears(began) => {
                shm.insert_hashed(self.hash, key, value, terms, Began::of(shm.generation(), began.stamp()))
            }
            StoreCondition::Nothing => {
                let put = || shm.put(key, value, terms);
                // SAFETY: the file and bytes know nothing of Python.
                let stored = if shm.would_wait() { unsafe { detached(self.py, put) } } else { put() };
                stored.map_err(|Busy| not_fenced(self.py))?
            }
        };
        if let Stored::Done(hit) = stored {
            let skipped = shm.take_cramped().map(|(error, here)| {
                // A full disk makes the cache smaller, as all are told who look at it; that addresses are wanting shows
                // nowhere else.
                self.shared.count_skip(Some(self.file), Skip::Space);
                Skipped { error, transient: !here, ..Skipped::new(Skip::Space) }
            });
            return Ok(InFile::Stored(hit, sharing, skipped));
        }
        let (skip, error) = shm.why(stored).unwrap_or((Skip::Damaged, 0));
        // A file that is lost is replaced at the next call; only where that fails is there something to say.
        let transient = skip.is_transient() || (skip == Skip::Lost && !self.lost);
        let size = key.len() + value.len();
        Ok(Self::skip(self.shared, self.file, Skipped { error, size, transient, ..Skipped::new(skip) }))
    }

    /// Ends a computation whose result is not to be stored: what it would have replaced goes.
    pub fn drop_older(&self, hold: StoreCondition, tags: &FileTags) {
        let (shm, key) = (&self.file.shm, self.key());
        match hold {
            StoreCondition::Lease(lease) => shm.complete_without(lease),
            StoreCondition::Began(began) => shm.drop_stale(self.hash, key, began, tags),
            StoreCondition::OverClears(began) => {
                shm.drop_stale(self.hash, key, Began::of(shm.generation(), began.stamp()), tags);
            }
            StoreCondition::Nothing => (),
        }
    }

    /// Encodes a result that is not stored, for [`outcome`](Self::outcome).
    pub fn encode_for_waiters(&mut self, result: Ref<'_>) {
        self.buffers.value.clear();
        self.encoded = codec::encode_value(result, &mut self.buffers.value);
        if matches!(self.encoded, Err(Encoded::Failed)) {
            // Who waits computes.
            drop(exceptions::take(self.py));
        }
    }

    /// How the next result is kept in this file.
    pub fn set_terms(&mut self, keeping: Keeping) {
        self.terms = Some(Box::new(keeping.terms(self.file.shm.now())));
    }

    /// What those have who waited for a value that is not kept: `result` itself where nobody can change it, or where it has no
    /// bytes, as `store` has found; else a template of it, or nothing.
    pub fn outcome(&self, result: Ref<'_>) -> Outcome<SharedObject> {
        match self.encoded {
            Ok(_) if matches!(self.shared.copy, CopyMode::Never) => Outcome::Value(Arc::new(result.to_owned())),
            Ok(Sharing::Immutable) | Err(Encoded::Unstorable) => Outcome::Value(Arc::new(result.to_owned())),
            Ok(Sharing::Containers | Sharing::Pickled) => template::of_bytes(self.py, &self.buffers.value)
                .map_or(Outcome::Abandoned, |template| Outcome::Template(Arc::new(template))),
            Err(Encoded::Done | Encoded::Failed) => Outcome::Abandoned,
        }
    }

    fn skip(shared: &Shared, file: &File, skipped: Skipped) -> InFile {
        shared.count_skip(Some(file), skipped.skip);
        InFile::Skipped(skipped)
    }
}
