"""Keys that are equal to the stored one, but not the same object: both tiers, all strategies."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from warp_cache import Cache, Strategy

Make = Callable[..., Cache[Any, Any]]

# Each call makes another object; where it takes no call to hash one, and where it does.
FRESH: list[Callable[[int], Any]] = [
    lambda n: f"key {n}",
    lambda n: n + 1000,
    lambda n: (n + 1) << 70,
    lambda n: -1 - n,
    lambda n: (n, f"part {n}"),
    lambda n: n + 0.5,
    lambda n: f"key {n}".encode(),
]


def hashed(key: Any) -> Any:
    hash(key)
    return key


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("fresh", FRESH)
@pytest.mark.parametrize("before", [hashed, lambda key: key])
def test_equal_keys_are_found_and_counted(
    make: Make, strategy: Strategy, fresh: Callable[[int], Any], before: Callable[[Any], Any]
) -> None:
    # A server does not know when an entry was last used.
    lifetimes = (
        ({}, {"ttl": 100}) if make().options()["remote"] else ({}, {"ttl": 100}, {"tti": 100})
    )
    for options in lifetimes:
        cache = make(20, strategy=strategy, **options)
        for n in range(5):
            cache[fresh(n)] = n
        for n in range(5):
            assert cache[before(fresh(n))] == n
            assert cache.get(before(fresh(n))) == n
        assert cache.get(before(fresh(5)), "none") == "none"
        with pytest.raises(KeyError):
            cache[before(fresh(6))]
        assert (cache.info().hits, cache.info().misses) == (10, 2)


def test_what_only_python_can_compare_is_asked() -> None:
    cache = Cache[Any, str](8)
    cache[Decimal(1)] = "one"
    assert cache[1] == cache[True] == cache[1.0] == cache.get(Decimal(1)) == "one"
    assert cache.info().hits == 4


def test_a_use_of_an_equal_key_is_a_use(make_here: Make) -> None:
    cache = make_here(3)
    for n in range(3):
        cache[f"key {n}"] = n
    assert cache[hashed(f"key {0}")] == 0
    cache["new"] = 3
    assert "key 0" in cache
    assert "key 1" not in cache
