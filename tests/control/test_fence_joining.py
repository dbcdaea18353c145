"""The fence (§2.3) where calls wait: who calls after an invalidation joins nothing from before it.

An invalidation by another process is made by a second function over the same file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import support
from control import Gate, cache, warp

from warp_cache import _async

# What another process does about key 1, and what a later call finds without computing.
Operation = tuple[Callable[[Any], Any], Any]
ELSEWHERE: dict[str, Operation] = {
    "invalidate": (lambda f: f.cache_invalidate(1), None),
    "invalidate_tags": (lambda f: f.cache_invalidate_tags("k1"), None),
    "clear": (lambda f: f.cache_clear(), None),
    "set": (lambda f: f.set("set", 1), "set"),
    "put": (lambda f: f.cache_put("put", (1,)), "put"),
    "put_without_life": (lambda f: f.cache_put("put", (1,), ttl=0), None),
    "set_too_large": (lambda f: f.set("x" * 5000, 1), None),
}
each_elsewhere = pytest.mark.parametrize("operation", list(ELSEWHERE))


def two_over_one_file(function: Any, **options: Any) -> tuple[Any, Any]:
    """The same function cached twice, as two processes have it."""
    options = {"tags": ("k{x}",), "max_value_size": 4096, "wait_timeout": None, **options}
    here, there = (cache(backend="shared", name="joining", **options)(function) for _ in range(2))
    here.set("other", 0)
    assert there.get(0) == "other"
    return here, there


@pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")
@pytest.mark.parametrize("own", [False, True])
@each_elsewhere
def test_a_call_joins_no_computation_that_another_process_has_fenced(
    operation: str, own: bool
) -> None:
    body = Gate()

    def function(x: int) -> Any:
        return body(x)

    here, there = two_over_one_file(function)
    act, found = ELSEWHERE[operation]
    old = support.start(here, 1)
    body.await_begun(1)
    body.source = "new"
    act(here if own else there)
    body.open(2)
    late = support.start(here, 1)
    assert late.result(support.LIMIT) == (found or "new"), "while the old one still runs"
    body.open(1)
    assert old.result(support.LIMIT) == "old", "who called before gets what was computed"
    assert here(1) == there(1) == (found or "new")


@each_elsewhere
def test_a_call_joins_the_computation_that_begins_after_the_fence(operation: str) -> None:
    body = Gate()

    def function(x: int) -> Any:
        return body(x)

    here, there = two_over_one_file(function)
    act, found = ELSEWHERE[operation]
    if found is not None or operation == "set_too_large":
        pytest.skip("nothing is to be computed")
    old = support.start(here, 1)
    body.await_begun(1)
    act(there)
    body.source = "new"
    late = [support.start(here, 1) for _ in range(3)]
    body.await_begun(2)
    body.open(2)
    assert support.results(late) == ["new"] * 3
    body.open(1)
    assert old.result(support.LIMIT) == "old"
    assert body.began == 2


@pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")
@each_elsewhere
def test_a_task_joins_no_computation_that_another_process_has_fenced(operation: str) -> None:
    async def main() -> None:
        gates = [asyncio.Event() for _ in range(8)]
        source, began = ["old"], [0]

        async def function(x: int) -> str:
            value = source[0]
            began[0] += 1
            await gates[began[0] - 1].wait()
            return value

        here, there = two_over_one_file(function)
        act, found = ELSEWHERE[operation]
        old = asyncio.ensure_future(here(1))
        while not began[0]:
            await asyncio.sleep(0)
        source[0] = "new"
        act(there)
        late = [asyncio.ensure_future(here(1)) for _ in range(3)]
        for gate in gates[1:]:
            gate.set()
        got = await asyncio.wait_for(asyncio.gather(*late), support.LIMIT)
        assert got == [found or "new"] * 3, "while the old one still runs"
        assert began[0] == (2 if found is None else 1)
        gates[0].set()
        assert await old == "old"
        assert await here(1) == await there(1) == (found or "new")

    asyncio.run(main())


# --- refreshes ----------------------------------------------------------------------------------


def tagged(decorate: Any, backend: str) -> Any:
    if backend == "shared":
        return decorate(backend="shared", tags=("k{x}",))
    return decorate(tags=("k{x}",))


@pytest.mark.parametrize("module", [False, True])
@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_a_refresh_joins_none_that_was_fenced_by_a_tag(backend: str, module: bool) -> None:
    body = Gate()

    @tagged(cache, backend)
    def f(x: int) -> Any:
        return body(x)

    f.set("before", 1)
    old = support.start(f.cache_refresh, 1)
    body.await_begun(1)
    f.cache_invalidate_tags("other")
    same = support.start(f.cache_refresh, 1)
    body.source = "new"
    warp.invalidate_tags("k1") if module else f.cache_invalidate_tags("k1")
    # (One that comes late computes as well.)
    body.open(2)
    body.open(3)
    assert support.start(f.cache_refresh, 1).result(support.LIMIT) == "new"
    body.open_all = True
    body.open(1)
    assert old.result(support.LIMIT) == "old"
    assert same.result(support.LIMIT) in ("old", "new"), "it came before"
    assert f(1) == "new"


@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_a_refresh_of_a_task_joins_none_that_was_fenced_by_a_tag(backend: str) -> None:
    async def main() -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        source, began = ["old"], [0]

        @tagged(cache, backend)
        async def f(x: int) -> str:
            value = source[0]
            began[0] += 1
            await gates[began[0] - 1].wait()
            return value

        f.set("before", 1)
        old = asyncio.ensure_future(f.cache_refresh(1))
        while not began[0]:
            await asyncio.sleep(0)
        f.cache_invalidate_tags("other")
        same = asyncio.ensure_future(f.cache_refresh(1))
        for _ in range(5):
            await asyncio.sleep(0)
        assert began[0] == 1, "another tag's invalidation is none of the key's"
        source[0] = "new"
        f.cache_invalidate_tags("k1")
        gates[1].set()
        assert await asyncio.wait_for(f.cache_refresh(1), support.LIMIT) == "new"
        gates[0].set()
        assert await old == await same == "old"
        assert await f(1) == "new"

    asyncio.run(main())


# --- tags and what is about to be stored --------------------------------------------------------


@pytest.mark.parametrize("single_flight", [True, False])
@pytest.mark.parametrize("backend", ["memory", "shared"])
@pytest.mark.parametrize("parameter", ["ttl", "cache_if", "weigher", "copy"])
def test_a_tag_invalidated_inside_a_callable_fences_the_value_about_to_be_stored(
    parameter: str, backend: str, single_flight: bool
) -> None:
    armed = [True]

    def callable_(value: Any) -> Any:
        if armed[0]:
            f.cache_invalidate_tags("k1")
        return {"ttl": 60, "cache_if": True, "weigher": 1, "copy": value}[parameter]

    more: dict[str, Any] = {"max_weight": 100} if parameter == "weigher" else {}
    if backend == "shared":
        if parameter == "weigher":
            pytest.skip("memory only")
        more = {"backend": "shared", "name": "callable"}

    def function(x: int) -> str:
        return "value"

    f = cache(**{parameter: callable_}, tags=("k{x}",), single_flight=single_flight, **more)(
        function
    )
    assert f(1) == "value"
    assert not f.cache_contains(1)
    armed[0] = False
    assert f(1) == "value" and f.cache_contains(1)


@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_a_call_joins_none_whose_value_may_come_from_one_that_was_taken_over(
    backend: str, waits: support.Waits
) -> None:
    """Who takes over works out the tags anew; what is invalidated meanwhile concerns both."""
    body = Gate()
    asked: list[int] = []
    late: list[Any] = []

    def tags(x: int) -> list[str]:
        asked.append(x)
        if len(asked) == 2:
            f.cache_invalidate_tags("k1")
            body.source = "new"
            body.open(2)
            late.append(support.start(f, 1))
            support.eventually(lambda: late[0].done() or waits._begun.acquire(blocking=False))
            # What the first one brings, those have who wait for either.
            body.open(1)
            assert old.result(support.LIMIT) == "old"
            body.open_all = True
        return [f"k{x}"]

    def function(x: int) -> Any:
        return body(x)

    more: dict[str, Any] = {"backend": "shared", "name": "taken"} if backend == "shared" else {}
    f = cache(tags=tags, wait_timeout=1.0, **more)(function)
    old = support.start(f, 1)
    body.await_begun(1)
    over = support.start(f, 1)
    waits.await_calls(1)
    assert over.result(support.LIMIT) in ("old", "new"), "it came before"
    assert len(late) == 1 and late[0].result(support.LIMIT) == "new"
    assert f(1) == "new"


# --- tables of computations that other threads change --------------------------------------------


@pytest.mark.parametrize("operation", ["invalidate", "invalidate_tags", "clear", "set"])
def test_an_invalidation_while_a_computation_leaves_its_table_cancels_nobody(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may invalidate between any two steps of the loop's own."""
    armed = [False]

    class Table(dict[Any, Any]):
        def get(self, *args: Any) -> Any:
            found = super().get(*args)
            if armed[0]:
                armed[0] = False
                support.start(ELSEWHERE[operation][0], f).result(support.LIMIT)
            return found

    def table(flights: Any, loop: Any) -> Any:
        return flights.setdefault(loop, Table())

    monkeypatch.setattr(_async, "table_of", table)

    @cache(tags=("k{x}",))
    async def f(x: int) -> str:
        armed[0] = True
        return "value"

    assert asyncio.run(f(1)) == "value"
    assert armed == [False]
    assert f.get(1) == ELSEWHERE[operation][1]
