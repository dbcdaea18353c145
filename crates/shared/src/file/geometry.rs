//! Where the areas of one file lie: sizes and offsets, from the parameters alone.
//!
//! Areas are laid out for the fullest cache there can be; what is reserved of them on disk, their users decide. The
//! order of the areas is in `layout`.

use crate::file::layout::{
    AccessMeta, Cell, Link, BUCKET_LOAD, GRANULE, GRANULES_PER_WORD, INDEX_AT, LEVEL0_BUCKETS, LEVEL0_BYTES, LINE,
    MAX_FILE, PAGE,
};
use crate::file::units::{Granule, GranuleIndex, Offset, Slot};
use crate::policy::Strategy;
use core::mem::size_of;

/// Where the areas of one file lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Entries that the tables have room for: `max_size`, or what `max_bytes` could hold at most.
    pub capacity: u64,
    pub max_level: u64,
    pub cells: Offset,
    pub metas: Offset,
    pub links: Offset,
    /// A word for each slot, if entries may end for want of use; else nothing.
    pub idle: Offset,
    /// Cache lines of history, and how many there are at most (a power of two); 0 for a strategy that needs none.
    pub history: Offset,
    pub history_lines: u64,
    /// The last changes of slots' words, and how many of them at most (a power of two).
    pub changes: Offset,
    pub change_words: u64,
    /// The tags' stamps, and how many there are (a power of two).
    pub tags: Offset,
    pub tag_words: u64,
    pub bitmap: Offset,
    /// First byte of the data, a multiple of `GRANULE`.
    pub data: Offset,
    /// Granules of data at most, a multiple of `GRANULES_PER_WORD`.
    pub granules: u64,
    /// Bytes of the whole file at most.
    pub end: u64,
    /// The last of the areas that have something for each slot, and how many bytes.
    last_area: Offset,
    last_size: u64,
}

/// Disk that an entry needs at least: tables and the smallest block, without links and history. Bounds the tables of a
/// cache without `max_size`.
const LEAST_PER_ENTRY: u64 = 164;
/// Lines of history at least: a page.
const LEAST_HISTORY: u64 = PAGE / LINE as u64;
/// Changes that are told at least (a page of them), and at most.
const CHANGES: (u64, u64) = (PAGE / 8, 1 << 16);
/// Stamps of tags: one for so many bytes of the file, or less; at least, and at most.
const TAGS: (u64, u64, u64) = if cfg!(loom) { (1 << 40, 2, 2) } else { (1 << 9, PAGE / 8, 1 << 15) };
/// Below this no cache is worth having.
pub const MIN_MAX_BYTES: u64 = INDEX_AT.bytes() + 12 * PAGE;

const fn round_up(n: u64, unit: u64) -> u64 {
    n.div_ceil(unit) * unit
}

impl Geometry {
    /// `max_size` 0 = bounded by bytes. `None` if `max_bytes` is too small (or too large) to lay anything out.
    pub fn new(max_size: u64, max_bytes: u64, strategy: Strategy) -> Option<Geometry> {
        Geometry::with(max_size, max_bytes, strategy, false)
    }

    /// `new`; `idles`: entries may end for want of use.
    pub fn with(max_size: u64, max_bytes: u64, strategy: Strategy, idles: bool) -> Option<Geometry> {
        if !(MIN_MAX_BYTES..=MAX_FILE).contains(&max_bytes) {
            return None;
        }
        let link = if strategy.has_queues() { size_of::<Link>() as u64 } else { 0 };
        // (The number of lines is rounded up to a power of two.)
        let history = strategy.entries_per_history_line().map_or(0, |entries| 2 * LINE as u64 / entries);
        let idle_word = if idles { 8 } else { 0 };
        let tag_words = (max_bytes / TAGS.0 / 2 + 1).next_power_of_two().clamp(TAGS.1, TAGS.2);
        let least = LEAST_PER_ENTRY + link + history + idle_word;
        let most = (max_bytes - INDEX_AT.bytes() - round_up(tag_words * 8, PAGE) - 9 * PAGE) / least;
        let capacity = if max_size == 0 { most } else { max_size.min(most) }.max(1);
        let buckets = capacity.div_ceil(BUCKET_LOAD).next_power_of_two().max(LEVEL0_BUCKETS);
        let max_level = u64::from((buckets / LEVEL0_BUCKETS).trailing_zeros());
        let cells = Offset::new(round_up(Self::level_at(max_level + 1).bytes(), PAGE));
        let metas = cells + round_up(capacity * size_of::<Cell>() as u64, PAGE);
        let links = metas + round_up(capacity * size_of::<AccessMeta>() as u64, PAGE);
        let idle = links + round_up(capacity * link, PAGE);
        let history = idle + round_up(capacity * idle_word, PAGE);
        let (last_area, last_size) = match (idle_word, link) {
            (0, 0) => (metas, size_of::<AccessMeta>() as u64),
            (0, _) => (links, link),
            _ => (idle, idle_word),
        };
        let history_lines = Self::history_lines_for(capacity, strategy);
        let tags = history + history_lines * LINE as u64;
        let changes = tags + round_up(tag_words * 8, PAGE);
        let change_words = Self::changes_for(capacity);
        let bitmap = changes + change_words * 8;
        let room = max_bytes.checked_sub(bitmap.bytes() + PAGE)?;
        // Data and its share of the bitmap: 64 granules and one word; the bitmap is then rounded up to pages.
        let words = room / (GRANULES_PER_WORD * GRANULE + 8);
        let data = bitmap + round_up(words * 8, PAGE);
        let granules = words * GRANULES_PER_WORD;
        let end = data.bytes() + granules * GRANULE;
        (words > 0 && end <= max_bytes).then_some(Geometry {
            capacity,
            max_level,
            cells,
            metas,
            links,
            idle,
            history,
            history_lines,
            changes,
            change_words,
            tags,
            tag_words,
            bitmap,
            data,
            granules,
            end,
            last_area,
            last_size,
        })
    }

