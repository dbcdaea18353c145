//! Which process is who, and whether it still lives.
//!
//! A process is known by *slot and generation*: a line in the process table, claimed under a byte-range lock (POSIX, on
//! the cache file, far beyond its data) that the kernel drops when the process ends, however it ends. Pids alone would
//! not do: a zombie still has one, they repeat, and they differ between containers. Such a lock also falls when its
//! process closes *any* descriptor of the file, which a user may do by reading it, so death needs a second witness
//! where pids can be compared: an owner is dead if its slot has another generation, or if its lock is free *and* (in
//! the same pid namespace) its pid is gone, a zombie, or started at another time.
//!
//! Slot 0 belongs to nobody. A process that finds no free slot reads and counts there, and never writes entries.

use crate::shm::atomic::Ordering;
use crate::shm::core::Core;
use crate::shm::fork;
use crate::shm::layout::{proc_at, Proc, LEASE_HOMES, PROCS};
use crate::shm::lock::Stuck;
use core::mem::offset_of;
use std::sync::atomic::AtomicU64 as PlainU64;

/// `generation << 16 | slot`; 0 = nobody.
pub(crate) type Identity = u64;

pub(crate) const fn slot_of(identity: Identity) -> u64 {
    identity & 0xffff
}

/// This process's own identity, kept outside the mapping.
pub(crate) struct Me {
    identity: PlainU64,
    /// The `fork::epoch` under which `identity` was claimed; 0 = never. Release-stored after it, pairs with
    /// `identity()`.
    epoch: PlainU64,
    /// The epoch of the thread that is claiming; that of a parent's thread, which this process does not have, is stale.
    claiming: PlainU64,
    /// When to look for a free slot again (boot time), if there was none.
    retry_at: PlainU64,
    /// Threads of ours that hold a lock or wait for one.
    pub(crate) contenders: PlainU64,
    /// What was last waited for in vain: of the writers' lock, and of the homes of leases.
    pub(crate) stuck: Stuck,
    pub(crate) stuck_homes: [Stuck; LEASE_HOMES as usize],
}

impl Me {
    pub(crate) fn new() -> Me {
        let zero = || PlainU64::new(0);
        Me {
            identity: zero(),
            epoch: zero(),
            claiming: zero(),
            retry_at: zero(),
            contenders: zero(),
            stuck: Stuck::default(),
            stuck_homes: std::array::from_fn(|_| Stuck::default()),
        }
    }
}

fn field(slot: u64, offset: usize) -> u64 {
    proc_at(slot) + offset as u64
}

impl Core {
    /// Who this process is, claiming a slot at the first call and after a fork. 0 if all slots are taken.
    #[inline(always)]
    pub(crate) fn identity(&self) -> Identity {
        if self.me.epoch.load(Ordering::Acquire) == fork::epoch() {
            self.me.identity.load(Ordering::Relaxed)
        } else {
            self.claim()
        }
    }

