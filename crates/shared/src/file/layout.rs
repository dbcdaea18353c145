//! What lies where in a cache file: the areas, the structs in them, and their sizes proved at compile time.
//!
//! ```text
//! header page | candidates | lease states | leases | process slots | fences | index levels | cells | metas | links
//!   | idle | history | tags | changes | bitmap | data
//! ```
//!
//! Links are there only where the strategy keeps its entries in queues, history only where it remembers keys that are gone
//! (see `policy`), idle only where entries may end for want of use (see `table::idle`). The tags' area is reserved when
//! the first tag is named.
//!
//! The structs describe; they are never laid over the mapping. Code takes a field's offset from them (`offset_of!`) and
//! goes through `file::mapping`, word by word, since every word may change under a reader's hands. All fields are therefore
//! `u64`.
//!
//! Offsets depend on `(capacity, max_bytes, strategy)` alone, so each process computes them for itself and trusts no
//! offset from the file. Areas are laid out for the fullest cache, but only what is in use is reserved on disk: an area
//! grows from its start, and the control words say how far (`slots_ready`, `data_ready`, `index_level`, `history_lines`).

pub use crate::file::geometry::{Geometry, MIN_MAX_BYTES};

use crate::file::units::Offset;
use crate::load_counter::LoadCounter;
use crate::skip::Skip;
use core::mem::{align_of, offset_of, size_of};

/// `"warpcach"`, so that a hex dump says what it is.
pub const MAGIC: u64 = u64::from_le_bytes(*b"warpcach");
/// Raised with every change of the layout or of the meaning of a field. Another version lives in another file.
pub const VERSION: u64 = 8;

/// The unit of reservation for small areas. Larger hardware pages merely reserve a little more.
pub const PAGE: u64 = 4096;
/// The unit in which entry bytes are placed.
pub const GRANULE: u64 = 32;
/// Granules in one word of the bitmap.
pub const GRANULES_PER_WORD: u64 = 64;
/// Offsets in a slot's word are granule numbers of this many bits: files up to 64 GiB.
pub const OFFSET_BITS: u32 = 31;
pub const MAX_FILE: u64 = GRANULE << OFFSET_BITS;

pub const PROCS: u64 = 256;
/// Counter lines of one process: its threads spread over them.
pub const STRIPES: u64 = 3;
/// (Models are small: every word of theirs costs time.)
pub const LEASES: u64 = if cfg!(loom) { 2 } else { 512 };
/// A key's lease is one of so many records, whose states fill a line.
pub const LEASE_WAYS: u64 = if cfg!(loom) { 1 } else { 8 };
/// As many keys may be given leases at once.
pub const LEASE_HOMES: u64 = LEASES / LEASE_WAYS;
pub const CANDIDATES: u64 = 256;
/// Index cells in a bucket (one cache line: an overflow count and seven cells).
pub const BUCKET_CELLS: u64 = 7;
/// Stamps of fences: a key's is one of them, which its hash names.
pub const FENCES: u64 = if cfg!(loom) { 2 } else { 2048 };
/// Buckets of index level 0; each level has twice as many as the one before.
pub const LEVEL0_BUCKETS: u64 = if cfg!(loom) { 1 } else { 64 };
pub(crate) const LEVEL0_BYTES: u64 = LEVEL0_BUCKETS * 64;
/// Entries per bucket at which the next level is built.
pub const BUCKET_LOAD: u64 = 5;

/// Written once, before the file gets its name, and never changed afterwards; once more at `HEADER_COPY_AT`. `checksum`
/// covers all the words before it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub magic: u64,
    pub version: u64,
    /// All parameters of the cache, ours and the caller's, in one hash.
    pub fingerprint: u64,
    pub boot: [u64; 2],
    /// CLOCK_BOOTTIME at creation: a second witness of a reboot, where the boot id cannot be read.
    pub created: u64,
    pub seed: [u64; 2],
    /// 0 = bounded by bytes only.
    pub max_size: u64,
    pub max_bytes: u64,
    pub strategy: u64,
    /// 1 = uses are stamped with the processor's time stamp counter, 0 = with `Control::tick`.
    pub tick_mode: u64,
    /// An entry that has not been used for so long (nanoseconds) is gone; 0 = it is not.
    pub idle: u64,
    pub checksum: u64,
}
pub const HEADER_WORDS: usize = size_of::<Header>() / 8;

