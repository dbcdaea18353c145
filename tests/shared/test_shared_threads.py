"""Threads of one process at work in a shared cache at once: right values, exact counters."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support

from warp_cache import Strategy, cache, lru_cache

VALUES: dict[str, Callable[[int], Any]] = {
    "immutable": lambda x: f"value {x}",
    "containers": lambda x: {"x": [x], "y": (x, [x])},
    "pickled": lambda x: [range(x)],
}
DURATION = 0.5


def hammer(work: Callable[[random.Random], None], threads: int = 4) -> None:
    """Run `work` over and over in several threads, however late they come to run."""
    end = time.monotonic() + DURATION

    def body(seed: int) -> None:
        random_number = random.Random(seed)
        for number in itertools.count():
            work(random_number)
            if number >= 100 and time.monotonic() >= end:
                break

    with support.switching(1e-5):
        support.results([support.start(body, seed) for seed in range(threads)])


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("decorate", [cache, lru_cache])
def test_values_are_right_and_counters_exact(kind: str, decorate: Any) -> None:
    make = VALUES[kind]
    function = decorate(backend="shared", name="hammered", max_size=20)(make)
    calls = []

    def work(random_number: random.Random) -> None:
        x = random_number.randrange(40)
        value = function(x)
        calls.append(1)
        assert value == make(x)
        if isinstance(value, dict):
            value["x"].append(0)
            value["z"] = 1

    hammer(work)
    info = function.cache_info()
    assert info.hits + info.misses == len(calls) and info.hits > 0
    assert info.currsize == 20


@pytest.mark.parametrize("strategy", Strategy)
def test_with_set_get_and_clear(strategy: Strategy) -> None:
    make = VALUES["containers"]
    function = cache(strategy, 10, backend="shared", name="mixed", ttl=0.05)(make)

    def work(random_number: random.Random) -> None:
        x = random_number.randrange(20)
        match_ = random_number.randrange(20)
        if match_ == 0:
            function.cache_clear()
        elif match_ < 4:
            function.set(make(x), x)
        elif match_ < 8:
            assert function.get(x) in (None, make(x))
        else:
            assert function(x) == make(x)

    hammer(work)
    assert function.cache_info().currsize <= 10


def test_two_objects_on_one_file() -> None:
    one = cache(backend="shared", name="one", max_size=10)(VALUES["immutable"])
    two = cache(backend="shared", name="one", max_size=10)(VALUES["immutable"])

    def work(random_number: random.Random) -> None:
        x = random_number.randrange(20)
        function = one if random_number.randrange(2) else two
        assert function(x) == f"value {x}"
        if x == 0:
            function.set("value 0", 0)

    hammer(work)
    assert one.cache_info() == two.cache_info()


@support.uncacheable
def test_a_file_that_is_cut_short_again_and_again(cache_dir: Path) -> None:
    function = cache(backend="shared", name="cut", max_size=10)(VALUES["containers"])
    function(1)
    lock = threading.Lock()

    def work(random_number: random.Random) -> None:
        x = random_number.randrange(20)
        assert function(x) == VALUES["containers"](x)
        if random_number.randrange(300) == 0:
            with lock, open(cache_dir / "cut.cache", "r+b") as file:
                file.truncate(random_number.randrange(8192))

    hammer(work)


def test_one_computation_for_many_threads() -> None:
    computed = []
    lock = threading.Lock()

    @cache(backend="shared", name="once", max_size=None)
    def function(x: int) -> list[int]:
        with lock:
            computed.append(x)
        time.sleep(0.001)
        return [x]

    def work() -> list[list[int]]:
        return [function(x) for x in range(100)]

    found = support.results(support.start_together([work] * 4))
    assert found == [[[x] for x in range(100)]] * 4
    assert sorted(computed) == list(range(100))
    info = function.cache_info()
    assert info.hits + info.misses == 400 and info.misses >= 100


@support.uncacheable
@pytest.mark.parametrize("why", ["too large", "cleared", "expired"])
@pytest.mark.parametrize("kind", ["containers", "pickled"])
def test_who_waited_for_what_is_not_stored_has_a_value_of_its_own(why: str, kind: str) -> None:
    options: dict[str, Any] = {"expired": {"ttl": 1e-6}, "too large": {"max_value_size": 9}}.get(
        why, {}
    )
    calls, begun = [], []

    @cache(backend="shared", **options)
    def function(x: int) -> Any:
        calls.append(x)
        support.eventually(lambda: len(begun) == 4)
        time.sleep(0.1)
        if why == "cleared":
            function.cache_clear()
        return VALUES[kind](x)

    def call() -> Any:
        begun.append(1)
        return function(1)

    found = support.results([support.start(call) for _ in range(4)])
    assert found == [VALUES[kind](1)] * 4
    assert len({id(one) for one in found}) == 4
    assert why == "expired" or len(calls) < 4
