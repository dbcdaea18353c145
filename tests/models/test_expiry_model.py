"""Lifetimes in real time against the naive model: who has expired, who gives way, in which order.

Many random programs run side by side, phase by phase, so that they share the few sleeps there are.
Between two phases 0.6 lifetimes pass: what one phase stores is alive in the next and expired in the
one after, and no verdict hangs on how fast the machine is. If a phase took so long that an age
becomes doubtful, everything is repeated with longer lifetimes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from naive_model import NaiveCache
from naive_policies import Record

from warp_cache import Strategy, cache, lru_cache

PHASES = 6
GAP = 0.6  # of a lifetime
OPERATIONS = 16
KEYS = range(7)
SIZES = (1, 2, 3, 5, None)
# The tick of a coarse clock, with a margin.
TICK = 0.03
TTLS = (0.4, 0.8, 1.6, 3.2, 6.4)


class PhaseClock:
    """The clock of the models: it moves from phase to phase, and not at all within one."""

    def __init__(self, ttl: float) -> None:
        self.ttl = ttl
        self.phase = 0

    def __call__(self) -> float:
        return self.phase * GAP * self.ttl


class Program:
    """One decorated function, its model, and the random operations that both of them get."""

    def __init__(
        self,
        seed: int,
        decorate: Callable[..., Any],
        strategy: Strategy,
        size: int | None,
        clock: PhaseClock,
    ) -> None:
        self.random = random.Random(seed)
        self.model = NaiveCache(strategy, size, clock.ttl, clock, self._gone)
        self.cached = decorate(max_size=size, ttl=clock.ttl)(self._function)
        self.results = 0
        self.story: list[str] = []
        self.wrong: str | None = None

    def _function(self, key: int) -> tuple[int, int]:
        self.results += 1
        return (key, self.results)

    def _gone(self, records: list[Record]) -> list[Record]:
        # To look is to use; but a model that asks does not choose by the uses that it knows of.
        return [record for record in records if self.cached.get(record.key) is None]

    def _step(self) -> None:
        key = self.random.choice(KEYS)
        what = self.random.choices(["call", "get", "set"], [6, 1, 1])[0]
        got: Any
        expected: Any
        if what == "call":
            before = self.results
            got = self.cached(key)
            self.results = before
            expected = self.model.call(key, lambda: self._function(key))
        elif what == "get":
            got, expected = self.cached.get(key), self.model.get(key)
        else:
            value = self._function(key)
            got, expected = self.cached.set(value, key), None
            self.model.set(key, value)
        self.story.append(f"{what}({key}) = {got}, expected {expected}")
        info, model_info = self.cached.cache_info(), self.model.info
        if got != expected or info != model_info:
            self.wrong = f"cache_info() = {info}, expected {model_info}"

    def run_phase(self, number: int) -> None:
        if self.wrong is not None:
            return
        self.story.append(f"-- phase {number}: {self.cached.cache_info()}")
        if self.cached.cache_info() != self.model.info:
            self.wrong = f"at the beginning of the phase, expected {self.model.info}"
        for _ in range(OPERATIONS):
            if self.wrong is None:
                self._step()


def in_time(phases: list[tuple[float, float]], ttl: float) -> bool:
    """Whether each entry was clearly alive one phase after its own, clearly expired two after."""
    for index, (begin, end) in enumerate(phases):
        for later, (later_begin, later_end) in enumerate(phases[index:], index):
            if later - index <= 1 and later_end - begin > ttl - TICK:
                return False
            if later - index >= 2 and later_begin - end < ttl + TICK:
                return False
    return True


def run_programs(seed: int, decorate: Callable[..., Any], strategy: Strategy) -> None:
    for ttl in TTLS:
        clock = PhaseClock(ttl)
        programs = [
            Program(seed * 1000 + n, decorate, strategy, size, clock)
            for n, size in enumerate(SIZES * 8)
        ]
        phases = []
        for phase in range(PHASES):
            clock.phase = phase
            begin = time.monotonic()
            for program in programs:
                try:
                    program.run_phase(phase)
                except AssertionError as error:
                    # Where the times were not kept, it is not the cache that is wrong.
                    program.wrong = program.wrong or str(error)
            phases.append((begin, time.monotonic()))
            time.sleep(GAP * ttl)
        if not in_time(phases, ttl):
            continue
        for program in programs:
            assert program.wrong is None, "\n".join([*program.story, program.wrong])
        time.sleep(GAP * ttl)
        assert {program.cached.cache_info().currsize for program in programs} == {0}
        return
    pytest.skip(f"this machine is too busy: no run of {PHASES} phases kept its times")


@pytest.mark.parametrize("strategy", list(Strategy), ids=lambda strategy: strategy.name)
def test_cache_with_lifetimes(strategy: Strategy) -> None:
    def decorate(**parameters: Any) -> Any:
        return cache(strategy, **parameters)

    run_programs(strategy + 1, decorate, strategy)


def test_lru_cache_with_lifetimes() -> None:
    run_programs(7, lru_cache, Strategy.LRU)
