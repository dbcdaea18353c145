//! What a backend says of itself, and what is made of the list of all backends.
//!
//! Ring 3. The list is [`backends!`] in [`backend`](super): a line there, and all that asks which backends there are knows the
//! new one: the entry points, the decorators with their checks and messages, `Backend`, pickles, and what describes a cache.

use std::borrow::BorrowMut;

use pyo3::prelude::*;

use super::{AnyBackend, Backend};
use crate::function::call::Vectorcall;
use crate::function::entry_points::EntryPoints;
use crate::function::option_table::Options;
use crate::function::reply::Reply;
use crate::function::CachedFunction;

/// A backend, as the list has it.
pub(crate) trait Registered: Backend + Sized {
    /// How [`AnyBackend`] holds it: as it is where it is small, else in a box.
    type Held: BorrowMut<Self>;

    /// What Python enters of a function with this backend that stores something: `E::storing` of its
    /// [`HitPath`](super::HitPath).
    fn entry<E: EntryPoints, R: Reply>(&self, cached: &CachedFunction) -> Vectorcall;

    /// Adds to the extension module what this backend alone has there.
    fn export(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        Ok(())
    }

    /// Completes a type of its own that is derived from `CachedFunction`, if it has one: see
    /// [`patch`](crate::capi::type_slots::patch). `offset`: where in an instance its vectorcall function is.
    ///
    /// # Safety
    /// Called once, after `CachedFunction` was completed, while no other thread can know the type; `offset` is right.
    unsafe fn complete(_: Python<'_>, _offset: isize) {}
}

/// A backend that users choose by its name, or its number in the list.
pub(crate) trait Choosable: Registered {
    /// What users call it: a word in small letters.
    const NAME: &'static str;

    /// The options that it cannot have. As it stands here: those that need the process's own cache, and a server.
    const REFUSED: &'static [&'static str] = &["max_weight", "weigher", "on_removal", "per_instance", "remote"];

    /// Whether values are bytes there whatever `copy` says.
    const STORES_BYTES: bool = false;

    /// Whether cache objects may have it, whose own part is in [`object`](crate::object).
    const HAS_OBJECTS: bool = false;

    /// That of a function with these options, which may put a server behind it. `name`: what the user calls the cache.
    fn open(function: &Bound<'_, PyAny>, options: &Options, name: Option<&str>) -> PyResult<AnyBackend>;

    /// The object of a function that is no coroutine function: an instance of the backend's own type, if it has one.
    fn instance<'py>(py: Python<'py>, cached: CachedFunction) -> PyResult<Bound<'py, PyAny>> {
        Ok(crate::capi::type_slots::make(py, cached)?.into_any())
    }
}

/// A backend that users can choose.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs", name = "_BackendChoice")]
pub struct Choice {
    #[pyo3(get)]
    name: &'static str,
    #[pyo3(get)]
    number: u8,
    /// The options that it cannot have.
    #[pyo3(get)]
    refused: Vec<&'static str>,
    #[pyo3(get)]
    stores_bytes: bool,
    /// Whether cache objects may have it.
    #[pyo3(get)]
    has_objects: bool,
}

impl Choice {
    pub(super) fn of<B: Choosable>(number: u8) -> Self {
        let refused = B::REFUSED.to_vec();
        Choice { name: B::NAME, number, refused, stores_bytes: B::STORES_BYTES, has_objects: B::HAS_OBJECTS }
    }
}

/// The backends that users can choose, in the order of the list.
#[pyfunction]
pub(crate) fn _backends() -> Vec<Choice> {
    AnyBackend::choices()
}

/// A cached function that is no coroutine function, made from checked options.
pub(super) fn decorated<'py, B: Choosable>(
    function: &Bound<'py, PyAny>,
    options: &Options,
    name: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let cached = CachedFunction::build(function, options, None, B::open(function, options, name)?)?;
    let made = B::instance(function.py(), cached)?;
    crate::capi::refcount::share_refcount_mode(&made, function);
    Ok(made)
}

/// Makes the modules of the backends, and [`AnyBackend`], from their list.
macro_rules! backends {
    ($($(#[$note:meta])* $module:ident::$name:ident $(= $number:literal)?,)*) => {
        $(pub mod $module;)*

        /// The backend of a cache, for all that is not the way of a call.
        pub(crate) enum AnyBackend {
            $($(#[$note])* $name(<$module::$name as Registered>::Held),)*
        }

        impl AnyBackend {
            pub(crate) fn choices() -> Vec<Choice> {
                vec![$($(Choice::of::<$module::$name>($number),)?)*]
            }

            /// The one with this number, for a function with these options. `name`: what the user calls the cache.
            pub(crate) fn open(
                number: u8,
                function: &Bound<'_, PyAny>,
                options: &Options,
                name: Option<&str>,
            ) -> PyResult<Self> {
                match number {
                    $($($number => <$module::$name as Choosable>::open(function, options, name),)?)*
                    _ => Err(unknown(number)),
                }
            }

            /// A cached function that is no coroutine function, with the backend of this number.
            pub(crate) fn decorated<'py>(
                number: u8,
                function: &Bound<'py, PyAny>,
                options: &Options,
                name: Option<&str>,
            ) -> PyResult<Bound<'py, PyAny>> {
                match number {
                    $($($number => registry::decorated::<$module::$name>(function, options, name),)?)*
                    _ => Err(unknown(number)),
                }
            }

            /// The number that the user has chosen: of one without a number, which is the server, that of what is before it.
            pub(crate) fn number(&self) -> u8 {
                match self {
                    $($(AnyBackend::$name(_) => $number,)?)*
                    AnyBackend::Remote(remote) => u8::from(remote.has_file()),
                }
            }

            /// What Python enters of a function that stores something.
            pub(crate) fn entry<E: EntryPoints, R: Reply>(&self, cached: &CachedFunction) -> Vectorcall {
                match self {
                    $(AnyBackend::$name(held) => {
                        Registered::entry::<E, R>(Borrow::<$module::$name>::borrow(held), cached)
                    })*
                }
            }

            pub(crate) fn get_mut(&mut self) -> &mut dyn Backend {
                match self {
                    $(AnyBackend::$name(held) => BorrowMut::<$module::$name>::borrow_mut(held),)*
                }
            }

            /// See [`Registered::export`].
            pub(crate) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
                $(<$module::$name as Registered>::export(module)?;)*
                Ok(())
            }

            /// See [`Registered::complete`].
            ///
            /// # Safety
            /// As said there.
            pub(crate) unsafe fn complete(py: Python<'_>, offset: isize) {
                // SAFETY: the caller's promise.
                unsafe {
                    $(<$module::$name as Registered>::complete(py, offset);)*
                }
            }
        }

        impl Deref for AnyBackend {
            type Target = dyn Backend;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(AnyBackend::$name(held) => Borrow::<$module::$name>::borrow(held),)*
                }
            }
        }
    };
}

/// The error about a number that no backend has.
#[cold]
pub(super) fn unknown(number: u8) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(format!("backend must be the number of a Backend, got {number}"))
}
