"""Keys whose `__eq__` calls in again, clears, raises, waits or answers nonsense."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from fighters import CAPACITIES, VARIANTS, Counted, Key, Trap
from support import LIMIT, results, start_together, switching

from warp_cache import cache

ACTIONS: dict[str, Callable[[Counted, Key], Any]] = {
    "call the same key": lambda f, key: f(key),
    "call another key": lambda f, key: f(7),
    "call a colliding key": lambda f, key: f(Key("collides")),
    "clear": lambda f, key: f.cached.cache_clear(),
    "clear and compute again": lambda f, key: (f.cached.cache_clear(), f(key)),
    "clear and refill": lambda f, key: (f.cached.cache_clear(), [f(i) for i in range(300)]),
    "insert hundreds": lambda f, key: [f(i) for i in range(300)],
    "set the same key": lambda f, key: f.put(key),
    "set hundreds": lambda f, key: [f.put(i) for i in range(300)],
    "get": lambda f, key: (f.cached.get(key), f.cached.get(7), f.cached.get("absent")),
    "read the counters": lambda f, key: f.cached.cache_info(),
    "sleep": lambda f, key: time.sleep(0.001),
    "collect": lambda f, key: gc.collect(),
}
CLEARING = {"clear", "clear and compute again", "clear and refill"}


@pytest.mark.parametrize("max_size", CAPACITIES)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_eq_that_acts(variant: str, action: str, max_size: int | None) -> None:
    f = Counted(VARIANTS[variant], max_size)
    trap = Trap()

    def key(name: int) -> Key:
        return Key(name, on_eq=trap)

    f(key(1))
    f(key(2))
    for name in (1, 2, 3, 1):
        probe = key(name)

        def act(probe: Key = probe) -> None:
            ACTIONS[action](f, probe)

        trap.action = act
        trap.armed = True
        f(probe)
        f.cached.get(probe)
        f.put(probe)
        trap.armed = False
    assert trap.fired >= 1
    f.check(cleared=action in CLEARING)


@pytest.mark.parametrize("where", ["call", "get", "set"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_eq_that_raises_reaches_the_caller_and_breaks_nothing(variant: str, where: str) -> None:
    f = Counted(VARIANTS[variant], 8)
    trap = Trap()
    for name in range(4):
        f(Key(name, on_eq=trap))

    class Refused(BaseException):
        pass

    trouble = Refused("no")

    def refuse() -> None:
        raise trouble

    trap.action = refuse
    trap.armed = True
    probe = Key(3, on_eq=trap)
    for _ in range(5):
        with pytest.raises(Refused) as caught:
            {"call": f, "get": f.cached.get, "set": f.put}[where](probe)
        assert caught.value is trouble
    trap.armed = False
    computed = f.computed
    for name in range(4):
        f(Key(name))
    assert f.computed == computed, "an entry was lost to the exception"
    f.check(failed=5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_eq_that_evicts_the_entry_being_compared_and_says_equal(variant: str) -> None:
    """The value found may be gone; a right one must be returned all the same."""
    for max_size in (1, 2, 3):
        f = Counted(VARIANTS[variant], max_size)
        trap = Trap(lambda f=f: [f(i) for i in range(10)])
        for _ in range(20):
            f(Key("victim", on_eq=trap))
            trap.armed = True
            f(Key("victim", on_eq=trap))
            trap.armed = False
        assert trap.fired
        f.check()


@pytest.mark.parametrize("variant", VARIANTS)
def test_eq_that_deletes_the_cached_function(variant: str) -> None:
    finished = []

    def build() -> None:
        def compute(key: object) -> object:
            return [key]

        holder = {"f": VARIANTS[variant](max_size=4)(compute)}
        del compute
        trap = Trap()

        def drop() -> None:
            holder.clear()
            gc.collect()

        holder["f"](Key(1, on_eq=trap))
        trap.action = drop
        trap.armed = True
        result = holder["f"](Key(1, on_eq=trap))
        assert trap.fired == 1
        assert not holder
        assert result[0].name == 1
        finished.append(True)

    build()
    gc.collect()
    assert finished


class Odd:
    """Compares equal to its kind with whatever it is told to answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __hash__(self) -> int:
        return 5

    def __eq__(self, other: object) -> Any:
        return self.answer


class NoTruth:
    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")


