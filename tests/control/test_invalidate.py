"""The methods for one entry, in both decorators, plain and coroutine functions alike (§2.2)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from control import Body, Kind, both, cache, lru_cache

# --- cache_contains -----------------------------------------------------------------------------


@both
def test_contains_says_whether_a_call_would_be_answered(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    assert f.cache_contains(1) is False
    kind.call(f, 1)
    assert f.cache_contains(1) is True
    assert f.cache_contains(2) is False
    f.cache_clear()
    assert f.cache_contains(1) is False


@both
def test_contains_a_stored_none(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(lambda x: None))
    kind.call(f, 1)
    assert f.get(1) is None and f.cache_contains(1) is True


@both
def test_contains_is_no_use(decorate: Any, kind: Kind) -> None:
    f = decorate(max_size=2)(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 2)
    for _ in range(5):
        f.cache_contains(1)
    kind.call(f, 3)
    assert [f.cache_contains(x) for x in (1, 2, 3)] == [False, True, True]


@both
def test_contains_is_not_counted_and_computes_nothing(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.one(body))
    kind.call(f, 1)
    before = f.cache_info()
    f.cache_contains(1)
    f.cache_contains(2)
    assert f.cache_info() == before and body.count == 1


def test_contains_a_stored_exception(kind: Kind) -> None:
    body = Body()
    body.fail = KeyError("no")
    f = cache(cache_exceptions=KeyError)(kind.one(body))
    with pytest.raises(KeyError):
        kind.call(f, 1)
    assert f.cache_contains(1) is True
    assert f.get(1) is None, "get of a stored exception is None"


def test_contains_while_revalidating_and_not_when_spare(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_while_revalidate=100, stale_if_error=300)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(150)
    assert f.cache_contains(1) is True and f.get(1) == (1, 1)
    clock.advance(100)
    assert f.cache_contains(1) is False and f.get(1) is None
    clock.advance(1000)
    assert f.cache_contains(1) is False and f.get(1) is None


@both
def test_contains_not_what_has_expired(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(99)
    assert f.cache_contains(1) is True
    clock.advance(2)
    assert f.cache_contains(1) is False


# --- cache_invalidate ---------------------------------------------------------------------------


@both
def test_invalidate_drops_the_entry_and_says_whether_there_was_one(
    decorate: Any, kind: Kind
) -> None:
    body = Body()
    f = decorate(kind.one(body))
    assert f.cache_invalidate(1) is False
    kind.call(f, 1)
    kind.call(f, 2)
    assert f.cache_invalidate(1) is True
    assert f.cache_invalidate(1) is False
    assert f.get(1) is None and f.cache_info().currsize == 1
    assert kind.call(f, 1) == (1, 3), "computed anew"
    assert kind.call(f, 2) == (2, 2), "the others stay"


@both
def test_invalidate_leaves_the_counters(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 1)
    f.cache_invalidate(1)
    f.cache_invalidate(1)
    assert f.cache_info() == (1, 1, 128, 0)


@both
def test_invalidate_a_stored_none_was_there(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(lambda x: None))
    kind.call(f, 1)
    assert f.cache_invalidate(1) is True


@both
def test_invalidate_of_an_expired_entry_was_none(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(101)
    assert f.cache_invalidate(1) is False


def test_invalidate_drops_entries_of_any_kind(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(
        ttl=100, stale_while_revalidate=100, stale_if_error=300, cache_exceptions={KeyError: 1000}
    )(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    assert f.cache_invalidate(1) is True, "revalidating"
    kind.call(f, 1)
    clock.advance(250)
    # A spare one is an entry that is there (§3), though no call is answered by it alone.
    assert f.cache_invalidate(1) is True, "spare"
    body.fail = ValueError("down")
    with pytest.raises(ValueError):
        kind.call(f, 1)
    body.fail = KeyError("no")
    with pytest.raises(KeyError):
        kind.call(f, 2)
    assert f.cache_invalidate(2) is True, "a stored exception"
    assert f.cache_contains(2) is False


@both
def test_invalidate_releases_the_value_at_once(decorate: Any, kind: Kind) -> None:
    import weakref

    import support

    class Value:
        pass

    f = decorate(kind.one(lambda x: Value()))
    gone = weakref.ref(kind.call(f, 1))
    support.merge_counts()
    assert gone() is not None
    f.cache_invalidate(1)
    support.merge_counts()
    assert gone() is None


def test_in_cache_the_meaning_decides_which_entry(kind: Kind) -> None:
    f = cache(kind.two(Body()))
    for spelled in [((1,), {}), ((1, 0), {}), ((), {"x": 1}), ((), {"y": 0, "x": 1})]:
        kind.call(f, 1)
        assert f.cache_contains(*spelled[0], **spelled[1])
        assert f.cache_ttl(*spelled[0], **spelled[1]) == math.inf
        assert f.cache_invalidate(*spelled[0], **spelled[1]) is True
        assert not f.cache_contains(1)


def test_in_lru_cache_the_pattern_decides_which_entry(kind: Kind) -> None:
    f = lru_cache(kind.two(Body()))
    kind.call(f, 1)
    assert f.cache_contains(1) and not f.cache_contains(x=1) and not f.cache_contains(1, 0)
    assert f.cache_invalidate(x=1) is False
    assert f.cache_invalidate(1, 0) is False
    assert f.cache_invalidate(1) is True


@both
def test_typed_entries_are_told_apart(decorate: Any, kind: Kind) -> None:
    f = decorate(typed=True)(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 1.0)
    assert f.cache_invalidate(1.0) is True
    assert f.cache_contains(1) and not f.cache_contains(1.0)


@both
def test_unhashable_arguments_raise_the_type_error_of_hash(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    for method in (f.cache_contains, f.cache_invalidate, f.cache_ttl):
        with pytest.raises(TypeError, match="unhashable type: 'list'"):
            method([])
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        f.cache_put(1, ([],))


@both
def test_the_parameters_of_methods_are_no_names_of_the_function(decorate: Any) -> None:
    @decorate
    def f(self: int, value: int, args: int, kwargs: int, ttl: int, tags: int) -> str:
        return "computed"

    call = {"self": 1, "value": 2, "args": 3, "kwargs": 4, "ttl": 5, "tags": 6}
    assert f(**call) == "computed"
    assert f.cache_contains(**call) and f.cache_ttl(**call) == math.inf
    assert f.get(**call) == "computed"
    f.set("set", **call)
    assert f(**call) == "set"
    f.cache_put("put", (), call, ttl=100)
    assert f(**call) == "put"
    assert f.cache_refresh(**call) == "computed"
    assert f.cache_invalidate(**call) is True


@both
def test_a_cache_of_size_zero_has_nothing(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(max_size=0)(kind.one(body))
    kind.call(f, 1)
    f.cache_put("put", (1,))
    f.set("set", 1)
    assert f.cache_contains(1) is False
    assert f.cache_invalidate(1) is False
    assert f.cache_ttl(1) is None
    assert kind.call(f.cache_refresh, 1) == (1, 2)
    assert kind.call(f, 1) == (1, 3)


@both
def test_a_function_without_parameters(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.none(lambda: "computed"))
    assert not f.cache_contains()
    kind.call(f)
    assert f.cache_contains() and f.cache_ttl() == math.inf
    f.cache_put("put")
    assert kind.call(f) == "put"
    assert kind.call(f.cache_refresh) == "computed"
    assert f.cache_invalidate() is True and f.cache_invalidate() is False


# --- many at once -------------------------------------------------------------------------------


@both
def test_invalidating_keeps_the_order_of_the_others(decorate: Any, kind: Kind) -> None:
    f = decorate(max_size=3)(kind.one(Body()))
    for x in (1, 2, 3):
        kind.call(f, x)
    kind.call(f, 1)
    f.cache_invalidate(2)
    kind.call(f, 4)
    assert [f.cache_contains(x) for x in (1, 3, 4)] == [True] * 3, "a place was free"
    kind.call(f, 5)
    assert [f.cache_contains(x) for x in (1, 3, 4, 5)] == [True, False, True, True]


@pytest.mark.parametrize("strategy", range(7))
def test_invalidating_every_entry_in_any_order(strategy: int) -> None:
    import random

    f = cache(strategy=strategy, max_size=50)(lambda x: x)
    rng = random.Random(strategy)
    present: set[int] = set()
    for _ in range(2000):
        x = rng.randrange(80)
        if rng.random() < 0.4:
            assert f.cache_invalidate(x) is (x in present)
            present.discard(x)
        else:
            assert f(x) == x
            present = {y for y in present | {x} if f.cache_contains(y)}
        assert f.cache_info().currsize == len(present) <= 50
    for x in sorted(present):
        assert f.cache_invalidate(x) is True
    assert f.cache_info().currsize == 0


@pytest.mark.parametrize("per_instance", [False, True])
def test_the_name_is_among_the_options_of_a_cache_in_memory(kind: Kind, per_instance: bool) -> None:
    f = cache(name="a name", per_instance=per_instance)(kind.one(Body()))
    assert f.cache_options()["name"] == "a name" and f.cache_options()["path"] is None
    assert cache(kind.one(Body())).cache_options()["name"] is None
