//! The computations under way that have tags: an invalidation of a tag fences them.
//!
//! Ring 3. There are as many as threads compute at a time.

use std::sync::{Mutex, PoisonError};

use super::control::Tags;
use super::single_flight::Reserved;

/// See the module's documentation. Its lock is a leaf: nothing else is taken under it.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<Vec<(Reserved, Tags)>>);

/// One of them; it ends when this is dropped.
pub(crate) struct Noted<'a>(&'a Running, Option<Reserved>);

impl Running {
    /// Notes a computation that begins.
    pub fn note(&self, reserved: Option<Reserved>, tags: &Tags) -> Noted<'_> {
        let reserved = reserved.filter(|_| !tags.is_empty());
        if let Some(reserved) = reserved {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((reserved, tags.clone()));
        }
        Noted(self, reserved)
    }

    /// The slots of the computations that have one of the tags.
    pub fn with_any(&self, tags: &[String]) -> Vec<Reserved> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .iter()
            .filter(|(_, own)| own.iter().any(|tag| tags.contains(tag)))
            .map(|(reserved, _)| *reserved)
            .collect()
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if let Some(reserved) = self.1 {
            let mut running = self.0 .0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = running.iter().position(|(own, _)| *own == reserved) {
                running.swap_remove(at);
            }
        }
    }
}
