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

#[cfg(not(loom))]
pub(crate) use kernel::can_lock;

#[cfg(not(loom))]
mod kernel {
    use super::*;
    use crate::file::layout::{ctl, PROCS};
    use crate::file::life::{identity_byte, line_byte, Byte, Locks, Owner, Page};
    use crate::hash::siphash13;
    use crate::process::clock;
    use crate::process::witness::{birth, pid_namespace, Birth};
    use std::os::fd::BorrowedFd;
    use std::path::PathBuf;
    use std::sync::OnceLock;

    /// What an identity is held by.
    #[derive(Default)]
    pub(super) struct Known {
        page: Page,
        /// Who has claimed: a child that no handler knows of must not give back what is its parent's.
        pid: PlainU64,
        /// Where the file was opened.
        path: OnceLock<PathBuf>,
    }

    impl ProcessIdentity {
        /// Notes where the file lies, for a system that cannot open a descriptor's file anew.
        pub(crate) fn opened_at(&self, path: PathBuf) {
            let _ = self.kernel.path.set(path);
        }
    }

    /// `Proc::witness`: the identity's lock may fall without a death, and the pid counts as well.
    const PID_COUNTS: u64 = 1;

    /// Whether the file system has such locks, of either kind. The file must be one that nobody else has opened.
    pub(crate) fn can_lock(fd: BorrowedFd<'_>) -> std::io::Result<()> {
        let owners = [
            #[cfg(target_os = "linux")]
            Owner::Description,
            Owner::Process,
        ];
        let taken = owners.map(|owner| Locks { fd, owner }.take(line_byte(0)));
        match taken.iter().find_map(|taken| taken.err()) {
            Some(error) if !taken.contains(&Ok(true)) => Err(std::io::Error::from_raw_os_error(error)),
            _ => Ok(()),
        }
    }

    impl Table {
        /// Claims a line. Forks wait meanwhile: see `life`.
        pub(super) fn claim_slot(&self) -> Result<Identity, Hindrance> {
            fork::exclusive(|| {
                // It may be a parent's; ours was let go of when it was lost.
                self.me.kernel.page.forget();
                if !self.region.has_descriptor() {
                    return Err(Hindrance::Descriptor);
                }
                #[cfg(target_os = "linux")]
                match self.claim_by_description() {
                    Ok(identity) => return Ok(self.enter_line(identity, 0)),
                    Err(hindrance @ (Hindrance::Lines | Hindrance::NoSpace(_))) => return Err(hindrance),
                    Err(_) => {}
                }
                let locks = Locks { fd: self.region.fd(), owner: Owner::Process };
                Ok(self.enter_line(self.lock_line(&locks)?, PID_COUNTS))
            })
        }

        #[cfg(target_os = "linux")]
        fn claim_by_description(&self) -> Result<Identity, Hindrance> {
            use std::os::fd::AsFd;
            let file = self.open_anew(self.me.kernel.path.get()).map_err(Hindrance::locks)?;
            let locks = Locks { fd: file.as_fd(), owner: Owner::Description };
            let identity = self.lock_line(&locks)?;
            self.me.kernel.page.hold(locks.fd).map_err(Hindrance::Locks)?;
            drop(file);
            if self.ask(identity) == Byte::Held {
                return Ok(identity);
            }
            self.me.kernel.page.let_go();
            Err(Hindrance::Locks(libc::EOPNOTSUPP))
        }

        /// Locks the bytes of a line that nobody has, and of a new identity there.
        fn lock_line(&self, locks: &Locks<'_>) -> Result<Identity, Hindrance> {
            for slot in 1..PROCS {
                if !locks.take(line_byte(slot)).map_err(Hindrance::Locks)? {
                    continue;
                }
                let at = proc_at(slot);
                // Idempotent, so it needs no account of what is reserved already.
                if let Err(error) = self.region.reserve(at, proc_at(1) - proc_at(0)) {
                    locks.give_back(line_byte(slot));
                    return Err(Hindrance::NoSpace(error.raw_os_error().unwrap_or(0)));
                }
                let before = self.region.load(field(slot, IDENT), Ordering::Acquire);
                let identity = new_identity(before >> 32, slot);
                // (In tests it may be another handle of this process that has the line, by the process's own locks.)
                let is_free = self.region.covers(proc_at(slot + 1)) && !self.pid_counts_and_lives(slot, before >> 32);
                if is_free && locks.take(identity_byte(identity)).map_err(Hindrance::Locks)? {
                    return Ok(identity);
                }
                locks.give_back(line_byte(slot));
            }
            Err(Hindrance::Lines)
        }

