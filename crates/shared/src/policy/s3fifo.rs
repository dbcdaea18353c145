//! S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, "FIFO Queues are All You Need for Cache Eviction", SOSP 2023).
//!
//! Three static FIFO queues: newcomers enter the *small* one, a tenth of the cache; who is used more than once on the
//! way through it goes on to the *main* one, who is not becomes a *ghost* (`ghosts`), and a ghost that comes back enters
//! the main queue at once. In the main queue, who was used goes round once more for each use, up to three. A hit raises
//! the entry's frequency, unless it is three already: then it writes nothing.
//!
//! Algorithm 1 of the paper; the decisions are those of the policy in memory (`engine::policy::tuning`). A search that has
//! passed `MAX_SCAN` entries takes the next one as it is.
//!
//! The shares are of the entries that there are, which is the capacity when a cache is full by count, and what its bytes
//! hold when it is full by bytes.

use crate::file::layout::ctl;
use crate::file::units::Slot;
use crate::policy::queues::{Broken, Queue};
use crate::policy::MAX_SCAN;
use crate::table::Table;
use engine::policy::tuning::s3fifo::{goes_on, rooms, takes_from_small, MAX_FREQUENCY};

pub(super) const SMALL: Queue = Queue(0);
pub(super) const MAIN: Queue = Queue(1);
const MOST: u64 = MAX_FREQUENCY as u64;

impl Table {
    #[inline(always)]
    pub(super) fn raise_frequency(&self, slot: Slot) {
        let frequency = self.region.get_known(self.count_at(slot));
        if frequency < MOST {
            self.region.set_known(self.count_at(slot), frequency + 1);
        }
    }

    /// Room of the small queue and of the main one.
    fn rooms(&self) -> (u64, u64) {
        let all = self.region.get(ctl!(count)).min(self.max_entries());
        rooms(all)
    }

    /// Asked after who gives way has gone.
    pub(super) fn s3fifo_queue_of_new(&self, hash: u64) -> Queue {
        if self.remove_ghost(hash) {
            MAIN
        } else {
            SMALL
        }
    }

    pub(super) fn s3fifo_victim(&self) -> Result<Slot, Broken> {
        let (small, main) = self.rooms();
        let mut scans_left = MAX_SCAN.min(8 * (small + main));
        loop {
            let is_small = takes_from_small(self.queue_len(SMALL), self.queue_len(MAIN), small);
            let slot = self.tail(if is_small { SMALL } else { MAIN })?.ok_or(Broken)?;
            let frequency = self.region.get(self.count_at(slot)).min(MOST);
            match goes_on(is_small, frequency as u8) {
                Some(left) if scans_left > 0 => {
                    scans_left -= 1;
                    self.region.set(self.count_at(slot), left.into());
                    self.move_to_head(slot, MAIN)?;
                }
                _ => {
                    if let Some(head) = self.head(self.word(slot).granule()).filter(|_| is_small) {
                        self.note_ghost(head.hash, main);
                    }
                    return Ok(slot);
                }
            }
        }
    }
}
