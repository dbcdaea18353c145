//! Ring 3: CPython. The extension module of warp_cache.
//!
//! [`key`] hashes and compares arguments, [`codec`] makes bytes of objects, [`function`] is what a decorated function
//! becomes, [`object`] a cache that is used like a dict, [`backend`] what stands behind its own cache, [`capi`] knows the
//! inner workings of CPython, [`bindings`] are functions that Python calls by name.

#[macro_use]
mod function;

mod backend;
mod bindings;
mod capi;
mod codec;
mod key;
mod object;

#[pyo3::pymodule(gil_used = false)]
mod _warp_cache_rs {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::backend::registry::{_backends, Choice};
    #[pymodule_export]
    use crate::bindings::clock::{_clock_advance, _clock_go_on, _clock_now, _clock_stop};
    #[pymodule_export]
    use crate::bindings::codec::{_copy, _decode_value, _encode_key, _encode_value, _explain_key, _is_plain_key};
    #[pymodule_export]
    use crate::bindings::codec::{_show_key, _show_value};
    #[pymodule_export]
    use crate::bindings::inspection::{_leftovers, _readable_name, _remove, _safe_name, _survey, _try_out};
    #[pymodule_export]
    use crate::bindings::inspection::{_unused_coherence, SharedFile};
    #[pymodule_export]
    use crate::bindings::simulate::{_record_read, _replay, _sample};
    #[pymodule_export]
    use crate::bindings::watch::{_is_unchanged, _seen_in_class, _seen_in_dict, _seen_in_function, _seen_in_instance};
    #[pymodule_export]
    use crate::function::bound_method::BoundMethod;
    #[pymodule_export]
    use crate::function::computation::Computation;
    #[pymodule_export]
    use crate::function::disabled::{_disable, _enable, _forget_disabling_threads};
    #[pymodule_export]
    use crate::function::option_table::Options;
    #[pymodule_export]
    use crate::function::per_instance::{InstanceCaches, PerInstanceFunction};
    #[pymodule_export]
    use crate::function::recording::{_record_start, _record_stop};
    #[pymodule_export]
    use crate::function::refreshing::RefreshFlight;
    #[pymodule_export]
    use crate::function::ticket::Ticket;
    #[pymodule_export]
    use crate::function::{AsyncCachedFunction, CachedFunction};
    #[pymodule_export]
    use crate::object::exchange::Seen;
    #[pymodule_export]
    use crate::object::loader::_make_loader;
    #[pymodule_export]
    use crate::object::locks::HeldLock;
    #[pymodule_export]
    use crate::object::CacheObject;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        concurrency::fork::watch();
        concurrency::elapsed::install();
        crate::function::install(module.py())?;
        crate::backend::AnyBackend::export(module)?;
        crate::bindings::watch::install(module)?;
        // Not to be in `__all__`, as it is in some builds only.
        #[cfg(debug_assertions)]
        {
            use crate::function::fence::mutants::_switch_fence_off;
            module.setattr("_panic_at", wrap_pyfunction!(crate::capi::panics::points::_panic_at, module)?)?;
            module.setattr("_switch_fence_off", wrap_pyfunction!(_switch_fence_off, module)?)?;
        }
        module.add("CacheMapping", crate::object::slots::make(module.py())?)?;
        module.add("ReadyCoroutine", crate::capi::coroutine::install(module.py())?)?;
        // Not in `__all__`, which has what it gives.
        use crate::function::methods::late_attribute;
        module.setattr("__getattr__", wrap_pyfunction!(late_attribute, module)?)?;
        module.index()?.append("CacheInfo")?;
        module.index()?.append("SharedCacheInfo")
    }
}
