//! What stands behind a function's own cache.

pub mod shared;
