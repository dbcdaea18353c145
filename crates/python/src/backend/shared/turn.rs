//! Whom a caller still waits for: how long a queue behind other processes' computations can get at most.
//!
//! Ring 3. A computation that was taken over or lost (its process was killed, the cache cleared) is done again by one of
//! those who wait, and the others wait for that one. But a call waits for at most one computation that ends without a
//! value, and for at most one that is lost. Then it is *free*: it asks for the lease all the same, so that later calls have
//! somebody to wait for; where another has it, it computes beside that one.

use shared::{Ticket, Waited};

/// See the module's documentation.
#[derive(Clone, Copy, Default)]
pub(crate) struct Turn {
    /// Whom it waits for.
    pub ticket: Option<Ticket>,
    has_lost: bool,
    is_free: bool,
}

impl Turn {
    /// Waits for nobody any more.
    pub fn free(&mut self) {
        self.is_free = true;
    }

    pub fn is_free(&self) -> bool {
        self.is_free
    }

    /// Notes how a wait ended.
    pub fn note(&mut self, waited: Waited) {
        match waited {
            Waited::NotYet => return,
            Waited::Ended => self.is_free = true,
            Waited::Lost => self.is_free = std::mem::replace(&mut self.has_lost, true) || self.is_free,
            // It had its time, which is bounded for the caller, too.
            Waited::Overdue => (),
        }
        self.ticket = None;
    }
}
