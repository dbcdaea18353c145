//! Where CPython's inner workings are known: object layouts, owned pointers, the vectorcall slot, coroutines; and functions
//! of this package that Python calls by name.
//!
//! Ring 3. A `cfg` on the version of Python or on the GIL that concerns one of these stands in its file and nowhere else.

pub mod borrowed;
pub mod coroutine;
pub mod detach;
pub mod exceptions;
#[cfg(not(Py_GIL_DISABLED))]
mod gil;
pub mod guarded;
pub mod imported;
pub mod inspect;
pub mod kept;
pub mod layout;
pub mod panics;
pub mod refcount;
pub mod reference;
pub mod sharing;
pub mod type_slots;
pub mod weak;
