"""An entry of a shared cache whose value this process cannot read, as its class is of another
release: it counts as none.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from warp_cache import Cache

pytestmark = pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")


@pytest.fixture
def cache() -> Iterator[Cache[Any, Any]]:
    """A cache with such an entry under "k"."""
    module: Any = types.ModuleType("of_another_release")
    module.Value = type("Value", (), {"__module__": module.__name__})
    sys.modules[module.__name__] = module
    try:
        with Cache[Any, Any](backend="shared", name="unreadable", ttl=100) as made:
            made["k"] = module.Value()
            del sys.modules[module.__name__]
            yield made
    finally:
        sys.modules.pop(module.__name__, None)


def test_it_misses(cache: Cache[Any, Any]) -> None:
    assert cache.get("k") is None and cache.peek("k") is None and cache.get_many(["k"]) == {}
    assert list(cache.values()) == [] and cache.pop("k", 1) == 1


def test_it_is_added_over(cache: Cache[Any, Any]) -> None:
    assert cache.add("k", 1) and not cache.add("k", 2)
    assert cache["k"] == 1


def test_setdefault_stores_the_default(cache: Cache[Any, Any]) -> None:
    assert cache.setdefault("k", 1) == 1 and cache["k"] == 1


def test_compute_begins_anew(cache: Cache[Any, Any]) -> None:
    assert cache.compute("k", lambda old: [old]) == [None]
    assert cache["k"] == [None]


def test_compute_begins_anew_in_coroutines(cache: Cache[Any, Any]) -> None:
    assert asyncio.run(cache.acompute("k", lambda old: [old])) == [None]
    assert asyncio.run(cache.asetdefault("k", 1)) == [None]


def test_incr_begins_anew(cache: Cache[Any, Any]) -> None:
    assert cache.incr("k", default=0) == 1 and cache.incr("k") == 2


def test_incr_without_a_default(cache: Cache[Any, Any]) -> None:
    with pytest.raises(KeyError):
        cache.incr("k")


def test_it_equals_nothing(cache: Cache[Any, Any]) -> None:
    assert cache.replace("k", 1, 2) is False and cache.discard("k", None) is False


def test_it_is_computed_and_stored(cache: Cache[Any, Any]) -> None:
    assert cache.get_or_set("k", lambda: 1) == 1 and cache["k"] == 1
