//! The memory of one cache file: a mapping whose every access is checked and atomic, and the reservation of its disk.
//!
//! All that the rest of the tier knows of memory is in here: words by offset, copies in and out, `reserve`, `covers`.
//! What is touched was reserved by `reserve` (by us or, as `covers` confirms, by another process).
//!
//! **Address space is taken as it is needed.** The start of the file is mapped, as far as it is in use. Where more is
//! wanted, the mapping grows in its place (`mremap`), which it is given for that; where something lies behind it after
//! all, a longer one is made elsewhere, and `base` says so from then on. Readers take no lock and may be anywhere in an
//! old mapping, so each stays until the region goes; as each is twice as long as the one before as a rule, all of them
//! together take twice the last at most.
//! A place that is not mapped yet is mapped by whoever touches it; where the system allows no more (`ulimit -v`), or would
//! have nothing left for the program itself, it reads as zero, which means "no entry", and nothing is stored (`Core::lock` sees to it).
//!
//! Any word may be changed by any process at any time, so each access is an atomic one; there are no references to
//! plain data in the mapping, hence no data race in Rust's sense whatever others do. Bytes are moved as relaxed words;
//! their order comes from the words that publish them (see `slots`).
//!
//! **Somebody else truncates the file.** No check can precede each access without a gap between check and access, and
//! reading through `pread` or `process_vm_readv` costs a system call per hit, many times the hit itself. So the rare
//! case pays: `sigbus` catches the fault.

use crate::file::atomic::{AtomicU64, Ordering};

