//! The words that the processes of a host share: confirmations, the epoch, who listens. ([`stamp`](super::stamp) has the
//! stripes.)
//!
//! `0` validates nothing: no epoch, no stripe and no confirmation is ever 0, so a file that was cut short, or whose pages are
//! lost, costs misses only.

use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::file::fixed::{AtomicU64, FixedFile};

use super::layout::{at, Counter};

/// What loom's models leave out, one at a time.
#[cfg(loom)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mutant {
    #[default]
    None,
    /// A confirmation does not order the raises before it. (Nor do fences: that of a wake stands between both.)
    RelaxedConfirmation,
    /// Neither who waits nor who wakes has a fence.
    NoFence,
}

/// Whether the server tells what has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// Nobody has asked it yet.
    Unknown,
    Told,
    /// It has no tracking, or does not allow it.
    Untold,
}

/// A listener's session, as it stands in the file. Its words are written one by one: half of one session and half of
/// another name a heartbeat that no server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The listener's process.
    pub pid: u64,
    /// Random; 0 = nobody.
    pub session: u128,
    /// The number of its connection at the server.
    pub client: i64,
    /// The number of its last confirmed heartbeat.
    pub beat: Option<u64>,
}

pub struct Words {
    pub(super) memory: FixedFile,
    /// What this process knows of it beside the file.
    #[cfg(not(loom))]
    pub(super) own: super::damage::Own,
    #[cfg(loom)]
    pub(super) mutant: Mutant,
}

impl Words {
    pub(super) fn new(memory: FixedFile) -> Words {
        Words {
            memory,
            #[cfg(not(loom))]
            own: Default::default(),
            #[cfg(loom)]
            mutant: Mutant::None,
        }
    }

