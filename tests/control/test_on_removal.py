"""`on_removal`: who is told of each value that leaves, and why (§2.1, §2.7)."""

from __future__ import annotations

import enum
import gc
import inspect
from typing import Any

import pytest
import support
from control import Body, Kind, cache, lru_cache, warp
from told import Told


def test_the_causes_are_an_enum() -> None:
    assert issubclass(warp.RemovalCause, enum.Enum)
    names = {"EXPLICIT", "REPLACED", "SIZE", "EXPIRED", "COLLECTED"}
    assert names == {cause.name for cause in warp.RemovalCause}


def test_explicit(kind: Kind) -> None:
    told = Told()
    f = cache(on_removal=told, tags=("t{x}",))(kind.one(lambda x: f"v{x}"))
    for x in range(5):
        kind.call(f, x)
    f.cache_invalidate(0)
    assert told.short == [(0, "v0", "EXPLICIT")]
    f.cache_invalidate(0)
    f.cache_invalidate_tags("t1")
    warp.invalidate_tags("t2")
    assert told.short[1:] == [(1, "v1", "EXPLICIT"), (2, "v2", "EXPLICIT")]
    f.cache_clear()
    assert sorted(told.short[3:]) == [(3, "v3", "EXPLICIT"), (4, "v4", "EXPLICIT")]
    kind.call(f, 5)
    warp.clear_all()
    assert told.short[5:] == [(5, "v5", "EXPLICIT")]


def test_replaced(kind: Kind) -> None:
    told = Told()
    f = cache(on_removal=told)(kind.one(Body()))
    kind.call(f, 1)
    f.set("set", 1)
    f.cache_put("put", (1,))
    kind.call(f.cache_refresh, 1)
    assert told.short == [
        (1, (1, 1), "REPLACED"),
        (1, "set", "REPLACED"),
        (1, "put", "REPLACED"),
    ]


def test_size(kind: Kind) -> None:
    told = Told()
    f = cache(max_size=2, on_removal=told)(kind.one(lambda x: f"v{x}"))
    for x in (1, 2, 1, 3, 4):
        kind.call(f, x)
    assert told.short == [(2, "v2", "SIZE"), (1, "v1", "SIZE")]


def test_weight_is_size(kind: Kind) -> None:
    told = Told()
    f = cache(max_weight=10, weigher=lambda value: value, on_removal=told)(kind.one(lambda x: x))
    for x in (4, 5, 9):
        kind.call(f, x)
    assert told.short == [(4, 4, "SIZE"), (5, 5, "SIZE")]


def test_a_value_too_heavy_was_never_there_and_the_older_leaves_as_replaced(kind: Kind) -> None:
    told = Told()
    f = cache(max_weight=10, weigher=lambda value: value, on_removal=told)(kind.one(lambda x: x))
    kind.call(f, 11)
    assert told.all == []
    f.set(1, "key")
    f.set(11, "key")
    assert told.short == [("key", 1, "REPLACED")]


def test_expired(kind: Kind, clock: Any) -> None:
    told = Told()
    f = cache(ttl=100, on_removal=told)(kind.one(lambda x: f"v{x}"))
    kind.call(f, 1)
    kind.call(f, 2)
    clock.advance(150)
    f.cache_info()  # drops what has ended
    assert sorted(told.short) == [(1, "v1", "EXPIRED"), (2, "v2", "EXPIRED")]


def test_what_had_ended_and_is_replaced_leaves_as_expired(kind: Kind, clock: Any) -> None:
    told = Told()
    f = cache(ttl=100, on_removal=told)(kind.one(lambda x: f"v{x}"))
    for store in (lambda: kind.call(f, 1), lambda: f.set("set", 1)):
        kind.call(f, 1)
        clock.advance(150)
        store()
        assert told.causes == ["EXPIRED"]
        told.all.clear()
        f.cache_clear()
        told.all.clear()


