"""W-TinyLFU by what it promises: it fills up, frequent keys outlast scans, and its window adapts.

Which entry leaves hangs on hashes; so the exact part of the model is that one leaves for each that
comes (test_strategy_model.py), and what is here are ratios with wide margins on fixed programs.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from warp_cache import Strategy, cache

backends = pytest.mark.parametrize("backend", ["memory", "shared"])


def make(size: int, strategy: Strategy = Strategy.TINYLFU, **options: Any) -> Any:
    return cache(strategy, max_size=size, name=f"{strategy.name}{size}", **options)(lambda key: key)


def hit_ratio(cached: Any, keys: Iterable[int]) -> float:
    """The part of hits among the calls with `keys`."""
    before = cached.cache_info()
    for key in keys:
        assert cached(key) == key
    after = cached.cache_info()
    hits: int = after.hits - before.hits
    misses: int = after.misses - before.misses
    return hits / (hits + misses)


@backends
@pytest.mark.parametrize("size", [*range(1, 13), 50, 99, 100, 101, 1000])
def test_it_is_full_before_anything_leaves_and_stays_full(size: int, backend: str) -> None:
    chance = random.Random(size)
    cached = make(size, backend=backend)
    for key in range(size):
        cached(key)
        assert cached.cache_info().currsize == key + 1
    assert all(cached.get(key) == key for key in range(size))
    for calls in range(size, size + 1000):
        key = chance.randrange(2 * size + 1)
        assert cached(key) == key
        assert cached.get(key) == key, "the newcomer itself did not stay"
        info = cached.cache_info()
        assert info.hits + info.misses == calls + 1
        assert info.currsize == size


@backends
@pytest.mark.parametrize("size", [20, 100, 1000])
def test_frequent_keys_outlast_a_scan(size: int, backend: str) -> None:
    chance = random.Random(size)
    hot = range(size // 2)
    scan = range(size, 4 * size)
    left = {}
    for strategy in (Strategy.TINYLFU, Strategy.LRU):
        cached = make(size, strategy, backend=backend)
        for key in chance.choices(hot, k=20 * len(hot)):
            cached(key)
        for key in scan:
            cached(key)
        left[strategy] = sum(cached.get(key) is not None for key in hot)
    assert left[Strategy.LRU] == 0
    assert left[Strategy.TINYLFU] >= 0.8 * len(hot)


def drifting(count: int, reach: int, chance: random.Random) -> Iterator[int]:
    """New keys all the time; each is asked for again a few times soon after it came, then never."""
    for newest in range(count):
        yield newest
        for _ in range(2):
            yield max(0, newest - int(chance.expovariate(3 / reach)))


@pytest.mark.parametrize("size", [100, 300])
def test_the_window_grows_where_recency_is_all(size: int) -> None:
    ratios = {}
    for strategy in (Strategy.TINYLFU, Strategy.LRU):
        cached = make(size, strategy)
        keys = list(drifting(400 * size, size, random.Random(size)))
        hit_ratio(cached, keys[: len(keys) // 2])
        ratios[strategy] = hit_ratio(cached, keys[len(keys) // 2 :])
    # A window of a constant size gets a half of the cache to 0.48, and 1 % of it to 0.11.
    assert ratios[Strategy.LRU] > 0.6
    assert ratios[Strategy.TINYLFU] > ratios[Strategy.LRU] - 0.08


@pytest.mark.parametrize("size", [100, 300])
def test_the_window_shrinks_again_where_frequency_is_all(size: int) -> None:
    chance = random.Random(size)
    # Zipf's law over a hundred times as many keys as fit.
    weights = [1 / rank for rank in range(1, 100 * size + 1)]
    zipf = [-1 - key for key in chance.choices(range(len(weights)), weights, k=600 * size)]
    first, second = zipf[: len(zipf) // 2], zipf[len(zipf) // 2 :]

    def late_ratio(cached: Any) -> float:
        hit_ratio(cached, first)
        return hit_ratio(cached, second)

    lru = late_ratio(make(size, Strategy.LRU))
    assert late_ratio(make(size)) > lru + 0.06
    adapted = make(size)
    hit_ratio(adapted, drifting(200 * size, size, chance))
    assert late_ratio(adapted) > lru + 0.02


def test_old_fame_fades() -> None:
    """Keys that were frequent once give way to those that are now."""
    chance = random.Random(1)
    cached = make(100)
    for hot in (range(0, 80), range(1000, 1080), range(2000, 2080)):
        hit_ratio(cached, chance.choices(hot, k=40 * len(hot)))
        assert hit_ratio(cached, chance.choices(hot, k=1000)) > 0.9
