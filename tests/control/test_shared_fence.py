"""The fence of a shared cache: who calls after an invalidation never gets what began before it."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
import time
from typing import Any

import pytest
import support
from control import Gate, Kind
from fencing import OPERATIONS, reader
from test_shared_control import LONG, shared


@pytest.mark.parametrize("single_flight", [True, False])
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "clear_all"])
def test_a_computation_that_began_before_is_not_stored(operation: str, single_flight: bool) -> None:
    body = Gate()
    f = shared(single_flight=single_flight, tags="all")(lambda x: body(x))
    act, found = OPERATIONS[operation]
    old = support.start(f, 1)
    body.await_begun(1)
    body.source = "new"
    act(f)
    body.open(2)
    assert support.start(f, 1).result(support.LIMIT) == (found or "new")
    body.open(1)
    assert old.result(support.LIMIT) == "old"
    assert f.get(1) == (found or "new")


@support.uncacheable
def test_a_value_that_cannot_be_stored_still_drops_the_older_and_fences(kind: Kind) -> None:

    f = shared(max_value_size=1000)(kind.one(lambda x: "computed"))
    for value in ("v" * 2000, threading.Lock()):
        f.set("older", 1)
        with contextlib.suppress(TypeError, pickle.PicklingError):
            f.set(value, 1)
        assert f.get(1) is None
        f.set("older", 1)
        with contextlib.suppress(TypeError, pickle.PicklingError):
            f.cache_put(value, (1,))
        assert f.get(1) is None


def test_an_invalidation_keeps_at_most_one_of_a_thousand_others_from_being_stored() -> None:
    number, lost = 200, 0

    async def main(run: int) -> int:
        gate = asyncio.Event()

        # (Which keys share a stamp is the same in all runs of one file.)
        @shared(max_size=10_000, name=f"many {run}")
        async def f(x: int) -> int:
            await gate.wait()
            return x

        tasks = [asyncio.ensure_future(f(x)) for x in range(1, number + 1)]
        for _ in range(20):
            await asyncio.sleep(0)
        for x in range(-5, 1):
            f.cache_invalidate(x)
        gate.set()
        await asyncio.gather(*tasks)
        return sum(f.get(x) is None for x in range(1, number + 1))

    for run in range(5):
        lost += asyncio.run(main(run))
    # 1,000 computations, 6 invalidations: 6 at most, in the mean.
    assert lost <= 24


def test_threads_never_see_what_was_computed_before_an_invalidation() -> None:
    source, published = [0], [0]
    wrong: list[Any] = []
    end = time.monotonic() + 1.0

    @shared(tags="all", name="history")
    def f(x: int) -> int:
        version = source[0]
        if version % 3:
            time.sleep(0.0001)
        return version

    writes = [
        lambda: f.cache_invalidate(1),
        lambda: f.cache_clear(),
        lambda: f.cache_invalidate_tags("all"),
        lambda: f.set(source[0], 1),
        lambda: f.cache_put(source[0], (1,), ttl=LONG),
    ]

    def writer() -> None:
        while time.monotonic() < end and not wrong:
            source[0] += 1
            writes[source[0] % len(writes)]()
            published[0] = source[0]
            time.sleep(0.0002)

    read = reader(f, published, wrong, end)
    support.results(support.start_together([writer, read, read, read]))
    assert wrong == [], "(got, at least)"
