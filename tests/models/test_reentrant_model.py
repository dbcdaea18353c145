"""Functions that use their own cache while they compute, against the naive model.

A computation may call for other keys or for its own, clear the cache, put values in, look, and
raise. With single_flight a result is stored only if its computation is still the one of its key: a
clear and a set end that, and who re-enters a key in flight computes for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_model import NaiveCache
from naive_policies import EXACT

from warp_cache import Strategy, cache, lru_cache

KEYS = range(5)
SIZES = (0, 1, 2, 3, None)
# Where the victim follows from the calls alone: always, or where there is no choice.
CASES = [
    pytest.param(strategy, size, id=f"{strategy.name}-{size}")
    for strategy in Strategy
    for size in SIZES
    if strategy in EXACT or size in (0, 1, None)
]
DEPTH = 3


class Boom(Exception):
    """What a computation raises when it is told to."""


@dataclass(frozen=True)
class Step:
    """One operation; `inside` is what the computation of a call that misses does."""

    what: str
    key: int = 0
    inside: tuple[Step, ...] = ()
    raises: bool = False


def steps(allow_set: bool) -> st.SearchStrategy[Step]:
    keys = st.sampled_from(KEYS)
    others = ["get", "clear", "get", "set"] if allow_set else ["get", "clear"]
    other = st.builds(Step, st.sampled_from(others), keys)
    step: st.SearchStrategy[Step] = st.one_of(st.builds(Step, st.just("call"), keys), other)
    for _ in range(DEPTH):
        inside = st.lists(step, max_size=4).map(tuple)
        raises = st.sampled_from([False] * 7 + [True])
        call = st.builds(Step, st.just("call"), keys, inside, raises)
        step = st.one_of(call, call, call, other)
    return step


def programs(allow_set: bool = True) -> st.SearchStrategy[list[Step]]:
    return st.lists(steps(allow_set), min_size=1, max_size=12)


@dataclass
class Runner:
    """Runs a program on something with the five operations and notes what it sees."""

    log: list[Any] = field(default_factory=list)
    inside: list[Step] = field(default_factory=list)
    computed: int = 0

    def compute(self, key: int) -> tuple[int, int]:
        step = self.inside[-1]
        self.computed += 1
        value = (key, self.computed)
        self.log.append(f"compute {value}")
        for inner in step.inside:
            self.run(inner)
        if step.raises:
            raise Boom(value)
        return value

    def run(self, step: Step) -> None:
        try:
            self.inside.append(step)
            result = self.operate(step)
        except Boom as error:
            result = error.args
        finally:
            self.inside.pop()
        self.log.append(f"{step.what}({step.key}) -> {result}, {self.info()}")

    def operate(self, step: Step) -> Any:
        raise NotImplementedError

    def info(self) -> tuple[Any, ...]:
        raise NotImplementedError


class Real(Runner):
    def __init__(self, decorate: Callable[..., Any], size: int | None) -> None:
        super().__init__()
        self.cached = decorate(max_size=size)(self.compute)

    def operate(self, step: Step) -> Any:
        if step.what == "call":
            return self.cached(step.key)
        if step.what == "get":
            return self.cached.get(step.key)
        if step.what == "set":
            self.computed += 1
            return self.cached.set(("set", self.computed), step.key)
        return self.cached.cache_clear()

    def info(self) -> tuple[Any, ...]:
        return tuple(self.cached.cache_info())


class Model(Runner):
    """The rules of computations in flight, on top of a cache that knows nothing of them."""

    def __init__(
        self,
        strategy: Strategy,
        size: int | None,
        single_flight: bool,
        stores_over_clears: bool = False,
    ) -> None:
        super().__init__()
        self.stores_over_clears = stores_over_clears
        self.clears = 0
        self.naive = NaiveCache(strategy, size)
        self.single_flight = single_flight
        self.flights: dict[int, object] = {}

    def operate(self, step: Step) -> Any:
        key = step.key
        if step.what == "call":
            return self.naive.call(key, lambda: self.compute(key), self.store(key))
        if step.what == "get":
            return self.naive.get(key)
        if step.what == "set":
            self.computed += 1
            self.flights.pop(key, None)
            return self.naive.set(key, ("set", self.computed))
        self.flights.clear()
        self.clears += 1
        return self.naive.clear()

    def store(self, key: int) -> Callable[[Callable[[], Any]], Any]:
        """How the result of a miss gets into the cache; called with the computation."""

        def in_flight(compute: Callable[[], Any]) -> Any:
            if key in self.flights:
                return compute()
            mine = self.flights[key] = object()
            try:
                value = compute()
                if self.flights.get(key) is mine:
                    self.naive.set(key, value)
            finally:
                if self.flights.get(key) is mine:
                    del self.flights[key]
            return value

        def as_functools(compute: Callable[[], Any]) -> Any:
            clears = self.clears
            value = compute()
            if clears != self.clears and not self.stores_over_clears:
                return value
            if self.naive.max_size is None or not self.naive.holds(key):
                self.naive.set(key, value)
            return value

        return in_flight if self.single_flight else as_functools

    def info(self) -> tuple[Any, ...]:
        return self.naive.info


def check(real: Real, model: Model, program: list[Step]) -> None:
    for step in program:
        real.run(step)
        model.run(step)
        assert real.log == model.log
    # The order of what is left, as far as evictions can tell.
    for key in range(100, 103):
        for runner in (real, model):
            runner.run(Step("call", key))
            for old in KEYS:
                runner.run(Step("get", old))
    assert real.log == model.log


@pytest.mark.parametrize(("strategy", "size"), CASES)
def test_single_flight(strategy: Strategy, size: int | None) -> None:
    @settings(max_examples=support.examples(12))
    @given(programs())
    def run(program: list[Step]) -> None:
        def decorate(**parameters: Any) -> Any:
            return cache(strategy, **parameters)

        check(Real(decorate, size), Model(strategy, size, True), program)

    run()


@pytest.mark.parametrize("size", SIZES)
def test_single_flight_of_lru_cache(size: int | None) -> None:
    @settings(max_examples=support.examples(12))
    @given(programs())
    def run(program: list[Step]) -> None:
        def decorate(**parameters: Any) -> Any:
            return lru_cache(single_flight=True, ttl=3600, **parameters)

        check(Real(decorate, size), Model(Strategy.LRU, size, True), program)

    run()


@pytest.mark.parametrize(("strategy", "size"), CASES)
def test_without_single_flight(strategy: Strategy, size: int | None) -> None:
    """Every computation that began after the last clear stores, if bounded not over what came."""

    @settings(max_examples=support.examples(12))
    @given(programs(allow_set=False))
    def run(program: list[Step]) -> None:
        def decorate(**parameters: Any) -> Any:
            return cache(strategy, single_flight=False, **parameters)

        check(Real(decorate, size), Model(strategy, size, False), program)

    run()


@pytest.mark.parametrize("size", SIZES)
def test_lru_cache_stores_over_clears(size: int | None) -> None:
    """As functools does."""

    @settings(max_examples=support.examples(12))
    @given(programs(allow_set=False))
    def run(program: list[Step]) -> None:
        check(Real(lru_cache, size), Model(Strategy.LRU, size, False, True), program)

    run()
