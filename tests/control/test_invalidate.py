"""The methods for one entry, in both decorators, plain and coroutine functions alike (§2.2)."""

from __future__ import annotations

import asyncio
import datetime
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


# --- cache_put ----------------------------------------------------------------------------------


@both
def test_put_stores_for_the_arguments(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.two(body))
    f.cache_put("a", (1,))
    f.cache_put("b", (1,), {"y": 2})
    f.cache_put("c", args=(3, 4))
    f.cache_put("d", kwargs={"x": 5, "y": 6})
    assert [kind.call(f, 1), kind.call(f, 1, y=2)] == ["a", "b"]
    assert [kind.call(f, 3, 4), kind.call(f, x=5, y=6)] == ["c", "d"]
    assert body.count == 0
    assert f.cache_info() == (4, 0, 128, 4)


@both
def test_put_without_more_is_set(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    f.cache_put("put", (1,))
    clock.advance(60)
    f.cache_put("again", (1,))
    clock.advance(60)
    assert f.get(1) == "again", "a new life began"
    clock.advance(60)
    assert f.get(1) is None


@both
@pytest.mark.parametrize("ttl", [50, 50.0, datetime.timedelta(seconds=50)])
def test_put_with_a_lifetime_of_its_own(decorate: Any, kind: Kind, clock: Any, ttl: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    f.cache_put("short", (1,), ttl=ttl)
    f.cache_put("usual", (2,))
    assert 45 < f.cache_ttl(1) <= 50
    clock.advance(60)
    assert f.get(1) is None and f.get(2) == "usual"


@both
def test_put_with_a_lifetime_in_a_cache_without(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(kind.one(Body()))
    kind.call(f, 2)
    f.cache_put("short", (1,), ttl=50)
    assert f.cache_contains(1) and f.cache_ttl(2) == math.inf
    clock.advance(60)
    assert not f.cache_contains(1) and f.cache_contains(2)
    assert f.cache_info().currsize == 1


@both
def test_put_with_a_longer_lifetime_than_the_function_gives(
    decorate: Any, kind: Kind, clock: Any
) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    f.cache_put("long", (1,), ttl=1000)
    clock.advance(900)
    assert f.get(1) == "long"
    clock.advance(200)
    assert f.get(1) is None


@both
def test_put_with_no_limit(decorate: Any, kind: Kind, clock: Any) -> None:
    # `None` means "no limit" wherever a ttl is given (§2.1); to leave it out is the function's.
    f = decorate(ttl=100)(kind.one(Body()))
    f.cache_put("for ever", (1,), ttl=None)
    assert f.cache_ttl(1) == math.inf
    clock.advance(10**6)
    assert f.get(1) == "for ever"


@both
@pytest.mark.parametrize("ttl", [0, -1, 0.0, datetime.timedelta(0), datetime.timedelta(days=-1)])
def test_put_with_no_life_stores_nothing_and_drops_the_older(
    decorate: Any, kind: Kind, ttl: Any
) -> None:
    body = Body()
    f = decorate(kind.one(body))
    kind.call(f, 1)
    f.cache_put("put", (1,), ttl=ttl)
    assert not f.cache_contains(1) and f.get(1) is None
    assert kind.call(f, 1) == (1, 2)
    f.cache_put("put", (2,), ttl=ttl)
    assert not f.cache_contains(2)


@both
@pytest.mark.parametrize(
    ("ttl", "error"), [("60", TypeError), (math.nan, ValueError), (math.inf, ValueError)]
)
def test_put_with_a_wrong_lifetime(decorate: Any, kind: Kind, ttl: Any, error: Any) -> None:
    f = decorate(kind.one(Body()))
    kind.call(f, 1)
    with pytest.raises(error, match="ttl"):
        f.cache_put("put", (1,), ttl=ttl)
    assert f.get(1) == (1, 1)


def test_put_is_by_keyword_only_beyond_the_call() -> None:
    f = cache(Body())
    with pytest.raises(TypeError):
        f.cache_put("v", (1,), {}, 60)
    with pytest.raises(TypeError):
        f.cache_put("v", (1,), {}, lifetime=60)


def test_put_replaces_a_stored_exception(kind: Kind) -> None:
    body = Body()
    body.fail = KeyError("no")
    f = cache(cache_exceptions=KeyError)(kind.one(body))
    with pytest.raises(KeyError):
        kind.call(f, 1)
    f.cache_put("value", (1,))
    assert kind.call(f, 1) == "value"


# --- cache_refresh ------------------------------------------------------------------------------


@both
def test_refresh_computes_now_stores_and_returns_the_new_value(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.one(body))
    assert kind.call(f, 1) == (1, 1)
    assert kind.call(f.cache_refresh, 1) == (1, 2)
    assert kind.call(f, 1) == (1, 2)
    assert body.count == 2


@both
def test_refresh_of_an_absent_key(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    assert kind.call(f.cache_refresh, 1) == (1, 1)
    assert f.get(1) == (1, 1)


@both
def test_refresh_is_neither_hit_nor_miss(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    kind.call(f.cache_refresh, 1)
    kind.call(f.cache_refresh, 1)
    info = f.cache_info()
    assert info == (0, 0, 128, 1)
    assert info.refreshes == 2 and info.loads == 2


@both
def test_a_failed_refresh_raises_and_leaves_what_was_there(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.one(body))
    kind.call(f, 1)
    body.fail = ValueError("down")
    with pytest.raises(ValueError, match="down"):
        kind.call(f.cache_refresh, 1)
    assert kind.call(f, 1) == (1, 1)
    with pytest.raises(ValueError, match="down"):
        kind.call(f.cache_refresh, 2)
    assert not f.cache_contains(2)
    info = f.cache_info()
    assert info.refreshes == 2 and info.load_failures == 2


@both
def test_refresh_begins_a_new_life(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(60)
    kind.call(f.cache_refresh, 1)
    clock.advance(60)
    assert f.get(1) == (1, 2)


def test_refresh_of_a_coroutine_function_is_a_coroutine() -> None:
    @cache
    async def f(x: int) -> int:
        return x

    coroutine = f.cache_refresh(1)
    assert asyncio.iscoroutine(coroutine)
    assert asyncio.run(coroutine) == 1 and f.get(1) == 1


def test_refresh_that_is_not_stored_drops_the_old_entry(kind: Kind) -> None:
    """A recomputed value that is not stored drops the old entry (§2.7)."""
    body = Body()
    f = cache(cache_if=lambda value: value[-1] != 2)(kind.one(body))
    kind.call(f, 1)
    assert kind.call(f.cache_refresh, 1) == (1, 2), "the caller still gets it"
    assert not f.cache_contains(1)


@both
def test_refresh_with_wrong_arguments_reaches_the_function(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    with pytest.raises(TypeError):
        kind.call(f.cache_refresh)
    with pytest.raises(TypeError):
        kind.call(f.cache_refresh, 1, 2, 3)


# --- cache_ttl ----------------------------------------------------------------------------------


@both
def test_ttl_is_the_seconds_until_no_longer_fresh(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    assert f.cache_ttl(1) is None
    kind.call(f, 1)
    assert f.cache_ttl(1) == pytest.approx(100, abs=5)
    clock.advance(60)
    assert f.cache_ttl(1) == pytest.approx(40, abs=5)
    clock.advance(50)
    assert f.cache_ttl(1) is None, "it is gone"


@both
def test_ttl_without_limit_is_inf(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    kind.call(f, 1)
    assert f.cache_ttl(1) == math.inf
    assert isinstance(f.cache_ttl(1), float)


@both
@pytest.mark.parametrize("lifetime", ["ttl", "tti"])
def test_what_has_ended_has_no_seconds_left(decorate: Any, kind: Kind, lifetime: str) -> None:
    """Not even at the moment after its last one: only what is stale has been fresh so long ago."""
    if decorate is lru_cache and lifetime == "tti":
        pytest.skip("lru_cache has none")
    f = decorate(**{lifetime: 1e-4})(kind.one(Body()))
    for _ in range(20):
        f.set("value", 1)
        while (left := f.cache_ttl(1)) is not None:
            assert left > 0


@pytest.mark.parametrize("window", ["stale_while_revalidate", "stale_if_error"])
def test_ttl_is_negative_while_stale(kind: Kind, clock: Any, window: str) -> None:
    f = cache(ttl=100, **{window: 100})(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(150)
    assert f.cache_ttl(1) == pytest.approx(-50, abs=5)
    clock.advance(60)
    assert f.cache_ttl(1) is None


@both
def test_ttl_is_no_use_and_no_count(decorate: Any, kind: Kind) -> None:
    f = decorate(max_size=2)(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 2)
    f.cache_ttl(1)
    assert f.cache_info()[:2] == (0, 2)
    kind.call(f, 3)
    assert not f.cache_contains(1)


# --- cache_options ------------------------------------------------------------------------------


@both
def test_options_are_a_dict_of_everything_the_cache_was_made_with(
    decorate: Any, kind: Kind
) -> None:
    f = decorate(max_size=7, ttl=60, typed=True, wait_timeout=3)(kind.one(Body()))
    options = f.cache_options()
    assert type(options) is dict
    assert options["max_size"] == 7 and options["ttl"] == 60 and options["typed"] is True
    assert options["wait_timeout"] == 3
    assert options["backend"] == "memory"
    assert options["qualname"] == f.__qualname__
    # Not a file: neither a path nor anything private.
    assert options["path"] is None and "private" in options
    options.clear()
    assert f.cache_options()["max_size"] == 7, "a new dictionary each time"


def test_options_name_every_new_parameter(kind: Kind) -> None:
    def one(*args: Any) -> Any:
        return 1

    given: dict[str, Any] = {
        "key": one,
        "ttl": 60,
        "tti": 30,
        "jitter": 0.25,
        "stale_while_revalidate": 10,
        "stale_if_error": 20,
        "cache_if": one,
        "cache_exceptions": KeyError,
        "tags": one,
        "max_weight": 100,
        "weigher": one,
        "on_removal": one,
        "copy": True,
        "version": "v1",
        "namespace": "n1",
    }
    options = cache(**given)(kind.one(Body())).cache_options()
    assert {name: options[name] for name in given} == given
    defaults = cache(kind.one(Body())).cache_options()
    assert {name: defaults[name] for name in given} == {
        "key": None,
        "ttl": None,
        "tti": None,
        "jitter": 0.0,
        "stale_while_revalidate": 0,
        "stale_if_error": 0,
        "cache_if": None,
        "cache_exceptions": None,
        "tags": (),
        "max_weight": None,
        "weigher": None,
        "on_removal": None,
        "copy": None,
        "version": None,
        "namespace": None,
    }
    assert tuple(defaults["ignore"]) == () and defaults["per_instance"] is False


# --- bound forms --------------------------------------------------------------------------------


@both
def test_bound_methods_bind_self_as_the_call_does(decorate: Any, kind: Kind, clock: Any) -> None:
    class Shop:
        price = decorate(ttl=1000)(kind.method(lambda self, x: (self, x)))

    shop, other = Shop(), Shop()
    assert kind.call(shop.price, 1) == (shop, 1)
    assert shop.price.get(1) == (shop, 1) and other.price.get(1) is None
    assert shop.price.cache_contains(1) and not other.price.cache_contains(1)
    assert shop.price.cache_ttl(1) == pytest.approx(1000, abs=50)
    assert other.price.cache_ttl(1) is None
    other.price.set("set", 1)
    assert kind.call(other.price, 1) == "set"
    other.price.cache_put("put", (1,), ttl=500)
    assert kind.call(other.price, 1) == "put"
    assert other.price.cache_ttl(1) == pytest.approx(500, abs=50)
    assert kind.call(other.price.cache_refresh, 1) == (other, 1)
    assert other.price.cache_invalidate(1) is True
    assert shop.price.cache_contains(1), "another instance's entry"
    shop.price.cache_put("tagged", (2,), tags=("t",))
    shop.price.cache_invalidate_tags("t")
    assert not shop.price.cache_contains(2)
    assert shop.price.cache_options() == Shop.price.cache_options()
    assert shop.price.cache_info() == Shop.price.cache_info()
    shop.price.cache_clear()
    assert not shop.price.cache_contains(1)


@both
def test_the_class_has_the_same_methods_unbound(decorate: Any, kind: Kind) -> None:
    class Shop:
        price = decorate(kind.method(lambda self, x: (self, x)))

    shop = Shop()
    if decorate is cache:
        Shop.price.set("keywords", self=shop, x=1)
        assert shop.price.get(1) == "keywords"
    Shop.price.set("set", shop, 1)
    assert shop.price.get(1) == Shop.price.get(shop, 1) == "set"
    assert Shop.price.cache_contains(shop, 1)
    Shop.price.cache_put("put", (shop, 2))
    assert shop.price.get(2) == "put"
    assert Shop.price.cache_invalidate(shop, 1) is True
    assert not shop.price.cache_contains(1)


@both
def test_bound_put_takes_the_arguments_without_self(decorate: Any, kind: Kind) -> None:
    class Shop:
        price = decorate(kind.method(lambda self, x: (self, x)))

    shop = Shop()
    shop.price.cache_put("by position", (1,))
    shop.price.cache_put("by keyword", (), {"x": 2})
    shop.price.cache_put("named", kwargs={"x": 3}, args=())
    assert kind.call(shop.price, 1) == "by position"
    assert kind.call(shop.price, x=2) == "by keyword"
    assert kind.call(shop.price, x=3) == "named"


# --- a-twins ------------------------------------------------------------------------------------


@both
def test_coroutine_functions_have_a_twins(decorate: Any) -> None:
    body = Body()

    @decorate(ttl=1000)
    async def f(x: int) -> Any:
        return body(x)

    async def main() -> None:
        assert await f.aget(1) is None
        assert await f.acache_contains(1) is False
        await f.aset("set", 1)
        assert await f.aget(1) == await f(1) == "set"
        assert await f.acache_contains(1) is True
        assert await f.acache_ttl(1) == pytest.approx(1000, abs=50)
        await f.acache_put("put", (2,), {}, ttl=500, tags=("t",))
        assert await f.acache_ttl(2) == pytest.approx(500, abs=50)
        await f.acache_invalidate_tags("t")
        assert await f.aget(2) is None and await f.aget(1) == "set"
        assert await f.acache_invalidate(1) is True
        assert await f.acache_invalidate(1) is False
        await f(3)
        await f.acache_clear()
        assert await f.acache_ttl(3) is None
        assert f.cache_info() == (0, 0, 128, 0)

    asyncio.run(main())


@both
def test_a_twins_bind_self(decorate: Any) -> None:
    class Shop:
        @decorate
        async def price(self, x: int) -> Any:
            return (self, x)

    async def main() -> None:
        shop, other = Shop(), Shop()
        await shop.price.aset("set", 1)
        assert await shop.price.aget(1) == "set" and await other.price.aget(1) is None
        assert await shop.price.acache_contains(1)
        await other.price.acache_put("put", (1,))
        assert await other.price.acache_ttl(1) == math.inf
        assert await other.price.acache_invalidate(1) is True
        assert await shop.price.aget(1) == "set"
        await shop.price.acache_invalidate_tags("none")
        await shop.price.acache_clear()
        assert await shop.price.aget(1) is None

    asyncio.run(main())


@both
def test_plain_functions_have_no_a_twins(decorate: Any) -> None:
    f = decorate(Body())
    for name in ("aget", "aset", "acache_put", "acache_contains", "acache_invalidate"):
        assert not hasattr(f, name)


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