        /// Writes down who has the line now. A death in here leaves a line that is claimed again.
        fn enter_line(&self, identity: Identity, witness: u64) -> Identity {
            let (slot, generation, pid) = (slot_of(identity), generation_of(identity), u64::from(std::process::id()));
            let birth = birth(pid).unwrap_or(Birth { started: 0, program: 0 });
            self.region.set(field(slot, IDENT), generation << 32);
            for (offset, value) in [
                (offset_of!(Proc, start_time), birth.started),
                (offset_of!(Proc, program), birth.program),
                (offset_of!(Proc, pid_namespace), pid_namespace()),
                (offset_of!(Proc, witness), witness),
                (offset_of!(Proc, in_writers), 0),
                (offset_of!(Proc, in_homes), 0),
            ] {
                self.region.set(field(slot, offset), value);
            }
            self.me.kernel.pid.store(pid, Ordering::Relaxed);
            // Release: pairs with the acquire in `pid_says`, which finds the words above if it finds this one.
            self.region.store(field(slot, IDENT), generation << 32 | pid, Ordering::Release);
            self.raise_procs_high(slot + 1);
            identity
        }

        fn raise_procs_high(&self, high: u64) {
            let at = ctl!(procs_high);
            let mut seen = self.region.get(at);
            while seen < high || seen > PROCS {
                // Release: the slot's page is reserved before sums look there.
                match self.region.cas(at, seen, high, Ordering::Release) {
                    Ok(_) => return,
                    Err(now) => seen = now,
                }
            }
        }

        pub(super) fn is_gone(&self, owner: Identity) -> bool {
            let (slot, generation) = (slot_of(owner), generation_of(owner));
            match self.ask(owner) {
                Byte::Held => false,
                Byte::Free => !self.pid_counts_and_lives(slot, generation),
                // Nobody is declared dead for an error.
                Byte::Unknown => self.pid_says(slot, generation) == Some(false),
            }
        }

        fn pid_counts_and_lives(&self, slot: u64, generation: u64) -> bool {
            self.has_line(slot)
                && self.region.get(field(slot, offset_of!(Proc, witness))) == PID_COUNTS
                && self.pid_says(slot, generation) == Some(true)
        }

        /// Whether the process of a line lives, as far as its pid tells. `None` = pids cannot be compared.
        fn pid_says(&self, slot: u64, generation: u64) -> Option<bool> {
            if !self.has_line(slot) {
                return Some(false);
            }
            // Acquire: pairs with the release in `enter_line`.
            let ident = self.region.load(field(slot, IDENT), Ordering::Acquire);
            let pid = ident & 0xffff_ffff;
            if ident >> 32 != generation || pid == 0 {
                return Some(false);
            }
            let namespace = self.region.get(field(slot, offset_of!(Proc, pid_namespace)));
            if namespace == 0 || namespace != pid_namespace() {
                return None;
            }
            let known = Birth {
                started: self.region.get(field(slot, offset_of!(Proc, start_time))),
                program: self.region.get(field(slot, offset_of!(Proc, program))),
            };
            Some(birth(pid).is_some_and(|now| now.may_be(known)))
        }

        /// The last handle goes: the slot's pid with it, and the locks.
        pub(crate) fn release_identity(&self) {
            let pid = u64::from(std::process::id());
            if self.me.epoch.load(Ordering::Acquire) != fork::epoch()
                || self.me.kernel.pid.load(Ordering::Relaxed) != pid
            {
                return; // a fork's child that never claimed a slot: it is the parent's
            }
            let identity = self.me.identity.load(Ordering::Relaxed);
            if identity != 0 {
                let at = field(slot_of(identity), IDENT);
                self.region.store(at, generation_of(identity) << 32, Ordering::Release);
                self.me.kernel.page.let_go();
            }
        }
    }

    /// An identity that no word left in the file is likely to name, and surely not the line's last one.
    fn new_identity(last: u64, slot: u64) -> Identity {
        let words = [clock::boot_now(), u64::from(std::process::id()), slot];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let most = (1 << (IDENTITY_BITS - SLOT_BITS)) - 1;
        let drawn = siphash13([last, 0], &bytes) % most + 1;
        identity_of(if drawn == last { drawn % most + 1 } else { drawn }, slot)
    }
}
