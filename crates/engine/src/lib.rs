//! Ring 1: what a cache is, without threads, without a clock, without Python.
//!
//! [`slab`] holds the entries, [`index`] finds them by hash, a [`policy`] orders them and chooses who leaves,
//! [`expiration`] knows their deadlines, [`weights`] and [`tags`] what else is known of some, [`evicted`] what is still to
//! be dropped; [`cache`] is all of these together. Policies and deadlines are made of [`linked_list`]s, [`upper_hash`]es
//! are for policies that know keys which have left. [`simulate`] tells what a cache would have done with a recorded
//! program; [`wire_format`] is objects as bytes. [`hashing`] has the mixers and generators of all crates, [`varint`] their
//! numbers of any length.
//!
//! # Glossary
//!
//! One word for one thing, in all crates.
//!
//! | term | meaning |
//! |---|---|
//! | entry | a key and its value |
//! | slot | a place of the [`slab`]; it is free or holds an entry |
//! | token | the number of a slot: what index, policy and deadlines know of an entry |
//! | reserve | give an entry a slot and a place in the index while its value is being computed |
//! | publish | make a reserved entry count: it enters the policy and gets its deadline |
//! | detach | take a reserved entry out of the index while its computation still owns the slot |
//! | policy | the order of eviction (LRU, S3-FIFO, …); towards users, a *strategy* |
//! | victim | the entry that the policy evicts next |
//! | admission | the decision whether a new entry or the victim stays |
//! | frequency | how often an entry was used, up to a small maximum |
//! | ghost | the hash of an evicted entry that a policy remembers |
//! | hit effect | what a hit writes: nothing, access bits (shared), or the order (exclusive) |
//! | evict, expire, remove | an entry leaves: by the policy, by its deadline, by a caller |
//! | deadline | the moment from which an entry is absent; a *lifetime* (`ttl`) is the time until then |
//! | fresh, stale, ended | what an entry is until its deadline; in the window after it, if it has one; and then, when it is absent |
//! | idle time | how long an entry may go unused before it ends (`tti`) |
//! | described entry | one of which more is known than key, value and deadline: a window, a weight, tags |
//! | weight | what an entry counts for in a cache that bounds the sum |
//! | tag | a name for a group of entries, which are invalidated together |
//! | cause | why an entry left: by a caller, replaced, by the policy, ended |
//! | lease | the right and the duty to compute a key for all processes |
//! | leader, follower | who computes a missing key, and who waits for it |
//! | generation | the number of clears of a shared file; what is older is absent |
//! | granule | the unit of memory in a shared file, 32 bytes |

pub mod cache;
pub mod evicted;
pub mod expiration;
pub mod hashing;
pub mod index;
pub mod linked_list;
pub mod policy;
pub mod simulate;
pub mod slab;
pub mod tags;
pub mod upper_hash;
pub mod varint;
pub mod weights;
pub mod wire_format;
