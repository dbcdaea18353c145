"""The options of the two decorators, as types: a new option is a new line here.

Importing this imports typing, so the package does it only where somebody asks for the types.
"""

# Not as text: that would be looked up in the module that the classes say to be of.
from typing import Literal, TypeAlias, TypedDict

from warp_cache._strategies import Backend, Strategy

__all__ = ["CacheOptions", "CommonOptions", "DecoratorOptions", "LruCacheOptions"]

AnyStrategy: TypeAlias = Strategy | Literal[0, 1, 2, 3, 4, 5, 6]
Memory: TypeAlias = Literal["memory", 0, Backend.MEMORY]
Shared: TypeAlias = Literal["shared", 1, Backend.SHARED]


class CommonOptions(TypedDict, total=False):
    """What both decorators hand on to the extension module."""

    max_size: int | None
    ttl: float | None
    max_key_size: int | None
    max_value_size: int | None
    typed: bool
    wait_timeout: float | None
    max_bytes: int | None


class DecoratorOptions(CommonOptions, total=False):
    """What both decorators take, but for what decides the type of the result."""

    maxsize: int | None
    name: str | None


class CacheOptions(DecoratorOptions, total=False):
    """The options of ``cache``: ``def fast(**options: Unpack[CacheOptions])`` may hand them on."""

    strategy: AnyStrategy
    backend: Memory | Shared | Backend
    single_flight: bool


class LruCacheOptions(DecoratorOptions, total=False):
    """The options of ``lru_cache``."""

    backend: Memory | Shared | Backend
    single_flight: bool | None


CacheOptions.__module__ = LruCacheOptions.__module__ = "warp_cache"
