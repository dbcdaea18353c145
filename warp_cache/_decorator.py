"""The two decorators: ``cache``, which is what people want, and ``lru_cache``, functools' contract.

Both turn their arguments into checked options once, at decoration, and leave the rest to the
extension module. What type checkers are told about them is in ``__init__.pyi``.
"""

from __future__ import annotations

from functools import partial, update_wrapper

from warp_cache._strategies import Backend, Strategy
from warp_cache._warp_cache_rs import (
    AsyncCachedFunction,
    CachedFunction,
    Options,
    SharedCachedFunction,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from typing_extensions import TypeIs

    _Function: TypeAlias = Callable[..., Any]
    _Decorator: TypeAlias = Callable[[_Function], CachedFunction[..., Any]]

__all__ = ["AsyncCachedFunction", "CachedFunction", "SharedCachedFunction", "cache", "lru_cache"]

# inspect.CO_COROUTINE. Importing inspect takes longer than importing this package.
_CO_COROUTINE = 0x80
# What inspect.iscoroutinefunction looks at in an object that behaves like a function.
_FUNCTION_ATTRIBUTES = (
    "__name__",
    "__code__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
)


class _Default(int):
    """A size that was not given: signatures show it as the number it stands for."""


_ABSENT: Any = _Default(128)


def cache(
    strategy: Strategy | int | _Function = Strategy.LRU,
    max_size: int | None = _ABSENT,
    ttl: float | None = None,
    backend: Backend | str | int = "memory",
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool = True,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    maxsize: int | None = _ABSENT,
    max_bytes: int | None = None,
) -> CachedFunction[..., Any] | _Decorator:
    """Cache the results of a function.

    One entry however a call is spelled, one computation however many ask. Use it bare (``@cache``)
    or with options (``@cache(max_size=1000, ttl=60)``), on functions, methods and coroutine
    functions.

    Parameters:
        strategy: which entry gives way in a full cache, a ``Strategy``.
        max_size: entries at most; None for no bound, 0 (or less) to store nothing. ``maxsize``
            means the same.
        ttl: seconds that an entry lives, from the moment the result is there; None for no limit.
        backend: "memory" (this process) or "shared" (all processes of the host), or a ``Backend``.
        max_key_size, max_value_size: bytes at most of a key and a value in the shared backend; None
            for no limit. What is larger is computed, returned and not stored. Without effect in
            memory.
        typed: whether arguments of different types are different keys (``1`` and ``1.0``).
        single_flight: whether concurrent callers of a missing key wait for one computation. An
            exception reaches each of them as its own object. A wait that would never end is
            refused: that caller computes for itself.
        name: a name for the shared cache; None to derive one from the function.
        wait_timeout: seconds that a caller waits for another's computation before it takes over
            (one at a time), so that no deadlock can come of waiting; None for no limit.
        max_bytes: bytes at most of the shared cache's whole file; None for a quarter of what is
            free where it lives, at most 1 GiB. Without effect in memory.

    Returns a decorator, or the decorated function in the bare form. It has ``cache_info()``,
    ``cache_clear()``, ``cache_parameters()``, ``get(*args, **kwargs)``,
    ``set(value, /, *args, **kwargs)`` and ``__wrapped__``. A hit and a miss cost O(1) expected.

    Raises:
        TypeError, ValueError: a wrong argument; the message names it.
        PermissionError, OSError: the shared cache's file is not this user's alone, or cannot be
            made.
    """
    function = None
    if _is_function(strategy):
        function = strategy
        strategy = Strategy.LRU
    shared = _is_shared(backend, name)
    make = partial(
        Options,
        strategy=strategy,
        max_size=_size(max_size, maxsize),
        ttl=ttl,
        typed=typed,
        wait_timeout=wait_timeout,
        by_signature=True,
        max_key_size=max_key_size,
        max_value_size=max_value_size,
        max_bytes=max_bytes,
    )
    decorate = _decorator(make, single_flight, shared, name)
    return decorate if function is None else decorate(function)


def _lru_cache(
    max_size: int | _Function | None = _ABSENT,
    ttl: float | None = None,
    backend: Backend | str | int = "memory",
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool | None = None,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    maxsize: int | None = _ABSENT,
    max_bytes: int | None = None,
) -> CachedFunction[..., Any] | _Decorator:
    """``functools.lru_cache``, faster, with ``ttl``, ``backend`` and coroutines.

    The contract is functools' to the letter: ``f(1)`` and ``f(x=1)`` are two entries, the order of
    keywords counts, and concurrent callers of one missing key each compute unless
    ``single_flight=True``. functools' own spelling works: ``@lru_cache``,
    ``@lru_cache(maxsize=None, typed=True)``, ``@lru_cache(128, True)``.

    Parameters, result and errors: as for ``cache``, with the strategy LRU. ``single_flight`` is off
    for functions and on for coroutine functions unless it is given.
    """
    function, given = None, _ABSENT
    if _is_function(max_size):
        function = max_size
    else:
        given = max_size
    shared = _is_shared(backend, name)
    make = partial(
        Options,
        strategy=Strategy.LRU,
        max_size=_size(given, maxsize),
        ttl=ttl,
        typed=typed,
        wait_timeout=wait_timeout,
        by_signature=False,
        max_key_size=max_key_size,
        max_value_size=max_value_size,
        max_bytes=max_bytes,
    )
    decorate = _decorator(make, single_flight, shared, name)
    return decorate if function is None else decorate(function)


if TYPE_CHECKING:
    lru_cache = _lru_cache
else:

    def lru_cache(*args, **options):
        # functools' second positional parameter is `typed`; here it is `ttl`, never a bool.
        if len(args) == 2 and isinstance(args[1], bool):
            if "typed" in options:
                raise TypeError("lru_cache() got multiple values for argument 'typed'")
            return _lru_cache(args[0], typed=args[1], **options)
        return _lru_cache(*args, **options)

    # What lru_cache is called and takes, in signatures and errors.
    _lru_cache.__name__ = _lru_cache.__qualname__ = "lru_cache"
    update_wrapper(lru_cache, _lru_cache)


def _decorator(
    make: Callable[..., Options], single_flight: bool | None, shared: bool, name: str | None
) -> _Decorator:
    """Check the options now, and return the decorator that applies them.

    make: Options with all arguments but ``single_flight``.
    """
    if single_flight is None:
        options = make(single_flight=False)
        async_options = make(single_flight=True)
    else:
        options = async_options = make(single_flight=single_flight)

    def decorate(function: _Function) -> CachedFunction[..., Any]:
        if isinstance(function, (classmethod, staticmethod)):
            kind = type(function).__name__
            raise TypeError(
                f"fn must be a callable, got {function!r}: put the cache decorator below @{kind}"
            )
        cached: CachedFunction[..., Any]
        plain = _plain(function)
        if _is_coroutine_function(function, plain):
            if shared:
                cached = AsyncCachedFunction._of_shared(function, async_options, name)
            else:
                cached = AsyncCachedFunction._of(function, async_options)
            for attribute in _FUNCTION_ATTRIBUTES:
                if hasattr(plain, attribute):
                    setattr(cached, attribute, getattr(plain, attribute))
        elif shared:
            cached = SharedCachedFunction._of(function, options, name)
        else:
            cached = CachedFunction._of(function, options)
        update_wrapper(cached, function)
        return cached

    return decorate


def _is_function(first: Any) -> TypeIs[_Function]:
    """Whether the decorator was used bare.

    What a wrong order of decorators brings counts too, for a better error.
    """
    return callable(first) or isinstance(first, (classmethod, staticmethod))


def _size(max_size: int | None, maxsize: int | None) -> int | None:
    """The size that was given under either name."""
    if maxsize is _ABSENT:
        return 128 if max_size is _ABSENT else max_size
    if max_size is not _ABSENT:
        raise TypeError(f"give max_size or maxsize, not both: got {max_size!r} and {maxsize!r}")
    return maxsize


def _plain(function: Any) -> Any:
    """The Python function behind a method, a partial object or a callable instance."""
    while True:
        if hasattr(function, "__func__"):
            function = function.__func__
        elif isinstance(function, partial):
            function = function.func
        else:
            break
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the function itself is wanted
    return call if not hasattr(function, "__code__") and hasattr(call, "__code__") else function


def _is_coroutine_function(function: _Function, plain: Any) -> bool:
    """``inspect.iscoroutinefunction``, and true for instances with an async ``__call__``."""
    if hasattr(function, "_is_coroutine_mark"):  # inspect.markcoroutinefunction
        return True
    flags = getattr(getattr(plain, "__code__", None), "co_flags", 0)
    return isinstance(flags, int) and bool(flags & _CO_COROUTINE)


def _is_shared(backend: Backend | str | int, name: str | None) -> bool:
    """Whether all processes share the cache; checks both arguments."""
    if name is not None:
        right = f"name must be a non-empty string without lone surrogates, or None, got {name!r}"
        if not isinstance(name, str):
            raise TypeError(right)
        # Lone surrogates have no bytes, so no file can be named after them.
        if not name or any("\ud800" <= character <= "\udfff" for character in name):
            raise ValueError(right)
    right = f'backend must be "memory", "shared" or a Backend, got {backend!r}'
    if isinstance(backend, bool) or not isinstance(backend, (str, int)):
        raise TypeError(right)
    if backend not in ("memory", "shared", Backend.MEMORY, Backend.SHARED):
        raise ValueError(right)
    return backend in ("shared", Backend.SHARED)