class LongTruth:
    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("answer", "equal"),
    [
        ("yes", True),
        (1, True),
        ([0], True),
        (LongTruth(), True),
        ("", False),
        (0.0, False),
        (None, False),
        ([], False),
        (NotImplemented, False),
    ],
    ids=lambda answer: getattr(answer, "__name__", type(answer).__name__),
)
def test_eq_whose_answer_is_no_bool(variant: str, answer: Any, equal: bool) -> None:
    calls = []

    @VARIANTS[variant](max_size=8)
    def f(key: object) -> int:
        calls.append(key)
        return len(calls)

    first, second = Odd(answer), Odd(answer)
    f(first)
    assert f(first) == 1, "the same object is the same key, whatever it says"
    assert f(second) == (1 if equal else 2)
    assert len(calls) == (1 if equal else 2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_eq_whose_answer_has_no_truth_value(variant: str) -> None:
    @VARIANTS[variant](max_size=8)
    def f(key: object) -> object:
        return key

    first = Odd(NoTruth())
    f(first)
    for _ in range(3):
        with pytest.raises(ValueError, match="neither true nor false"):
            f(Odd(NoTruth()))
    assert f(first) is first
    assert f.cache_info().currsize == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_eq_that_answers_at_random(variant: str) -> None:
    """No answer can be right or wrong here: nothing may break, and the bounds hold."""
    dice = random.Random(20)

    class Fickle:
        def __hash__(self) -> int:
            return 9

        def __eq__(self, other: object) -> bool:
            return dice.random() < 0.2

    f = VARIANTS[variant](max_size=16)(lambda key: key)
    keys = [Fickle() for _ in range(40)]
    for _ in range(2000):
        f(dice.choice(keys))
        assert f.cache_info().currsize <= 16
    info = f.cache_info()
    assert info.hits + info.misses == 2000
    f.cache_clear()
    assert f.cache_info().currsize == 0


@pytest.mark.parametrize("shape", ["tuple", "keyword", "second", "subclass of tuple"])
@pytest.mark.parametrize("action", ["call the same key", "clear", "insert hundreds", "sleep"])
def test_eq_inside_containers_and_keywords(shape: str, action: str) -> None:
    """A comparison in place may only cover what cannot run user code, however it is wrapped."""

    class Pair(tuple):
        pass

    @cache(max_size=4)
    def cached(*args: Any, **kwargs: Any) -> Any:
        return "value"

    def call(key: Key) -> Any:
        if shape == "tuple":
            return cached((1, (2, key)))
        if shape == "keyword":
            return cached(1, word=key)
        if shape == "subclass of tuple":
            return cached(Pair((key, 1)))
        return cached(1, key)

    trap = Trap()
    acts = {
        "call the same key": lambda: call(Key(1)),
        "clear": cached.cache_clear,
        "insert hundreds": lambda: [cached(i) for i in range(300)],
        "sleep": lambda: time.sleep(0.001),
    }
    call(Key(1, on_eq=trap))
    trap.action = acts[action]
    trap.armed = True
    for name in (1, 2, 1, 3, 1):
        assert call(Key(name, on_eq=trap)) == "value"
    assert trap.fired
    trap.armed = False
    assert cached.cache_info().currsize <= 4


def test_built_in_types_with_an_eq_of_their_own_are_asked() -> None:
    """The fast comparisons are for the exact types: a subclass may see the world differently."""

    class Caseless(str):
        def __hash__(self) -> int:
            return hash(self.lower())

        def __eq__(self, other: object) -> bool:
            return isinstance(other, str) and self.lower() == other.lower()

    class Parity(int):
        def __hash__(self) -> int:
            return int(self) % 2

        def __eq__(self, other: object) -> bool:
            return isinstance(other, int) and int(self) % 2 == int(other) % 2

    f = cache(lambda key: [key])
    assert f(Caseless("Word")) is f(Caseless("wORD"))
    assert f(Caseless("Word")) is not f(Caseless("other"))
    assert f(Parity(3)) is f(Parity(5))
    assert f(Parity(3)) is not f(Parity(4))


def test_keys_of_different_hash_are_never_compared() -> None:
    """As in a dict, even where the hashes differ only high up, or only low down."""
    for shift in (0, 7, 20, 32, 40, 48):
        trap = Trap(lambda: None)
        trap.armed = True
        f = cache(max_size=None)(lambda key: key.name)
        for _ in range(2):
            for i in range(2000):
                assert f(Key(i, on_eq=trap, value=i << shift)) == i
        # One comparison is what an equal key of another object costs; nothing beyond these.
        assert trap.fired <= 2000 + 2, f"hashes i << {shift}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_hundreds_of_keys_with_one_hash(variant: str) -> None:
    f = Counted(VARIANTS[variant], None)
    for _ in range(2):
        for i in range(200):
            f(Key(i))
    assert f.computed == 200
    f.check()


@pytest.mark.parametrize("variant", VARIANTS)
def test_eq_that_switches_threads_while_others_change_the_table(variant: str) -> None:
    """Lookups are interrupted in the middle of comparisons; every answer must be the key's own."""
    decorator = VARIANTS[variant]
    stop = time.monotonic() + 0.25

    for max_size in (2, 16):
        cached = decorator(max_size=max_size)(lambda key: ("value", key.name))

        def look(seed: int, cached: Any = cached) -> int:
            dice = random.Random(seed)
            calls = 0
            while time.monotonic() < stop or calls < 50:
                name = dice.randrange(24)
                key = Key(name, on_eq=lambda: time.sleep(0), value=name % 3)
                assert cached(key) == ("value", name)
                calls += 1
                if calls % 64 == 0:
                    cached.set(("value", name), Key(name, value=name % 3))
            return calls

        with switching():
            calls = sum(
                results(start_together([lambda s=s, look=look: look(s) for s in range(3)]), LIMIT)
            )
        info = cached.cache_info()
        assert info.hits + info.misses == calls
        assert info.currsize <= max_size