    /// `identity` for a writer, who needs one: if there was no slot, looks again, but not all the time.
    pub(crate) fn writer_identity(&self) -> Identity {
        let now = || crate::shm::clock::boot_now();
        if self.identity() == 0 {
            let (retry_at, now) = (self.me.retry_at.load(Ordering::Relaxed), now());
            // One thread at a time: who came too late must not take away what another has claimed by now.
            let next = now + 1_000_000_000;
            if retry_at < now
                && self.me.retry_at.compare_exchange(retry_at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                self.me.epoch.store(0, Ordering::Release);
            }
        }
        self.identity()
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
            let identity = self.claim_slot();
            self.me.identity.store(identity, Ordering::Relaxed);
            // A parent's thread may have been in the lock when we were forked; it does not exist here.
            self.me.contenders.store(0, Ordering::Relaxed);
            self.me.epoch.store(epoch, Ordering::Release);
        }
        self.me.claiming.store(0, Ordering::Release);
        self.me.identity.load(Ordering::Relaxed)
    }

    /// Whether `owner` can no longer act. An identity that nobody can have (damage) counts as dead.
    pub(crate) fn is_dead(&self, owner: Identity) -> bool {
        let slot = slot_of(owner);
        if slot == 0 || slot >= PROCS || !self.region.covers(proc_at(slot + 1)) {
            return true;
        }
        // Acquire: pairs with the claim's release, so that start time and namespace below are those of this ident.
        let ident = self.region.load(field(slot, offset_of!(Proc, ident)), Ordering::Acquire);
        if ident >> 32 != owner >> 16 {
            return true;
        }
        owner != self.identity() && self.is_gone(slot, ident)
    }

    #[cfg(loom)]
    fn claim_slot(&self) -> Identity {
        unreachable!("a model assigns identities")
    }

    /// In a model a death shows as another generation in the slot.
    #[cfg(loom)]
    fn is_gone(&self, _slot: u64, _ident: u64) -> bool {
        false
    }

    #[cfg(loom)]
    pub(crate) fn assign(&self, slot: u64, generation: u64) {
        self.region.store(field(slot, offset_of!(Proc, ident)), generation << 32 | 1, Ordering::Release);
        self.me.identity.store(generation << 16 | slot, Ordering::Relaxed);
        self.me.epoch.store(fork::epoch(), Ordering::Release);
    }

    #[cfg(loom)]
    pub(crate) fn die(&self) {
        let slot = slot_of(self.identity());
        self.region.store(field(slot, offset_of!(Proc, ident)), u64::MAX, Ordering::Release);
    }
}

#[cfg(not(loom))]
mod kernel {
    use super::*;
    use crate::shm::layout::ctl;
    use std::os::fd::RawFd;

    /// Where the byte-range locks lie: beyond any file.
    const LOCKS_AT: u64 = 1 << 40;

    // These are of different types on different systems.
    #[allow(clippy::unnecessary_cast)]
    const WRITE: libc::c_int = libc::F_WRLCK as libc::c_int;
    #[allow(clippy::unnecessary_cast)]
    const UNLOCK: libc::c_int = libc::F_UNLCK as libc::c_int;

    fn byte(kind: libc::c_int, slot: u64) -> libc::flock {
        // SAFETY: all-zero is a valid `flock`.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        lock.l_start = (LOCKS_AT + slot) as libc::off_t;
        lock.l_len = 1;
        lock
    }

    fn set_lock(fd: RawFd, kind: libc::c_int, slot: u64) -> bool {
        let lock = byte(kind, slot);
        // SAFETY: F_SETLK reads a valid `flock` that outlives the call.
        unsafe { libc::fcntl(fd, libc::F_SETLK, &lock) == 0 }
    }

    /// Whether another process holds the slot's lock. An error counts as held: nobody is declared dead for it.
    fn is_locked(fd: RawFd, slot: u64) -> bool {
        let mut lock = byte(WRITE, slot);
        // SAFETY: F_GETLK reads and writes a valid `flock` that outlives the call.
        let r = unsafe { libc::fcntl(fd, libc::F_GETLK, &mut lock) };
        r != 0 || lock.l_type != UNLOCK as libc::c_short
    }

