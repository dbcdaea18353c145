//! Whom a caller still waits for: how long a queue behind other processes' computations can get at most.
//!
//! Ring 3. A computation that was taken over or lost (its process was killed, the cache cleared) is done again by one of
//! those who wait, and the others wait for that one. But a call waits for at most one computation that ends without a
//! value, and for at most one that is lost. Then it is *free*: it asks for the lease all the same, so that later calls have
//! somebody to wait for; where another has it, it computes beside that one.
//!
//! Within a process one call waits for the others, too. When it is free, they get what it brings, if it is likely to be
//! theirs as well: if what the other process has failed with is what callers of one process share. Otherwise they would
//! wait for a second computation in vain, so they are freed with it.

use shared::{Ticket, Waited};

/// See the module's documentation.
#[derive(Clone, Copy, Default)]
pub(crate) struct Turn {
    /// Whom it waits for.
    pub ticket: Option<Ticket>,
    has_waited: bool,
    has_lost: bool,
    is_free: bool,
    frees_others: bool,
}

impl Turn {
    /// Waits for nobody any more.
    pub fn free(&mut self) {
        self.is_free = true;
    }

    pub fn is_free(&self) -> bool {
        self.is_free
    }

    /// Whether those who wait for this call are to be freed before it computes; true once.
    pub fn frees_others(&mut self) -> bool {
        std::mem::take(&mut self.frees_others)
    }

    /// Notes how a wait ended.
    pub fn note(&mut self, waited: Waited) {
        match waited {
            Waited::NotYet => return,
            Waited::Ended => self.is_free = true,
            Waited::EndedPrivately => self.free_with_others(),
            Waited::Lost if std::mem::replace(&mut self.has_lost, true) => self.free_with_others(),
            // It had its time, which is bounded for the caller, too.
            Waited::Lost | Waited::Overdue => (),
        }
        self.has_waited = true;
        self.ticket = None;
    }

    /// Notes that a value was found that makes no object here. If it is what the call has waited for, what the call brings
    /// will hardly make one for the others.
    pub fn note_unreadable(&mut self) {
        if self.has_waited {
            self.free_with_others();
        }
    }

    fn free_with_others(&mut self) {
        self.is_free = true;
        self.frees_others = true;
    }
}
