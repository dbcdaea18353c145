//! One key of a shared cache: looking it up in the file, and storing a value for it.
//!
//! Ring 3.

use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::buffers::PooledBuffers;
use super::by_bytes::{self, BytesKey, Editable};
use super::skips::Skipped;
use super::template;
use super::Shared;
use crate::backend::shared::decoded::Decoded;
use crate::backend::shared::file::File;
use crate::capi::borrowed::Ref;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::panics::point;
use crate::capi::reference::PyRef;
use crate::codec::global::Function;
use crate::codec::{self, Encoded, Refusal, Sharing, Spelled, Stop};
use crate::function::control::Keeping;
use crate::function::control_checks::CopyMode;
use crate::function::handout;
use crate::function::slot_value::{SharedObject, Value};
use crate::function::state::{CacheState, Put as Mode};
use crate::key::{self, View};
use concurrency::inflight::Outcome;
use shared::{Began, Busy, Hit, Kind, Lease, SharedCache, Skip, Sought, Stored, Terms};

/// Behind the key of a lone argument that functools keeps apart from an equal int or str.
const APART: u8 = 0xff;

/// A key as bytes, and the file to use it on.
pub(crate) struct KeyAccess<'a> {
    py: Python<'a>,
    pub shared: &'a Shared,
    pub file: &'a File,
    /// Of the key, in that file.
    pub hash: u64,
    /// As in [`Sought`].
    absent_since: Option<u64>,
    pub(super) buffers: PooledBuffers,
    /// Of a call that is known by these bytes: what they must still say when its result is stored.
    pub editable: Option<Box<Editable<'a>>>,
    /// How the next result is kept, where that is not what the options say for all.
    terms: Option<Box<Terms>>,
    /// How the result that `store` was given may be shared, if it got as far as that.
    encoded: Result<Sharing, Encoded>,
    /// The file was lost when this began, and there was no other.
    lost: bool,
}

/// What comes of making a key.
pub(crate) enum KeyBytes<'a> {
    KeyAccess(KeyAccess<'a>),
    /// Nothing can be stored under it. Not counted yet.
    Unstorable(Skipped),
    /// An exception is set.
    Failed,
}

/// What a look into the file brings.
pub(crate) enum Lookup {
    /// What the caller gets, and what to keep of it.
    Found(PyRef, Option<Box<Decoded>>),
    /// A value that is no longer fresh and may be returned while it is computed anew, what to keep of it, and whether
    /// that computation is due.
    Stale(PyRef, Option<Box<Decoded>>, bool),
    /// A stored exception, as `exceptions::share` makes it.
    Raise(PyRef),
    /// There may be a value that serves where computing fails.
    Absent,
    /// What is there makes no object. Not counted yet.
    Unreadable(Skipped),
    /// An exception is set.
    Failed,
}

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

