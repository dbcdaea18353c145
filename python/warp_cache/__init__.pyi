"""What type checkers are told about the decorators: functions keep their parameters and results."""

from collections.abc import Callable
from typing import Final, ParamSpec, Protocol, TypeVar, overload, type_check_only

from typing_extensions import Unpack

from warp_cache import testing as testing
from warp_cache._info import CacheInfo as CacheInfo
from warp_cache._info import SharedCacheInfo as SharedCacheInfo
from warp_cache._info import SkipReason as SkipReason
from warp_cache._module import caches as caches
from warp_cache._module import clear_all as clear_all
from warp_cache._module import configure as configure
from warp_cache._module import disabled as disabled
from warp_cache._module import invalidate_tags as invalidate_tags
from warp_cache._object import DELETE as DELETE
from warp_cache._object import Cache as Cache
from warp_cache._object import CacheLock as CacheLock
from warp_cache._object import CacheUnavailable as CacheUnavailable
from warp_cache._options import CacheOptions as CacheOptions
from warp_cache._options import (
    ControlledOptions,
    DecoratorOptions,
    Lifetime,
    Memory,
    OtherBackend,
    Seconds,
    Shared,
)
from warp_cache._options import LruCacheOptions as LruCacheOptions
from warp_cache._recording import record as record
from warp_cache._remote.errors import RemoteError as RemoteError
from warp_cache._removal import RemovalCause as RemovalCause
from warp_cache._strategies import AnyStrategy
from warp_cache._strategies import Backend as Backend
from warp_cache._strategies import Strategy as Strategy
from warp_cache._uncacheable import UncacheableWarning as UncacheableWarning
from warp_cache._warp_cache_rs import CachedFunction, SharedCachedFunction

__all__ = [
    "DELETE",
    "Backend",
    "Cache",
    "CacheInfo",
    "CacheLock",
    "CacheOptions",
    "CacheUnavailable",
    "LruCacheOptions",
    "RemoteError",
    "RemovalCause",
    "SharedCacheInfo",
    "SkipReason",
    "Strategy",
    "UncacheableWarning",
    "cache",
    "caches",
    "clear_all",
    "configure",
    "disabled",
    "invalidate_tags",
    "lru_cache",
    "record",
]
__version__: Final[str]

_P = ParamSpec("_P")
_R = TypeVar("_R")

@type_check_only
class _Decorator(Protocol):
    """What ``cache(...)`` returns. Async functions are functions whose result is a coroutine."""

    def __call__(self, function: Callable[_P, _R], /) -> CachedFunction[_P, _R]: ...

@type_check_only
class _SharedDecorator(Protocol):
    """What ``cache(..., backend="shared")`` returns."""

    def __call__(self, function: Callable[_P, _R], /) -> SharedCachedFunction[_P, _R]: ...