@pytest.mark.parametrize("how", ["clear", "clear_all", "tags", "all_tags"])
def test_what_had_ended_and_is_swept_away_leaves_as_expired(
    kind: Kind, clock: Any, how: str
) -> None:
    told = Told()
    f = cache(ttl=100, tags="tag", on_removal=told)(kind.one(lambda x: f"v{x}"))
    kind.call(f, 1)
    clock.advance(50)
    kind.call(f, 2)
    clock.advance(75)
    sweep = {
        "clear": f.cache_clear,
        "clear_all": warp.clear_all,
        "tags": lambda: f.cache_invalidate_tags("tag"),
        "all_tags": lambda: warp.invalidate_tags("tag"),
    }
    sweep[how]()
    assert sorted(told.short) == [(1, "v1", "EXPIRED"), (2, "v2", "EXPLICIT")]
    assert f.cache_info().currsize == 0


def test_an_invalidation_that_finds_an_entry_ended_lets_it_go(kind: Kind, clock: Any) -> None:
    told = Told()
    f = cache(ttl=100, on_removal=told)(kind.one(lambda x: f"v{x}"))
    kind.call(f, 1)
    clock.advance(150)
    assert f.cache_invalidate(1) is False
    assert told.short == [(1, "v1", "EXPIRED")]


@pytest.mark.parametrize("how", ["without life", "too heavy"])
def test_a_value_that_is_not_stored_lets_one_go_that_has_ended(
    kind: Kind, clock: Any, how: str
) -> None:
    told = Told()
    options: dict[str, Any] = {"max_weight": 10, "weigher": lambda value: value}
    f = cache(tti=100, on_removal=told, **options)(kind.one(lambda x: x))
    kind.call(f, 1)
    clock.advance(150)
    f.cache_put(11 if how == "too heavy" else 2, (1,), ttl=None if how == "too heavy" else 0)
    assert told.short == [(1, 1, "EXPIRED")]


def test_what_had_ended_in_the_cache_of_an_instance_leaves_as_expired(
    kind: Kind, clock: Any
) -> None:
    told = Told()

    class Owner:
        f = cache(ttl=100, per_instance=True, on_removal=told)(kind.method(lambda self, x: x))

    owner = Owner()
    kind.call(owner.f, 1)
    clock.advance(150)
    del owner
    gc.collect()
    assert told.short == [(1, 1, "EXPIRED")]


def test_idle_is_expired(kind: Kind, clock: Any) -> None:
    told = Told()
    f = cache(tti=100, on_removal=told)(kind.one(lambda x: f"v{x}"))
    kind.call(f, 1)
    clock.advance(150)
    f.cache_info()
    assert told.short == [(1, "v1", "EXPIRED")]


def test_a_stale_value_that_a_refresh_replaces(kind: Kind, clock: Any) -> None:
    told = Told()
    f = cache(ttl=100, stale_while_revalidate=1000, on_removal=told)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(150)
    assert told.all == [], "it is still there"
    kind.call(f, 1)
    kind.eventually(lambda: told.all)
    assert told.short == [(1, (1, 1), "REPLACED")]


def test_a_value_without_life_drops_the_older_one(kind: Kind) -> None:
    told = Told()
    f = cache(on_removal=told)(kind.one(lambda x: f"v{x}"))
    kind.call(f, 1)
    f.cache_put("never there", (1,), ttl=0)
    # Which of the two is not specified.
    assert [(x, value) for x, value, _ in told.short] == [(1, "v1")]
    assert told.causes[0] in ("EXPLICIT", "REPLACED")


def test_values_that_were_never_stored_do_not_leave(kind: Kind) -> None:
    told = Told()
    for given in ({"cache_if": lambda value: False}, {"ttl": lambda value: 0}, {"max_size": 0}):
        f = cache(on_removal=told, **given)(kind.one(Body()))
        kind.call(f, 1)
        kind.call(f, 1)
        f.cache_clear()
    assert told.all == []


def test_the_value_is_the_stored_object(kind: Kind) -> None:
    told = Told()
    f = cache(on_removal=told)(kind.one(lambda x: [x]))
    value = kind.call(f, 1)
    f.cache_invalidate(1)
    assert told.all[0][1] is value


