"""The options of the two decorators, as types: a new option is a new line here.

Importing this imports typing, so the package does it only where somebody asks for the types.
"""

# Not as text: that would be looked up in the module that the classes say to be of.
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from warp_cache._strategies import Backend, Strategy

__all__ = [
    "CacheOptions",
    "CommonOptions",
    "ControlOptions",
    "ControlledOptions",
    "DecoratorOptions",
    "LruCacheOptions",
]

if TYPE_CHECKING:
    from warp_cache._strategies import AnyStrategy
else:
    # The same, of the members: only checkers have to read it.
    _NAMES = tuple(strategy.name for strategy in Strategy)
    _LOWER = tuple(name.lower() for name in _NAMES)
    AnyStrategy = Strategy | Literal[tuple(map(int, Strategy))] | Literal[_LOWER + _NAMES]
Seconds: TypeAlias = float | timedelta
# What tells a result's lifetime.
Lifetime: TypeAlias = Seconds | Callable[[Any], Seconds | None]
_Exceptions: TypeAlias = (
    type[Exception] | tuple[type[Exception], ...] | Mapping[type[Exception], Seconds | None]
)
Memory: TypeAlias = Literal["memory", 0, Backend.MEMORY]
Shared: TypeAlias = Literal["shared", 1, Backend.SHARED]
# One that is not known, or whose functions are of no class of its own: the names of such backends
# belong here.
OtherBackend: TypeAlias = Backend


class CommonOptions(TypedDict, total=False):
    """What both decorators hand on to the extension module."""

    max_size: int | None
    ttl: Lifetime | None
    max_key_size: int | None
    max_value_size: int | None
    typed: bool
    wait_timeout: float | None
    max_bytes: int | None


class DecoratorOptions(CommonOptions, total=False):
    """What both decorators take, but for what decides the type of the result."""

    maxsize: int | None
    name: str | None


class ControlOptions(TypedDict, total=False):
    """What ``cache`` alone takes: control over keys, lifetimes and entries."""

    key: Callable[..., Hashable] | None
    ignore: Iterable[str]
    tti: Seconds | None
    jitter: float
    stale_while_revalidate: Seconds
    stale_if_error: Seconds
    cache_if: Callable[[Any], object] | None
    cache_exceptions: _Exceptions | None
    tags: Iterable[str] | Callable[..., Iterable[str]]
    per_instance: bool
    max_weight: int | None
    weigher: Callable[[Any], int] | None
    on_removal: Callable[[Any, Any, Any], object] | None
    copy: bool | Literal["pickle"] | Callable[[Any], Any] | None
    version: str | None
    namespace: str | None
    remote: str | bool | None


class ControlledOptions(DecoratorOptions, ControlOptions, total=False):
    """What ``cache`` takes, but for what decides the type of the result."""


class CacheOptions(ControlledOptions, total=False):
    """The options of ``cache``: ``def fast(**options: Unpack[CacheOptions])`` may hand them on."""

    strategy: AnyStrategy
    backend: Memory | Shared | OtherBackend
    single_flight: bool


class LruCacheOptions(DecoratorOptions, total=False):
    """The options of ``lru_cache``."""

    backend: Memory | Shared | OtherBackend
    single_flight: bool | None


CacheOptions.__module__ = LruCacheOptions.__module__ = "warp_cache"
