//! How the mapping grows and moves, and what the file is known to reach: address space and disk.

use super::addresses::{leaves_room, Mapping, STEP};
use super::descriptor::file_len;
use super::region::Region;
use crate::file::disk::reserve_file;
use crate::file::units::Offset;
use concurrency::fork;
use std::io;
use std::sync::atomic::Ordering;

/// A mapping grows by so much at least.
const LEAST_MAPPED: u64 = 1 << 20;

impl Region {
    /// Makes sure that the first `end` bytes of the file are mapped, whether it has them or not.
    #[cold]
    pub(crate) fn extend(&self, end: u64) -> io::Result<()> {
        if end > self.most || self.truncated() || !self.has_descriptor() {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        fork::exclusive(|| if end <= self.mapped() { Ok(()) } else { self.map_file(end) })
    }

    /// Within `fork::exclusive`: maps more, and some to spare if that can be had.
    pub(super) fn map_file(&self, end: u64) -> io::Result<()> {
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

    /// Whether the file is known to reach `end`. A claim found in the file is believed only after asking the
    /// kernel.
    #[inline]
    pub(crate) fn covers(&self, end: Offset) -> bool {
        let end = end.bytes();
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
    pub(crate) fn reaches(&self, end: Offset) -> bool {
        let end = end.bytes();
        end <= self.mapped() || self.reaches_slow(end)
    }

    #[cold]
    fn reaches_slow(&self, end: u64) -> bool {
        end > self.most || file_len(self.fd()).is_ok_and(|len| len < end) || self.extend(end).is_ok()
    }

    /// Makes sure that bytes `at..at + len` have disk behind them; fails where there is none. Never shrinks, never
    /// zeroes.
    pub(crate) fn reserve(&self, at: Offset, len: u64) -> io::Result<()> {
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

    fn try_reserve(&self, at: Offset, len: u64) -> io::Result<()> {
        #[cfg(test)]
        if crate::testing::DISK_FULL.with(|full| full.get()) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.before_store();
        if !self.has_descriptor() {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let end = (at + len).bytes();
        if end > self.mapped() {
            self.extend(end)?;
        }
        reserve_file(self.fd(), at.bytes(), len)
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
}
