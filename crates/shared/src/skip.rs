//! Why a result is not stored: the reasons that are counted, in the file's counters and in each process.
//!
//! A store that is given up has one of these, wherever it ended. Their order is the order of the counters in the file, so a
//! change of it is one of the layout.

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Skip {
    /// The arguments have no bytes.
    Argument = 0,
    /// They have too many.
    KeySize,
    /// The value cannot be pickled.
    Value,
    ValueSize,
    /// The entry is larger than the whole file.
    FileSize,
    /// What was stored cannot be decoded.
    Unreadable,
    /// No disk or no addresses; also where a result is stored at the cost of others, as the file cannot grow as it may.
    Space,
    /// The system gives no byte-range locks.
    Locks,
    /// No line is left for this process.
    Processes,
    /// The file was cut short, or its descriptor closed, by somebody else.
    Lost,
    /// Another process kept the writers' lock.
    Busy,
    /// The file was found damaged, and repaired.
    Damaged,
    /// Another value took the place, or the cache was cleared.
    Superseded,
}

impl Skip {
    pub const COUNT: usize = 13;
    pub const ALL: [Skip; Skip::COUNT] = [
        Skip::Argument,
        Skip::KeySize,
        Skip::Value,
        Skip::ValueSize,
        Skip::FileSize,
        Skip::Unreadable,
        Skip::Space,
        Skip::Locks,
        Skip::Processes,
        Skip::Lost,
        Skip::Busy,
        Skip::Damaged,
        Skip::Superseded,
    ];

    /// What it is called in `cache_info().skips`.
    pub const fn name(self) -> &'static std::ffi::CStr {
        match self {
            Skip::Argument => c"argument",
            Skip::KeySize => c"key_size",
            Skip::Value => c"value",
            Skip::ValueSize => c"value_size",
            Skip::FileSize => c"file_size",
            Skip::Unreadable => c"unreadable",
            Skip::Space => c"space",
            Skip::Locks => c"locks",
            Skip::Processes => c"processes",
            Skip::Lost => c"lost",
            Skip::Busy => c"busy",
            Skip::Damaged => c"damaged",
            Skip::Superseded => c"superseded",
        }
    }

    /// Whether it is one of those that `oversize_skips` sums up: what cannot be stored, wherever it is called.
    pub const fn is_of_the_call(self) -> bool {
        (self as u64) <= Skip::FileSize as u64
    }

    /// Whether it passes by itself, so that nobody need be warned.
    pub const fn is_transient(self) -> bool {
        self as u64 >= Skip::Busy as u64
    }
}
