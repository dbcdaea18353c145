//! Looking at caches from outside, where there are none: the names of the other `inspection`, and its types.

use super::{OpenError, SharedCache};
use std::path::Path;

#[path = "../inspection/found.rs"]
mod found;
pub use self::found::{Attached, Entry, Found, Parameters, Removal, State};
pub use crate::listed::{Listed, Unneeded, Unusable};

pub fn survey(_: &Path) -> Result<Vec<Found>, OpenError> {
    Err(OpenError)
}
pub fn attach(_: &Path, _: &str) -> Result<Attached, OpenError> {
    Err(OpenError)
}
pub fn remove(_: &Path, _: &str) -> Result<Removal, OpenError> {
    Err(OpenError)
}
pub fn leftovers(_: &Path, _: bool) -> Result<Vec<Unneeded>, OpenError> {
    Err(OpenError)
}
pub fn try_out(_: &Path) -> Result<u64, OpenError> {
    Err(OpenError)
}

impl SharedCache {
    pub fn parameters(&self) -> Parameters {
        match self.0 {}
    }
    pub fn look_through(&self, _: u64, _: u64, _: impl FnMut(&Entry<'_>)) -> Option<u64> {
        match self.0 {}
    }
}
