"""What happens to the cache while a computation is under way: clearing, setting, evicting."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from support import LIMIT, PAUSE, Arriving, Held, Waits, results, start

from warp_cache import Strategy, cache, lru_cache


class InTurn:
    """Computations that are released one by one, each with a result of its own."""

    def __init__(self) -> None:
        self.gates = [threading.Event() for _ in range(6)]
        self.started = [threading.Event() for _ in range(6)]
        self._lock = threading.Lock()
        self.count = 0

    def __call__(self, key: object) -> str:
        with self._lock:
            number = self.count
            self.count += 1
        self.started[number].set()
        assert self.gates[number].wait(LIMIT)
        return f"result {number}"

    def await_start(self, number: int) -> None:
        assert self.started[number].wait(LIMIT)


def test_a_result_that_began_before_the_clearing_is_returned_and_not_stored() -> None:
    held = Held()
    key = Arriving()
    f = cache(wait_timeout=None)(lambda key: held(key))
    threads = [start(f, key) for _ in range(4)]
    held.await_start()
    key.await_calls(4)
    f.cache_clear()
    assert tuple(f.cache_info()) == (0, 0, 128, 0)
    held.release()
    values = results(threads)
    assert all(value is values[0] for value in values), "those who waited share it all the same"
    assert len(held.calls) == 1
    assert f.cache_info().currsize == 0
    assert f.get(key) is None
    assert f(key) is not values[0]
    assert len(held.calls) == 2


def test_callers_after_the_clearing_start_anew() -> None:
    turns = InTurn()
    key = Arriving()
    f = cache(wait_timeout=None)(lambda key: turns(key))
    before = [start(f, key) for _ in range(3)]
    turns.await_start(0)
    key.await_calls(3)
    f.cache_clear()
    after = [start(f, key) for _ in range(3)]
    turns.await_start(1)
    key.await_calls(3)
    assert turns.count == 2, "callers after the clearing share one computation of their own"
    turns.gates[1].set()
    assert results(after) == ["result 1"] * 3
    assert not any(thread.done() for thread in before)
    assert f(key) == "result 1"
    turns.gates[0].set()
    assert results(before) == ["result 0"] * 3
    assert f(key) == "result 1", "the older result may not replace the newer one"
    assert turns.count == 2


def test_the_older_computation_ends_first() -> None:
    turns = InTurn()
    f = cache(wait_timeout=None)(lambda key: turns(key))
    before = start(f, "key")
    turns.await_start(0)
    f.cache_clear()
    after = start(f, "key")
    turns.await_start(1)
    turns.gates[0].set()
    assert results([before]) == ["result 0"]
    assert f.get("key") is None
    late = start(f, "key")
    time.sleep(PAUSE)
    assert turns.count == 2, "the end of the older one may not end the younger one's record"
    turns.gates[1].set()
    assert results([after, late]) == ["result 1"] * 2
    assert f("key") == "result 1"


def test_clearing_many_times_in_one_computation() -> None:
    held = Held(lambda key: "value")
    f = cache(wait_timeout=None)(lambda key: held(key))
    threads = []
    for i in range(5):
        threads.append(start(f, "key"))
        held.await_start()
        for _ in range(i + 1):
            f.cache_clear()
    held.release()
    assert results(threads) == ["value"] * 5
    assert len(held.calls) == 5
    assert f.cache_info().currsize == 0


def test_the_computation_itself_clears() -> None:
    calls = []

    @cache(wait_timeout=None)
    def f(i: int) -> list[int]:
        calls.append(i)
        f.cache_clear()
        return calls

    assert f(1) is calls
    assert f.cache_info().currsize == 0
    f(1)
    assert calls == [1, 1]


def test_an_exception_after_the_clearing(waits: Waits) -> None:
    turns = InTurn()

    @cache(wait_timeout=None)
    def f(key: str) -> str:
        value = turns(key)
        if value == "result 0":
            raise ValueError(value)
        return value

    before = [start(f, "key")]
    turns.await_start(0)
    before.append(start(f, "key"))
    waits.await_calls(1)
    f.cache_clear()
    after = start(f, "key")
    turns.await_start(1)
    turns.gates[0].set()
    assert [str(thread.exception(LIMIT)) for thread in before] == ["result 0"] * 2
    turns.gates[1].set()
    assert results([after]) == ["result 1"]
    assert f("key") == "result 1"


@pytest.mark.parametrize("decorator, stored", [(lru_cache, 1), (cache(single_flight=False), 0)])
def test_without_single_flight_a_result_from_before_the_clearing(
    decorator: Any, stored: int
) -> None:
    """``lru_cache`` stores it, as functools does; ``cache`` does not."""
    held = Held(lambda key: "value")
    f = decorator(lambda key: held(key))
    thread = start(f, "key")
    held.await_start()
    f.cache_clear()
    held.release()
    results([thread])
    assert f.cache_info().currsize == stored


def test_set_during_the_computation() -> None:
    held = Held(lambda key: "computed")
    key = Arriving()
    f = cache(wait_timeout=None)(lambda key: held(key))
    threads = [start(f, key) for _ in range(4)]
    held.await_start()
    key.await_calls(4)
    f.set("set", key)
    assert f.get(key) == "set"
    assert results([start(f, key)], 5) == ["set"], "who comes after the set value needs not wait"
    assert f.cache_info().currsize == 1
    held.release()
    assert results(threads) == ["computed"] * 4
    assert f(key) == "set", "the computation began before"
    assert len(held.calls) == 1
    info = f.cache_info()
    assert (info.hits, info.misses, info.currsize) == (2, 4, 1)


def test_set_then_clear_during_the_computation() -> None:
    turns = InTurn()
    f = cache(wait_timeout=None)(lambda key: turns(key))
    first = start(f, "key")
    turns.await_start(0)
    f.set("set", "key")
    f.cache_clear()
    assert f.get("key") is None
    second = start(f, "key")
    turns.await_start(1)
    turns.gates[1].set()
    assert results([second]) == ["result 1"]
    turns.gates[0].set()
    assert results([first]) == ["result 0"]
    assert f("key") == "result 1"


def test_a_set_value_that_is_evicted_during_the_computation() -> None:
    turns = InTurn()
    f = cache(wait_timeout=None, max_size=1)(lambda key: turns(key))
    first = start(f, "key")
    turns.await_start(0)
    f.set("set", "key")
    f.set("other", "other key")
    assert f.get("key") is None
    second = start(f, "key")
    time.sleep(PAUSE)
    for gate in turns.gates:
        gate.set()
    assert results([first]) == ["result 0"]
    # Whether the second one joined the first computation or began one, its value is a computed one.
    assert results([second])[0] in ("result 0", "result 1")
    assert f.cache_info().currsize <= 1


def test_the_computation_itself_sets_its_key() -> None:
    @cache(wait_timeout=None)
    def f(i: int) -> str:
        f.set("set", i)
        assert f.get(i) == "set"
        assert f(i) == "set"
        return "computed"

    assert f(1) == "computed"
    assert f(1) == "set"


@pytest.mark.parametrize("strategy", Strategy)
def test_a_computation_under_way_can_not_be_evicted(strategy: Strategy) -> None:
    held = Held()
    key = Arriving()
    f = cache(max_size=1, strategy=strategy, wait_timeout=None)(
        lambda key: held(key) if isinstance(key, Arriving) else key
    )
    threads = [start(f, key) for _ in range(4)]
    held.await_start()
    key.await_calls(4)
    for i in range(500):
        assert f(i) == i
        assert f.cache_info().currsize == 1, "a pending computation takes no place"
    threads += [start(f, key) for _ in range(4)]
    key.await_calls(4)
    held.release()
    assert len({id(value) for value in results(threads)}) == 1
    assert len(held.calls) == 1
    assert f.cache_info().currsize == 1
    assert f(key)[0] == "value"


@pytest.mark.parametrize("max_size", [1, 3, None])
@pytest.mark.parametrize("strategy", Strategy)
def test_many_computations_pending_at_once(strategy: Strategy, max_size: int | None) -> None:
    """Thirty keys pending in a cache for one: each is computed once and its waiters get it."""
    keys = [Arriving(i) for i in range(30)]
    held = Held(lambda key: ("value of", key))
    f = cache(max_size=max_size, strategy=strategy, wait_timeout=None)(lambda key: held(key))
    leaders = [start(f, key) for key in keys]
    held.await_start(len(keys))
    waiters = [start(f, key) for key in keys]
    for key in keys:
        assert key._arrived.acquire(timeout=LIMIT) and key._arrived.acquire(timeout=LIMIT)
    time.sleep(PAUSE)
    assert f.cache_info().currsize == 0
    held.release()
    first, second = results(leaders), results(waiters)
    assert [value[1] for value in first] == keys
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert len(held.calls) == len(keys)
    info = f.cache_info()
    assert (info.hits, info.misses) == (0, 60)
    assert info.currsize == (len(keys) if max_size is None else max_size)


def test_the_function_is_deleted_while_it_computes() -> None:
    held = Held(lambda key: "value")
    holder: dict[str, Any] = {"f": cache(lambda key: held(key))}
    key = Arriving()
    threads = [start(lambda: holder["f"](key)) for _ in range(3)]
    held.await_start()
    key.await_calls(3)
    holder.clear()
    held.release()
    assert results(threads) == ["value"] * 3


def test_expiry_counts_from_the_end_of_the_computation() -> None:
    held = Held()
    f = cache(ttl=1.0)(lambda key: held(key))
    thread = start(f, "key")
    held.await_start()
    time.sleep(1.2)
    held.release()
    (value,) = results([thread])
    assert f("key") is value
    assert f.cache_info().hits == 1