    /// Lines of history for so many entries.
    pub fn history_lines_for(entries: u64, strategy: Strategy) -> u64 {
        let lines = |per_line| entries.div_ceil(per_line).next_power_of_two().max(LEAST_HISTORY);
        strategy.entries_per_history_line().map_or(0, lines)
    }

    /// Changes that are told where there are so many slots: who looks at each of these after so many changes has done a few
    /// for each change.
    pub fn changes_for(slots: u64) -> u64 {
        (slots / 4).next_power_of_two().clamp(CHANGES.0, CHANGES.1)
    }

    /// Offset of an index level. Level `l` has `LEVEL0_BUCKETS << l` lines, so the levels before it fill `2^l - 1`
    /// times level 0.
    pub const fn level_at(level: u64) -> Offset {
        INDEX_AT.plus(LEVEL0_BYTES * ((1 << level) - 1))
    }
    pub const fn buckets(level: u64) -> u64 {
        LEVEL0_BUCKETS << level
    }
    pub const fn cell(&self, slot: Slot) -> Offset {
        self.cells.plus(slot.number() * size_of::<Cell>() as u64)
    }
    pub const fn meta(&self, slot: Slot) -> Offset {
        self.metas.plus(slot.number() * size_of::<AccessMeta>() as u64)
    }
    pub const fn link(&self, slot: Slot) -> Offset {
        self.links.plus(slot.number() * size_of::<Link>() as u64)
    }
    pub const fn idle_word(&self, slot: Slot) -> Offset {
        self.idle.plus(slot.number() * 8)
    }
    /// Whether each slot has a link; a word for its last use.
    pub const fn has_links(&self) -> bool {
        self.idle.bytes() > self.links.bytes()
    }
    pub const fn has_idle(&self) -> bool {
        self.history.bytes() > self.idle.bytes()
    }
    pub const fn tag(&self, i: u64) -> Offset {
        self.tags.plus(i * 8)
    }
    pub const fn history_line(&self, i: u64) -> Offset {
        self.history.plus(i * LINE as u64)
    }
    /// The end of what `slots` slots need.
    pub const fn slots_end(&self, slots: u64) -> Offset {
        self.last_area.plus(slots * self.last_size)
    }
    /// The granule of the file that is this one of the data.
    pub const fn granule(&self, index: GranuleIndex) -> Granule {
        Granule::new(self.data.bytes() / GRANULE + index.number())
    }
    /// The granule of the data that is this one of the file; `None` if it lies before the data.
    pub fn index_of(&self, granule: Granule) -> Option<GranuleIndex> {
        granule.number().checked_sub(self.data.bytes() / GRANULE).map(GranuleIndex::new)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::file::layout::BUCKET_CELLS;

    #[test]
    fn areas_never_overlap_and_stay_within_max_bytes() {
        let sizes = [0, 1, 5, 128, 1024, 1025, 100_000, 1_000_000, u64::MAX];
        let bytes = [MIN_MAX_BYTES, 256 << 10, 1 << 20, 16 << 20, (1 << 30) + 4711, MAX_FILE];
        let all = sizes.into_iter().flat_map(|size| bytes.map(|bytes| (size, bytes)));
        for ((max_size, max_bytes), strategy) in all.flat_map(|of| Strategy::ALL.map(|strategy| (of, strategy))) {
            let idles = max_size % 2 == 1;
            let g = Geometry::with(max_size, max_bytes, strategy, idles).unwrap();
            let end = Slot::new(g.capacity);
            assert!(Geometry::level_at(g.max_level) + Geometry::buckets(g.max_level) * 64 <= g.cells);
            assert!(g.cell(end) <= g.metas && g.meta(end) <= g.links && g.has_idle() == idles);
            assert!(!strategy.has_queues() || g.link(end) <= g.idle);
            assert!(g.slots_end(g.capacity) <= g.history && g.history_line(g.history_lines) <= g.tags);
            assert!(g.tag(g.tag_words) <= g.changes && g.changes + 8 * g.change_words <= g.bitmap);
            assert!([g.bitmap, g.changes, g.tags].iter().all(|at| at.bytes().is_multiple_of(PAGE)));
            assert!(!strategy.has_queues() || idles || g.link(end) == g.slots_end(g.capacity));
            assert!(g.bitmap + g.granules / 8 <= g.data && g.data.bytes().is_multiple_of(GRANULE));
            assert!(g.end <= max_bytes && g.granules >= 64, "{max_size} {max_bytes} {g:?}");
            assert!(Geometry::buckets(g.max_level) * BUCKET_CELLS > g.capacity);
            if max_size == 0 {
                assert!(g.granules >= 2 * g.capacity, "each entry finds its smallest block: {g:?}");
            }
        }
        assert_eq!(Geometry::new(1, MIN_MAX_BYTES - 1, Strategy::Lru), None);
        assert_eq!(Geometry::new(1, MAX_FILE + 1, Strategy::Lru), None);
    }
}