#[cfg(not(loom))]
pub(crate) use mapped::{file_len, Descriptor, Region};
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
    /// `get` and `set` for hits: see `known`.
    #[inline(always)]
    pub(crate) fn get_known(&self, at: u64) -> u64 {
        self.known(at).load(Ordering::Relaxed)
    }
    #[inline(always)]
    pub(crate) fn set_known(&self, at: u64, value: u64) {
        self.before_store();
        self.known(at).store(value, Ordering::Relaxed);
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
    use crate::file::disk::reserve_file;
    use crate::file::sigbus;
    use concurrency::fork;
    use std::io;

    use std::mem::ManuallyDrop;
    use std::os::fd::{AsRawFd, OwnedFd, RawFd};
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64 as PlainU64, AtomicUsize, Ordering};
    use std::sync::Mutex;

    /// A mapping grows by so much at least, and is a multiple of this.
    const LEAST_MAPPED: u64 = 1 << 20;
    const STEP: u64 = 1 << 16;
    /// Addresses that are left to the program: without any, the next allocation of whoever comes would fail.
    const LEFT: u64 = 16 << 20;
    /// No address below is asked for.
    const LOWEST: u64 = 1 << 32;

    // Apart, so that whoever is inlined around a check keeps its registers.
    #[cold]
    #[inline(never)]
    fn outside(at: u64) -> ! {
        panic!("offset {at} outside the mapping");
    }

    #[cfg(test)]
    type Hook = Box<dyn Fn(&Region) + Send + Sync>;

    pub(crate) struct Region {
        /// The first mapping, and how much of the file it has had from the beginning: all but the data.
        first: NonNull<AtomicU64>,
        first_words: usize,
        /// Where the file's first word is. Only ever replaced by the address of a longer mapping, before `words`.
        base: AtomicPtr<AtomicU64>,
        /// So many words are mapped at `base`. Release-stored after it; pairs with the acquire in `at`.
        words: AtomicUsize,
        /// Bytes that the file has at most, a multiple of 8.
        most: u64,
        /// The mappings so far, the last one in use. Locked within `fork::exclusive` only.
        mappings: Mutex<Vec<Mapping>>,
        /// What a word reads as that cannot be mapped.
        nowhere: AtomicU64,
        /// Up to there the file is known to reach, and is mapped; it only ever grows by our hands.
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
        watched: sigbus::Watched,
        #[cfg(test)]
        pub(crate) hook: std::sync::OnceLock<Hook>,
    }

    /// A piece of address space with the start of the file in it.
    struct Mapping {
        base: *mut libc::c_void,
        bytes: usize,
        watch: Option<sigbus::Watch>,
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // First out of the fault handler's list.
            self.watch = None;
            // SAFETY: exactly a mapping made in `Region::map_file`; no reference into it outlives the region.
            unsafe { libc::munmap(self.base, self.bytes) };
        }
    }

    // SAFETY: the address is only used to unmap and to lengthen, both of which any thread may do.
    unsafe impl Send for Mapping {}

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
        /// Maps the file of `fd` as far as it reaches, `first` bytes (all but the data) at least and `most` at most.
        pub(crate) fn map(fd: OwnedFd, first: u64, most: u64) -> io::Result<Region> {
            let most = most & !7;
            let mut region = Region {
                first: NonNull::dangling(),
                first_words: 0,
                base: AtomicPtr::new(std::ptr::null_mut()),
                words: AtomicUsize::new(0),
                most,
                mappings: Mutex::new(Vec::new()),
                nowhere: AtomicU64::new(0),
                known: PlainU64::new(0),
                fd: Descriptor::new(fd),
                lost: AtomicBool::new(false),
                refused: AtomicI32::new(0),
                refused_now: AtomicBool::new(false),
                spare: Mutex::new(Vec::new()),
                watched: sigbus::Watched::new(),
                #[cfg(test)]
                hook: std::sync::OnceLock::new(),
            };
            let end = file_len(region.fd())?.max(first).min(most);
            fork::exclusive(|| region.map_file(end))?;
            region.first = NonNull::new(*region.base.get_mut()).expect("mmap never returns null for us");
            region.first_words = *region.words.get_mut();
            Ok(region)
        }

        /// Whether files like this one can be mapped.
        pub(crate) fn can_map(fd: RawFd) -> io::Result<()> {
            Mapping::new(fd, STEP, 0, None).map(drop)
        }

        /// Bytes of the file that are mapped.
        pub(crate) fn mapped(&self) -> u64 {
            self.words.load(Ordering::Relaxed) as u64 * 8
        }

        /// Makes sure that the first `end` bytes of the file are mapped, whether it has them or not.
        #[cold]
        pub(crate) fn extend(&self, end: u64) -> io::Result<()> {
            if end > self.most || self.poisoned() || !self.has_descriptor() {
                return Err(io::Error::from_raw_os_error(libc::ENOMEM));
            }
            fork::exclusive(|| if end <= self.mapped() { Ok(()) } else { self.map_file(end) })
        }

        /// Within `fork::exclusive`: maps more, and some to spare if that can be had.
        fn map_file(&self, end: u64) -> io::Result<()> {
            #[cfg(test)]
            if crate::testing::NO_ADDRESSES.with(|none| none.get()) {
                return Err(io::Error::from_raw_os_error(libc::ENOMEM));
            }
            let mut mappings = self.mappings.lock().unwrap_or_else(|e| e.into_inner());
            let mapped = self.mapped();
            let to = |bytes: u64| bytes.max(end).min(self.most.max(end)).div_ceil(STEP) * STEP;
            let (some, twice, exact) = (to(mapped + (mapped / 4).max(LEAST_MAPPED)), to(2 * mapped), to(0));
            let lengthen = |last: &mut Mapping| {
                let fits = |bytes: &u64| leaves_room(bytes.saturating_sub(mapped)) && last.lengthen(*bytes);
                [some, exact].into_iter().find(fits)
            };
            let in_place = mappings.last_mut().and_then(lengthen);
            let bytes = match in_place {
                Some(bytes) => bytes,
                None => {
                    // Without the first there would be no cache.
                    let first = mappings.is_empty();
                    let anew = |bytes: u64| match first || leaves_room(bytes) {
                        true => self.map_anew(bytes),
                        false => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
                    };
                    let (bytes, new) = anew(twice).or_else(|_| anew(exact))?;
                    mappings.push(new);
                    bytes
                }
            };
            self.base.store(mappings[mappings.len() - 1].base.cast(), Ordering::Relaxed);
            // Release: pairs with the acquire in `at`: who sees the length finds it at the address it sees.
            self.words.store((bytes.min(self.most) / 8) as usize, Ordering::Release);
            Ok(())
        }

        fn map_anew(&self, bytes: u64) -> io::Result<(u64, Mapping)> {
            Mapping::new(self.fd(), bytes, self.most, Some(&self.watched)).map(|new| (bytes, new))
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

        /// The file is of no use to this process any more: from now on the region counts as poisoned.
        pub(crate) fn give_up(&self) {
            self.lost.store(true, Ordering::Relaxed);
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
            self.lost.load(Ordering::Relaxed) || self.watched.fired()
        }

        /// The address of word `i`, if `n` words from there on are mapped.
        #[inline(always)]
        fn at(&self, i: usize, n: usize) -> Option<*mut AtomicU64> {
            // Acquire: pairs with the release in `map_file`, so the base loaded below has so many words at least.
            let words = self.words.load(Ordering::Acquire);
            // SAFETY: i < words (or n = 0 and i = words), so the address lies in the mapping or at its end.
            (i <= words && n <= words - i).then(|| unsafe { self.base.load(Ordering::Relaxed).add(i) })
        }

        #[inline]
        pub(crate) fn word(&self, at: u64) -> &AtomicU64 {
            match self.at((at / 8) as usize, 1) {
                // SAFETY: the address lies in a mapping that lives as long as `self`, and is a multiple of 8 from its
                // page-aligned start. Everybody accesses it atomically. Whether the file has that page is `sigbus`'s
                // matter.
                Some(word) => unsafe { &*word },
                None => self.beyond(at),
            }
        }

        /// `word` for hits, which must not look where the file is mapped by now: of what lies before the data, all of
        /// which the first mapping has, and that one stays.
        #[inline(always)]
        pub(crate) fn known(&self, at: u64) -> &AtomicU64 {
            let i = (at / 8) as usize;
            if i >= self.first_words {
                outside(at);
            }
            // SAFETY: i < first_words, so the address lies in the first mapping. Otherwise as in `word`.
            unsafe { self.first.add(i).as_ref() }
        }

        /// A word that is not mapped yet.
        #[cold]
        #[inline(never)]
        fn beyond(&self, at: u64) -> &AtomicU64 {
            let end = at / 8 * 8 + 8;
            assert!(end <= self.most, "offset {at} outside the mapping");
            if self.extend(end).is_ok() {
                if let Some(word) = self.at((at / 8) as usize, 1) {
                    // SAFETY: as in `word`.
                    return unsafe { &*word };
                }
            }
            self.nowhere.store(0, Ordering::Relaxed);
            &self.nowhere
        }

        /// Asks for the line of `at`, to be written soon. A hint: it never faults.
        #[inline]
        pub(crate) fn prefetch(&self, at: u64) {
            #[cfg(target_arch = "x86_64")]
            if let Some(p) = self.at((at / 8) as usize, 1) {
                // (`_mm_prefetch` with the hint for writing is one for reading, unless a newer processor is asked for.)
                // SAFETY: prefetching is allowed at any address; a processor that does not know the instruction skips it.
                unsafe {
                    core::arch::asm!("prefetchw [{}]", in(reg) p, options(nostack, preserves_flags, readonly));
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = at;
        }

        /// The address of `n` words from `at` on; `None` where they cannot be mapped.
        #[inline]
        fn range(&self, at: u64, n: usize) -> Option<*mut AtomicU64> {
            let i = (at / 8) as usize;
            self.at(i, n).or_else(|| self.range_beyond(i, n))
        }

        #[cold]
        fn range_beyond(&self, i: usize, n: usize) -> Option<*mut AtomicU64> {
            let words = (self.most / 8) as usize;
            assert!(i <= words && n <= words - i, "copy outside the mapping");
            self.extend((i + n) as u64 * 8).ok()?;
            self.at(i, n)
        }

        /// Copies words from `at` on into `to`, each atomically, the whole not.
        #[inline]
        pub(crate) fn copy_out(&self, at: u64, to: &mut [u64]) {
            let Some(from) = self.range(at, to.len()) else { return to.fill(0) };
            for (k, word) in to.iter_mut().enumerate() {
                // SAFETY: so many words are mapped there: `range`. Otherwise as in `word`.
                *word = unsafe { &*from.add(k) }.load(Ordering::Relaxed);
            }
        }

        pub(crate) fn copy_in(&self, at: u64, from: &[u64]) {
            let to = self.range(at, from.len());
            for (k, word) in from.iter().enumerate() {
                self.before_store();
                // (What cannot be mapped was not reserved either, and nothing points there.)
                if let Some(to) = to {
                    // SAFETY: so many words are mapped there: `range`. Otherwise as in `word`.
                    unsafe { &*to.add(k) }.store(*word, Ordering::Relaxed);
                }
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
            let len = file_len(self.fd()).unwrap_or(0);
            if end <= len && end > self.mapped() && self.extend(end).is_err() {
                return false;
            }
            let known = len.min(self.mapped());
            self.known.store(known, Ordering::Relaxed);
            end <= known
        }

        /// Whether the file can be reached up to `end`, as far as it has that: false means that this process lacks the
        /// addresses, not that the file is damaged.
        #[inline]
        pub(crate) fn reaches(&self, end: u64) -> bool {
            end <= self.mapped() || self.reaches_slow(end)
        }

        #[cold]
        fn reaches_slow(&self, end: u64) -> bool {
            end > self.most || file_len(self.fd()).is_ok_and(|len| len < end) || self.extend(end).is_ok()
        }

        /// Makes sure that bytes `at..at + len` have disk behind them; fails where there is none. Never shrinks, never
        /// zeroes.
        pub(crate) fn reserve(&self, at: u64, len: u64) -> io::Result<()> {
            let reserved = self.try_reserve(at, len);
            if let Err(error) = &reserved {
                self.refuse(error.raw_os_error().unwrap_or(libc::EIO));
            }
            reserved
        }

        /// Something was refused, with the error of this number.
        pub(crate) fn refuse(&self, number: i32) {
            self.refused.store(number, Ordering::Relaxed);
            self.refused_now.store(true, Ordering::Relaxed);
        }

        fn try_reserve(&self, at: u64, len: u64) -> io::Result<()> {
            #[cfg(test)]
            if crate::testing::DISK_FULL.with(|full| full.get()) {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            self.before_store();
            if !self.has_descriptor() {
                return Err(io::Error::from_raw_os_error(libc::EBADF));
            }
            if at + len > self.mapped() {
                self.extend(at + len)?;
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

    /// Whether the system has so many addresses, and some for others.
    fn leaves_room(bytes: u64) -> bool {
        let Ok(bytes) = usize::try_from(bytes + LEFT) else { return false };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        // SAFETY: a fresh mapping at an address of the system's choice, which nobody else knows of, and given back at once.
        unsafe {
            let probe = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
            probe != libc::MAP_FAILED && libc::munmap(probe, bytes) == 0
        }
    }

    impl Mapping {
        /// Maps so many bytes, where they can grow to `most` if there is such a place.
        fn new(fd: RawFd, bytes: u64, most: u64, watched: Option<&sigbus::Watched>) -> io::Result<Mapping> {
            let bytes = usize::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
            let map = |hint: usize, bytes: usize, protection, flags, fd| {
                // SAFETY: a fresh mapping, where nothing is: the hint is no more than one.
                let base = unsafe { libc::mmap(hint as *mut libc::c_void, bytes, protection, flags, fd, 0) };
                if base == libc::MAP_FAILED {
                    Err(io::Error::last_os_error())
                } else {
                    Ok(base)
                }
            };
            // The system puts a new mapping right below the others, where it could not grow. Where that would be is
            // found out with a small one, which is given back at once.
            let small = map(0, STEP as usize, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANON, -1)?;
            // SAFETY: the mapping just made.
            unsafe { libc::munmap(small, STEP as usize) };
            let room = usize::try_from(most.div_ceil(STEP) * STEP).unwrap_or(usize::MAX);
            let hint = sigbus::room_below(small as usize, room) & !(STEP as usize - 1);
            let hint = if hint > LOWEST as usize { hint } else { 0 };
            let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            let base = map(hint, bytes, protection, flags, fd)?;
            Ok(Mapping { base, bytes, watch: watched.map(|watched| watched.watch(base as usize, bytes)) })
        }

        /// Takes the addresses behind it as well, if nothing is there.
        #[cfg(target_os = "linux")]
        fn lengthen(&mut self, bytes: u64) -> bool {
            let Ok(bytes) = usize::try_from(bytes) else { return false };
            // SAFETY: without MREMAP_MAYMOVE the mapping stays where it is, and nothing else is touched.
            if unsafe { libc::mremap(self.base, self.bytes, bytes, 0) } == libc::MAP_FAILED {
                return false;
            }
            self.bytes = bytes;
            if let Some(watch) = &mut self.watch {
                watch.lengthen(bytes);
            }
            true
        }

        #[cfg(not(target_os = "linux"))]
        fn lengthen(&mut self, _: u64) -> bool {
            false
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
        pub(crate) fn known(&self, at: u64) -> Arc<AtomicU64> {
            self.word(at)
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
        pub(crate) fn reaches(&self, _end: u64) -> bool {
            true
        }
        pub(crate) fn poisoned(&self) -> bool {
            false
        }
        pub(crate) fn give_up(&self) {}
        pub(crate) fn refuse(&self, _number: i32) {}
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
