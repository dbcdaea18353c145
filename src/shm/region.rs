//! The memory of one cache file: a mapping whose every access is checked and atomic, and the reservation of its disk.
//!
//! All that the rest of the tier knows of memory is in here: words by offset, copies in and out, `reserve`, `covers`.
//! The whole file is mapped once, at its largest, and never remapped: a mapping beyond the end of a file is legal and
//! costs address space only. What is touched was reserved by `reserve` (by us or, as `covers` confirms, by another
//! process).
//!
//! Any word may be changed by any process at any time, so each access is an atomic one; there are no references to
//! plain data in the mapping, hence no data race in Rust's sense whatever others do. Bytes are moved as relaxed words;
//! their order comes from the words that publish them (see `slots`).
//!
//! **Somebody else truncates the file.** No check can precede each access without a gap between check and access, and
//! reading through `pread` or `process_vm_readv` costs a system call per hit, many times the hit itself. So the rare
//! case pays: `sigbus` catches the fault.

use crate::shm::atomic::{AtomicU64, Ordering};

#[cfg(not(loom))]
pub(crate) use mapped::{file_len, reserve_file, Descriptor, Region};
#[cfg(loom)]
pub(crate) use model::Region;

impl Region {
    #[inline]
    pub(crate) fn load(&self, at: u64, order: Ordering) -> u64 {
        self.word(at).load(order)
    }
    #[inline]
    pub(crate) fn store(&self, at: u64, value: u64, order: Ordering) {
        self.before_store();
        self.word(at).store(value, order);
    }
    #[inline]
    pub(crate) fn add(&self, at: u64, n: u64, order: Ordering) -> u64 {
        self.before_store();
        self.word(at).fetch_add(n, order)
    }
    #[inline]
    pub(crate) fn cas(&self, at: u64, old: u64, new: u64, success: Ordering) -> Result<u64, u64> {
        self.before_store();
        self.word(at).compare_exchange(old, new, success, Ordering::Relaxed)
    }
    /// Raises bits.
    pub(crate) fn raise(&self, at: u64, bits: u64, order: Ordering) {
        self.before_store();
        self.word(at).fetch_or(bits, order);
    }
    /// Takes bits away.
    pub(crate) fn lower(&self, at: u64, bits: u64, order: Ordering) {
        self.before_store();
        self.word(at).fetch_and(!bits, order);
    }
    /// Relaxed load: for words that the writers' lock protects, or whose staleness is harmless.
    #[inline]
    pub(crate) fn get(&self, at: u64) -> u64 {
        self.load(at, Ordering::Relaxed)
    }
    /// Relaxed store: see `get`.
    #[inline]
    pub(crate) fn set(&self, at: u64, value: u64) {
        self.store(at, value, Ordering::Relaxed);
    }
}

#[cfg(not(loom))]
mod mapped {
    use super::AtomicU64;
    use crate::shm::sigbus;
    use std::io;

