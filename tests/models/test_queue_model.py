"""SIEVE and S3-FIFO at each small capacity, where their queues round, against the naive model.

Programs found by hypothesis show a difference in few steps; long walks over more keys than fit send
keys through the small queue, the main one and the ghosts, and the hand round many times.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import Twins, canonical_key

from warp_cache import Strategy, cache

QUEUES = [Strategy.SIEVE, Strategy.S3FIFO]
# Up to 19 the small queue holds one, from 20 on two, from 30 on three.
CAPACITIES = [*range(1, 13), 19, 20, 29, 30, 31]
OPERATIONS = ["call"] * 8 + ["get", "set", "call_that_raises", "clear"]

queues = pytest.mark.parametrize("strategy", QUEUES, ids=lambda strategy: strategy.name)
capacities = pytest.mark.parametrize("capacity", CAPACITIES)


def make_twins(strategy: Strategy, capacity: int, ttl: float | None = None) -> Twins:
    def decorate(**parameters: Any) -> Any:
        return cache(strategy, **parameters)

    return Twins(decorate, canonical_key, strategy, capacity, ttl, False)


def operate(twins: Twins, what: str, key: int) -> None:
    getattr(twins, what)(*([] if what == "clear" else [key]))
    twins.compare()


@queues
@capacities
def test_short_programs(strategy: Strategy, capacity: int) -> None:
    keys = st.integers(0, capacity + capacity // 2 + 1)
    operations = st.tuples(st.sampled_from(OPERATIONS), keys)

    @settings(max_examples=support.examples(40))
    @given(st.lists(operations, max_size=12 * capacity))
    def run(program: list[tuple[str, int]]) -> None:
        twins = make_twins(strategy, capacity)
        # Full at first, which random programs seldom get to; of uses they have enough.
        for key in range(capacity):
            twins.call(key)
        for what, key in program:
            operate(twins, what, key)

    run()


@queues
@capacities
@pytest.mark.parametrize("ttl", [None, 3600.0], ids=["forever", "ttl"])
def test_long_walks(strategy: Strategy, capacity: int, ttl: float | None) -> None:
    twins = make_twins(strategy, capacity, ttl)
    chance = random.Random(f"{strategy.name} {capacity}")
    for _ in range(3000):
        what = "clear" if chance.random() < 0.002 else chance.choice(OPERATIONS[:-1])
        # A few favourites, and as many others as there are entries and ghosts.
        favourite = chance.random() < 0.5
        key = chance.randrange(max(1, capacity // 2) if favourite else 3 * capacity)
        operate(twins, what, key)


@capacities
def test_a_cycle_longer_than_the_cache_goes_round_the_ghosts(capacity: int) -> None:
    """Each key comes again just when its ghost is among the oldest, or just forgotten."""
    twins = make_twins(Strategy.S3FIFO, capacity)
    for length in range(capacity + 1, 2 * capacity + 3):
        for key in list(range(length)) * 4:
            operate(twins, "call", key)


def test_the_hand_keeps_its_place() -> None:
    """What a second hand, one that starts anew each time or moves the spared ones, gets wrong."""
    f = cache(Strategy.SIEVE, max_size=4)(str)
    for key in "abcd" + "abd":  # c alone is not visited
        f(key)
    f("e")  # spares a and b, evicts c, rests on d
    f("a")
    f("f")  # spares d and, unvisited since it came, evicts e
    assert [key for key in "abcdef" if f.get(key)] == ["a", "b", "d", "f"]


def test_once_is_not_enough_for_the_main_queue() -> None:
    f = cache(Strategy.S3FIFO, max_size=10)(str)  # one in the small queue, nine in the main one
    for key in "abcdefghij" + "abb":
        f(key)
    f("k")  # a was used once after it came, b twice
    f("l")  # b moves on, c goes
    assert [key for key in "abcdefghijkl" if f.get(key)] == list("bdefghijkl")


def test_who_comes_back_as_a_ghost_goes_to_the_main_queue() -> None:
    f = cache(Strategy.S3FIFO, max_size=4)(str)
    for key in "abcd" + "e" + "a":  # e evicts a, and a, come back, evicts b
        f(key)
    for key in "vwxyz":  # one-off keys pass by what is in the main queue
        f(key)
    assert [key for key in "abcdevwxyz" if f.get(key)] == ["a", "x", "y", "z"]
