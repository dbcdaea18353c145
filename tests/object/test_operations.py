"""Each operation of the cache object, in both tiers."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from warp_cache import DELETE, Cache, testing

Make = Callable[..., Cache[Any, Any]]


def test_reading_and_what_it_counts(make: Make) -> None:
    cache = make()
    cache["a"] = [1]
    assert cache["a"] == cache.get("a") == cache.peek("a") == [1]
    assert cache.get("b") is None
    assert cache.get("b", 2) == cache.get("b", default=2) == 2
    assert cache.peek("b", 3) == 3
    assert "a" in cache
    assert "b" not in cache
    with pytest.raises(KeyError, match="b"):
        cache["b"]
    info = cache.info()
    assert (info.hits, info.misses, info.currsize) == (2, 4, 1)


def test_what_ends_as_it_is_looked_at_has_no_time_left(make: Make) -> None:
    cache = make()
    found = 0
    for ttl in [1e-6, 2e-6, 4e-6, 1e-5, 3e-5] * 100:
        cache.set("a", 1, ttl=ttl)
        for _ in range(3):
            try:
                assert 0 <= cache.ttl("a") < 1
            except KeyError as error:
                assert error.args == ("a",)
                found += 1
    assert found


def test_renewing_is_for_entries_that_end(make: Make) -> None:
    cache = make()
    cache["stays"] = 1
    cache.set("ends", 2, ttl=10)
    assert cache.get("stays", renew=100) == 1
    assert cache.ttl("stays") == math.inf
    assert cache.get("ends", renew=timedelta(seconds=100)) == 2
    assert 99 < cache.ttl("ends") <= 100
    assert cache.get("none", renew=5) is None
    with pytest.raises(ValueError, match="positive"):
        cache.get("ends", renew=0)
    assert (cache.info().hits, cache.info().misses) == (2, 1)


def test_reading_with_a_new_lifetime_is_one_use(make_here: Make) -> None:
    cache = make_here(strategy="LFU", ttl=100)
    cache.update(often=1, renewed=2)
    for _ in range(2):
        cache["often"]
    assert cache.get("renewed", renew=50) == 2
    assert cache.popitem() == ("renewed", 2)


@pytest.mark.parametrize("ttl", [Decimal(5), Fraction(5)])
def test_a_wrong_lifetime_is_known_before_anything_runs(make: Make, ttl: Any) -> None:
    cache = make()
    for change in (cache.compute, cache.get_or_set):
        with pytest.raises(TypeError, match="ttl"):
            change("a", lambda *_: pytest.fail("it runs"), ttl=ttl)


def test_set_and_lifetimes(make: Make) -> None:
    cache = make(ttl=50)
    assert cache.set("a", 1)
    assert 49 < cache.ttl("a") <= 50
    assert cache.set("a", 2, ttl=None)
    assert cache.ttl("a") == math.inf
    assert cache.set("a", 3, ttl=timedelta(minutes=1))
    assert 59 < cache.ttl("a") <= 60
    for wrong in (0, -1, timedelta(0)):
        for call in (cache.set, cache.add):
            with pytest.raises(ValueError, match="ttl must be positive"):
                call("a", 4, ttl=wrong)
    with pytest.raises(TypeError, match="ttl"):
        cache.set("a", 4, ttl="soon")
    with pytest.raises(TypeError, match="tags"):
        cache.set("a", 4, tags=[1])
    assert cache["a"] == 3
    with pytest.raises(KeyError):
        cache.ttl("b")


def test_an_entry_ends(make: Make) -> None:
    cache = make()
    cache.set("a", 1, ttl=1e-6)
    while "a" in cache:
        pass
    assert len(cache) == 0
    assert list(cache) == []
    assert cache.get("a") is None
    assert cache.add("a", 2)
    assert cache["a"] == 2


def test_add_and_setdefault(make: Make) -> None:
    cache = make()
    assert cache.add("a", 1, ttl=100)
    assert not cache.add("a", 2)
    assert cache["a"] == 1
    assert 99 < cache.ttl("a") <= 100
    assert cache.setdefault("a", 3) == 1
    assert cache.setdefault("b", 4) == 4
    assert cache.setdefault("c") is None
    assert "c" in cache


def test_compute(make: Make) -> None:
    cache = make()
    assert cache.compute("a", lambda old: (old or 0) + 1, ttl=100) == 1
    assert cache.compute("a", lambda old: (old or 0) + 1) == 2
    assert 99 < cache.ttl("a") <= 100
    assert cache.compute("a", lambda old: DELETE) is None
    assert "a" not in cache
    assert cache.compute("a", lambda old: DELETE) is None


def test_compute_runs_again_where_the_entry_has_changed_by_version(make: Make) -> None:
    cache = make()
    cache["a"] = 1
    seen: list[Any] = []

    def add(old: Any) -> Any:
        seen.append(old)
        if len(seen) == 1:
            cache["a"] = 1  # equal, and another entry
        return old + 1

    assert cache.compute("a", add) == 2
    assert seen == [1, 1]

    def fail(old: Any) -> Any:
        raise LookupError(old)

    with pytest.raises(LookupError, match="2"):
        cache.compute("a", fail)
    assert cache["a"] == 2


def test_replace_and_discard(make: Make) -> None:
    cache = make()
    cache.set("a", 1, ttl=100)
    assert not cache.replace("a", 2, 3)
    assert cache.replace("a", 1.0, 3)
    assert 99 < cache.ttl("a") <= 100
    assert cache.replace("a", 3, 4, ttl=None)
    assert cache.ttl("a") == math.inf
    assert not cache.replace("b", None, 1)
    assert not cache.discard("a", 3)
    assert cache.discard("a", 4)
    assert not cache.discard("a", 4)


def test_taking_out(make: Make) -> None:
    cache = make()
    cache.update(a=1, b=2, c=3)
    assert cache.pop("a") == 1
    assert cache.pop("a", None) is None
    with pytest.raises(KeyError):
        cache.pop("a")
    del cache["b"]
    with pytest.raises(KeyError):
        del cache["b"]
    assert cache.delete("c")
    assert not cache.delete("c")
    with pytest.raises(KeyError):
        cache.popitem()


def test_popitem_is_the_next_victim(make_here: Make) -> None:
    cache = make_here(strategy="lru")
    for key in "abc":
        cache[key] = key.upper()
    assert cache["a"] == "A"
    assert list(cache) == ["b", "c", "a"]
    assert cache.popitem() == ("b", "B")
    assert cache.popitem() == ("c", "C")
    assert cache.popitem() == ("a", "A")


def test_incr(make: Make) -> None:
    cache = make()
    with pytest.raises(KeyError):
        cache.incr("n")
    assert cache.incr("n", default=10, ttl=100) == 11
    assert cache.incr("n", 5, default=0, ttl=1) == 16
    assert 99 < cache.ttl("n") <= 100
    assert cache.incr("n", -16) == 0
    assert cache.incr("n", 2**63) == 2**63
    assert cache.incr("n", 2**63) == 2**64
    assert cache.incr("n", -(2**64)) == 0
    assert cache["n"] == 0
    for other in (True, 1.0, "1"):
        cache["x"] = other
        with pytest.raises(TypeError, match="int"):
            cache.incr("x")
        assert cache["x"] is other or cache["x"] == other
    with pytest.raises(TypeError, match="delta"):
        cache.incr("n", 1.5)  # type: ignore[arg-type]
    assert cache.info().misses == 0


def test_touch(make: Make) -> None:
    cache = make(ttl=50)
    assert not cache.touch("a")
    cache["a"] = 1
    assert cache.touch("a", 100)
    assert 99 < cache.ttl("a") <= 100
    assert cache.touch("a")
    assert 49 < cache.ttl("a") <= 50
    assert cache.touch("a", None)
    assert cache.ttl("a") == math.inf
    assert cache["a"] == 1


@pytest.mark.parametrize("strategy", ["lru", "lfu", "sieve"])
def test_touch_is_no_use(make_here: Make, strategy: str) -> None:
    cache = make_here(3, strategy=strategy)
    for key in "abc":
        cache[key] = key
    for key in "bc":
        assert cache[key] == key
    for _ in range(3):
        assert cache.touch("a", 100)
    cache["d"] = "d"
    assert "a" not in cache
    assert cache.info().hits == 2


def test_get_or_set(make: Make) -> None:
    cache = make()
    calls: list[int] = []

    def compute() -> int:
        calls.append(1)
        return 5

    assert cache.get_or_set("a", compute, ttl=100, tags="group") == 5
    assert cache.get_or_set("a", compute) == 5
    assert calls == [1]
    assert 99 < cache.ttl("a") <= 100
    cache.invalidate_tags("group")
    assert "a" not in cache
    assert cache.get_or_set("a", lambda: 6) == 6
    assert cache.ttl("a") == math.inf

    def fail() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        cache.get_or_set("b", fail)
    assert "b" not in cache
    # Computations that ask the cache themselves have requests of their own.
    assert cache.get_or_set("c", lambda: cache.get_or_set("d", lambda: 1) + 1) == 2
    assert (cache["c"], cache["d"]) == (2, 1)


def test_what_is_set_meanwhile_stays(make: Make) -> None:
    cache = make()

    def compute() -> int:
        cache["a"] = 1
        return 2

    assert cache.get_or_set("a", compute) == 2
    assert cache["a"] == 1


def test_a_plain_callable_gives_no_awaitable(make: Make) -> None:
    cache = make()

    async def coroutine() -> int:
        return 1

    with pytest.raises(TypeError, match="aget_or_set"):
        cache.get_or_set("a", lambda: coroutine())  # noqa: PLW0108 - no coroutine function
    assert "a" not in cache


@pytest.mark.parametrize("options", [{}, {"ttl": 100}, {"tti": 100}])
def test_a_new_value_has_the_tags_it_is_given(make: Make, options: dict[str, Any]) -> None:
    cache = make(**options)
    for store in (
        lambda: cache.set("a", 2),
        lambda: cache.__setitem__("a", 2),
        lambda: cache.update(a=2),
        lambda: cache.set("a", 2, tags="new"),
        lambda: cache.set_many({"a": 2}, tags=["new"]),
    ):
        cache.set("a", 1, tags="old")
        store()
        cache.invalidate_tags("old")
        assert cache["a"] == 2
    cache.invalidate_tags("new")
    assert "a" not in cache


def test_values_that_cannot_be_stored_leave_what_is_there() -> None:
    cache = Cache[str, Any](backend="shared", name="values")
    cache["a"] = 1
    for call in (cache.set, cache.__setitem__):
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
            call("a", lambda: 1)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        cache.set_many({"b": 1, "a": lambda: 1})
    assert dict(cache.items()) == {"a": 1}


def test_what_cannot_be_copied_is_known_before_anything_is_stored() -> None:
    def copy_of(value: Any) -> Any:
        if value == "no":
            raise ValueError(value)
        return value

    for how, wrong in (("pickle", [lambda: 1]), (copy_of, "no")):
        cache = Cache[Any, Any](copy=how)
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError, ValueError)):
            cache.set_many({"a": 1, "b": wrong})
        with pytest.raises(TypeError, match="unhashable"):
            cache.set_many([("a", 1), ([], 2)])
        assert len(cache) == 0


def test_missing_is_asked_by_subscription_alone(make: Make) -> None:
    class Counts(Cache[str, int]):
        def __missing__(self, key: str) -> int:
            return -1

    cache = Counts(backend=make().options()["backend"], name="missing")
    assert cache["a"] == -1
    assert cache.get("a") is None
    assert "a" not in cache
    assert cache.setdefault("a", 1) == 1
    assert cache["a"] == cache.setdefault("a", 2) == 1


def test_stale_entries_are_refreshed_by_get_or_set_alone() -> None:
    with testing.clock() as clock:
        cache = Cache[str, int](ttl=10, stale_while_revalidate=10, stale_if_error=30)
        cache["a"] = 1
        clock.advance(15)
        assert cache["a"] == cache.get("a") == cache.peek("a") == 1
        assert "a" in cache
        assert len(cache) == 1
        clock.advance(10)
        assert "a" not in cache
        assert list(cache) == []
        assert len(cache) == 0

        def fail() -> int:
            raise LookupError

        assert cache.get_or_set("a", fail) == 1
        assert cache.get_or_set("a", lambda: 2) == 2
        assert cache["a"] == 2


def test_a_new_lifetime_leaves_the_tags(make: Make) -> None:
    """compute and replace change the value; what a tag groups stays grouped."""
    cache = make()
    changes: list[Callable[[], object]] = [
        lambda: cache.compute("a", lambda old: old + 1, ttl=50),
        lambda: cache.compute("a", lambda old: old + 1, ttl=None),
        lambda: cache.replace("a", 1, 2, ttl=50),
        lambda: cache.touch("a", 50),
        lambda: cache.get("a", renew=50),
    ]
    for number, change in enumerate(changes):
        cache.set("a", 1, ttl=20, tags=f"tag {number}")
        assert change()
        assert cache.ttl("a") > 40
        cache.invalidate_tags(f"tag {number}")
        assert "a" not in cache
