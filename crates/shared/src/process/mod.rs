//! Who may write, who lives, who computes; and what time it is for all of them.

pub mod clock;
pub mod futex;
#[cfg(not(loom))]
pub mod held;
pub(crate) mod identity;
pub(crate) mod key_lock;
pub(crate) mod lease;
pub(crate) mod lock;
#[cfg(not(loom))]
pub(crate) mod witness;
