//! The lock of a file that one process has, where there is one process.

pub struct Held;
