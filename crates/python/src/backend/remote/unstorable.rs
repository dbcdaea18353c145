//! Functions whose results a server cannot have: they are not asked about for a while.
//!
//! Ring 3. Asking for what cannot be stored costs each call the trips of a lease, for nothing. So after some such results
//! in a row, with nothing that was stored or found in between, calls compute without asking; after a while they ask again,
//! until one has been refused.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use concurrency::clock;

/// So many in a row.
const ROW: u32 = 3;
/// For so long nobody asks, in nanoseconds.
const PAUSE: u64 = 5_000_000_000;

/// See the module's documentation. Relaxed: each is a number of its own, and a call more or less that asks does no harm.
#[derive(Default)]
pub(super) struct Unstorable {
    row: AtomicU32,
    until: AtomicU64,
}

impl Unstorable {
    /// Whether a call is not to ask.
    pub fn is_known(&self) -> bool {
        self.row.load(Ordering::Relaxed) >= ROW && clock::now() < self.until.load(Ordering::Relaxed)
    }

    /// A result was sent, or is one that the server cannot have.
    pub fn was_sent(&self, was_sent: bool) {
        if was_sent {
            self.forget();
        } else if self.row.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= ROW {
            self.row.store(ROW, Ordering::Relaxed);
            self.until.store(clock::now().saturating_add(PAUSE), Ordering::Relaxed);
        }
    }

    /// One was stored, or found.
    pub fn forget(&self) {
        if self.row.load(Ordering::Relaxed) != 0 {
            self.row.store(0, Ordering::Relaxed);
        }
    }
}