def test_call_has_the_bound_arguments(kind: Kind) -> None:
    told = Told()
    function = kind.two(Body())
    f = cache(on_removal=told)(function)
    for args, kwargs in [((1, 2), {}), ((1,), {"y": 2}), ((), {"y": 2, "x": 1})]:
        kind.call(f, *args, **kwargs)
        f.cache_invalidate(1, 2)
        given = told.all[-1][0]
        arguments = inspect.signature(function).bind(*given[0], **given[1]).arguments
        assert dict(arguments) == {"x": 1, "y": 2}


def test_call_has_no_ignored_arguments(kind: Kind) -> None:
    told = Told()
    f = cache(on_removal=told, ignore=("y",))(kind.two(Body()))
    kind.call(f, 1, ["ignored"])
    f.cache_invalidate(1)
    (args, kwargs) = told.all[0][0]
    assert (args, kwargs) in [((1,), {}), ((), {"x": 1})]


def test_with_key_the_key_stands_in_its_place(kind: Kind) -> None:
    told = Told()
    f = cache(on_removal=told, key=lambda x: f"key{x}")(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate(1)
    assert told.all[0][0] == "key1"


def test_call_of_a_method_has_self_and_of_per_instance_has_none(kind: Kind) -> None:
    told = Told()

    class Shop:
        price = cache(on_removal=told)(kind.method(lambda self, x: x))
        own = cache(on_removal=told, per_instance=True)(kind.method(lambda self, x: x))

    shop = Shop()
    kind.call(shop.price, 1)
    kind.call(shop.own, 1)
    shop.price.cache_invalidate(1)
    shop.own.cache_invalidate(1)
    assert told.all[0][0] in [((shop, 1), {}), ((), {"self": shop, "x": 1})]
    assert told.all[1][0] in [((1,), {}), ((), {"x": 1})]


def test_collected_only_for_per_instance(kind: Kind) -> None:
    told = Told()

    class Shop:
        price = cache(on_removal=told, per_instance=True)(kind.method(lambda self, x: f"v{x}"))

    shop = Shop()
    kind.call(shop.price, 1)
    kind.call(shop.price, 2)
    del shop
    gc.collect()
    assert sorted(told.short) == [(1, "v1", "COLLECTED"), (2, "v2", "COLLECTED")]


def test_nothing_when_the_cache_itself_is_freed(kind: Kind) -> None:
    told = Told()
    f = cache(on_removal=told)(kind.one(Body()))
    kind.call(f, 1)
    del f
    gc.collect()
    assert told.all == []


def test_nothing_when_the_process_ends() -> None:
    done = support.run_python(
        """
from warp_cache import cache

@cache(on_removal=lambda call, value, cause: print("told", flush=True))
def f(x):
    return x

f(1)
print("the end")
"""
    )
    support.check_clean(done, out="the end")


def test_lru_cache_has_no_such_parameter() -> None:
    with pytest.raises(TypeError, match="on_removal"):
        lru_cache(on_removal=print)(Body())


@pytest.mark.parametrize("per_instance", [False, True])
def test_the_call_can_be_made_again(per_instance: bool) -> None:
    seen: list[Any] = []

    def shape(*args: Any, **kwargs: Any) -> Any:
        return args, dict(sorted(kwargs.items()))

    class Shop:
        @cache(
            on_removal=lambda call, value, cause: seen.append((call, value)),
            per_instance=per_instance,
        )
        def price(self, x: Any, y: Any = 5, *more: Any, k: Any = 1, n: Any = 2, **rest: Any) -> Any:
            return shape(x, y, *more, k=k, n=n, **rest)

    shop = Shop()
    calls: list[Any] = [
        ((1,), {}),
        ((1, 2, 3, 4), {"n": 7, "z": 8, "a": 9}),
        ((), {"x": 1, "k": 3}),
    ]
    for args, kwargs in calls:
        shop.price(*args, **kwargs)
        shop.price.cache_clear()
        ((told_args, told_kwargs), value) = seen.pop()
        own = told_args if per_instance else told_args[1:]
        assert shape(*own, **told_kwargs) == value and told_kwargs.keys() >= {"k", "n"}
