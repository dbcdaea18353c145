"""Keys and values whose `__del__` calls in again, clears, raises or waits for a lock."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fighters import VARIANTS
from support import LIMIT, eventually, results, start

from warp_cache import cache

DROPPING: dict[str, Callable[[Any], Any]] = {
    "evict": lambda f: [f(1000 + i) for i in range(5)],
    "clear": lambda f: f.cache_clear(),
    "replace": lambda f: [f.set("other", i) for i in range(4)],
}


class Dying:
    """Does something once, in the moment it goes away."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self.action = action

    def __del__(self) -> None:
        action, self.action = self.action, lambda: None
        action()


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """What `__del__` raised, which Python can tell nobody."""
    seen: list[BaseException] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))
    yield seen
    gc.collect()


ACTIONS: dict[str, Callable[[Any], Any]] = {
    "call the same key": lambda f: f(1),
    "call another key": lambda f: f(77),
    "clear": lambda f: f.cache_clear(),
    "insert hundreds": lambda f: [f(i) for i in range(300)],
    "set": lambda f: f.set("set", 1),
    "get": lambda f: f.get(1),
    "read the counters": lambda f: f.cache_info(),
    "collect": lambda f: gc.collect(),
    "sleep": lambda f: time.sleep(0.001),
}


@pytest.mark.parametrize("dropped", DROPPING)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_value_whose_del_acts(
    variant: str, action: str, dropped: str, unraisable: list[BaseException]
) -> None:
    alive = 0
    died = 0
    making = True

    def act() -> None:
        nonlocal died
        died += 1
        ACTIONS[action](f)

    @VARIANTS[variant](max_size=4)
    def f(i: int) -> object:
        nonlocal alive
        if not making:
            return "plain"
        alive += 1
        return Dying(act)

    for i in range(4):
        f(i)
    making = False
    DROPPING[dropped](f)
    DROPPING[dropped](f)
    f.cache_clear()
    gc.collect()
    assert died == alive == 4
    assert unraisable == []
    assert f.cache_info().currsize <= 4
    f("after")
    hits = f.cache_info().hits
    assert f("after") == "plain"
    assert f.cache_info().hits == hits + 1


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_key_whose_del_acts(variant: str, action: str, unraisable: list[BaseException]) -> None:
    died = []

    class DyingKey(Dying):
        def __hash__(self) -> int:
            return 3

    f = VARIANTS[variant](max_size=4)(lambda *args, **kwargs: "value")
    for i in range(10):
        f(DyingKey(lambda: (died.append(1), ACTIONS[action](f))))
        f(i, DyingKey(lambda: (died.append(1), ACTIONS[action](f))))
        f(word=DyingKey(lambda: (died.append(1), ACTIONS[action](f))))
    f.cache_clear()
    f.cache_clear()
    gc.collect()
    assert len(died) == 30
    assert unraisable == []
    assert f(1) == f(1) == "value"


@pytest.mark.parametrize("dropped", DROPPING)
@pytest.mark.parametrize("variant", VARIANTS)
def test_del_that_raises_disturbs_nobody(
    variant: str, dropped: str, unraisable: list[BaseException]
) -> None:
    def trouble() -> None:
        raise ValueError("in __del__")

    making = True
    f = VARIANTS[variant](max_size=4)(lambda i: Dying(trouble) if making else i)
    for i in range(4):
        f(i)
    making = False
    DROPPING[dropped](f)
    f.cache_clear()
    assert [str(error) for error in unraisable] == ["in __del__"] * 4
    assert f(5) == f(5) == 5


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pending_exception_survives_a_del(variant: str, unraisable: list[Any]) -> None:
    """The function fails while `__del__` of a key of the failed call runs Python code."""

    class DyingKey(Dying):
        def __hash__(self) -> int:
            return 3

    @VARIANTS[variant](max_size=2)
    def f(key: object) -> object:
        if isinstance(key, DyingKey):
            raise LookupError("from the function")
        return key

    for i in range(20):
        with pytest.raises(LookupError, match="from the function"):
            f(DyingKey(lambda i=i: (f(i), f.cache_clear())))
    gc.collect()
    assert unraisable == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_evictions_that_cause_evictions(variant: str) -> None:
    """A chain: what dies inserts the next, whose insertion lets the one before it die."""
    left = 100

    @VARIANTS[variant](max_size=1)
    def f(i: int) -> object:
        return Dying(again)

    def again() -> None:
        nonlocal left
        if left > 0:
            left -= 1
            f(left)

    f(1000)
    f(1001)
    f.cache_clear()
    eventually(lambda: gc.collect() >= 0 and left == 0)
    assert f.cache_info().currsize <= 1


