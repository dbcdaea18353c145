//! History: an area of cache lines about keys that are not in the cache, addressed by their hash.
//!
//! `ghosts` and `sketch` say what is in a line. Only writers look at it, under the lock. Nothing depends on it but how
//! good a victim is: it is not repaired, it may be lost, and any content is a possible one. The area is reserved when
//! the first entry gives way, as large as the entries that there are then call for, so a cache that is not full has
//! none; when it grows, half of what it knew is no longer found. Without disk it stays as it is.

use crate::file::atomic::Ordering;
use crate::file::layout::{ctl, Geometry, LINE};
use crate::file::units::Offset;
use crate::process::clock;
use crate::table::Table;

impl Table {
    /// Lines in use, as the file claims and the kernel and the geometry confirm.
    fn history_lines(&self) -> u64 {
        let claimed = self.region.get(ctl!(history_lines));
        let possible = claimed.is_power_of_two() && claimed <= self.geo.history_lines;
        if possible && self.region.covers(self.geo.history_line(claimed)) {
            claimed
        } else {
            0
        }
    }

    /// The line of a hash.
    pub(super) fn history_line(&self, hash: u64) -> Option<Offset> {
        let lines = self.history_lines();
        (lines > 0).then(|| self.geo.history_line(hash & (lines - 1)))
    }

    /// `history_line`, of an area that is large enough for the entries that there are.
    pub(super) fn history_line_to_write(&self, hash: u64) -> Option<Offset> {
        let entries = self.region.get(ctl!(count)).min(self.max_entries());
        let (lines, wanted) = (self.history_lines(), Geometry::history_lines_for(entries, self.strategy));
        if lines < wanted && clock::boot_now() >= self.disk_full_until.load(Ordering::Relaxed) {
            let from = self.geo.history_line(lines);
            if self.region.reserve(from, (wanted - lines) * LINE as u64).is_ok() {
                self.region.set(ctl!(history_lines), wanted);
            } else {
                self.disk_is_full();
            }
        }
        self.history_line(hash)
    }
}
