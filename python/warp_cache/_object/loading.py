"""What a cache object's loader runs: the computation that the caller of ``get_or_set`` brought.

The loader is one decorated function for all keys of an object, so what it is to compute, and how
the result is kept, is in the context of the call that asks: nested calls have theirs, and a refresh
in the background has a copy of the context that started it.
"""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from warp_cache._warp_cache_rs import Options

__all__ = ["Request", "make", "request"]


class Request:
    """What a call asks for."""

    __slots__ = ("awaits", "cache_if", "compute", "tags", "ttl")

    def __init__(
        self, compute: Callable[[], Any], ttl: Any, tags: Any, *, awaits: bool, cache_if: Any = None
    ) -> None:
        self.compute = compute
        # ``...`` where the cache's own counts.
        self.ttl = ttl
        # Or what gives them.
        self.tags = tags
        # Whether what is computed is to be awaited.
        self.awaits = awaits
        self.cache_if = cache_if


request: ContextVar[Request] = ContextVar("warp_cache_request")


def make(
    options: Options, name: str | None, shown: str, is_shared: bool, directory: str | None
) -> Any:
    """The loader of an object. name: of a shared or remote cache. shown: what warnings and logs
    call it. is_shared: whether the processes of the host have a file. directory: where that alone
    is to lie.
    """
    from warp_cache._warp_cache_rs import _make_loader

    def load(*_: Any) -> Any:
        return request.get().compute()

    load.__qualname__ = load.__name__ = shown
    load.__module__ = "warp_cache"
    loader: Any = _make_loader(load, options, name, _terms, _tags, is_shared, directory)
    loader.__qualname__ = loader.__name__ = shown
    loader.__module__ = "warp_cache"
    loader._awaits = _awaits
    return loader


def _terms(value: Any) -> tuple[Any] | None:
    """The lifetime of what was computed, in a tuple (0: it is not stored); None for the cache's."""
    asked = request.get()
    if asked.cache_if is not None and not asked.cache_if(value):
        return (0,)
    ttl = asked.ttl
    if callable(ttl):
        ttl = ttl(value)
    return None if ttl is ... else (ttl,)


def _tags(*_: Any) -> Any:
    tags = request.get().tags
    return tags() if callable(tags) else tags


def _awaits() -> bool:
    return request.get().awaits
