//! The memory of one cache file: a mapping whose every access is checked and atomic, and the reservation of its disk.
//!
//! All that the rest of the tier knows of memory is in here: words by offset (here), where they are mapped and copied
//! (`region`), `reserve`, `covers` and how the mapping grows (`growth`, of `addresses`), the file's `descriptor`; and in the
//! place of all these a `model` for loom.
//! What is touched was reserved by `reserve` (by us or, as `covers` confirms, by another process).
//!
//! **Address space is taken as it is needed.** The start of the file is mapped, as far as it is in use. Where more is
//! wanted, the mapping grows in its place (`mremap`), which it is given for that; where something lies behind it after
//! all, a longer one is made elsewhere, and `base` says so from then on. Readers take no lock and may be anywhere in an
//! old mapping, so each stays until the region goes; as each is twice as long as the one before as a rule, all of them
//! together take twice the last at most.
//! A place that is not mapped yet is mapped by whoever touches it; where the system allows no more (`ulimit -v`), or would
//! have nothing left for the program itself, it reads as zero, which means "no entry", and nothing is stored
//! (`Table::lock` sees to it).
//!
//! Any word may be changed by any process at any time, so each access is an atomic one; there are no references to
//! plain data in the mapping, hence no data race in Rust's sense whatever others do. Bytes are moved as relaxed words;
//! their order comes from the words that publish them (see `slots`).
//!
//! **Somebody else truncates the file.** No check can precede each access without a gap between check and access, and
//! reading through `pread` or `process_vm_readv` costs a system call per hit, many times the hit itself. So the rare
//! case pays: `sigbus` catches the fault.

use crate::file::atomic::Ordering;
use crate::file::units::Offset;

#[cfg(not(loom))]
mod addresses;
#[cfg(not(loom))]
mod descriptor;
#[cfg(not(loom))]
pub(crate) mod fixed;
#[cfg(loom)]
#[path = "fixed_model.rs"]
pub(crate) mod fixed;
#[cfg(not(loom))]
mod growth;
#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod region;

#[cfg(all(target_os = "linux", not(loom)))]
pub(crate) use self::descriptor::is_same_file;
#[cfg(not(loom))]
pub(crate) use self::descriptor::{file_len, Descriptor};
#[cfg(loom)]
pub(crate) use self::model::Region;
#[cfg(not(loom))]
pub(crate) use self::region::Region;

impl Region {
    #[inline]
    pub(crate) fn load(&self, at: Offset, order: Ordering) -> u64 {
        self.word(at).load(order)
    }
    #[inline]
    pub(crate) fn store(&self, at: Offset, value: u64, order: Ordering) {
        self.before_store();
        self.word(at).store(value, order);
    }
    #[inline]
    pub(crate) fn add(&self, at: Offset, n: u64, order: Ordering) -> u64 {
        self.before_store();
        self.word(at).fetch_add(n, order)
    }
    #[inline]
    pub(crate) fn cas(&self, at: Offset, old: u64, new: u64, success: Ordering) -> Result<u64, u64> {
        self.before_store();
        self.word(at).compare_exchange(old, new, success, Ordering::Relaxed)
    }
    /// Raises bits.
    pub(crate) fn raise(&self, at: Offset, bits: u64, order: Ordering) {
        self.before_store();
        self.word(at).fetch_or(bits, order);
    }
    /// Takes bits away.
    pub(crate) fn lower(&self, at: Offset, bits: u64, order: Ordering) {
        self.before_store();
        self.word(at).fetch_and(!bits, order);
    }
    /// Relaxed load: for words that the writers' lock protects, or whose staleness is harmless.
    #[inline]
    pub(crate) fn get(&self, at: Offset) -> u64 {
        self.load(at, Ordering::Relaxed)
    }
    /// `get` and `set` for hits: see `known`.
    #[inline(always)]
    pub(crate) fn get_known(&self, at: Offset) -> u64 {
        self.known(at).load(Ordering::Relaxed)
    }
    #[inline(always)]
    pub(crate) fn set_known(&self, at: Offset, value: u64) {
        self.before_store();
        self.known(at).store(value, Ordering::Relaxed);
    }
    /// Relaxed store: see `get`.
    #[inline]
    pub(crate) fn set(&self, at: Offset, value: u64) {
        self.store(at, value, Ordering::Relaxed);
    }
}
