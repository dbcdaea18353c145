//! Who listens: the process that holds the file's lock, and one that stands in while that one is stopped.
//!
//! The lock falls with its process, however that ends. A process that is stopped keeps it; so whoever finds that the
//! listener was not seen for three quarters of the staleness claims its place by compare-and-swap, and listens without the
//! lock until the other one, or a third, publishes a session of its own. Two may listen at once: they raise the same
//! stripes, and only the one that is published confirms.

use concurrency::boottime;
use shared::process::held::Held;

use super::super::layout::Counter;
use super::super::words::Words;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Elected,
    StandIn,
}

#[derive(Default)]
pub(super) struct Candidate {
    held: Option<Held>,
    stands_in: bool,
}

impl Candidate {
    /// What this process is now; `None`: another one listens.
    pub(super) fn role(&mut self, words: &Words) -> Option<Role> {
        if self.held.is_none() {
            // (Where there are no locks, whoever comes first stands in for nobody.)
            self.held = words.memory.try_hold().unwrap_or(None);
        }
        if self.held.is_some() {
            self.stands_in = false;
            return Some(Role::Elected);
        }
        if !self.stands_in {
            let (now, seen) = (boottime::now(), words.seen());
            let patience = words.staleness().as_nanos() as u64 / 4 * 3;
            // (A moment of the future is damage.)
            if seen <= now && now - seen <= patience || !words.claim(seen, now) {
                return None;
            }
            self.stands_in = true;
            words.count(Counter::StandIns, 1);
        }
        Some(Role::StandIn)
    }

    /// Another one has published a session.
    pub(super) fn step_back(&mut self) {
        self.stands_in = false;
    }
}
