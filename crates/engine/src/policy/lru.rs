//! Least recently used: the entry whose last use is longest ago gives way.
//!
//! The default, and right wherever what was used lately will be used again. A hit moves its entry to the front.

use crate::linked_list::Listed;

/// The list is in the order of uses, and its earliest entry gives way.
pub type Lru = Listed<true, false>;
