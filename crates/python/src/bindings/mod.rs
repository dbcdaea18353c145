//! Functions of this package that Python calls by name.

pub mod codec;
pub mod simulate;
pub mod watch;
