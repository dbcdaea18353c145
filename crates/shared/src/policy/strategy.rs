//! Which entry is evicted: the strategies, by the numbers that stand for them in the file.

/// Which entry gives way: see the parent module. LFU breaks ties by least recent use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Strategy {
    Lru = 0,
    Mru = 1,
    Fifo = 2,
    Lfu = 3,
    Sieve = 4,
    S3Fifo = 5,
    TinyLfu = 6,
}

impl Strategy {
    pub const ALL: [Strategy; 7] = [
        Strategy::Lru,
        Strategy::Mru,
        Strategy::Fifo,
        Strategy::Lfu,
        Strategy::Sieve,
        Strategy::S3Fifo,
        Strategy::TinyLfu,
    ];

    pub fn from_number(n: u64) -> Option<Strategy> {
        Strategy::ALL.into_iter().find(|s| *s as u64 == n)
    }

    /// Entries stand in queues, by when they came in; the others are ordered by the stamps of their uses.
    #[inline(always)]
    pub(crate) const fn has_queues(self) -> bool {
        self as u64 >= Strategy::Sieve as u64
    }

    /// How many entries share a line of history about keys that are gone; `None` = none are kept.
    pub(crate) const fn entries_per_history_line(self) -> Option<u64> {
        match self {
            // Eight ghosts in a line, and twice as many places as entries.
            Strategy::S3Fifo => Some(4),
            // 112 counters in a line, so about as many bytes an entry as Caffeine's sketch has.
            Strategy::TinyLfu => Some(8),
            _ => None,
        }
    }
}
