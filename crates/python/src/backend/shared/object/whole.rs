//! A cache object in the file as a whole: its keys, how many there are, the next victim, what ends or fences entries.
//!
//! Ring 3.

use pyo3::prelude::*;

use super::super::access::not_fenced;
use super::super::Shared;
use super::{in_file, unavailable, ONE_VALUE};
use crate::capi::exceptions::ErrSet;
use crate::function::state::CacheState;
use ::shared::Busy;

/// Key and value.
type InBytes = (Vec<u8>, Vec<u8>);

impl Shared {
    /// The keys of the entries that answer, in bytes, the next victims first where the policy tells by stamps.
    pub(crate) fn keys_of_object(&self, py: Python<'_>) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        if let Some(file) = self.files.working(py) {
            let now = file.shm.now();
            file.shm.for_each_by_use(|key, _, hit| {
                if key.first() == Some(&ONE_VALUE) && self.serves(now, hit) {
                    keys.push(key[1..].to_vec());
                }
            });
        }
        keys
    }

    /// How many entries answer, those of memoized functions left out.
    pub(crate) fn len_of_object(&self, py: Python<'_>) -> usize {
        let mut count = 0;
        if let Some(file) = self.files.working(py) {
            if self.spare == 0 && file.shm.len_is_plain() {
                return usize::try_from(file.shm.len()).unwrap_or(usize::MAX);
            }
            let now = file.shm.now();
            file.shm.for_each_by_use(|key, _, hit| {
                count += usize::from(key.first() == Some(&ONE_VALUE) && self.serves(now, hit));
            });
        }
        count
    }

    /// Takes the policy's next victim out: the bytes of key and value.
    pub(crate) fn pop_of_object(&self, py: Python<'_>, state: &CacheState) -> Result<Option<InBytes>, ErrSet> {
        let Some(file) = self.files.working(py) else { return Err(unavailable(py)) };
        let (mut taken, now) = (None, file.shm.now());
        let popped = in_file(py, || {
            file.shm.pop(|key, value, hit| {
                let is_own = key.first() == Some(&ONE_VALUE) && self.serves(now, hit);
                if is_own {
                    taken = Some((key[1..].to_vec(), value.to_vec()));
                }
                is_own
            })
        });
        state.let_go(py, self, None);
        match popped {
            Ok(_) => Ok(taken),
            Err(Busy) => Err(unavailable(py)),
        }
    }

    /// Fences all that any process computes; entries stay.
    pub(crate) fn fence_objects(&self, py: Python<'_>) -> Result<(), ErrSet> {
        let Some(file) = self.files.working(py) else { return Ok(()) };
        in_file(py, || file.shm.fence_all()).map_err(|Busy| not_fenced(py))
    }

    /// Frees what has ended: how many entries.
    pub(crate) fn purge_object(&self, py: Python<'_>, state: &CacheState) -> Result<u64, ErrSet> {
        let Some(file) = self.files.working(py) else { return Ok(0) };
        let purged = in_file(py, || file.shm.purge());
        state.let_go(py, self, None);
        purged.map_err(|Busy| unavailable(py))
    }
}
