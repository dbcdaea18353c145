//! First in, first out: the oldest entry gives way, however often it was used.
//!
//! A hit writes nothing.

use crate::linked_list::Listed;

/// The list is in the order of coming, and its earliest entry gives way.
pub type Fifo = Listed<false, false>;