/// The mutable words of the header, one cache line per kind of traffic.
#[repr(C)]
pub struct Control {
    // Read by everybody at each lookup, written seldom.
    pub generation: u64,
    pub index_level: u64,
    pub slots_ready: u64,
    pub data_ready: u64,
    pub tick_offset: u64,
    /// Another one after each invalidation of tags: see `tags`.
    pub tag_epoch: u64,
    /// TinyLFU: how often all frequencies have been halved.
    pub epoch: u64,
    /// Not 0: another file has this one's name by now, perhaps. Whoever reads it looks (see `file::astray`).
    pub moved: u64,
    // The writers' lock, and what every store under it touches: one line travels instead of three.
    pub lock: u64,
    pub _spare: u64,
    pub count: u64,
    pub publish_seq: u64,
    pub cand_head: u64,
    pub cand_len: u64,
    pub last_tick: u64,
    pub evictions: u64,
    // Under the lock.
    pub free_head: u64,
    pub slot_high: u64,
    pub alloc_cursor: u64,
    pub used_granules: u64,
    pub swept_generation: u64,
    pub min_deadline: u64,
    pub sweep_min: u64,
    pub sweep_cursor: u64,
    // Under the lock, too.
    pub cand_bound: [u64; 2],
    pub expirations: u64,
    pub repairs: u64,
    /// How far the audit's round is: see `audit`; and what it has added up.
    pub audit: u64,
    pub audit_sums: [u64; 3],
    // What the counters stood at when they were last zeroed.
    pub base: [u64; 2],
    pub base_generation: u64,
    /// Under the lock: so many buckets of the index had to be passed to find all entries their places, in sum: what all
    /// counts of overflow add up to.
    pub passed: u64,
    /// Not under the lock: so many lines of processes were ever in use.
    pub procs_high: u64,
    pub _pad2: [u64; 3],
    // Every use in tick mode 0 writes this line.
    pub tick: u64,
    pub _pad3: [u64; 7],
    // Under the lock: the queues (see `policy::queues`), and what goes with them.
    pub queues: [QueueEnds; QUEUES as usize],
    /// Grows with each entrance into a queue.
    pub queue_seq: u64,
    /// SIEVE's hand: `number of the entry's entrance << 32 | slot that it points to, plus 1`; 0 = the tail.
    pub hand: u64,
    /// Lines of history that are reserved and in use: a power of two, or 0.
    pub history_lines: u64,
    /// S3-FIFO: how many keys became ghosts.
    pub ghost_seq: u64,
    /// S3-FIFO: so many of them are known.
    pub ghost_room: u64,
    pub _pad4: [u64; 2],
    // Under the lock: TinyLFU's window and the sample that it is adapted by (see `policy::hill_climber`).
    pub sample_hits: u64,
    pub sample_accesses: u64,
    pub sample_look: u64,
    /// The last three are `f64`s.
    pub hit_ratio: u64,
    pub climb: u64,
    pub window_moved: u64,
    pub _pad5: [u64; 2],
    // Under the lock, read at each lookup: the last changes (see `changes`).
    /// Grows with each change of a slot's word, after it.
    pub change_seq: u64,
    /// So many of them are told: a power of two.
    pub change_len: u64,
    /// Not under the lock: 1 = the area of the tags' stamps is reserved.
    pub tags_ready: u64,
    /// Not under the lock: 1 = there may be entries that are not for all who walk over them (of a cache object's functions).
    pub apart: u64,
    pub _pad6: [u64; 4],
    // What the rare counters stood at when they were last zeroed.
    pub base_rare: [u64; 24],
}

