"""`max_weight` and `weigher`: a bound on the sum of the entries' weights (§2.1)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from control import Body, Kind, cache, lru_cache


def present(f: Any, *keys: Any) -> list[Any]:
    return [x for x in keys if f.cache_contains(x)]


def same(x: Any) -> Any:
    return x


def test_the_sum_of_the_weights_never_exceeds_max_weight(kind: Kind) -> None:
    f = cache(max_weight=10, weigher=same)(kind.one(same))
    for x in (4, 5, 1):
        kind.call(f, x)
    assert present(f, 4, 5, 1) == [4, 5, 1] and f.cache_info().weight == 10
    kind.call(f, 2)
    assert present(f, 4, 5, 1, 2) == [5, 1, 2], "the strategy's victim made place"
    assert f.cache_info().weight == 8
    kind.call(f, 9)
    assert present(f, 5, 1, 2, 9) == [9], "as many as it takes: 2 + 9 is still too much"
    info = f.cache_info()
    assert info.weight == 9 and info.evictions == 4


def test_the_weigher_gets_the_value(kind: Kind) -> None:
    weighed = []

    def weigher(value: Any) -> int:
        weighed.append(value)
        return 1

    f = cache(max_weight=10, weigher=weigher)(kind.one(lambda x: f"v{x}"))
    kind.call(f, 1)
    kind.call(f, 1)
    f.set("set", 2)
    f.cache_put("put", (3,))
    assert weighed == ["v1", "set", "put"], "once for each value, not at hits"


def test_what_is_heavier_than_the_bound_is_not_stored(kind: Kind) -> None:
    f = cache(max_weight=10, weigher=same)(kind.one(same))
    kind.call(f, 3)
    assert kind.call(f, 11) == 11
    assert kind.call(f, 11) == 11
    assert present(f, 3, 11) == [3], "and nothing leaves for it"
    assert f.cache_info() == (0, 3, None, 1)
    assert f.cache_info().evictions == 0
    kind.call(f, 10)
    assert present(f, 3, 10) == [10], "exactly the bound fits"


def test_a_new_value_that_is_too_heavy_drops_the_older_one(kind: Kind) -> None:
    f = cache(max_weight=10, weigher=same)(kind.one(same))
    f.set(1, "key")
    f.set(11, "key")
    assert not f.cache_contains("key") and f.cache_info().weight == 0


def test_max_size_then_defaults_to_none(kind: Kind) -> None:
    f = cache(max_weight=1000, weigher=lambda value: 1)(kind.one(same))
    assert f.cache_info().maxsize is None
    assert f.cache_parameters()["maxsize"] is None
    for x in range(500):
        kind.call(f, x)
    assert f.cache_info().currsize == 500


def test_both_bounds_may_be_given(kind: Kind) -> None:
    f = cache(max_size=2, max_weight=10, weigher=same)(kind.one(same))
    for x in (1, 2, 3):
        kind.call(f, x)
    assert present(f, 1, 2, 3) == [2, 3]
    kind.call(f, 8)
    assert present(f, 2, 3, 8) == [8]
    assert f.cache_info().maxsize == 2


def test_entries_without_weight(kind: Kind) -> None:
    f = cache(max_weight=1, weigher=lambda value: 0)(kind.one(same))
    for x in range(300):
        kind.call(f, x)
    assert f.cache_info().currsize == 300 and f.cache_info().weight == 0


def test_a_bound_of_zero_takes_what_weighs_nothing(kind: Kind) -> None:
    # `max_weight=0` is the analogue of `max_size=0`, but entries may weigh nothing.
    f = cache(max_weight=0, weigher=same)(kind.one(same))
    kind.call(f, 0)
    kind.call(f, 1)
    assert present(f, 1) == [] and f.cache_info().weight == 0


def test_a_replaced_value_gives_its_weight_back(kind: Kind) -> None:
    f = cache(max_weight=10, weigher=same)(kind.one(same))
    f.set(8, "a")
    f.set(2, "a")
    f.set(7, "b")
    assert present(f, "a", "b") == ["a", "b"] and f.cache_info().weight == 9
    f.set(3, "a")
    assert f.cache_info().weight == 10
    f.set(4, "a")
    assert present(f, "a", "b") == ["a"], "the other one left for it"
    assert f.cache_info().weight == 4


def test_whatever_leaves_gives_its_weight_back(kind: Kind, clock: Any) -> None:
    f = cache(max_weight=100, weigher=same, tags=("t{x}",))(kind.one(same))
    for x in (1, 2, 3, 4):
        kind.call(f, x)
    f.cache_put(50, ("short",), ttl=10)
    assert f.cache_info().weight == 60
    f.cache_invalidate(1)
    assert f.cache_info().weight == 59
    f.cache_invalidate_tags("t2")
    assert f.cache_info().weight == 57
    clock.advance(20)
    assert f.cache_info().weight == 7, "what is gone weighs nothing"
    f.cache_clear()
    assert f.cache_info().weight == 0


def test_the_gone_leave_before_the_living(kind: Kind, clock: Any) -> None:
    f = cache(max_weight=10, weigher=same)(kind.one(same))
    kind.call(f, 4)
    f.cache_put(5, ("short",), ttl=10)
    clock.advance(20)
    kind.call(f, 6)
    assert present(f, 4, 6) == [4, 6]


def test_what_the_weigher_raises_reaches_the_caller(kind: Kind) -> None:
    def weigher(value: Any) -> int:
        raise LookupError("no scales")

    f = cache(max_weight=10, weigher=weigher)(kind.one(same))
    with pytest.raises(LookupError, match="no scales"):
        kind.call(f, 1)
    with pytest.raises(LookupError, match="no scales"):
        f.set(1, 1)
    assert f.cache_info().currsize == 0


@pytest.mark.parametrize("wrong", [1.5, "1", None, True, object()])
def test_a_weight_of_a_wrong_type_is_a_type_error_that_names_the_weigher(
    kind: Kind, wrong: Any
) -> None:
    f = cache(max_weight=10, weigher=lambda value: wrong)(kind.one(same))
    with pytest.raises(TypeError, match="weigher"):
        kind.call(f, 1)
    assert f.cache_info().currsize == 0


def test_a_negative_weight_is_refused(kind: Kind) -> None:
    f = cache(max_weight=10, weigher=lambda value: -1)(kind.one(same))
    with pytest.raises((ValueError, TypeError), match="weigher"):
        kind.call(f, 1)
    assert f.cache_info().currsize == 0 and f.cache_info().weight == 0


def test_weights_may_be_huge(kind: Kind) -> None:
    f = cache(max_weight=2**40, weigher=same)(kind.one(same))
    kind.call(f, 2**39)
    kind.call(f, 2**39 - 1)
    kind.call(f, 1)
    assert f.cache_info().weight == 2**40
    assert kind.call(f, 2**70) == 2**70, "heavier than any bound: not stored"
    assert f.cache_info().weight == 2**40


def test_the_weigher_may_call_the_cache(kind: Kind) -> None:
    def weigher(value: Any) -> int:
        if value == 1:
            f.set(2, 2)
            f.cache_info()
        return 1

    f = cache(max_weight=10, weigher=weigher)(kind.one(same))
    assert kind.call(f, 1) == 1
    assert present(f, 1, 2) == [1, 2] and f.cache_info().weight == 2


def test_a_cache_without_weights_has_none_in_its_info(kind: Kind) -> None:
    f = cache(kind.one(same))
    kind.call(f, 1)
    assert not f.cache_info().weight


@pytest.mark.parametrize("strategy", range(7))
def test_the_bound_holds_whatever_happens(strategy: int) -> None:
    rng = random.Random(strategy)
    weights = {}

    def function(x: int) -> int:
        weights[x] = value = rng.choice([0, 1, 2, 5, 20, 60, 101])
        return value

    f = cache(strategy=strategy, max_weight=100, max_size=30, weigher=same)(function)
    for _ in range(3000):
        x = rng.randrange(60)
        what = rng.randrange(6)
        if what == 0:
            f.cache_invalidate(x)
        elif what == 1:
            weights[x] = rng.randrange(120)
            f.set(weights[x], x)
        else:
            f(x)
        there = present(f, *range(60))
        info = f.cache_info()
        assert info.weight == sum(weights[y] for y in there) <= 100
        assert info.currsize == len(there) <= 30


def test_lru_cache_has_no_such_parameters() -> None:
    with pytest.raises(TypeError, match="max_weight|weigher"):
        lru_cache(max_weight=10, weigher=same)(Body())


def test_stored_exceptions_have_a_bound(kind: Kind) -> None:
    body = Body()
    body.fail = KeyError("no")
    f = cache(max_weight=10_000, weigher=len, cache_exceptions=KeyError)(kind.one(body))
    for x in range(3000):
        with pytest.raises(KeyError):
            kind.call(f, x)
    info = f.cache_info()
    assert info.currsize == 1000 and info.weight == 10_000 and info.maxsize is None
    body.fail, body.make = None, lambda x: "a" * 5000
    kind.call(f, "value")
    assert f.cache_contains("value") and f.cache_info().currsize == 501


@pytest.mark.parametrize("bound", [1, 7, 10])
def test_stored_exceptions_fit_any_bound(kind: Kind, bound: int) -> None:
    body = Body()
    body.fail = KeyError("no")
    f = cache(max_weight=bound, weigher=len, cache_exceptions=KeyError)(kind.one(body))
    for _ in range(2):
        with pytest.raises(KeyError):
            kind.call(f, 1)
    assert body.count == 1 and f.cache_info().weight == 1


def test_a_weight_is_whatever_counts_as_an_int(kind: Kind) -> None:
    class Counts:
        def __index__(self) -> int:
            return 3

    f = cache(max_weight=10, weigher=lambda value: Counts())(kind.one(same))
    kind.call(f, 1)
    assert f.cache_info().weight == 3