    impl Core {
        pub(super) fn claim_slot(&self) -> Identity {
            if !self.region.has_descriptor() {
                return 0;
            }
            let fd = self.region.fd();
            let pid = u64::from(std::process::id());
            let (start, namespace) = (start_time(pid).unwrap_or(0), pid_namespace());
            for slot in 1..PROCS {
                if !set_lock(fd, WRITE, slot) {
                    continue;
                }
                let at = proc_at(slot);
                // Idempotent, so it needs no account of what is reserved already.
                if self.region.reserve(at, proc_at(1) - proc_at(0)).is_err() || !self.region.covers(proc_at(slot + 1)) {
                    set_lock(fd, UNLOCK, slot);
                    return 0;
                }
                let ident = self.region.load(field(slot, offset_of!(Proc, ident)), Ordering::Acquire);
                if ident as u32 != 0 && !self.is_gone(slot, ident) {
                    // Alive, though its lock is lost. (In tests also: another handle of this process.)
                    set_lock(fd, UNLOCK, slot);
                    continue;
                }
                // Under the byte's lock. A death here leaves a slot that is claimed again, with a newer generation.
                let generation = ((ident >> 32) + 1) & 0xffff_ffff;
                self.region.set(field(slot, offset_of!(Proc, ident)), generation << 32);
                self.region.set(field(slot, offset_of!(Proc, start_time)), start);
                self.region.set(field(slot, offset_of!(Proc, pid_namespace)), namespace);
                // Release: pairs with the acquire in `is_dead`.
                self.region.store(field(slot, offset_of!(Proc, ident)), generation << 32 | pid, Ordering::Release);
                self.raise_procs_high(slot + 1);
                return generation << 16 | slot;
            }
            0
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

        /// Lock free, and pid gone where pids can be compared.
        pub(super) fn is_gone(&self, slot: u64, ident: u64) -> bool {
            // (Without the file nobody can be asked: then all live.)
            if !self.region.has_descriptor() || is_locked(self.region.fd(), slot) {
                return false;
            }
            let namespace = self.region.get(field(slot, offset_of!(Proc, pid_namespace)));
            if namespace == 0 || namespace != pid_namespace() {
                return true;
            }
            let (pid, start) = (ident & 0xffff_ffff, self.region.get(field(slot, offset_of!(Proc, start_time))));
            match start_time(pid) {
                None => true,
                Some(now) => start != 0 && now != 0 && now != start,
            }
        }

        /// The last handle goes: the slot's pid with it. The lock goes when the descriptor is closed.
        pub(crate) fn resign(&self) {
            if self.me.epoch.load(Ordering::Acquire) != fork::epoch() {
                return; // a fork's child that never claimed a slot: it is the parent's
            }
            let identity = self.me.identity.load(Ordering::Relaxed);
            if identity != 0 {
                let at = field(slot_of(identity), offset_of!(Proc, ident));
                self.region.store(at, identity >> 16 << 32, Ordering::Release);
            }
        }
    }

    /// When the process started, in units of the system's own; 0 = unknown. `None` = there is no such process, or a
    /// zombie.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_time(pid: u64) -> Option<u64> {
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => {
                // The command's name, in parentheses, may contain anything; the fields follow its last one.
                let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
                if matches!(fields.next()?, "Z" | "X") {
                    return None;
                }
                fields.nth(18)?.parse().ok()
            }
            Err(_) => exists(pid).then_some(0),
        }
    }

    #[cfg(target_os = "macos")]
    pub(crate) fn start_time(pid: u64) -> Option<u64> {
        // SAFETY: all-zero is a valid proc_bsdinfo; the kernel writes at most `size` bytes into it.
        let (info, n) = unsafe {
            let mut info: libc::proc_bsdinfo = std::mem::zeroed();
            let size = std::mem::size_of::<libc::proc_bsdinfo>() as libc::c_int;
            let n = libc::proc_pidinfo(pid as libc::c_int, libc::PROC_PIDTBSDINFO, 0, (&raw mut info).cast(), size);
            (info, n)
        };
        match n {
            1.. => Some(info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec),
            _ => exists(pid).then_some(0),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    pub(crate) fn start_time(pid: u64) -> Option<u64> {
        exists(pid).then_some(0)
    }

    fn exists(pid: u64) -> bool {
        // SAFETY: signal 0 only asks.
        let r = unsafe { libc::kill(pid as libc::pid_t, 0) };
        r == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
    }

    /// Names the set of pids that this process's pid belongs to; 0 = unknown.
    pub(crate) fn pid_namespace() -> u64 {
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::MetadataExt;
            // A /proc of another namespace would answer for another process of the same number.
            let mine =
                std::fs::read_link("/proc/self").is_ok_and(|pid| pid.as_os_str() == &*std::process::id().to_string());
            if !mine {
                return 0;
            }
            std::fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino())
        }
        #[cfg(not(target_os = "linux"))]
        1
    }
}
