//! One key of a shared cache: its bytes, looking it up in the file, and (`storing`) storing a value for it.
//!
//! Ring 3.

mod storing;

pub(crate) use self::storing::{not_fenced, Put, StoreCondition};

use pyo3::prelude::*;

use super::buffers::PooledBuffers;
use super::by_bytes::{self, BytesKey, Editable};
use super::skips::Skipped;
use super::Shared;
use crate::backend::shared::decoded::Decoded;
use crate::backend::shared::file::File;
use crate::capi::exceptions::{self, ErrSet};
use crate::capi::panics::point;
use crate::capi::reference::PyRef;
use crate::codec::global::Function;
use crate::codec::{self, Encoded, Sharing, Spelled, Stop};
use crate::function::control_checks::CopyMode;
use crate::function::handout;
use crate::function::slot_value::Value;
use crate::function::state::{CacheState, Put as Mode};
use crate::key::{self, View};
use shared::{Kind, Skip, Sought, Terms};

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
                let Some(object) = deliver_decoded(self.py, &self.shared.copy, object) else { return Lookup::Failed };
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
                deliver_decoded(self.py, &self.shared.copy, object).map(Some).ok_or(ErrSet)
            }
            codec::Decoded::Damaged => Ok(None),
            codec::Decoded::Failed => Err(ErrSet),
        }
    }
}

/// What a caller gets of an object that was decoded a moment ago. `None` with an exception set.
fn deliver_decoded(py: Python<'_>, copy: &CopyMode, object: PyRef) -> Option<PyRef> {
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
