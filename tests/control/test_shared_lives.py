"""What a shared cache hands out, stores of exceptions and serves when it is stale, in a process."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
import support
from control import Body, cache, warp

LONG = 1000
SHORT = 0.05


class Box:
    def __init__(self, item: int) -> None:
        self.item = item


class Narrow(OSError):
    __slots__ = ("place",)
    place: int


class Unstorable(LookupError):
    def __init__(self) -> None:
        super().__init__("no")
        self.lock = threading.Lock()


def shared(**given: Any) -> Any:
    return cache(backend="shared", **given)


def test_who_waits_gets_the_object_itself_without_copies() -> None:
    gate = threading.Event()

    @shared(copy=False)
    def f(x: int) -> Box:
        gate.wait(support.LIMIT)
        return Box(x)

    calls = [support.start(f, 1) for _ in range(4)]
    time.sleep(0.1)
    gate.set()
    first, *others = support.results(calls)
    assert all(other is first for other in others) and f(1) is first and f.get(1) is first


def test_coroutines_that_wait_get_it_too() -> None:
    @shared(copy=False)
    async def f(x: int) -> Box:
        await asyncio.sleep(0.01)
        return Box(x)

    async def main() -> set[int]:
        boxes = await asyncio.gather(*(f(1) for _ in range(4)), return_exceptions=False)
        return {id(box) for box in [*boxes, await f(1)]}

    assert len(asyncio.run(main())) == 1


def test_what_a_copy_raises_at_a_hit_reaches_the_caller() -> None:
    broken = []

    def duplicate(value: list[int]) -> list[int]:
        if broken:
            raise RuntimeError("cannot copy")
        return list(value)

    f = shared(copy=duplicate)(lambda x: [x])
    f(1), f(1)
    broken.append(True)
    for call in (f, f.get):
        with pytest.raises(RuntimeError, match="cannot copy"):
            call(1)
    broken.clear()
    assert f(1) == [1]


def test_what_an_exception_holds_comes_back() -> None:
    def body(x: int) -> None:
        error = Narrow(2, "gone", "/place")
        error.place = x
        raise error from ValueError("cause")

    f = shared(cache_exceptions=OSError)(body)
    for _ in range(3):
        with pytest.raises(Narrow) as caught:
            f(7)
        error = caught.value
        assert (error.errno, error.filename, error.place) == (2, "/place", 7)
        assert str(error) == "[Errno 2] gone: '/place'" and repr(error.__cause__) == (
            "ValueError('cause')"
        )
    assert f.cache_info()[:2] == (2, 1)


def test_an_exception_that_has_no_bytes_is_not_stored() -> None:
    body = Body()
    body.fail = Unstorable()
    f = shared(cache_exceptions=LookupError)(lambda x: body(x))
    told = pytest.warns(warp.UncacheableWarning, match="Unstorable, which cannot be pickled")
    with told, pytest.raises(Unstorable):
        f(1)
    with pytest.raises(Unstorable):
        f(1)
    assert body.count == 2 and dict(f.cache_info().skips) == {"value": 2}


def test_an_old_value_serves_all_who_wait_and_each_has_its_own() -> None:
    gate, down, calls = threading.Event(), [], []

    @shared(ttl=SHORT, stale_if_error=LONG)
    def f(x: int) -> list[int]:
        calls.append(x)
        if down:
            gate.wait(support.LIMIT)
            raise ValueError("down")
        return [x]

    f(1)
    support.eventually(lambda: (f.cache_ttl(1) or 1) < 0)
    down.append(True)
    waiting = [support.start(f, 1) for _ in range(4)]
    time.sleep(0.1)
    gate.set()
    got = support.results(waiting)
    assert got == [[1]] * 4 and len({id(one) for one in got}) == 4


def test_pickling_at_each_hit_is_of_memory() -> None:
    with pytest.raises(ValueError, match="copy"):
        shared(copy="pickle")
