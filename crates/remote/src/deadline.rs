//! A moment at which everything that a call waits for has ended.

use std::time::{Duration, Instant};

use crate::error::Error;

/// The longest wait there is: what is longer could not be added to a moment.
const MOST: Duration = Duration::from_secs(366 * 24 * 3600);

/// An absolute moment; one for all steps of a call (resolve, connect, handshake, write, read).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(duration: Duration) -> Deadline {
        Deadline(Instant::now() + duration.min(MOST))
    }

    pub fn at(moment: Instant) -> Deadline {
        Deadline(moment)
    }

    /// What is left, never 0.
    ///
    /// # Errors
    /// [`Error::Timeout`] when nothing is left.
    pub fn remaining(self) -> Result<Duration, Error> {
        match self.0.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Error::Timeout),
            left => Ok(left),
        }
    }
}
