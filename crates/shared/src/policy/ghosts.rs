//! S3-FIFO's ghosts: keys that were evicted lately, known by fingerprint and time.
//!
//! As in section 4.2 of the paper, there is no queue of them: a ghost is a fingerprint of the key's hash with the number
//! of its eviction, and it has fallen out of the "queue" when as many others have become ghosts since as the main queue
//! has room for. A line of `history` holds the eight latest of the keys that share it. There are at least twice as many
//! places as ghosts, and in small caches many times as many, so a ghost is rarely driven out before its time; and a key
//! that never was in the cache passes for a ghost once in four billion times.

use crate::file::layout::{ctl, LINE};
use crate::file::units::Offset;
use crate::table::Table;

const WAYS: u64 = LINE as u64 / 8;

/// A place in a line is `fingerprint << 32 | number`; numbers begin at 1, so 0 is nobody's.
fn fingerprint(hash: u64) -> u64 {
    // (The low bits have chosen the line.)
    hash >> 32
}

impl Table {
    fn now_in_evictions(&self) -> u32 {
        self.region.get(ctl!(ghost_seq)) as u32
    }

    /// An entry of this hash is evicted, and to be known as long as `room` others have not been.
    pub(super) fn note_ghost(&self, hash: u64, room: u64) {
        let number = self.now_in_evictions().wrapping_add(1);
        self.region.set(ctl!(ghost_seq), u64::from(number));
        self.region.set(ctl!(ghost_room), room);
        if let Some(line) = self.history_line_to_write(hash) {
            let places = (0..WAYS).map(|way| line + 8 * way);
            let age = |at: &Offset| match self.region.get(*at) {
                0 => u32::MAX,
                ghost => number.wrapping_sub(ghost as u32),
            };
            if let Some(oldest) = places.max_by_key(age) {
                self.region.set(oldest, fingerprint(hash) << 32 | u64::from(number));
            }
        }
    }

    /// Whether a key is a ghost; from now on it is none.
    pub(super) fn remove_ghost(&self, hash: u64) -> bool {
        let (now, room) = (self.now_in_evictions(), self.region.get(ctl!(ghost_room)));
        let Some(line) = self.history_line(hash) else { return false };
        let mut found = false;
        for at in (0..WAYS).map(|way| line + 8 * way) {
            let ghost = self.region.get(at);
            if ghost != 0 && ghost >> 32 == fingerprint(hash) {
                found |= u64::from(now.wrapping_sub(ghost as u32)) < room;
                self.region.set(at, 0);
            }
        }
        found
    }

    pub(super) fn forget_ghosts(&self) {
        // No room for any; the next eviction makes some, and by then all of them are too old.
        self.region.set(ctl!(ghost_room), 0);
        let gap = (self.max_entries() as u32).max(1 << 16);
        self.region.set(ctl!(ghost_seq), u64::from(self.now_in_evictions().wrapping_add(gap)));
    }
}