/// A doubly linked queue of slots. Ends are slots plus 1; 0 = none.
#[repr(C)]
pub struct QueueEnds {
    pub head: u64,
    pub tail: u64,
    pub len: u64,
}
pub const QUEUES: u64 = 3;

/// One candidate for eviction, as the last scan saw it.
#[repr(C)]
pub struct Candidate {
    pub slot: u64,
    pub word: u64,
    pub key: [u64; 2],
}

/// A computation in flight. Its state (see `lease`: who computes, in which acquisition; or 0) lies apart: so all the
/// places of a key are looked through in one line.
#[repr(C)]
pub struct Lease {
    pub hash: u64,
    /// Grows with each acquisition.
    pub nonce: u64,
    /// Grows with each change of the state. The futex lies on its low half.
    pub changes: u64,
    pub deadline: u64,
    /// The cache's generation, the key's fence and its tags, as they were when it was given out: see `fences`, `tags`.
    pub began: u64,
    pub waiters: u64,
    /// In the record of a home's first place: the home's lock. It lies with what is written under it.
    pub lock: u64,
    /// Binds the state to the words here that go with it: what does not fit is damage.
    pub seal: u64,
}

/// One line of counters.
#[repr(C)]
pub struct Counters {
    pub values: [u64; 2],
    /// What is counted seldom: those of all lines are one row. The reasons why something was not stored come first, then what
    /// is counted of computations.
    pub rare: [u64; 6],
}
/// Rare counters of a process.
pub const RARE: usize = Skip::COUNT + LoadCounter::COUNT;

/// A process: who it is, and what it has counted. Counters outlive their process: the next owner goes on counting.
#[repr(C)]
pub struct Proc {
    /// `generation << 32 | pid`; another generation with each claim; pid 0 = given back.
    pub ident: u64,
    /// What tells this user of the pid from another one: see `witness`.
    pub start_time: u64,
    pub pid_namespace: u64,
    pub program: u64,
    /// 1 = the locks may fall without a death, so the pid counts as well: see `life`.
    pub witness: u64,
    /// The word with which it is in the writers' lock, or at its door; 0 = it is not.
    pub in_writers: u64,
    /// The same of the homes of leases, a bit each.
    pub in_homes: u64,
    pub _pad: u64,
    pub counters: [Counters; STRIPES as usize],
}

/// The truth about one entry: `word` (see `slots`), read at each hit. `deadline` repeats the block's for scans; in a free
/// slot it is the next free one, plus 1. Only writers write here.
#[repr(C)]
pub struct Cell {
    pub word: u64,
    pub deadline: u64,
}

/// What each hit writes, without a lock, and perhaps late: when the slot has been given to another entry, or to none. So
/// nothing may depend on it. It lies apart from `Cell`, whose lines thus stay in every reader's cache.
#[repr(C)]
pub struct AccessMeta {
    /// The tick of the last use (FIFO: of the insertion).
    pub used: u64,
    /// Uses, as the strategy counts them: LFU all of them, SIEVE whether there were any, S3-FIFO up to three, TinyLFU up
    /// to fifteen with their epoch.
    pub count: u64,
}

/// A slot's place in its queue. Only writers touch it, so hits do not share lines with those who relink.
#[repr(C)]
pub struct Link {
    /// `slot before it, plus 1, << 32 | slot after it, plus 1`: derived.
    pub neighbours: u64,
    /// `number of the entrance << 2 | queue`: written before publication, and what the queues are rebuilt from.
    pub entered: u64,
}

/// The start of an entry's bytes; what few entries have of a head (see `table::head`), key and value follow without a gap.
#[repr(C)]
pub struct BlockHead {
    pub checksum: u64,
    pub hash: u64,
    pub deadline: u64,
    /// `value length << 32 | flags << 26 | key length`.
    pub lengths: u64,
}
pub const BLOCK_HEAD: u64 = size_of::<BlockHead>() as u64;

