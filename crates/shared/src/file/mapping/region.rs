//! The mapped file as words: every access is checked and atomic.

use super::addresses::{Mapping, STEP};
#[cfg(target_os = "linux")]
use super::descriptor::file_id;
use super::descriptor::{file_len, Descriptor};
use crate::file::atomic::AtomicU64;
use crate::file::layout::INDEX_AT;
use crate::file::sigbus;
use crate::file::units::Offset;
use concurrency::fork;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64 as PlainU64, AtomicUsize, Ordering};
use std::sync::Mutex;

// Apart, so that whoever is inlined around a check keeps its registers.
#[cold]
#[inline(never)]
fn outside(at: Offset) -> ! {
    panic!("offset {at} outside the mapping");
}

#[cfg(test)]
type Hook = Box<dyn Fn(&Region) + Send + Sync>;

pub(crate) struct Region {
    /// The first mapping, and how much of the file it has had from the beginning: all but the data.
    first: NonNull<AtomicU64>,
    first_words: usize,
    /// Where the file's first word is. Only ever replaced by the address of a longer mapping, before `words`.
    pub(super) base: AtomicPtr<AtomicU64>,
    /// So many words are mapped at `base`. Release-stored after it; pairs with the acquire in `at`.
    pub(super) words: AtomicUsize,
    /// Bytes that the file has at most, a multiple of 8.
    pub(super) most: u64,
    /// The mappings so far, the last one in use. Locked within `fork::exclusive` only.
    pub(super) mappings: Mutex<Vec<Mapping>>,
    /// What a word reads as that cannot be mapped.
    nowhere: AtomicU64,
    /// Up to there the file is known to reach, and is mapped; it only ever grows by our hands.
    pub(super) known: PlainU64,
    fd: Descriptor,
    /// Set once the descriptor was found to be another file's.
    lost: AtomicBool,
    /// The number of the error with which disk was last refused, and whether that counts for the present store.
    pub(super) refused: AtomicI32,
    pub(super) refused_now: AtomicBool,
    /// Owners of further descriptors of the same file. Closing any would drop the process's locks on it (POSIX), so
    /// they wait here.
    spare: Mutex<Vec<Box<dyn Send + Sync>>>,
    pub(super) watched: sigbus::Watched,
    #[cfg(test)]
    pub(crate) hook: std::sync::OnceLock<Hook>,
}

// SAFETY: `base` points to a mapping that lives as long as the Region; it is only ever accessed as AtomicU64s.
unsafe impl Send for Region {}
// SAFETY: all access to the mapping through `&Region` is atomic, and the other fields may be shared.
unsafe impl Sync for Region {}

