//! Functions of this package that Python calls by name.

pub mod clock;
pub mod codec;
pub mod inspection;
pub mod simulate;
pub mod watch;
