//! Most recently used: the entry used last gives way.
//!
//! For cyclic scans over more than fits (Chou & DeWitt, VLDB 1985): there LRU never hits, and MRU keeps a part of the
//! cycle. The victim is chosen before the new entry is in, so a new entry never evicts itself.

use crate::linked_list::Listed;

/// The list is in the order of uses, and its latest entry gives way.
pub type Mru = Listed<true, true>;
