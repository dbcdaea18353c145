"""Modules named as the peers', whose decorators are this package's.

Parameters are translated where there is an equivalent here; another one is a TypeError, as is what
a suite asks for and neither has.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import warp_cache

Decorator = Callable[..., Any]

# The decorators that take the place of the peers'.
OURS: dict[str, Decorator] = {"cache": warp_cache.cache, "lru_cache": warp_cache.lru_cache}


def async_lru(ours: Decorator) -> ModuleType:
    """The module `async_lru`: `alru_cache`, and the class behind it as a function."""

    def alru_cache(maxsize: Any = 128, typed: bool = False, **options: Any) -> Any:
        if callable(maxsize):
            return ours(maxsize)
        return ours(max_size=maxsize, typed=typed, **_lifetimes(options))

    def wrapper(
        function: Any, maxsize: Any, typed: bool, ttl: Any, jitter: Any, key: Any = None
    ) -> Any:
        options = {"ttl": ttl, "jitter": jitter, "key": key}
        return alru_cache(maxsize, typed, **options)(function)

    def parameters(*, typed: bool, maxsize: Any, tasks: int, closed: bool) -> dict[str, Any]:
        # No tasks are kept here, and nothing is closed.
        assert not tasks and not closed
        return {"typed": typed, "maxsize": maxsize}

    module = ModuleType("async_lru")
    for name, value in {
        "alru_cache": alru_cache,
        "AlruCacheLoopResetWarning": type("AlruCacheLoopResetWarning", (UserWarning,), {}),
        "_LRUCacheWrapper": wrapper,
        "_CacheParameters": parameters,
        "_CacheItem": None,
    }.items():
        setattr(module, name, value)
    return module


def _lifetimes(options: dict[str, Any]) -> dict[str, Any]:
    """Its jitter is seconds beyond the ttl; ours is the part of a longer one that is taken off."""
    found = {name: value for name, value in options.items() if value is not None}
    jitter, ttl = found.pop("jitter", 0), found.get("ttl")
    if jitter:
        found["jitter"] = jitter
        if ttl is not None and jitter > 0:
            found["ttl"] = ttl + jitter
            found["jitter"] = jitter / (ttl + jitter)
    return found


def cachetools(ours: Decorator) -> ModuleType:
    """The module `cachetools` with its part `func`, whose decorators are like functools'."""

    def like(strategy: str, **fixed: Any) -> Decorator:
        # A timer, or a choice of its own, is a parameter that we do not have.
        if ours is warp_cache.cache:
            fixed = {"strategy": strategy, "single_flight": False, **fixed}

        def decorate(maxsize: Any = 128, **options: Any) -> Any:
            if callable(maxsize):
                return ours(**fixed)(maxsize)
            return ours(max_size=maxsize, **{**fixed, **options})

        return decorate

    func = ModuleType("cachetools.func")
    for name, decorator in {
        "fifo_cache": like("fifo"),
        "lfu_cache": like("lfu"),
        "lru_cache": like("lru"),
        # No strategy is random; apart from its own parameter, no test asks who is the victim.
        "rr_cache": like("sieve"),
        "ttl_cache": like("lru", ttl=600),
    }.items():
        setattr(func, name, decorator)
    module = ModuleType("cachetools")
    module.func = func  # type: ignore[attr-defined]
    # Their package of tests derives from it; those of `func` do not use it.
    module.Cache = object  # type: ignore[attr-defined]
    return module
