"""An operation that looks at an entry and changes it is one use of it, as the strategy counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from warp_cache import Cache

Make = Callable[..., Cache[Any, Any]]


def more(old: Any) -> Any:
    return old + 1


ONE_USE: dict[str, Callable[[Cache[Any, Any]], object]] = {
    "get": lambda cache: cache.get("a"),
    "set": lambda cache: cache.set("a", 2),
    "compute": lambda cache: cache.compute("a", more),
    "compute with a ttl": lambda cache: cache.compute("a", more, ttl=100),
    "replace": lambda cache: cache.replace("a", 1, 2),
    "replace of another value": lambda cache: cache.replace("a", 5, 2),
    "discard of another value": lambda cache: cache.discard("a", 5),
    "incr": lambda cache: cache.incr("a"),
    "incr of a long int": lambda cache: cache.incr("a", 1 << 80),
    "setdefault": lambda cache: cache.setdefault("a", 2),
}


@pytest.mark.parametrize("operation", ONE_USE)
def test_it_is_one_use(make_here: Make, operation: str) -> None:
    """Who has been used once more outlives it, who has been used once less does not."""
    cache = make_here(2, strategy="lfu")
    for uses, victim in ((0, "b"), (2, "a")):
        cache.clear()
        cache.update(a=1, b=1)
        ONE_USE[operation](cache)
        for _ in range(uses):
            cache["b"]
        assert cache.popitem()[0] == victim


@pytest.mark.parametrize("operation", ["compute", "replace", "incr"])
def test_it_begins_the_time_to_idle_anew(make_here: Make, operation: str) -> None:
    cache = make_here(tti=1000)
    cache["a"] = 1
    ONE_USE[operation](cache)
    assert 999 < cache.ttl("a") <= 1000
