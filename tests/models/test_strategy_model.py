"""Every strategy, size, lifetime and typing against the naive model: results, victims, counts.

Hypothesis looks for short programs and makes what it finds shorter still; a long random walk fills
the caches and gets into the states that take many steps.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import support
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twins import Decorate, MakeKey, Twins, canonical_key, literal_key

from warp_cache import Strategy, cache, lru_cache

SIZES = (0, 1, 2, 5, None)
LONG_TTL = 3600.0

# Equal numbers of different types, so that `typed` shows; few enough keys to hit and to evict.
# Unequal ones have unequal hashes (b"a" has that of "a"), since S3-FIFO knows its ghosts by them.
FIRSTS: list[Any] = [0, 1, 2, 3, 4, True, 1.0, 2.0, "a", "b", None, (1, "x"), (1.0, "x"), b"c"]
SECONDS: list[Any] = [0, 1, 0.0]

Call = tuple[tuple[Any, ...], dict[str, Any]]


def spell(x: Any, y: Any) -> list[Call]:
    """The ways to call function(x, y=0), the plain one most of the time."""
    return [
        *[((x,), {})] * 5,
        ((x, y), {}),
        ((), {"x": x}),
        ((x,), {"y": y}),
        ((), {"x": x, "y": y}),
        ((), {"y": y, "x": x}),
    ]


def often(size: int | None) -> range:
    """Keys that most calls ask for: few enough for hits and ties, too many for the cache."""
    return range((size or 3) + 2)


@st.composite
def calls(draw: st.DrawFn, size: int | None) -> Call:
    frequent = st.sampled_from(often(size))
    x = draw(st.one_of(frequent, frequent, frequent, frequent, st.sampled_from(FIRSTS)))
    return draw(st.sampled_from(spell(x, draw(st.sampled_from(SECONDS)))))


class CacheMachine(RuleBasedStateMachine):
    def __init__(self, twins: Twins) -> None:
        super().__init__()
        self.twins = twins
        self.calls = calls(twins.size)

    @rule(data=st.data(), what=st.sampled_from(["call", "call", "call", "get", "set", "raise"]))
    def operate(self, data: Any, what: str) -> None:
        operation = {"raise": self.twins.call_that_raises}.get(what) or getattr(self.twins, what)
        args, kwargs = data.draw(self.calls)
        operation(*args, **kwargs)

    # What is cleared or refused all the time never fills.
    @precondition(lambda self: self.twins.model.misses > 5)
    @rule(what=st.sampled_from(["clear", "unhashable", "wrong_call"]))
    def disturb(self, what: str) -> None:
        getattr(self.twins, what)()

    @invariant()
    def same(self) -> None:
        self.twins.compare()

    def teardown(self) -> None:
        look_at_everything(self.twins)


def look_at_everything(twins: Twins) -> None:
    for x in (*FIRSTS, *often(twins.size)):
        for args, kwargs in spell(x, 0):
            twins.get(*args, **kwargs)
    twins.compare()


def walk(twins: Twins, seed: str, length: int = support.examples(1000)) -> None:
    chance = random.Random(seed)
    for _ in range(length):
        x = chance.choice(often(twins.size) if chance.random() < 0.9 else FIRSTS)
        args, kwargs = chance.choice(spell(x, chance.choice(SECONDS)))
        kind = chance.random()
        if kind < 0.85:
            twins.call(*args, **kwargs)
        elif kind < 0.90:
            twins.get(*args, **kwargs)
        elif kind < 0.95:
            twins.set(*args, **kwargs)
        elif kind < 0.965:
            twins.call_that_raises(*args, **kwargs)
        elif kind < 0.97:
            twins.unhashable()
        elif kind < 0.975:
            twins.wrong_call()
        else:
            twins.clear()
        twins.compare()
    look_at_everything(twins)


def run(decorate: Decorate, key: MakeKey, *parameters: Any) -> None:
    run_state_machine_as_test(
        lambda: CacheMachine(Twins(decorate, key, *parameters)),
        settings=settings(max_examples=support.examples(3), stateful_step_count=40),
    )
    walk(Twins(decorate, key, *parameters), seed=str(parameters))


@pytest.mark.parametrize("typed", [False, True], ids=["untyped", "typed"])
@pytest.mark.parametrize("ttl", [None, LONG_TTL], ids=["forever", "ttl"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strategy", list(Strategy), ids=lambda strategy: strategy.name)
def test_cache(strategy: Strategy, size: int | None, ttl: float | None, typed: bool) -> None:
    def decorate(**parameters: Any) -> Any:
        return cache(strategy, **parameters)

    run(decorate, canonical_key, strategy, size, ttl, typed)


@pytest.mark.parametrize("typed", [False, True], ids=["untyped", "typed"])
@pytest.mark.parametrize("ttl", [None, LONG_TTL], ids=["forever", "ttl"])
@pytest.mark.parametrize("size", SIZES)
def test_lru_cache(size: int | None, ttl: float | None, typed: bool) -> None:
    run(lru_cache, literal_key, Strategy.LRU, size, ttl, typed)
