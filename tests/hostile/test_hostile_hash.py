"""Keys whose `__hash__` calls in again, clears, raises, waits or lies."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fighters import CAPACITIES, VARIANTS, Counted, Key, Trap
from support import results, start_together, switching

from warp_cache import cache, lru_cache

ACTIONS: dict[str, Callable[[Counted, Key], Any]] = {
    "call the same key": lambda f, key: f(key),
    "call another key": lambda f, key: f(7),
    "clear": lambda f, key: f.cached.cache_clear(),
    "insert hundreds": lambda f, key: [f(i) for i in range(300)],
    "set the same key": lambda f, key: f.put(key),
    "get the same key": lambda f, key: f.cached.get(key),
    "sleep": lambda f, key: time.sleep(0.001),
    "collect": lambda f, key: gc.collect(),
}


@pytest.mark.parametrize("max_size", [0, *CAPACITIES])
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_hash_that_acts(variant: str, action: str, max_size: int | None) -> None:
    f = Counted(VARIANTS[variant], max_size)
    trap = Trap()
    for name in (1, 2):
        f(Key(name, on_hash=trap))
    for name in (1, 2, 3, 1):
        key = Key(name, on_hash=trap)

        def act(key: Key = key) -> None:
            ACTIONS[action](f, key)

        trap.action = act
        trap.armed = True
        f(key)
        f.cached.get(key)
        f.put(key)
        trap.armed = False
    # A cache that stores nothing need not hash.
    assert trap.fired >= (0 if max_size == 0 else 12)
    f.check(cleared=action == "clear")


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyboardInterrupt, StopIteration])
@pytest.mark.parametrize("variant", VARIANTS)
def test_hash_that_raises_reaches_the_caller_and_counts_nothing(
    variant: str, error: type[BaseException]
) -> None:
    f = VARIANTS[variant](max_size=8)(lambda *args, **kwargs: "value")
    trouble = error("unhashable")

    def refuse() -> None:
        raise trouble

    f(1)
    before = tuple(f.cache_info())
    bad = Key(1, on_hash=refuse)
    for call in (
        lambda: f(bad),
        lambda: f(1, 2, bad),
        lambda: f(word=bad),
        lambda: f((1, (2, bad))),
        lambda: f.get(bad),
        lambda: f.set("value", bad),
        lambda: f.set("value", 1, word=bad),
    ):
        with pytest.raises(error) as caught:
            call()
        assert caught.value is trouble
    assert tuple(f.cache_info()) == before
    assert f(1) == "value"
    assert f.cache_info().hits == 1


@pytest.mark.parametrize("bad", [[], {}, set(), (1, []), bytearray(b"x")], ids=repr)
@pytest.mark.parametrize("variant", VARIANTS)
def test_unhashable_arguments_are_a_type_error_and_count_nothing(variant: str, bad: object) -> None:
    calls = []
    f = VARIANTS[variant](max_size=8)(lambda *args, **kwargs: calls.append(args))
    for call in (lambda: f(bad), lambda: f(1, bad), lambda: f(word=bad), lambda: f.set(1, bad)):
        with pytest.raises(TypeError, match="unhashable"):
            call()
    assert calls == []
    assert tuple(f.cache_info()) == (0, 0, 8, 0)


@pytest.mark.parametrize("max_size", [1, 128, None])
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_argument_is_hashed_exactly_once_a_call(variant: str, max_size: int | None) -> None:
    f = VARIANTS[variant](max_size=max_size)(lambda a, b=None, *, c=None: [a, b, c])
    hashed = 0

    def count() -> None:
        nonlocal hashed
        hashed += 1

    def key(name: object) -> Key:
        return Key(name, on_hash=count, value=hash(name))

    def hashes(call: Callable[[], Any]) -> int:
        nonlocal hashed
        hashed = 0
        call()
        return hashed

    first = key("first")
    assert hashes(lambda: f(first)) == 1, "miss"
    assert hashes(lambda: f(first)) == 1, "hit"
    assert hashes(lambda: f(key("first"))) == 1, "hit through __eq__"
    assert hashes(lambda: f(key("second"))) == 1, "miss with eviction where max_size is 1"
    assert hashes(lambda: f(key(1), key(2))) == 2
    assert hashes(lambda: f(key(1), key(2))) == 2
    assert hashes(lambda: f(key(1), b=key(2), c=key(3))) == 3
    assert hashes(lambda: f(key(1), c=key(3), b=key(2))) == 3
    assert hashes(lambda: f.get(key(1), key(2))) == 2
    assert hashes(lambda: f.set("value", key(1), key(2))) == 2
    # An entry that goes away, or a table that grows, has its hash already.
    for i in range(300):
        f(i)
    assert hashes(lambda: [f(i + 1000) for i in range(300)]) == 0
    assert hashes(f.cache_clear) == 0


def test_hash_is_taken_once_by_who_waits_and_who_computes() -> None:
    f = cache(lambda key: time.sleep(0.05))
    hashed = []
    key = Key("one", on_hash=lambda: hashed.append(1))
    results(start_together([lambda: f(key)] * 4))
    assert len(hashed) == 4


@pytest.mark.parametrize("variant", VARIANTS)
def test_hash_that_deletes_the_cached_function(variant: str) -> None:
    """Nothing but the call itself holds the function by then."""
    holder: dict[str, Any] = {}
    holder["f"] = VARIANTS[variant](max_size=4)(lambda key: [key])
    trap = Trap(lambda: (holder.clear(), gc.collect()))
    trap.armed = True
    key = Key(1, on_hash=trap)
    assert holder["f"](key) == [key]
    assert trap.fired == 1
    assert not holder


@pytest.mark.parametrize("variant", VARIANTS)
def test_hash_that_changes_every_time(variant: str) -> None:
    """Such a key may never be found again, but bounds, counters and clearing hold."""
    dice = random.Random(7)

    class Drifting:
        def __hash__(self) -> int:
            return dice.getrandbits(60)

    keys = [Drifting() for _ in range(10)]
    f = VARIANTS[variant](max_size=16)(lambda key: key)
    for _ in range(1000):
        key = dice.choice(keys)
        assert f(key) is key
        if dice.random() < 0.1:
            f.set(key, key)
        assert f.cache_info().currsize <= 16
    info = f.cache_info()
    assert info.hits + info.misses == 1000
    f.cache_clear()
    assert f.cache_info().currsize == 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_extreme_hashes(variant: str) -> None:
    """Every corner of the hash's range is an ordinary key (`hash()` itself turns -1 into -2)."""
    corners = [0, 1, -1, -2, 2**61 - 2, 2**61 - 1, 2**61, 2**62, 2**63 - 1, -(2**63), 2**200]
    corners += [1 << bit for bit in range(64)] + [~(1 << bit) for bit in range(63)]
    f = VARIANTS[variant](max_size=None)(lambda key: [key])
    keys = [Key(i, value=value) for i, value in enumerate(corners)]
    firsts = [f(key) for key in keys]
    assert all(f(key) is first for key, first in zip(keys, firsts, strict=True))
    assert f.cache_info().hits == f.cache_info().misses == len(corners)