def _lock_and_call(drop: Callable[[Any], Any]) -> None:
    """One thread lets a value die that wants a lock; its holder is in the middle of the cache."""
    lock = threading.Lock()
    dying = threading.Event()
    making = True

    def want_lock() -> None:
        dying.set()
        assert lock.acquire(timeout=LIMIT)
        lock.release()

    prepared, go = threading.Event(), threading.Event()
    f = cache(max_size=4)(lambda i: Dying(want_lock) if making else i)

    def make_and_drop() -> None:
        # All in one thread: without a GIL, objects die in the thread that made them.
        nonlocal making
        f(0)
        making = False
        for i in range(1, 4):
            f(i)
        prepared.set()
        assert go.wait(LIMIT)
        drop(f)

    dropper = start(make_and_drop)
    assert prepared.wait(LIMIT)
    with lock:
        go.set()
        assert dying.wait(LIMIT)
        # The other thread is inside __del__ now: every operation must get through all the same.
        user = start(
            lambda: (f(500), f(500), f.set(1, 2), f.get(2), f.cache_info(), f.cache_clear())
        )
        results([user], 10)
    results([dropper])


@pytest.mark.parametrize("dropped", DROPPING)
def test_values_die_with_no_lock_held(dropped: str) -> None:
    _lock_and_call(DROPPING[dropped])


def test_del_of_an_expired_value_may_call_in() -> None:
    died = []

    @cache(max_size=8, ttl=0.02)
    def f(i: int) -> object:
        return Dying(lambda: (died.append(i), f.cache_info(), f.get(i), f.set("set", -i)))

    for i in range(8):
        f(i)
    time.sleep(0.1)
    for i in range(100, 140):
        f.set("new", i)
    gc.collect()
    assert sorted(died) == list(range(8))
    assert f.cache_info().currsize <= 8


def test_weakref_callbacks_of_dying_values_may_call_in() -> None:
    seen = []

    class Value:
        pass

    making = True
    f = cache(max_size=2)(lambda i: Value() if making else i)
    refs = [
        weakref.ref(f(i), lambda ref, i=i: (seen.append(i), f(i + 100), f.cache_info()))
        for i in range(2)
    ]
    making = False
    f(10)
    f(11)
    f.cache_clear()
    assert sorted(seen) == [0, 1]
    assert all(ref() is None for ref in refs)


def test_cleared_entries_that_die_one_by_one_can_fill_the_cache_again() -> None:
    """What the `__del__` of cleared values stores comes after the clearing."""
    making = True
    f = cache(max_size=None)(lambda i: Dying(lambda: f.set("late", -i)) if making else i)
    for i in range(1, 101):
        f(i)
    making = False
    f.cache_clear()
    assert f.cache_info().currsize == 100
    assert all(f.get(-i) == "late" and f.get(i) is None for i in range(1, 101))


def test_function_dropped_by_the_del_of_its_own_value() -> None:
    """The last reference to the cached function goes while it lets a value die."""
    died = []
    holder: dict[str, Any] = {}
    making = True

    def act() -> None:
        holder.clear()
        gc.collect()
        died.append(True)

    holder["f"] = cache(max_size=1)(lambda i: Dying(act) if making else i)
    holder["f"](1)
    making = False
    assert holder["f"](2) == 2
    assert died == [True]
    assert not holder
