"""Wrong arguments of the cache object's operations: the error names the argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from warp_cache import Cache

Make = Callable[..., Cache[Any, Any]]

_TAKE_A_TTL: dict[str, Callable[[Cache[Any, Any], Any], Any]] = {
    "set": lambda cache, ttl: cache.set("a", 1, ttl=ttl),
    "add": lambda cache, ttl: cache.add("b", 1, ttl=ttl),
    "get_or_set": lambda cache, ttl: cache.get_or_set("b", int, ttl=ttl),
    "compute": lambda cache, ttl: cache.compute("a", lambda old: 1, ttl=ttl),
    "replace": lambda cache, ttl: cache.replace("b", 0, 1, ttl=ttl),
    "incr": lambda cache, ttl: cache.incr("a", ttl=ttl),
    "touch": lambda cache, ttl: cache.touch("b", ttl),
    "set_many": lambda cache, ttl: cache.set_many({"a": 1}, ttl=ttl),
    "memoize": lambda cache, ttl: cache.memoize(ttl=ttl)(abs),
}


@pytest.mark.parametrize("use", _TAKE_A_TTL.values(), ids=_TAKE_A_TTL)
def test_lifetimes(make: Make, use: Callable[[Any, Any], Any]) -> None:
    cache = make()
    cache["a"] = 1
    no_time = (0, -1, -0.0, math.nan, timedelta(0))
    for ttl in (*no_time, math.inf, -math.inf, 10**400, -(10**400)):
        with pytest.raises(ValueError, match="^ttl must be"):
            use(cache, ttl)
    for wrong in ("5", [], True, 1j):
        with pytest.raises(TypeError, match="^ttl must be"):
            use(cache, wrong)
    assert cache["a"] == 1
    assert set(cache) <= {"a"}
    assert cache.ttl("a") == math.inf


def test_renewing(make: Make) -> None:
    cache = make(ttl=100)
    cache["a"] = 1
    for renew in (0, math.inf, 10**400):
        for key in "ab":
            with pytest.raises(ValueError, match="^renew must be"):
                cache.get(key, renew=renew)
    with pytest.raises(TypeError, match="^renew must be"):
        cache.get("a", renew="5")  # type: ignore[call-overload]


def test_tags_and_entries(make: Make) -> None:
    cache = make()
    for wrong in (5, None, [1], b"x"):
        for use in (
            lambda tags: cache.set("a", 1, tags=tags),
            lambda tags: cache.get_or_set("a", int, tags=tags),
            lambda tags: cache.set_many({"a": 1}, tags=tags),
            lambda tags: cache.memoize(tags=tags)(abs),
        ):
            with pytest.raises(TypeError, match="^tags must be"):
                use(wrong)
    for entries, error in ((5, TypeError), ([5], TypeError), ([(1,)], ValueError)):
        with pytest.raises(error, match="^entries must be a mapping"):
            cache.set_many(entries)  # type: ignore[arg-type]
    assert not cache


def test_prefixes(make_here: Make) -> None:
    cache = make_here()
    cache["a"] = 1
    for wrong in (5, 1.5, ["a"]):
        with pytest.raises(TypeError, match="^prefix must be"):
            cache.keys(wrong)
        with pytest.raises(TypeError, match="^prefix must be"):
            cache.clear(wrong)
    assert list(cache) == ["a"]


def test_seconds_of_locks(make: Make) -> None:
    cache = make()
    for wrong in (-1, math.nan, -(10**400)):
        with pytest.raises(ValueError, match="^wait must be"):
            cache.lock("a", wait=wrong)
    with cache.lock("a", wait=10**400, lease=math.inf):
        assert not cache.lock("a").acquire(timeout=0)


def test_defaults_by_keyword(make: Make) -> None:
    cache = make()
    assert cache.get("a", default=1) == cache.peek("a", default=1) == cache.pop("a", default=1) == 1


def test_opened_once(make: Callable[..., Cache[Any, Any]]) -> None:
    cache = make(ttl=1000)
    cache["a"] = 1
    lock = cache.lock("held")
    before = cache.options()
    with lock:
        for again in ({}, {"max_size": 3}, {"ttl": -1}):
            with pytest.raises(RuntimeError, match="__init__ of this Cache was called already"):
                cache.__init__(**again)  # type: ignore[misc]
        assert cache.options() == before
        assert cache.lock("held").locked() is lock.locked() is True
    assert cache["a"] == 1


def test_what_was_not_opened_may_be() -> None:
    cache: Cache[Any, Any] = Cache.__new__(Cache)
    with pytest.raises(ValueError, match="ttl"):
        cache.__init__(ttl=-1)  # type: ignore[misc]
    cache.__init__(3)  # type: ignore[misc]
    cache["a"] = 1
    assert cache["a"] == 1