impl Region {
    /// Maps the file of `fd` as far as it reaches, `first` bytes (all but the data) at least and `most` at most.
    pub(crate) fn map(fd: OwnedFd, first: u64, most: u64) -> io::Result<Region> {
        let most = most & !7;
        if first.min(most) < INDEX_AT.bytes() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
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
    pub(crate) fn can_map(fd: BorrowedFd<'_>) -> io::Result<()> {
        Mapping::new(fd, STEP, 0, None).map(drop)
    }

    /// Bytes of the file that are mapped.
    pub(crate) fn mapped(&self) -> u64 {
        self.words.load(Ordering::Relaxed) as u64 * 8
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.fd.as_fd()
    }

    /// Whether the descriptor is still the file's. If not, the region counts as truncated from now on.
    pub(crate) fn has_descriptor(&self) -> bool {
        let ours = self.fd.is_ours();
        if !ours {
            self.lost.store(true, Ordering::Relaxed);
        }
        ours
    }

    /// The file is of no use to this process any more: from now on the region counts as truncated.
    pub(crate) fn give_up(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Whether a descriptor is one of the same file.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_file_of(&self, fd: BorrowedFd<'_>) -> bool {
        self.fd.file.is_some() && file_id(fd) == self.fd.file
    }

    /// Which file this is.
    pub(crate) fn file(&self) -> Option<(u64, u64)> {
        self.fd.file
    }

    /// Whether the file has lost its last name.
    pub(crate) fn has_no_name(&self) -> bool {
        self.has_descriptor() && rustix::fs::fstat(self.fd()).is_ok_and(|status| status.st_nlink == 0)
    }

    /// Keeps what owns a second descriptor of the same file as long as the first.
    pub(crate) fn keep(&self, owner: impl Send + Sync + 'static) {
        self.spare.lock().unwrap_or_else(|e| e.into_inner()).push(Box::new(owner));
    }

    /// Whether the file is of no more use: somebody truncated it under us, and part of the mapping is now zeros of our
    /// own; or closed our descriptor, so that nothing can be reserved and nobody sees that we live.
    pub(crate) fn truncated(&self) -> bool {
        self.lost.load(Ordering::Relaxed) || self.watched.fired()
    }

    /// The address of word `i`, if `n` words from there on are mapped.
    #[inline(always)]
    pub(super) fn at(&self, i: usize, n: usize) -> Option<*mut AtomicU64> {
        // Acquire: pairs with the release in `map_file`, so the base loaded below has so many words at least.
        let words = self.words.load(Ordering::Acquire);
        // SAFETY: i < words (or n = 0 and i = words), so the address lies in the mapping or at its end.
        (i <= words && n <= words - i).then(|| unsafe { self.base.load(Ordering::Relaxed).add(i) })
    }

    /// The number of the word at an offset.
    #[inline(always)]
    fn index(at: Offset) -> usize {
        (at.bytes() / 8) as usize
    }

    #[inline]
    pub(crate) fn word(&self, at: Offset) -> &AtomicU64 {
        // All before the index is as long in each file. (Where the compiler knows the area, it knows the answer.)
        if at < INDEX_AT {
            // SAFETY: `map` makes no region whose first mapping is shorter, and that one stays. Otherwise as below.
            return unsafe { self.first.add(Self::index(at)).as_ref() };
        }
        match self.at(Self::index(at), 1) {
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
    pub(crate) fn known(&self, at: Offset) -> &AtomicU64 {
        let i = Self::index(at);
        if i >= self.first_words {
            outside(at);
        }
        // SAFETY: i < first_words, so the address lies in the first mapping. Otherwise as in `word`.
        unsafe { self.first.add(i).as_ref() }
    }

    /// A word that is not mapped yet.
    #[cold]
    #[inline(never)]
    fn beyond(&self, at: Offset) -> &AtomicU64 {
        let end = at.bytes() / 8 * 8 + 8;
        assert!(end <= self.most, "offset {at} outside the mapping");
        if self.extend(end).is_ok() {
            if let Some(word) = self.at(Self::index(at), 1) {
                // SAFETY: as in `word`.
                return unsafe { &*word };
            }
        }
        self.nowhere.store(0, Ordering::Relaxed);
        &self.nowhere
    }

    /// Asks for the line of `at`, to be written soon. A hint: it never faults.
    #[inline]
    pub(crate) fn prefetch(&self, at: Offset) {
        #[cfg(target_arch = "x86_64")]
        if let Some(p) = self.at(Self::index(at), 1) {
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
    fn range(&self, at: Offset, n: usize) -> Option<*mut AtomicU64> {
        let i = Self::index(at);
        self.at(i, n).or_else(|| self.range_beyond(i, n))
    }

    #[cold]
    fn range_beyond(&self, i: usize, n: usize) -> Option<*mut AtomicU64> {
        let words = (self.most / 8) as usize;
        assert!(i <= words && n <= words - i, "copy outside the mapping");
        self.extend((i + n) as u64 * 8).ok()?;
        self.at(i, n)
    }

    /// The words of a line: the first of them is read last.
    #[inline(always)]
    pub(crate) fn line(&self, at: Offset) -> [u64; 8] {
        let Some(from) = self.range(at, 8) else { return [0; 8] };
        // SAFETY: eight words are mapped there: `range`. Otherwise as in `word`.
        let word = |i: usize| unsafe { &*from.add(i) }.load(Ordering::Acquire);
        let mut line = [0; 8];
        (1..8).for_each(|i| line[i] = word(i));
        line[0] = word(0);
        line
    }

    /// Copies words from `at` on into `to`, each atomically, the whole not.
    #[inline]
    pub(crate) fn copy_out(&self, at: Offset, to: &mut [u64]) {
        let Some(from) = self.range(at, to.len()) else { return to.fill(0) };
        for (k, word) in to.iter_mut().enumerate() {
            // SAFETY: so many words are mapped there: `range`. Otherwise as in `word`.
            *word = unsafe { &*from.add(k) }.load(Ordering::Relaxed);
        }
    }

    pub(crate) fn copy_in(&self, at: Offset, from: &[u64]) {
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