    #[inline(always)]
    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        self.memory.word(at)
    }

    /// All that was told by the server before this moment is in the stripes and the epoch; 0 = nothing is known. To be
    /// loaded before epoch, entry and stripes.
    #[inline(always)]
    pub(super) fn confirmed(&self) -> u64 {
        // Acquire: pairs with the release in `confirm`, so the raises before it are seen; and what is loaded after it is
        // loaded after it.
        self.word(at::CONFIRMED).load(Ordering::Acquire)
    }

    /// Whether the file is of no more use to this process ([`damage`](super::damage)). It validates nothing more, and whoever
    /// has it opens another one.
    pub fn is_lost(&self) -> bool {
        #[cfg(not(loom))]
        return self.memory.is_truncated();
        #[cfg(loom)]
        false
    }

    /// The listener has processed all that the server told before `sent`, a reading of the boot clock.
    pub fn confirm(&self, sent: u64) {
        if self.is_lost() {
            return;
        }
        #[cfg(not(loom))]
        let order = Ordering::Release;
        #[cfg(loom)]
        let order = if self.mutant == Mutant::RelaxedConfirmation { Ordering::Relaxed } else { Ordering::Release };
        // Release: pairs with the acquire in `confirmed`.
        let before = self.word(at::CONFIRMED).fetch_max(sent, order);
        #[cfg(not(loom))]
        self.note_confirmed(before, sent);
        #[cfg(loom)]
        let _ = before;
    }

    /// The count of what voided everything; 0 = nothing is valid.
    #[inline(always)]
    pub fn epoch(&self) -> u64 {
        // Acquire: pairs with the release in `raise_epoch`; stripes and whatever depends on it are read after it.
        self.word(at::EPOCH).load(Ordering::Acquire)
    }

    /// Voids everything, and wakes all who wait for a push.
    pub fn raise_epoch(&self) {
        if self.is_lost() {
            return;
        }
        self.add_to_epoch();
        self.wake_all();
    }

    pub(super) fn add_to_epoch(&self) {
        // Release: pairs with the acquire in `epoch`: who proves a connection under the new epoch sees that the record of
        // the session before was taken away.
        self.word(at::EPOCH).fetch_add(1, Ordering::Release);
        self.count(Counter::Epochs, 1);
    }

    /// When whoever is responsible for listening was last at work (boot clock).
    pub fn seen(&self) -> u64 {
        // Relaxed, here and below: it orders nothing; it only decides who listens.
        self.word(at::SEEN).load(Ordering::Relaxed)
    }

    pub(super) fn note_seen(&self, now: u64) {
        self.word(at::SEEN).fetch_max(now, Ordering::Relaxed);
    }

    /// Takes the place of a listener that was last seen at `seen`: true for one process only.
    pub(super) fn claim(&self, seen: u64, now: u64) -> bool {
        self.word(at::SEEN).compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The smallest staleness that anybody asked for.
    pub fn staleness(&self) -> Duration {
        // Relaxed, here and below: it only paces heartbeats. What damage puts there is bounded.
        let nanoseconds = self.word(at::STALENESS).load(Ordering::Relaxed);
        Duration::from_nanos(nanoseconds).clamp(LEAST_STALENESS, MOST_STALENESS)
    }

    /// Somebody reads here for whom nothing may be older: heartbeats come often enough from now on.
    pub fn ask_staleness(&self, staleness: Duration) {
        let nanoseconds = u64::try_from(staleness.as_nanos()).unwrap_or(u64::MAX);
        self.word(at::STALENESS).fetch_min(nanoseconds, Ordering::Relaxed);
        #[cfg(not(loom))]
        self.note_asked(nanoseconds);
    }

    /// Whether the server tells what has changed.
    pub fn tracking(&self) -> Tracking {
        // Relaxed, here and below: it is only told to users.
        match self.word(at::TRACKING).load(Ordering::Relaxed) {
            1 => Tracking::Told,
            2 => Tracking::Untold,
            _ => Tracking::Unknown,
        }
    }

    pub(super) fn note_tracking(&self, tracking: Tracking) {
        self.word(at::TRACKING).store(tracking as u64, Ordering::Relaxed);
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        self.word(counter.at()).load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, counter: Counter, n: u64) {
        // (A model has states enough without it.)
        if !cfg!(loom) {
            self.word(counter.at()).fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Who listens.
    pub fn record(&self) -> Record {
        // Acquire: pairs with the release in `publish` and `note_beat`: a beat is one of the session that is read after it,
        // or of one that was replaced meanwhile.
        let beat = self.word(at::BEAT).load(Ordering::Acquire);
        let get = |at| self.word(at).load(Ordering::Relaxed);
        Record {
            pid: get(at::LISTENER),
            session: self.session(),
            client: get(at::CLIENT) as i64,
            beat: beat.checked_sub(1),
        }
    }

    fn session(&self) -> u128 {
        let get = |at| u128::from(self.word(at).load(Ordering::Relaxed));
        get(at::SESSION) << 64 | get(at::SESSION + 1)
    }

    /// A session begins, whose connection is tracked: nothing from before it is valid. First the record of the one before
    /// goes, so that no connection is proved by it under the new epoch.
    pub(super) fn publish(&self, pid: u64, session: u128, client: i64) {
        self.word(at::BEAT).store(0, Ordering::Relaxed);
        self.word(at::SESSION).store((session >> 64) as u64, Ordering::Relaxed);
        self.word(at::SESSION + 1).store(session as u64, Ordering::Relaxed);
        self.word(at::CLIENT).store(client as u64, Ordering::Relaxed);
        self.word(at::LISTENER).store(pid, Ordering::Relaxed);
        self.raise_epoch();
    }

    /// Whether this session is the one that stands in the file.
    pub(super) fn is_published(&self, session: u128) -> bool {
        self.session() == session
    }

    /// A heartbeat of the session was confirmed, so its key is at the listener's server.
    pub(super) fn note_beat(&self, beat: u64) {
        // Release: pairs with the acquire in `record`.
        self.word(at::BEAT).store(beat.saturating_add(1), Ordering::Release);
    }
}

/// Bounds of what is asked for: heartbeats come every quarter of it.
pub const LEAST_STALENESS: Duration = Duration::from_millis(20);
pub const MOST_STALENESS: Duration = Duration::from_secs(60);