def test_hash_that_waits_for_a_thread_inside_the_same_cache() -> None:
    """`__hash__` and `__eq__` run with no lock of the cache held."""
    for decorator in (cache(max_size=4), lru_cache(max_size=4)):
        f = decorator(lambda key: "value")

        def other_thread_calls(f: Any = f) -> None:
            others = [lambda i=i: (f(i), f.get(i), f.set("value", i)) for i in range(6)]
            results(start_together([*others, f.cache_info, f.cache_clear]), 10)

        for on in ("on_hash", "on_eq"):
            trap = Trap(other_thread_calls)
            f.cache_clear()
            f(Key(1, **{on: trap}))
            trap.armed = True
            assert f(Key(1, **{on: trap})) == "value"
            assert trap.fired >= 1


def test_keyword_names_of_a_str_subclass() -> None:
    """`**` lets through names of a subclass of str, with an `__eq__` and `__hash__` of its own."""

    class Name(str):
        __slots__ = ()

        def __hash__(self) -> int:
            f.cache_clear()
            f(1)
            return str.__hash__(self)

        def __eq__(self, other: object) -> bool:
            f.cache_clear()
            f(1)
            return str.__eq__(self, other)

    def plain(x: Any = 0, **more: Any) -> list[Any]:
        return [x, sorted(map(str, more)), sorted(map(repr, more.values()))]

    for decorator in (cache(max_size=4), lru_cache(max_size=4)):
        f = decorator(plain)
        # Built from pairs: whether a subclass reaches the callee is the interpreter's business.
        for pairs in ([("x", 5)], [("y", 5)], [("x", 1), ("y", 2)], [("y", 2), ("z", 3)]):
            for _ in range(3):
                assert f(**{Name(k): v for k, v in pairs}) == plain(**dict(pairs))
        assert f.cache_info().currsize <= 4


@pytest.mark.parametrize("variant", VARIANTS)
def test_hash_that_switches_threads(variant: str) -> None:
    f = VARIANTS[variant](max_size=8)(lambda key: ("value", key.name))

    def look(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(400):
            name = dice.randrange(20)
            key = Key(name, on_hash=lambda: time.sleep(0), value=name)
            assert f(key) == ("value", name)

    with switching():
        results(start_together([lambda s=s: look(s) for s in range(3)]))
    info = f.cache_info()
    assert info.hits + info.misses == 1200
    assert info.currsize <= 8


@pytest.mark.parametrize("variant", VARIANTS)
def test_hash_that_is_cached_itself_is_a_recursion_error(variant: str) -> None:
    """To look up `self` is to hash it, and so on: no frame of Python's counts how deep that is."""

    class Endless:
        __hash__ = VARIANTS[variant](max_size=8)(lambda self: 1)

        @VARIANTS[variant](max_size=8)
        def method(self, *more: object) -> int:
            return 1

    def recurse() -> None:
        for call in (hash, Endless.method, lambda it: it.method((it,), 1)):
            with pytest.raises(RecursionError):
                call(Endless())
            ended.append(call)

    ended: list[object] = []
    # Debug builds take more of the stack than the interpreter's limit is made for.
    before = threading.stack_size(1 << 28)
    try:
        thread = threading.Thread(target=recurse)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert len(ended) == 3
