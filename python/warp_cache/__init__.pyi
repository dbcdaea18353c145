"""What type checkers are told about the decorators: functions keep their parameters and results."""

from collections.abc import Callable
from typing import (
    Final,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    overload,
    type_check_only,
)

from warp_cache._info import CacheInfo as CacheInfo
from warp_cache._info import SharedCacheInfo as SharedCacheInfo
from warp_cache._info import SkipReason as SkipReason
from warp_cache._record import record as record
from warp_cache._strategies import Backend as Backend
from warp_cache._strategies import Strategy as Strategy
from warp_cache._uncacheable import UncacheableWarning as UncacheableWarning
from warp_cache._warp_cache_rs import CachedFunction, SharedCachedFunction

__all__ = [
    "Backend",
    "CacheInfo",
    "SharedCacheInfo",
    "SkipReason",
    "Strategy",
    "UncacheableWarning",
    "cache",
    "lru_cache",
    "record",
]
__version__: Final[str]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Memory: TypeAlias = Literal["memory", 0, Backend.MEMORY]
_Shared: TypeAlias = Literal["shared", 1, Backend.SHARED]

@type_check_only
class _Decorator(Protocol):
    """What ``cache(...)`` returns. Async functions are functions whose result is a coroutine."""

    def __call__(self, function: Callable[_P, _R], /) -> CachedFunction[_P, _R]: ...

@type_check_only
class _SharedDecorator(Protocol):
    """What ``cache(..., backend="shared")`` returns."""

    def __call__(self, function: Callable[_P, _R], /) -> SharedCachedFunction[_P, _R]: ...

@overload
def cache(  # pyright: ignore[reportOverlappingOverload]  # apart by backend
    function: Callable[_P, _R],
    /,
    max_size: int | None = 128,
    ttl: float | None = None,
    backend: _Memory = "memory",
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool = True,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    strategy: Strategy | Literal[0, 1, 2, 3, 4, 5, 6] = Strategy.LRU,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> CachedFunction[_P, _R]: ...
@overload
def cache(
    function: Callable[_P, _R],
    /,
    max_size: int | None = 128,
    ttl: float | None = None,
    backend: _Shared = ...,
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool = True,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    strategy: Strategy | Literal[0, 1, 2, 3, 4, 5, 6] = Strategy.LRU,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> SharedCachedFunction[_P, _R]: ...
@overload
def cache(
    function: Callable[_P, _R],
    /,
    max_size: int | None = 128,
    ttl: float | None = None,
    backend: Backend = ...,
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool = True,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    strategy: Strategy | Literal[0, 1, 2, 3, 4, 5, 6] = Strategy.LRU,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> CachedFunction[_P, _R]: ...
@overload
def cache(  # pyright: ignore[reportOverlappingOverload]  # apart by backend
    strategy: Strategy | Literal[0, 1, 2, 3, 4, 5, 6] = Strategy.LRU,
    max_size: int | None = 128,
    ttl: float | None = None,
    backend: _Memory = "memory",
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool = True,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> _Decorator: ...
@overload
def cache(
    strategy: Strategy | Literal[0, 1, 2, 3, 4, 5, 6] = Strategy.LRU,
    max_size: int | None = 128,
    ttl: float | None = None,
    backend: _Shared = ...,
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool = True,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> _SharedDecorator: ...
@overload
def cache(
    strategy: Strategy | Literal[0, 1, 2, 3, 4, 5, 6] = Strategy.LRU,
    max_size: int | None = 128,
    ttl: float | None = None,
    backend: Backend = ...,
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool = True,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> _Decorator: ...
@overload
def lru_cache(  # pyright: ignore[reportOverlappingOverload]  # apart by backend
    function: Callable[_P, _R],
    /,
    ttl: float | bool | None = None,  # a bool is typed, second in functools
    backend: _Memory = "memory",
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool | None = None,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    max_size: int | None = 128,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> CachedFunction[_P, _R]: ...
@overload
def lru_cache(
    function: Callable[_P, _R],
    /,
    ttl: float | bool | None = None,  # a bool is typed, second in functools
    backend: _Shared = ...,
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool | None = None,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    max_size: int | None = 128,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> SharedCachedFunction[_P, _R]: ...
@overload
def lru_cache(
    function: Callable[_P, _R],
    /,
    ttl: float | bool | None = None,  # a bool is typed, second in functools
    backend: Backend = ...,
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool | None = None,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    max_size: int | None = 128,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> CachedFunction[_P, _R]: ...
@overload
def lru_cache(  # pyright: ignore[reportOverlappingOverload]  # apart by backend
    max_size: int | None = 128,
    ttl: float | bool | None = None,  # a bool is typed, second in functools
    backend: _Memory = "memory",
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool | None = None,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> _Decorator: ...
@overload
def lru_cache(
    max_size: int | None = 128,
    ttl: float | bool | None = None,  # a bool is typed, second in functools
    backend: _Shared = ...,
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool | None = None,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> _SharedDecorator: ...
@overload
def lru_cache(
    max_size: int | None = 128,
    ttl: float | bool | None = None,  # a bool is typed, second in functools
    backend: Backend = ...,
    max_key_size: int | None = None,
    max_value_size: int | None = None,
    typed: bool = False,
    single_flight: bool | None = None,
    name: str | None = None,
    wait_timeout: float | None = 10.0,
    *,
    maxsize: int | None = 128,
    max_bytes: int | None = None,
) -> _Decorator: ...