/// Sets the error of an invalidation that could not even be written.
#[cold]
pub(crate) fn not_fenced(py: Python<'_>) -> ErrSet {
    let message = "the shared cache cannot be written to, so what it has cannot be invalidated";
    PyOSError::new_err(message).restore(py);
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

    /// Ends a lease with a result that is not to be stored: what it would have replaced goes.
    pub fn drop_older(self, shm: &SharedCache) {
        if let StoreCondition::Lease(lease) = self {
            shm.complete_without(lease);
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

impl<'a> KeyAccess<'a> {
    /// The key of a call.
    pub fn ask(shared: &'a Shared, view: &View<'a>) -> KeyBytes<'a> {
        let (py, mut buffers) = (view.py(), PooledBuffers::new());
        let encode = || {
            if let Some(bytes) = by_bytes::bytes_of(view) {
                buffers.key.extend_from_slice(bytes);
                return Ok(Spelled::Plain);
            }
            codec::encode_key_with(view, shared.defaults(), &mut buffers.key)
        };
        let (spelled, refusal) = codec::noting(shared.skips.wanted(Skip::Argument), encode);
        point("encode the key");
        if spelled.is_ok() && shared.lone_apart && view.shape == key::ONE && !key::is_key_itself(view.values[0]) {
            // Keys say where they end, so this is none that another call has.
            buffers.key.push(APART);
        }
        match spelled {
            Ok(spelled) if buffers.key.len() <= shared.max_key_size => {
                match shared.files.follow(py) {
                    Ok(true) => {
                        let Some(file) = shared.files.working(py) else {
                            return KeyBytes::Unstorable(Skipped::unopened(shared));
                        };
                        let editable = match spelled {
                            Spelled::Plain => None,
                            Spelled::Editable(named) => Some(Box::new(Editable { view: *view, named })),
                        };
                        KeyBytes::KeyAccess(KeyAccess {
                            py,
                            shared,
                            file,
                            hash: file.shm.hash(&buffers.key),
                            absent_since: None,
                            buffers,
                            editable,
                            terms: None,
                            encoded: Err(Encoded::Done),
                            lost: file.shm.poisoned(),
                        })
                    }
                    // Another file could not be made.
                    Ok(false) => KeyBytes::Unstorable(Skipped::new(Skip::Lost)),
                    Err(ErrSet) => KeyBytes::Failed,
                }
            }
            Ok(_) => KeyBytes::Unstorable(Skipped { size: buffers.key.len(), ..Skipped::new(Skip::KeySize) }),
            Err(Encoded::Failed) => KeyBytes::Failed,
            Err(_) => KeyBytes::Unstorable(Skipped { refusal, ..Skipped::new(Skip::Argument) }),
        }
    }

    pub fn key(&self) -> &[u8] {
        &self.buffers.key
    }

    /// The key, and what is known of it in the file.
    pub fn sought(&self) -> Sought<'_> {
        Sought { key: &self.buffers.key, hash: self.hash, absent_since: self.absent_since }
    }

    /// The key by which this process knows the call, if that is its bytes and not what it was asked for.
    pub fn by_bytes(&self) -> Result<Option<BytesKey>, ErrSet> {
        let Some(_) = self.editable else {
            return Ok(None);
        };
        BytesKey::new(self.py, self.key(), self.hash).map(Some)
    }

    /// Looks into the file, as a use. Counts nothing.
    pub fn look(&mut self) -> Lookup {
        point("look into the file");
        self.file.forget_last();
        let buffers = &mut *self.buffers;
        // Before the look: what comes later shows.
        let changes = self.file.shm.changes();
        let Some(hit) = self.file.shm.get_hashed(self.hash, &buffers.key, &mut buffers.read) else {
            self.absent_since = Some(changes);
            return Lookup::Absent;
        };
        self.absent_since = None;
        let now = if hit.fresh < hit.end { self.file.shm.now() } else { 0 };
        let is_stale = hit.fresh < hit.end && now >= hit.fresh;
        if is_stale && now >= hit.fresh.saturating_add(self.shared.revalidate) {
            return Lookup::Absent;
        }
        let (py, bytes) = (self.py, buffers.read.value());
        if hit.kind == Kind::Exception {
            return unpack(py, bytes);
        }
        let wanted = self.shared.skips.wanted(Skip::Unreadable);
        let (decoded, refusal) = codec::noting(wanted, || codec::decode_value(py, bytes));
        match decoded {
            codec::Decoded::Object(object, sharing) => {
                let kept = Decoded::new(&self.shared.copy, self.file, hit, object.lend(py), sharing, bytes);
                let Some(object) = hand_out(self.py, &self.shared.copy, object) else { return Lookup::Failed };
                if is_stale {
                    return Lookup::Stale(object, kept, self.file.shm.is_refresh_due(&hit));
                }
                Lookup::Found(object, kept)
            }
            codec::Decoded::Damaged => Lookup::Unreadable(Skipped { refusal, ..Skipped::new(Skip::Unreadable) }),
            codec::Decoded::Failed => Lookup::Failed,
        }
    }

    /// The value that serves where computing has failed: a new strong reference. `Err` with an exception set.
    pub fn spare(&mut self) -> Result<Option<PyRef>, ErrSet> {
        if self.shared.spare == 0 {
            return Ok(None);
        }
        let buffers = &mut *self.buffers;
        let Some(hit) = self.file.shm.get_hashed(self.hash, &buffers.key, &mut buffers.read) else {
            return Ok(None);
        };
        let end = hit.fresh.saturating_add(self.shared.spare);
        if hit.kind == Kind::Exception || self.file.shm.now() >= end {
            return Ok(None);
        }
        let bytes = buffers.read.value();
        match codec::decode_value(self.py, bytes) {
            codec::Decoded::Object(object, sharing) => {
                // For those who wait.
                buffers.value.clear();
                buffers.value.extend_from_slice(bytes);
                self.encoded = Ok(sharing);
                hand_out(self.py, &self.shared.copy, object).map(Some).ok_or(ErrSet)
            }
            codec::Decoded::Damaged => Ok(None),
            codec::Decoded::Failed => Err(ErrSet),
        }
    }

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
        self.store_encoded(encoded, None, hold).map(|stored| match stored {
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
        match self.store_encoded(encoded, refusal, hold)? {
            InFile::Stored(hit, sharing, skipped) => {
                let (copy, value) = (&self.shared.copy, &self.buffers.value);
                let kept = Decoded::new(copy, self.file, hit, result, sharing, value);
                Ok(Put::Stored(kept, skipped))
            }
            InFile::Skipped(skipped) => Ok(Put::Skipped(skipped)),
        }
    }

    /// Stores what is in the buffer, if it was encoded; what is not stored is counted.
    fn store_encoded(
        &mut self,
        encoded: Result<Sharing, Encoded>,
        refusal: Option<Refusal>,
        hold: StoreCondition,
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
            skipped => {
                hold.give_up(self.py, shm, matches!(skipped, Err(Encoded::Failed)));
                return match skipped {
                    Ok(_) => Ok(Self::skip(
                        self.shared,
                        self.file,
                        Skipped { size: value.len(), ..Skipped::new(Skip::ValueSize) },
                    )),
                    Err(Encoded::Failed) => Err(ErrSet),
                    Err(_) => Ok(Self::skip(self.shared, self.file, Skipped { refusal, ..Skipped::new(Skip::Value) })),
                };
            }
        };
        let stored = match hold {
            StoreCondition::Lease(lease) => shm.complete(lease, key, value, terms),
            StoreCondition::Began(began) => shm.insert_hashed(self.hash, key, value, terms, began),
            // (What fences without the lock fences the key as well, before it voids the others.)
            StoreCondition::OverClears(began) => {
                shm.insert_hashed(self.hash, key, value, terms, Began::of(shm.generation(), began.stamp()))
            }
            StoreCondition::Nothing => match shm.put(key, value, terms) {
                Ok(stored) => stored,
                Err(Busy) => return Err(not_fenced(self.py)),
            },
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
        let Keeping { ttl, window, kind, tags } = keeping;
        let fresh = ttl.map_or(u64::MAX, |ttl| self.file.shm.now().saturating_add(ttl));
        self.terms = Some(Box::new(Terms { fresh, end: fresh.saturating_add(window), kind, tags }));
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

/// What a caller gets of an object that was decoded a moment ago. `None` with an exception set.
fn hand_out(py: Python<'_>, copy: &CopyMode, object: PyRef) -> Option<PyRef> {
    match copy {
        CopyMode::Call(with) => handout::copy_by(with, object.lend(py)).ok(),
        _ => Some(object),
    }
}

/// What is found where the bytes are those of an exception.
#[cold]
fn unpack(py: Python<'_>, bytes: &[u8]) -> Lookup {
    static UNPACK: Function = Function::new(c"warp_cache._packed", c"unpack");
    let Ok(packed) = by_bytes::bytes_object(py, bytes) else {
        return Lookup::Failed;
    };
    match UNPACK.call_with(py, &[packed.lend(py)]) {
        Ok(shared) => Lookup::Raise(shared),
        Err(Stop::Unstorable) => Lookup::Unreadable(Skipped::new(Skip::Unreadable)),
        Err(Stop::Failed) => Lookup::Failed,
    }
}

impl CacheState {
    /// Puts into the decoded level what was found in the file or stored there, and takes out what is not there any more.
    pub(crate) fn keep(&self, shared: &Shared, view: &View<'_>, kept: Option<Box<Decoded>>, mode: Mode) {
        let note = kept.as_ref().map(|kept| kept.note(view.hash));
        if let Some(kept) = kept {
            if !self.put(view, Value::decoded(kept), mode) {
                // The entry is in the file all the same.
                drop(exceptions::take(view.py()));
            }
        }
        self.let_go(view.py(), shared, note.as_ref());
    }
}
