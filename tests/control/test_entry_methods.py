"""`cache_ttl` and `cache_options`; all methods for one entry bound, and for coroutines (§2.2)."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from control import Body, Kind, both, cache, lru_cache

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
