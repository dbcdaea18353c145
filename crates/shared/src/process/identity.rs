//! Which process is who, and whether it still lives.
//!
//! A process is known by its *identity*: a line in the process table, and a generation that is drawn anew with each
//! claim. It lives as long as the kernel says that the identity's lock is held (`life`); pids are for display, and a
//! second witness where a lock may fall without a death. What names nobody (no line, one that was given back, another
//! generation, a number that nobody ever had) is dead, whatever the process table says.
//!
//! A fork's child is another process: the first thing that it does in the cache is to claim a line of its own.
//!
//! **In a lock or not.** A word of the file that names a living process may be damage. So each process says in its own line
//! which locks it is in, before it takes them and until it has given them back; a lock's word whose owner says otherwise
//! is nobody's (`lock`).
//!
//! Slot 0 belongs to nobody. A process that finds no free slot, or gets no locks, reads and counts there, and never
//! writes entries; `hindrance` says why.

#[cfg(not(loom))]
mod kernel;

#[cfg(not(loom))]
pub(crate) use self::kernel::can_lock;

use crate::error::Hindrance;
use crate::file::atomic::Ordering;
use crate::file::layout::{proc_at, Proc};
use crate::file::units::Offset;
use crate::process::lock::Accounts;
use crate::table::Table;
use concurrency::fork;
use core::mem::offset_of;
use std::sync::atomic::AtomicU64 as PlainU64;

/// `generation << 8 | slot`, of 32 bits; 0 = nobody.
pub(crate) type Identity = u64;
pub(crate) const IDENTITY_BITS: u32 = 32;
const SLOT_BITS: u32 = 8;
const _: () = assert!(crate::file::layout::PROCS == 1 << SLOT_BITS);

pub(crate) const fn slot_of(identity: Identity) -> u64 {
    identity & ((1 << SLOT_BITS) - 1)
}
const fn generation_of(identity: Identity) -> u64 {
    identity >> SLOT_BITS
}
const fn identity_of(generation: u64, slot: u64) -> Identity {
    generation << SLOT_BITS | slot
}

/// This process's own identity, kept outside the mapping.
pub(crate) struct ProcessIdentity {
    identity: PlainU64,
    /// The `fork::epoch` under which `identity` was claimed; 0 = never. Release-stored after it, pairs with
    /// `identity()`.
    epoch: PlainU64,
    /// The epoch of the thread that is claiming; that of a parent's thread, which this process does not have, is stale.
    claiming: PlainU64,
    /// When to look for a free slot again (boot time), if there was none.
    retry_at: PlainU64,
    /// Why there is no identity: see `Hindrance`.
    hindrance: PlainU64,
    pub(crate) accounts: Accounts,
    #[cfg(not(loom))]
    kernel: kernel::Known,
}

impl ProcessIdentity {
    pub(crate) fn new() -> ProcessIdentity {
        let zero = || PlainU64::new(0);
        ProcessIdentity {
            identity: zero(),
            epoch: zero(),
            claiming: zero(),
            retry_at: zero(),
            hindrance: zero(),
            accounts: Accounts::new(),
            #[cfg(not(loom))]
            kernel: Default::default(),
        }
    }
}

pub(crate) fn field(slot: u64, offset: usize) -> Offset {
    proc_at(slot) + offset as u64
}
const IDENT: usize = offset_of!(Proc, ident);

impl Table {
    /// Who this process is, claiming a slot at the first call and after a fork. 0 if there is none to be had.
    #[inline(always)]
    pub(crate) fn identity(&self) -> Identity {
        if self.me.epoch.load(Ordering::Acquire) == fork::epoch() {
            self.me.identity.load(Ordering::Relaxed)
        } else {
            self.claim()
        }
    }

    /// `identity`, if it was claimed already; else 0.
    pub(crate) fn identity_so_far(&self) -> Identity {
        if self.me.epoch.load(Ordering::Acquire) == fork::epoch() {
            self.me.identity.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    /// `identity` for a writer, who needs one: if there was no slot, looks again, but not all the time.
    #[inline]
    pub(crate) fn writer_identity(&self) -> Identity {
        match self.identity() {
            0 => self.look_for_identity(),
            identity => identity,
        }
    }

    #[cold]
    fn look_for_identity(&self) -> Identity {
        let (retry_at, now) = (self.me.retry_at.load(Ordering::Relaxed), crate::process::clock::boot_now());
        // One thread at a time: who came too late must not take away what another has claimed by now.
        let next = now + 1_000_000_000;
        if retry_at < now
            && self.me.retry_at.compare_exchange(retry_at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.me.epoch.store(0, Ordering::Release);
        }
        self.identity()
    }

    /// Why this process cannot write; `None` if it can.
    pub(crate) fn hindrance(&self) -> Option<Hindrance> {
        if self.identity() != 0 {
            return None;
        }
        Hindrance::from_number(self.me.hindrance.load(Ordering::Relaxed))
    }

    #[cold]
    #[inline(never)]
    fn claim(&self) -> Identity {
        let epoch = fork::epoch();
        loop {
            let seen = self.me.claiming.load(Ordering::Relaxed);
            if self.me.epoch.load(Ordering::Acquire) == epoch {
                return self.me.identity.load(Ordering::Relaxed);
            }
            // Acquire and, below, release: claims of this process's threads follow each other.
            if seen != epoch
                && self.me.claiming.compare_exchange(seen, epoch, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                break;
            }
            std::thread::yield_now();
        }
        if self.me.epoch.load(Ordering::Acquire) != epoch {
            let claimed = self.claim_slot();
            let hindrance = claimed.err().map_or(0, Hindrance::number);
            self.me.hindrance.store(hindrance, Ordering::Relaxed);
            self.me.identity.store(claimed.unwrap_or(0), Ordering::Relaxed);
            // A parent's thread may have been in a lock when we were forked; it does not exist here.
            self.me.accounts.reset();
            self.me.epoch.store(epoch, Ordering::Release);
        }
        self.me.claiming.store(0, Ordering::Release);
        self.me.identity.load(Ordering::Relaxed)
    }

    /// Whether `owner` can no longer act. An identity that nobody can have (damage) counts as dead.
    pub(crate) fn is_dead(&self, owner: Identity) -> bool {
        slot_of(owner) == 0 || (owner != self.identity() && self.is_gone(owner))
    }

    /// Whether the line of an identity may be read.
    pub(crate) fn has_line(&self, identity: Identity) -> bool {
        let slot = slot_of(identity);
        slot != 0 && self.region.covers(proc_at(slot + 1))
    }

    #[cfg(loom)]
    fn claim_slot(&self) -> Result<Identity, Hindrance> {
        unreachable!("a model assigns identities")
    }

    /// In a model a death shows as another generation in the slot.
    #[cfg(loom)]
    fn is_gone(&self, owner: Identity) -> bool {
        self.region.load(field(slot_of(owner), IDENT), Ordering::Acquire) >> 32 != generation_of(owner)
    }

    #[cfg(loom)]
    pub(crate) fn assign(&self, slot: u64, generation: u64) {
        self.region.store(field(slot, IDENT), generation << 32 | 1, Ordering::Release);
        self.me.identity.store(identity_of(generation, slot), Ordering::Relaxed);
        self.me.epoch.store(fork::epoch(), Ordering::Release);
    }

    #[cfg(loom)]
    pub(crate) fn die(&self) {
        let slot = slot_of(self.identity());
        self.region.store(field(slot, IDENT), u64::MAX, Ordering::Release);
    }
}
