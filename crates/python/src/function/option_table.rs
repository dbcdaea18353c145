//! The options of a cache, each written once: its name, its kind, and what it is where it is left out.
//!
//! Ring 3. From the table below come the fields of [`Options`], its constructor, the arguments that make the same options
//! ([`Options::arguments`]), and of the classes the parameters and the text of the signature. What an option may be is in
//! [`option_checks`](super::option_checks).

use std::time::Duration;

use engine::policy::Kind;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::control_checks::{CopyMode, Exceptions, Fraction, Function, Names, Tags, Ttl, Weight, Window};
use super::option_checks::{Bytes, CacheName, Flag, Lifetime, OptionKind, Seconds, Size, Strategy};
use super::parameters::{Given, Parameters};
use crate::backend::Server;

/// What a row of the table becomes.
///
/// The groups are those of the parameters of `CachedFunction` (`required`, `positional`, and `named`, where the text is what
/// the signature says), of what `SharedCachedFunction` takes beside them, and of what only the decorator `cache` takes
/// (`control`), whose default is that of the kind's value. Behind `=` stands what the option is where it is left
/// out; what must be given has that value in [`Options::plain`] alone, and what concerns the shared backend is None outside of
/// its class.
macro_rules! table {
    (
        required { $($(#[$r_doc:meta])* $r:ident: $r_kind:ident = $r_value:expr;)* }
        positional { $($(#[$p_doc:meta])* $p:ident: $p_kind:ident = None => $p_value:expr;)* }
        named { $($(#[$n_doc:meta])* $n:ident: $n_kind:ident = $n_text:literal => $n_value:expr;)* }
        shared_positional { $($(#[$s_doc:meta])* $s:ident: $s_kind:ident = $s_value:literal;)* }
        shared_named { $($(#[$t_doc:meta])* $t:ident: $t_kind:ident = None;)* }
        control { $($(#[$c_doc:meta])* $c:ident: $c_kind:ident;)* }
    ) => {
        /// The checked options of a cache.
        #[pyclass(frozen, skip_from_py_object, module = "warp_cache._warp_cache_rs")]
        #[derive(Clone, Debug)]
        pub struct Options {
            $($(#[$r_doc])* pub $r: <$r_kind as OptionKind>::Value,)*
            $($(#[$p_doc])* pub $p: <$p_kind as OptionKind>::Value,)*
            $($(#[$n_doc])* pub $n: <$n_kind as OptionKind>::Value,)*
            $($(#[$s_doc])* pub $s: <$s_kind as OptionKind>::Value,)*
            $($(#[$t_doc])* pub $t: <$t_kind as OptionKind>::Value,)*
            $($(#[$c_doc])* pub $c: <$c_kind as OptionKind>::Value,)*
        }

        #[pymethods]
        impl Options {
            #[new]
            #[pyo3(signature = ($($r,)* $($p,)* $($n,)* $($s=None,)* $($t=None,)* $($c=None,)*))]
            #[allow(clippy::too_many_arguments)]
            fn new(
                $($r: &Bound<'_, PyAny>,)*
                $($p: &Bound<'_, PyAny>,)*
                $($n: &Bound<'_, PyAny>,)*
                $($s: Option<&Bound<'_, PyAny>>,)*
                $($t: Option<&Bound<'_, PyAny>>,)*
                $($c: Option<&Bound<'_, PyAny>>,)*
            ) -> PyResult<Self> {
                Ok(Options {
                    $($r: $r_kind::check(stringify!($r), $r)?,)*
                    $($p: $p_kind::check(stringify!($p), $p)?,)*
                    $($n: $n_kind::check(stringify!($n), $n)?,)*
                    $($s: $s.map_or(Ok(None), |value| $s_kind::check(stringify!($s), value))?,)*
                    $($t: $t.map_or(Ok(None), |value| $t_kind::check(stringify!($t), value))?,)*
                    $($c: $c.map_or(Ok(Default::default()), |value| $c_kind::check(stringify!($c), value))?,)*
                })
            }

            fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
                self.traverse(&visit)
            }
        }

        impl Options {
            /// What the first instance is made with, on which the layout is measured.
            pub fn plain() -> Self {
                Options {
                    $($r: $r_value,)*
                    $($p: $p_value,)*
                    $($n: $n_value,)*
                    $($s: None,)*
                    $($t: None,)*
                    $($c: Default::default(),)*
                }
            }

            /// Shows the garbage collector the objects that options are.
            pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
                $($p_kind::traverse(&self.$p, visit)?;)*
                $($c_kind::traverse(&self.$c, visit)?;)*
                Ok(())
            }

            /// The arguments that make the same options.
            pub fn arguments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let arguments = PyDict::new(py);
                $(arguments.set_item(stringify!($r), $r_kind::given_back(&self.$r, py)?)?;)*
                $(arguments.set_item(stringify!($p), $p_kind::given_back(&self.$p, py)?)?;)*
                $(arguments.set_item(stringify!($n), $n_kind::given_back(&self.$n, py)?)?;)*
                $(arguments.set_item(stringify!($s), $s_kind::given_back(&self.$s, py)?)?;)*
                $(arguments.set_item(stringify!($t), $t_kind::given_back(&self.$t, py)?)?;)*
                $(arguments.set_item(stringify!($c), $c_kind::given_back(&self.$c, py)?)?;)*
                Ok(arguments)
            }

            /// What both classes take, checked.
            fn of_memory(given: &Given<'_>) -> PyResult<Self> {
                Ok(Options {
                    $($r: given.required(stringify!($r), $r_kind::check)?,)*
                    $($p: given.or(stringify!($p), $p_kind::check, $p_value)?,)*
                    $($n: given.named::<$n_kind>(stringify!($n), $n_value)?,)*
                    $($s: None,)*
                    $($t: None,)*
                    $($c: Default::default(),)*
                })
            }

            /// What `SharedCachedFunction` takes, checked.
            fn of_shared(given: &Given<'_>) -> PyResult<Self> {
                Ok(Options {
                    $($s: given.or(stringify!($s), $s_kind::check, Some($s_value))?,)*
                    $($t: given.or(stringify!($t), $t_kind::check, None)?,)*
                    ..Self::of_memory(given)?
                })
            }
        }

        const MEMORY: Parameters = Parameters {
            callee: "CachedFunction.__new__",
            required: &["fn", $(stringify!($r),)*],
            positional: &[$(stringify!($p),)*],
            named: &[$(stringify!($n),)*],
        };

        const SHARED: Parameters = Parameters {
            callee: "SharedCachedFunction.__new__",
            required: MEMORY.required,
            positional: &[$(stringify!($p),)* $(stringify!($s),)* NAME],
            named: &[$(stringify!($n),)* $(stringify!($t),)*],
        };

        /// The line before the documentation of `CachedFunction` that Python takes its signature from.
        macro_rules! memory_signature {
            () => {
                concat!(
                    "CachedFunction(fn", $(", ", stringify!($r),)* $(", ", stringify!($p), "=None",)*
                    ", *", $(", ", stringify!($n), "=", $n_text,)* ")\n--\n"
                )
            };
        }

        /// The same of `SharedCachedFunction`.
        macro_rules! shared_signature {
            () => {
                concat!(
                    "SharedCachedFunction(fn", $(", ", stringify!($r),)* $(", ", stringify!($p), "=None",)*
                    $(", ", stringify!($s), "=", $s_value,)* ", shm_name=None, *",
                    $(", ", stringify!($n), "=", $n_text,)* $(", ", stringify!($t), "=None",)* ")\n--\n"
                )
            };
        }
    };
}

/// The parameter of `SharedCachedFunction` that is no option but a place.
const NAME: &str = "shm_name";

table! {
    required {
        strategy: Strategy = Kind::Lru;
        /// `None` is unbounded.
        max_size: Size = Some(1);
    }
    positional {
        /// How long an entry is fresh.
        ttl: Ttl = None => Ttl::default();
    }
    named {
        /// Whether arguments of different types are different keys.
        typed: Flag = "False" => false;
        /// Whether concurrent callers of a missing key share one computation.
        single_flight: Flag = "True" => true;
        /// How long to wait for another's computation; `None` is no limit.
        wait_timeout: Seconds = "10.0" => Some(Duration::from_secs(10));
        /// Whether all spellings of a call are one key.
        by_signature: Flag = "True" => true;
    }
    shared_positional {
        /// Bytes at most of a key as it is stored; `None` is no limit.
        max_key_size: Bytes = 512;
        /// The same of a value.
        max_value_size: Bytes = 4096;
    }
    shared_named {
        /// Bytes at most of the whole file.
        max_bytes: Bytes = None;
    }
    control {
        /// What gives the key of a call in place of its arguments.
        key: Function;
        /// Names of parameters that are no part of the key.
        ignore: Names;
        /// Nanoseconds after the last use at which an entry is gone; 0 is no limit.
        tti: Lifetime;
        /// The fraction of its lifetime by which an entry's is shortened at most.
        jitter: Fraction;
        /// Nanoseconds after its lifetime in which an old value is served while it is computed anew.
        stale_while_revalidate: Window;
        /// Nanoseconds after its lifetime in which an old value is served where computing fails.
        stale_if_error: Window;
        /// Whether a result is to be stored.
        cache_if: Function;
        /// The exceptions that are stored like results.
        cache_exceptions: Exceptions;
        /// The groups of an entry.
        tags: Tags;
        /// Whether each instance has a cache of its own.
        per_instance: Flag;
        /// The sum of all weights at most.
        max_weight: Weight;
        /// What gives the weight of a value.
        weigher: Function;
        /// Who is told of each value that leaves.
        on_removal: Function;
        /// What of a stored value is handed out.
        copy: CopyMode;
        /// A part of the identity of a shared cache.
        version: CacheName;
        /// The same for a whole program.
        namespace: CacheName;
        /// The server behind the cache.
        remote: Server;
    }
}

impl Options {
    /// The function and the options in a call of `CachedFunction`.
    pub fn of_call<'py>(
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Bound<'py, PyAny>, Self)> {
        let given = MEMORY.bind(arguments, keywords)?;
        let function = given.required("fn", super::admit)?;
        Ok((function, Self::of_memory(&given)?))
    }

    /// The function, the options and what the user calls the cache in a call of `SharedCachedFunction`.
    pub fn of_shared_call<'py>(
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Bound<'py, PyAny>, Self, Option<String>)> {
        let given = SHARED.bind(arguments, keywords)?;
        let function = given.required("fn", super::admit)?;
        Ok((function, Self::of_shared(&given)?, given.or(NAME, CacheName::check, None)?))
    }

    /// Whether keys are functools' also where it tells lone arguments apart: see [`CachedFunction`](super::CachedFunction).
    pub fn keeps_lone_apart(&self) -> bool {
        !self.by_signature && !self.typed
    }
}