# Some options may be given by position. Those parameters have names of their own, since none of a
# parameter may be among the keywords that follow; an option by keyword alone needs no line here.
# The overloads tell the backends apart: memory, the shared one, one that is not known.
@overload
def cache(  # pyright: ignore[reportOverlappingOverload]  # apart by backend
    _function: Callable[_P, _R],
    _max_size: int | None = 128,
    _ttl: Lifetime | None = None,
    _backend: Memory = "memory",
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool = True,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    *,
    strategy: AnyStrategy = Strategy.LRU,
    backend: Memory = ...,
    single_flight: bool = True,
    **options: Unpack[ControlledOptions],
) -> CachedFunction[_P, _R]: ...
@overload
def cache(
    _function: Callable[_P, _R],
    _max_size: int | None = 128,
    _ttl: Lifetime | None = None,
    _backend: Shared = ...,
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool = True,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    *,
    strategy: AnyStrategy = Strategy.LRU,
    backend: Shared = ...,
    single_flight: bool = True,
    **options: Unpack[ControlledOptions],
) -> SharedCachedFunction[_P, _R]: ...
@overload
def cache(
    _function: Callable[_P, _R],
    _max_size: int | None = 128,
    _ttl: Lifetime | None = None,
    _backend: OtherBackend = ...,
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool = True,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    **options: Unpack[CacheOptions],
) -> CachedFunction[_P, _R]: ...
@overload
def cache(  # pyright: ignore[reportOverlappingOverload]  # apart by backend
    _strategy: AnyStrategy = Strategy.LRU,
    _max_size: int | None = 128,
    _ttl: Lifetime | None = None,
    _backend: Memory = "memory",
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool = True,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    *,
    strategy: AnyStrategy = Strategy.LRU,
    backend: Memory = ...,
    single_flight: bool = True,
    **options: Unpack[ControlledOptions],
) -> _Decorator: ...
@overload
def cache(
    _strategy: AnyStrategy = Strategy.LRU,
    _max_size: int | None = 128,
    _ttl: Lifetime | None = None,
    _backend: Shared = ...,
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool = True,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    *,
    strategy: AnyStrategy = Strategy.LRU,
    backend: Shared = ...,
    single_flight: bool = True,
    **options: Unpack[ControlledOptions],
) -> _SharedDecorator: ...
@overload
def cache(
    _strategy: AnyStrategy = Strategy.LRU,
    _max_size: int | None = 128,
    _ttl: Lifetime | None = None,
    _backend: OtherBackend = ...,
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool = True,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    **options: Unpack[CacheOptions],
) -> _Decorator: ...
@overload
def lru_cache(  # pyright: ignore[reportOverlappingOverload]  # apart by backend
    _function: Callable[_P, _R],
    _ttl: Seconds | bool | None = None,  # a bool is typed, second in functools
    _backend: Memory = "memory",
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool | None = None,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    *,
    backend: Memory = ...,
    single_flight: bool | None = None,
    **options: Unpack[DecoratorOptions],
) -> CachedFunction[_P, _R]: ...
@overload
def lru_cache(
    _function: Callable[_P, _R],
    _ttl: Seconds | bool | None = None,  # a bool is typed, second in functools
    _backend: Shared = ...,
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool | None = None,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    *,
    backend: Shared = ...,
    single_flight: bool | None = None,
    **options: Unpack[DecoratorOptions],
) -> SharedCachedFunction[_P, _R]: ...
@overload
def lru_cache(
    _function: Callable[_P, _R],
    _ttl: Seconds | bool | None = None,  # a bool is typed, second in functools
    _backend: OtherBackend = ...,
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool | None = None,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    **options: Unpack[LruCacheOptions],
) -> CachedFunction[_P, _R]: ...
@overload
def lru_cache(  # pyright: ignore[reportOverlappingOverload]  # apart by backend
    _max_size: int | None = 128,
    _ttl: Seconds | bool | None = None,  # a bool is typed, second in functools
    _backend: Memory = "memory",
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool | None = None,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    *,
    backend: Memory = ...,
    single_flight: bool | None = None,
    **options: Unpack[DecoratorOptions],
) -> _Decorator: ...
@overload
def lru_cache(
    _max_size: int | None = 128,
    _ttl: Seconds | bool | None = None,  # a bool is typed, second in functools
    _backend: Shared = ...,
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool | None = None,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    *,
    backend: Shared = ...,
    single_flight: bool | None = None,
    **options: Unpack[DecoratorOptions],
) -> _SharedDecorator: ...
@overload
def lru_cache(
    _max_size: int | None = 128,
    _ttl: Seconds | bool | None = None,  # a bool is typed, second in functools
    _backend: OtherBackend = ...,
    _max_key_size: int | None = None,
    _max_value_size: int | None = None,
    _typed: bool = False,
    _single_flight: bool | None = None,
    _name: str | None = None,
    _wait_timeout: float | None = 10.0,
    /,
    **options: Unpack[LruCacheOptions],
) -> _Decorator: ...
