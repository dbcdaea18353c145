"""The two decorators: ``cache``, which is what people want, and ``lru_cache``, functools' contract.

Both turn their arguments into checked options once, at decoration, and leave the rest to the
extension module. What type checkers are told about them is in ``__init__.pyi``. It is one file,
longer than others are, because each file more makes every ``import warp_cache`` slower.
"""

from __future__ import annotations

from _weakref import ref
from functools import partial, partialmethod, update_wrapper

from warp_cache import _imports as _imports
from warp_cache._strategies import Backend, Strategy
from warp_cache._warp_cache_rs import (
    AsyncCachedFunction,
    CachedFunction,
    Options,
    PerInstanceFunction,
    SharedCachedFunction,
    _backends,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta
    from typing import Any, TypeAlias

    from typing_extensions import TypeIs

    # The extension module's: named here, where tools that freeze programs see them.
    from warp_cache import _bound, _made_with  # noqa: F401
    from warp_cache._warp_cache_rs import _BackendChoice

    _Function: TypeAlias = Callable[..., Any]
    _Decorator: TypeAlias = Callable[[_Function], CachedFunction[..., Any]]

__all__ = [
    "AsyncCachedFunction",
    "CachedFunction",
    "SharedCachedFunction",
    "alive",
    "cache",
    "decorator",
    "lru_cache",
]


class _Default(int):
    """A size that was not given: signatures show it as the number it stands for."""


_ABSENT: Any = _Default(128)

# The options of ``cache`` alone, and what they are where they are left out.
_CONTROL: dict[str, Any] = {
    "key": None,
    "ignore": (),
    "tti": None,
    "jitter": 0.0,
    "stale_while_revalidate": 0,
    "stale_if_error": 0,
    "cache_if": None,
    "cache_exceptions": None,
    "tags": (),
    "per_instance": False,
    "max_weight": None,
    "weigher": None,
    "on_removal": None,
    "copy": None,
    "version": None,
    "namespace": None,
    "remote": None,
}

# The decorated functions, in the order they were made: those whose reference still gives one. (Such
# a reference has its function's hash, and is equal to itself.)
alive: dict[ref[CachedFunction[..., Any]], None] = {}
_forget: Any = alive.pop

# What stands above a function in a class, and is to stand above its cache.
_DESCRIPTORS = (classmethod, staticmethod, property, partialmethod)


def _cache(
    strategy: Strategy | str | int = Strategy.LRU,
    max_size: int | None = _ABSENT,
    ttl: float | timedelta | Callable[[Any], float | timedelta | None] | None = None,
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
    key: Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    tti: float | timedelta | None = None,
    jitter: float = 0.0,
    stale_while_revalidate: float | timedelta = 0,
    stale_if_error: float | timedelta = 0,
    cache_if: Callable[[Any], Any] | None = None,
    cache_exceptions: Any = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    per_instance: bool = False,
    max_weight: int | None = None,
    weigher: Callable[[Any], int] | None = None,
    on_removal: Callable[..., Any] | None = None,
    copy: Any = None,
    version: str | None = None,
    namespace: str | None = None,
    remote: str | bool | None = None,
) -> _Decorator:
    """Cache the results of a function.

    One entry however a call is spelled, one computation however many ask. Use it bare (``@cache``),
    with options (``@cache(max_size=1000, ttl=60)``) or at once (``cache(function, ttl=60)``), on
    functions, methods and coroutine functions.

    Parameters:
        strategy: which entry gives way in a full cache, a ``Strategy`` or its name.
        max_size: entries at most; None for no bound, 0 (or less) to store nothing. ``maxsize``
            means the same.
        ttl: seconds that an entry is fresh, from the moment the result is there, or a timedelta, or
            a callable that is given the result and returns one of these (None for no limit, 0 or
            less: not stored); None for no limit.
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
            free where it lives, or of the memory limit, at most 1 GiB. Without effect in memory.
        key: a callable that is given the arguments and returns the hashable key of the call.
        ignore: names of parameters that are no part of the key. Not together with ``key``.
        tti: seconds without a use after which an entry is gone (time to idle), or a timedelta.
        jitter: a fraction in [0, 1): each entry's ``ttl`` is shortened by a random part of it, at
            most this fraction, so that entries do not end together.
        stale_while_revalidate: seconds after ``ttl`` in which the old value is returned at once
            while one refresh runs in the background (RFC 5861).
        stale_if_error: seconds after ``ttl`` in which the old value is returned where computing a
            new one raises an Exception (RFC 5861).
        cache_if: a callable that is given the result and says whether it is to be stored.
        cache_exceptions: an Exception type, a tuple of them, or a mapping from such types to
            seconds: such an exception is stored like a result and raised anew at each hit.
        tags: up to 16 names for groups of entries, formatted with the arguments where they have
            braces (``"user:{user_id}"``), or a callable that is given the arguments.
        per_instance: whether each instance of a method's class has a cache of its own.
        max_weight, weigher: the sum of ``weigher(result)`` over all entries at most. Memory only.
            With them ``max_size`` defaults to None.
        on_removal: a callable ``on_removal(call, value, cause)`` for each value that leaves. Memory
            only.
        copy: None (memory hands out the stored object, a shared cache copies), True (exact
            containers are copied), "pickle" (stored as bytes), False (never), or a callable.
        version, namespace: strings that are part of the identity of a shared or remote cache.
        remote: the URL of a Valkey or Redis server that holds the values for all hosts, or True for
            the one that ``configure(remote=...)`` or WARP_CACHE_REMOTE names; this cache is then a
            near copy of what is there. Needs a ttl.

    Returns a decorator, or the decorated function where one is given. It has ``cache_info()``,
    ``cache_clear()``, ``cache_parameters()``, ``get(*args, **kwargs)``,
    ``set(value, /, *args, **kwargs)`` and ``__wrapped__``. A hit and a miss cost O(1) expected.

    Raises:
        TypeError, ValueError: a wrong argument; the message names it. A generator function is one.

    A shared cache is opened at its first use. Where its file is not this user's alone, or cannot be
    made, there is an UncacheableWarning, and every call computes.
    """
    return _checked({**locals()}, by_signature=True)


def _lru_cache(
    max_size: int | None = _ABSENT,
    ttl: float | timedelta | None = None,
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
) -> _Decorator:
    """``functools.lru_cache``, faster, with ``ttl``, ``backend`` and coroutines.

    The contract is functools' to the letter: ``f(1)`` and ``f(x=1)`` are two entries, the order of
    keywords counts, and concurrent callers of one missing key each compute unless
    ``single_flight=True``. functools' own spelling works: ``@lru_cache``,
    ``@lru_cache(maxsize=None, typed=True)``, ``@lru_cache(128, True)``.

    Parameters, result and errors: as for ``cache``, with the strategy LRU. ``single_flight`` is off
    for functions and on for coroutine functions unless it is given.
    """
    if callable(ttl):
        raise TypeError(
            f"ttl must be seconds, a timedelta or None, got {_shown(ttl)}: lru_cache keeps to "
            "functools' contract; use cache for lifetimes that depend on the result"
        )
    return _checked({"strategy": Strategy.LRU, **locals()}, by_signature=False)


def _checked(options: dict[str, Any], *, by_signature: bool) -> _Decorator:
    """The decorator for what was given to ``cache`` (by_signature) or ``lru_cache``.

    options: a copy of what ``locals()`` gave. Before Python 3.13 that is the frame's own, and who
    looks at the caller's frame meanwhile (a debugger) puts back what is taken out here.
    """
    name = options.pop("name")
    backend = chosen(options.pop("backend"), name)
    for option, default in _CONTROL.items():
        if option in options and options[option] is default:
            del options[option]
        elif default is not None and option in options and options[option] is None:
            raise TypeError(f"{option} must be like its default {default!r}, got None")
    if not _CONTROL.keys().isdisjoint(options) or callable(options["ttl"]):
        # Checks that few need are not loaded by importing the package.
        from warp_cache._control import check

        check(options, backend, size_is_given=not _is_default_size(options))
    if isinstance(options["strategy"], str):
        options["strategy"] = _named_strategy(options["strategy"])
    single_flight = options.pop("single_flight")
    options["max_size"] = _size(options["max_size"], options.pop("maxsize"))
    make = partial(Options, by_signature=by_signature, **options)
    return decorator(make, single_flight, backend.number, name, single_use_too=not by_signature)


def _apply(
    make: Callable[..., _Decorator], name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> CachedFunction[..., Any] | _Decorator:
    """Call ``make``; where the first argument is a function, decorate that with the others.

    name: what the first argument is if it is no function. In both forms the others follow.
    """
    if not args and name == "max_size" and _is_function(options.get("maxsize")):
        # functools takes it by its parameter's name, too.
        args = (options.pop("maxsize"),)
    if not args or not _is_function(args[0]):
        return make(*args, **options)
    function, *others = args
    if others:
        # The place of the first option is the function's.
        default = Strategy.LRU if name == "strategy" else _ABSENT
        others.insert(0, options.pop(name, default))
    return make(*others, **options)(function)


if TYPE_CHECKING:
    cache = _cache
    lru_cache = _lru_cache
else:

    def cache(*args, **options):
        return _apply(_cache, "strategy", args, options)

    def lru_cache(*args, **options):
        # functools' second positional parameter is `typed`; here it is `ttl`, never a bool.
        if len(args) == 2 and isinstance(args[1], bool):
            if "typed" in options:
                raise TypeError("lru_cache() got multiple values for argument 'typed'")
            options["typed"] = args[1]
            args = args[:1]
        return _apply(_lru_cache, "max_size", args, options)

    # What they are called and take, in signatures and errors.
    _cache.__name__ = _cache.__qualname__ = "cache"
    _lru_cache.__name__ = _lru_cache.__qualname__ = "lru_cache"
    update_wrapper(cache, _cache)
    update_wrapper(lru_cache, _lru_cache)
    cache.__module__ = lru_cache.__module__ = "warp_cache"


def decorator(
    make: Callable[..., Options],
    single_flight: bool | None,
    backend: int,
    name: str | None,
    *,
    single_use_too: bool,
) -> _Decorator:
    """Check the options now, and return the decorator that applies them.

    make: Options with all arguments but ``single_flight``. backend: its number. single_use_too:
    generator functions may be decorated.
    """
    if single_flight is None and single_use_too:
        options = make(single_flight=False)
        async_options = make(single_flight=True)
    else:
        options = async_options = make(single_flight=single_flight)

    # Of what `partial` was given: it is on the way of no other function.
    per_instance = getattr(make, "keywords", {}).get("per_instance", False)

    def decorate(function: _Function) -> CachedFunction[..., Any]:
        # What only decorating needs is not loaded by importing the package, nor what calls return.
        from warp_cache import _info  # noqa: F401
        from warp_cache._callables import (
            coroutine_function,
            present_as_coroutine_function,
            single_use,
        )

        if not single_use_too and (kind := single_use(function)):
            raise TypeError(
                f"fn must return what can be read more than once, got {_shown(function)}, {kind}: "
                "the first caller would use its result up. Cache a function that collects the "
                "values and returns a list or a tuple (lru_cache keeps the object itself, as "
                "functools does)"
            )
        if issubclass(type(function), _DESCRIPTORS):
            kind = type(function).__name__
            right = f"put the cache decorator below @{kind}"
            raise TypeError(f"fn must be a callable, got {_shown(function)}: {right}")
        cached: CachedFunction[..., Any]
        source = coroutine_function(function)
        if per_instance:
            from warp_cache import _instances  # noqa: F401 - what the extension module will need

            cached = PerInstanceFunction._of(function, async_options, source is not None, name)
        elif source is not None:
            cached = AsyncCachedFunction._of(function, async_options, name, backend)
        else:
            cached = CachedFunction._of(function, options, name, backend)
        update_wrapper(cached, function)
        if source is not None:
            present_as_coroutine_function(cached, source)
        alive[ref(cached, _forget)] = None
        return cached

    return decorate


def _is_function(first: Any) -> TypeIs[_Function]:
    """Whether the argument is what is to be decorated.

    What a wrong order of decorators brings counts too, for a better error.
    """
    return callable(first) or issubclass(type(first), _DESCRIPTORS)


def _shown(function: Any) -> str:
    try:
        return repr(function)
    except Exception:
        return "an object whose repr raises"


def _named_strategy(name: str) -> Strategy:
    """The strategy of this name, in any case."""
    try:
        return Strategy[name.upper()]
    except KeyError:
        names = ", ".join(repr(strategy.name.lower()) for strategy in Strategy)
        right = f"strategy must be a Strategy or its name ({names}), got {name!r}"
        raise ValueError(right) from None


def _is_default_size(options: dict[str, Any]) -> bool:
    """Whether a size was given under neither name."""
    return options["max_size"] is _ABSENT and options["maxsize"] is _ABSENT


def _size(max_size: int | None, maxsize: int | None) -> int | None:
    """The size that was given under either name."""
    if maxsize is _ABSENT:
        return 128 if max_size is _ABSENT else max_size
    if max_size is not _ABSENT:
        raise TypeError(f"give max_size or maxsize, not both: got {max_size!r} and {maxsize!r}")
    if maxsize is not None and not hasattr(type(maxsize), "__index__"):
        raise TypeError(f"maxsize must be an integer or None, got {_shown(maxsize)}")
    return maxsize


def chosen(
    backend: Backend | str | int, name: str | None, *, for_objects: bool = False
) -> _BackendChoice:
    """The backend of this name or number; checks both arguments."""
    if name is not None:
        right = f"name must be a non-empty string without lone surrogates, or None, got {name!r}"
        if not isinstance(name, str):
            raise TypeError(right)
        # Lone surrogates have no bytes, so no file can be named after them.
        if not name or any("\ud800" <= character <= "\udfff" for character in name):
            raise ValueError(right)
    is_typed = isinstance(backend, (str, int)) and not isinstance(backend, bool)
    offered = [one for one in _backends() if one.has_objects or not for_objects]
    for one in offered:
        if is_typed and backend in (one.name, one.number):
            return one
    names = ", ".join(f'"{one.name}"' for one in offered)
    right = f"backend must be {names} or a Backend, got {backend!r}"
    raise ValueError(right) if is_typed else TypeError(right)
