//! How a process claims its line, and what the kernel says of who has one: by locks of the file, and by pids.

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
        if self.me.epoch.load(Ordering::Acquire) != fork::epoch() || self.me.kernel.pid.load(Ordering::Relaxed) != pid {
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