    use std::mem::ManuallyDrop;
    use std::os::fd::{AsRawFd, OwnedFd, RawFd};
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64 as PlainU64, Ordering};
    use std::sync::Mutex;

    // Apart, so that whoever is inlined around a check keeps its registers.
    #[cold]
    #[inline(never)]
    fn outside(at: u64) -> ! {
        panic!("offset {at} outside the mapping");
    }

    #[cfg(test)]
    type Hook = Box<dyn Fn(&Region) + Send + Sync>;

    pub(crate) struct Region {
        base: NonNull<AtomicU64>,
        words: usize,
        /// Length of the file as last seen; it only ever grows by our hands.
        known: PlainU64,
        fd: Descriptor,
        /// Set once the descriptor was found to be another file's.
        lost: AtomicBool,
        /// The number of the error with which disk was last refused, and whether that counts for the present store.
        refused: AtomicI32,
        refused_now: AtomicBool,
        /// Owners of further descriptors of the same file. Closing any would drop the process's locks on it (POSIX), so
        /// they wait here.
        spare: Mutex<Vec<Box<dyn Send + Sync>>>,
        watch: Option<sigbus::Watch>,
        #[cfg(test)]
        pub(crate) hook: std::sync::OnceLock<Hook>,
    }

    /// A descriptor, and the file that it was opened for. Somebody may close it under us (who becomes a daemon closes all
    /// descriptors), and its number may then be that of a file of theirs, which we must neither lengthen nor close.
    pub(crate) struct Descriptor {
        fd: ManuallyDrop<OwnedFd>,
        file: Option<(u64, u64)>,
    }

    impl Descriptor {
        pub(crate) fn new(fd: OwnedFd) -> Descriptor {
            let file = file_id(fd.as_raw_fd());
            Descriptor { fd: ManuallyDrop::new(fd), file }
        }

        pub(crate) fn is_ours(&self) -> bool {
            self.file.is_some() && file_id(self.fd.as_raw_fd()) == self.file
        }
    }

    impl Drop for Descriptor {
        fn drop(&mut self) {
            if self.is_ours() {
                // SAFETY: taken once, here, and never used after.
                drop(unsafe { ManuallyDrop::take(&mut self.fd) });
            }
        }
    }

    // SAFETY: `base` points to a mapping that lives as long as the Region; it is only ever accessed as AtomicU64s.
    unsafe impl Send for Region {}
    // SAFETY: as above; all access through `&Region` is atomic.
    unsafe impl Sync for Region {}

    impl Region {
        /// Maps the first `len` bytes of `fd`, which may be shorter.
        pub(crate) fn map(fd: OwnedFd, len: u64) -> io::Result<Region> {
            let len = usize::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))? & !7;
            // SAFETY: a fresh mapping at an address of the kernel's choice touches no memory of ours.
            let p = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    len,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED,
                    fd.as_raw_fd(),
                    0,
                )
            };
            if p == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let base = NonNull::new(p.cast()).expect("mmap never returns null for us");
            let watch = sigbus::watch(p as usize, len);
            Ok(Region {
                base,
                words: len / 8,
                known: PlainU64::new(0),
                fd: Descriptor::new(fd),
                lost: AtomicBool::new(false),
                refused: AtomicI32::new(0),
                refused_now: AtomicBool::new(false),
                spare: Mutex::new(Vec::new()),
                watch,
                #[cfg(test)]
                hook: std::sync::OnceLock::new(),
            })
        }

        pub(crate) fn fd(&self) -> RawFd {
            self.fd.fd.as_raw_fd()
        }

        /// Whether the descriptor is still the file's. If not, the region counts as poisoned from now on.
        pub(crate) fn has_descriptor(&self) -> bool {
            let ours = self.fd.is_ours();
            if !ours {
                self.lost.store(true, Ordering::Relaxed);
            }
            ours
        }

        /// Whether a descriptor is one of the same file.
        #[cfg(target_os = "linux")]
        pub(crate) fn is_file_of(&self, fd: RawFd) -> bool {
            self.fd.file.is_some() && file_id(fd) == self.fd.file
        }

        /// Keeps what owns a second descriptor of the same file as long as the first.
        pub(crate) fn keep(&self, owner: impl Send + Sync + 'static) {
            self.spare.lock().unwrap_or_else(|e| e.into_inner()).push(Box::new(owner));
        }

        /// Somebody truncated the file under us, and part of the mapping is now zeros of our own; or closed our
        /// descriptor, so that nothing can be reserved and nobody sees that we live.
        pub(crate) fn poisoned(&self) -> bool {
            self.lost.load(Ordering::Relaxed) || self.watch.as_ref().is_some_and(sigbus::Watch::fired)
        }

        #[inline]
        pub(crate) fn word(&self, at: u64) -> &AtomicU64 {
            let i = (at / 8) as usize;
            if i >= self.words {
                outside(at);
            }
            // SAFETY: i < words, so the address lies in the mapping, which lives as long as `self`, and is a multiple
            // of 8 from its page-aligned start. Everybody accesses it atomically. Whether the file has that page is
            // `sigbus`'s matter.
            unsafe { self.base.add(i).as_ref() }
        }

        /// Asks for the line of `at`, to be written soon. A hint: it never faults.
        #[inline]
        pub(crate) fn prefetch(&self, at: u64) {
            #[cfg(target_arch = "x86_64")]
            if at / 8 < self.words as u64 {
                let p = self.base.as_ptr().wrapping_add((at / 8) as usize);
                // (`_mm_prefetch` with the hint for writing is one for reading, unless a newer processor is asked for.)
                // SAFETY: prefetching is allowed at any address; a processor that does not know the instruction skips it.
                unsafe {
                    core::arch::asm!("prefetchw [{}]", in(reg) p, options(nostack, preserves_flags, readonly));
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = at;
        }

        /// Copies words from `at` on into `to`, each atomically, the whole not.
        #[inline]
        pub(crate) fn copy_out(&self, at: u64, to: &mut [u64]) {
            let i = (at / 8) as usize;
            assert!(i <= self.words && to.len() <= self.words - i, "copy outside the mapping");
            for (k, word) in to.iter_mut().enumerate() {
                // SAFETY: i + k < words: the assertion above. Otherwise as in `word`.
                *word = unsafe { self.base.add(i + k).as_ref() }.load(Ordering::Relaxed);
            }
        }

        pub(crate) fn copy_in(&self, at: u64, from: &[u64]) {
            let i = (at / 8) as usize;
            assert!(i <= self.words && from.len() <= self.words - i, "copy outside the mapping");
            for (k, word) in from.iter().enumerate() {
                self.before_store();
                // SAFETY: i + k < words: the assertion above. Otherwise as in `word`.
                unsafe { self.base.add(i + k).as_ref() }.store(*word, Ordering::Relaxed);
            }
        }

        /// Whether the file is known to reach `end`. A claim found in the file is believed only after asking the
        /// kernel.
        #[inline]
        pub(crate) fn covers(&self, end: u64) -> bool {
            end <= self.known.load(Ordering::Relaxed) || self.covers_slow(end)
        }

        #[cold]
        fn covers_slow(&self, end: u64) -> bool {
            // What was known stays so while nobody can be asked: a file only ever grows.
            if !self.has_descriptor() {
                return false;
            }
            let len = file_len(self.fd()).unwrap_or(0).min(self.words as u64 * 8);
            self.known.store(len, Ordering::Relaxed);
            end <= len
        }

        /// Makes sure that bytes `at..at + len` have disk behind them; fails where there is none. Never shrinks, never
        /// zeroes.
        pub(crate) fn reserve(&self, at: u64, len: u64) -> io::Result<()> {
            let reserved = self.try_reserve(at, len);
            if let Err(error) = &reserved {
                self.refused.store(error.raw_os_error().unwrap_or(libc::EIO), Ordering::Relaxed);
                self.refused_now.store(true, Ordering::Relaxed);
            }
            reserved
        }

        fn try_reserve(&self, at: u64, len: u64) -> io::Result<()> {
            #[cfg(test)]
            if crate::shm::hooks::DISK_FULL.with(|full| full.get()) {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            self.before_store();
            if !self.has_descriptor() {
                return Err(io::Error::from_raw_os_error(libc::EBADF));
            }
            reserve_file(self.fd(), at, len)
        }

        /// The number of the error with which disk was refused since `forget_refusal`, 0 if it was not.
        pub(crate) fn refused(&self) -> i32 {
            if self.refused_now.load(Ordering::Relaxed) {
                self.refused.load(Ordering::Relaxed)
            } else {
                0
            }
        }

        pub(crate) fn forget_refusal(&self) {
            self.refused_now.store(false, Ordering::Relaxed);
        }

        /// Disk was not asked for, as it was refused a moment ago.
        pub(crate) fn refuse_again(&self) {
            self.refused_now.store(true, Ordering::Relaxed);
        }

        /// The number of the error with which disk was last refused.
        pub(crate) fn last_refusal(&self) -> i32 {
            self.refused.load(Ordering::Relaxed)
        }

        #[cfg(test)]
        #[inline]
        pub(crate) fn before_store(&self) {
            if let Some(hook) = self.hook.get() {
                hook(self);
            }
        }
        #[cfg(not(test))]
        #[inline(always)]
        pub(crate) fn before_store(&self) {}
    }

    impl Drop for Region {
        fn drop(&mut self) {
            // First out of the fault handler's table, then unmap, then (fields drop after) close the descriptors.
            self.watch = None;
            // SAFETY: exactly the mapping made in `map`; no reference into it outlives `self`.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.words * 8) };
        }
    }

    fn status(fd: RawFd) -> io::Result<libc::stat> {
        // SAFETY: all-zero bytes are a valid `stat`, which fstat only writes to.
        let mut st: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `st` outlives the call.
        match unsafe { libc::fstat(fd, &mut st) } {
            0 => Ok(st),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Length of the file behind a descriptor.
    pub(crate) fn file_len(fd: RawFd) -> io::Result<u64> {
        status(fd).map(|st| st.st_size as u64)
    }

    #[allow(clippy::unnecessary_cast)] // types differ between systems
    fn file_id(fd: RawFd) -> Option<(u64, u64)> {
        status(fd).ok().map(|st| (st.st_dev as u64, st.st_ino as u64))
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn reserve_file(fd: RawFd, at: u64, len: u64) -> io::Result<()> {
        loop {
            // SAFETY: plain system call on a descriptor we own; no memory is passed.
            if unsafe { libc::fallocate(fd, 0, at as libc::off_t, len as libc::off_t) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => continue,
                // A file system without fallocate: the C library writes to each block instead.
                Some(libc::EOPNOTSUPP) => {}
                _ => return Err(error),
            }
            // SAFETY: as above.
            return match unsafe { libc::posix_fallocate(fd, at as libc::off_t, len as libc::off_t) } {
                0 => Ok(()),
                e => Err(io::Error::from_raw_os_error(e)),
            };
        }
    }

    /// Without fallocate: blocks are preallocated at the end of the file as it grows over them.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn reserve_file(fd: RawFd, at: u64, len: u64) -> io::Result<()> {
        let (old, end) = (file_len(fd)?, at + len);
        if end <= old {
            return Ok(());
        }
        #[cfg(target_os = "macos")]
        {
            let mut store = libc::fstore_t {
                fst_flags: libc::F_ALLOCATEALL,
                fst_posmode: libc::F_PEOFPOSMODE,
                fst_offset: 0,
                fst_length: (end - old) as libc::off_t,
                fst_bytesalloc: 0,
            };
            // SAFETY: `store` outlives the call.
            if unsafe { libc::fcntl(fd, libc::F_PREALLOCATE, &mut store) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: plain system call. It only ever lengthens: growth happens under the writers' lock.
        match unsafe { libc::ftruncate(fd, end as libc::off_t) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(loom)]
mod model {
    use super::AtomicU64;
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    /// Loom's memory: a word comes into being when it is first named. Leaked per model run, which loom's runs can
    /// afford.
    pub(crate) struct Region {
        words: Mutex<HashMap<u64, Arc<AtomicU64>>>,
    }

    impl Region {
        pub(crate) fn new() -> Region {
            Region { words: Mutex::new(HashMap::new()) }
        }
        pub(crate) fn word(&self, at: u64) -> Arc<AtomicU64> {
            let mut words = self.words.lock().unwrap();
            words.entry(at / 8).or_insert_with(|| Arc::new(AtomicU64::new(0))).clone()
        }
        pub(crate) fn copy_out(&self, at: u64, to: &mut [u64]) {
            for (k, word) in to.iter_mut().enumerate() {
                *word = self.get(at + 8 * k as u64);
            }
        }
        pub(crate) fn copy_in(&self, at: u64, from: &[u64]) {
            for (k, word) in from.iter().enumerate() {
                self.set(at + 8 * k as u64, *word);
            }
        }
        pub(crate) fn prefetch(&self, _at: u64) {}
        pub(crate) fn covers(&self, _end: u64) -> bool {
            true
        }
        pub(crate) fn poisoned(&self) -> bool {
            false
        }
        pub(crate) fn reserve(&self, _at: u64, _len: u64) -> std::io::Result<()> {
            Ok(())
        }
        pub(crate) fn before_store(&self) {}
        /// Never: a model has disk enough.
        pub(crate) fn refused(&self) -> i32 {
            0
        }
        pub(crate) fn forget_refusal(&self) {}
        pub(crate) fn refuse_again(&self) {}
    }
}
