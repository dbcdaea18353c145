//! warp_cache: a thread-safe caching decorator for Python.
//!
//! Three rings; each knows only the ones inside it.
//!
//! | ring | knows | modules |
//! |---|---|---|
//! | 1 | neither Python nor locks | [`entry`] (slab), [`table`] (index), [`strategies`] (eviction order), [`expiry`] (deadlines), [`garbage`] (what is still to be dropped), [`serde`] (the wire format), [`cache`] (all of these together), [`replay`] (what a cache would have done) |
//! | 2 | threads and time | [`sync`] (the GIL or a striped lock), [`inflight`] (one computation for each key), [`clock`], [`thread_id`], [`record`] (a program's calls, to a file) |
//! | 1–2 | files and processes | [`shm`] (the file of the shared tier) |
//! | 3 | CPython | `key` (hashing and comparing arguments), `codec` (objects as bytes), `python` (layouts, the vectorcall slot, coroutines), `store` (`CachedFunction`) |
//!
//! Rings 1 and 2 build and test without an interpreter: `cargo test --no-default-features`.
//!
//! Lock order: a cache's lock ([`sync::Shared`]) is innermost and is never held while Python code runs or a Python object
//! is released; the registry of waits and a flight's own lock ([`inflight`]) are taken one at a time, with no other held.

pub mod cache;
pub mod clock;
pub mod entry;
pub mod expiry;
pub mod fingerprints;
pub mod garbage;
pub mod inflight;
pub mod record;
pub mod replay;
pub mod serde;
#[cfg(all(unix, not(loom)))]
pub mod shm;
#[cfg(not(unix))]
#[path = "shm/absent.rs"]
pub mod shm;
pub mod strategies;
pub mod sync;
pub mod table;
pub mod thread_id;

#[cfg(feature = "python")]
pub mod codec;
#[cfg(feature = "python")]
pub mod key;
#[cfg(feature = "python")]
pub mod python;
#[cfg(feature = "python")]
pub mod store;

#[cfg(feature = "python")]
#[pyo3::pymodule(gil_used = false)]
mod _warp_cache_rs {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::codec::testing::{_copy, _decode_value, _encode_key, _encode_value, _explain_key};
    #[pymodule_export]
    use crate::python::workload::{_record_read, _replay, _sample};
    #[pymodule_export]
    use crate::store::asynchronous::Ticket;
    #[pymodule_export]
    use crate::store::options::Options;
    #[pymodule_export]
    use crate::store::recording::{_record_start, _record_stop};
    #[pymodule_export]
    use crate::store::tier::asynchronous::{SharedLease, SharedTurn};
    #[pymodule_export]
    use crate::store::tier::SharedCachedFunction;
    #[pymodule_export]
    use crate::store::{AsyncCachedFunction, CachedFunction};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::inflight::install_fork_handlers();
        crate::store::install(module.py())?;
        // Not to be in `__all__`, as it is in some builds only.
        #[cfg(debug_assertions)]
        module.setattr("_panic_at", wrap_pyfunction!(crate::python::panics::points::_panic_at, module)?)?;
        module.add("ReadyCoroutine", crate::python::coroutine::install(module.py())?)?;
        let info = module.py().import("warp_cache._info")?;
        for name in ["CacheInfo", "SharedCacheInfo"] {
            module.add(name, info.getattr(name)?)?;
        }
        Ok(())
    }
}