pub const LINE: usize = 64;
const _: () = {
    assert!(size_of::<Header>() == 14 * 8 && align_of::<Header>() == 8);
    assert!(size_of::<Control>() == 13 * LINE && align_of::<Control>() == 8);
    assert!(offset_of!(Control, lock) == LINE && offset_of!(Control, free_head) == 2 * LINE);
    assert!(offset_of!(Control, cand_bound) == 3 * LINE && offset_of!(Control, base) == 4 * LINE);
    assert!(offset_of!(Control, tick) == 5 * LINE && offset_of!(Control, queues) == 6 * LINE);
    assert!(offset_of!(Control, sample_hits) == 8 * LINE && QUEUES < 4);
    assert!(offset_of!(Control, change_seq) == 9 * LINE && offset_of!(Control, base_rare) == 10 * LINE);
    assert!(RARE <= 24 && RARE <= STRIPES as usize * 6);
    assert!(size_of::<Candidate>() == 32 && size_of::<Lease>() == LINE && size_of::<Counters>() == LINE);
    assert!(size_of::<Proc>() == 4 * LINE && offset_of!(Proc, counters) == LINE);
    assert!(size_of::<Cell>() == 16 && size_of::<AccessMeta>() == 16 && size_of::<Link>() == 16);
    assert!(size_of::<BlockHead>() == GRANULE as usize);
    assert!(CONTROL_AT.bytes() as usize + size_of::<Control>() <= CANDIDATES_AT.bytes() as usize);
    assert!(candidate_at(CANDIDATES).bytes() == LEASE_STATES_AT.bytes());
    assert!(lease_state_at(LEASES).bytes() <= LEASES_AT.bytes());
    assert!(size_of::<Header>() <= HEADER_COPY_AT.bytes() as usize);
    assert!(HEADER_COPY_AT.bytes() as usize + size_of::<Header>() <= CONTROL_AT.bytes() as usize);
    assert!(PROCS.is_power_of_two() && LEASES.is_power_of_two() && LEVEL0_BUCKETS.is_power_of_two());
    assert!(cfg!(loom) || LEVEL0_BYTES == PAGE);
    assert!(
        FENCES.is_power_of_two()
            && (cfg!(loom) || (FENCES_AT.bytes().is_multiple_of(PAGE) && INDEX_AT.bytes().is_multiple_of(PAGE)))
    );
};

pub const HEADER_AT: Offset = Offset::START;
pub const HEADER_COPY_AT: Offset = Offset::new(256);
pub const CONTROL_AT: Offset = Offset::new(512);
pub const CANDIDATES_AT: Offset = Offset::new(PAGE);
pub const LEASE_STATES_AT: Offset = Offset::new(3 * PAGE);
pub const LEASES_AT: Offset = Offset::new(4 * PAGE);
pub const PROCS_AT: Offset = LEASES_AT.plus(LEASES * size_of::<Lease>() as u64);
pub const FENCES_AT: Offset = PROCS_AT.plus(PROCS * size_of::<Proc>() as u64);
pub const INDEX_AT: Offset = FENCES_AT.plus(FENCES * 8);

/// The file offset of a field of `Control`.
macro_rules! ctl {
    ($($field:tt)+) => {
        $crate::file::layout::CONTROL_AT
            .plus(::core::mem::offset_of!($crate::file::layout::Control, $($field)+) as u64)
    };
}
pub(crate) use ctl;

pub const fn proc_at(slot: u64) -> Offset {
    PROCS_AT.plus(slot * size_of::<Proc>() as u64)
}
pub const fn lease_state_at(i: u64) -> Offset {
    LEASE_STATES_AT.plus(i * 8)
}
pub const fn lease_at(i: u64) -> Offset {
    LEASES_AT.plus(i * size_of::<Lease>() as u64)
}
pub const fn candidate_at(i: u64) -> Offset {
    CANDIDATES_AT.plus(i * size_of::<Candidate>() as u64)
}
