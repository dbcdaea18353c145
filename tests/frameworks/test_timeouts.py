"""Timeouts that are no plain number of seconds: the adapters take them as the frameworks' own
caches do.
"""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from warp_cache import _adapting

NO_END = [math.inf, 1e300, 2.0**63]
# (A second is long enough: nothing here waits.)
LIVES = [True, Fraction(10**6), 10**30, 1e10]
ENDED = [-0.0, False, 0, -1, -math.inf, -1e300, 5e-324, 1e-10]


@pytest.fixture(autouse=True)
def _new_caches() -> Any:
    _adapting._kept.clear()
    yield
    _adapting._kept.clear()


def _django(which: str, timeout: Any = 300) -> Any:
    pytest.importorskip("django")
    from django.conf import settings

    if not settings.configured:
        settings.configure(SECRET_KEY="not a secret", CACHES={})
    params = {"TIMEOUT": timeout}
    if which == "own":
        from django.core.cache.backends.locmem import LocMemCache

        own: Any = LocMemCache("timeouts", params)
        own.clear()
        return own
    from warp_cache import django

    return getattr(django, which)("timeouts", params)


def _seen_by_django(which: str, timeout: Any) -> list[Any]:
    """What each change with a timeout leaves, and returns."""
    cache = _django(which)

    def after(change: Any) -> tuple[Any, Any]:
        try:
            done = change()
        except (TypeError, ValueError) as error:
            return type(error), None
        return done, cache.get("k")

    def awaited(change: Any, *given: Any) -> Any:
        async def call() -> Any:
            return await change(*given)

        return after(lambda: asyncio.run(call()))

    seen = [
        after(lambda: cache.add("k", 0, timeout)),
        after(lambda: cache.set("k", 1, timeout)),
        after(lambda: cache.set_many({"k": 2}, timeout)),
    ]
    cache.set("k", 3)
    seen += [after(lambda: cache.touch("k", timeout)), awaited(cache.aset, "k", 4, timeout)]
    cache.set("k", 5)
    seen.append(awaited(cache.atouch, "k", timeout))
    cache.delete("k")
    seen.append(after(lambda: cache.get_or_set("k", lambda: 6, timeout)))
    return seen


@pytest.mark.parametrize("which", ["SharedCache", "MemoryCache"])
@pytest.mark.parametrize(
    "timeout", [*NO_END, *LIVES, *ENDED, math.nan, Decimal(5), "5", b"5", []], ids=repr
)
def test_django_takes_what_its_own_takes(which: str, timeout: Any) -> None:
    assert _seen_by_django(which, timeout) == _seen_by_django("own", timeout)


@pytest.mark.parametrize("timeout", [math.inf, math.nan, 10**400], ids=["inf", "nan", "huge"])
def test_what_no_clock_reaches_has_no_end_in_django(timeout: Any) -> None:
    cache = _django("SharedCache")
    cache.set("k", 1, timeout)
    assert cache.get("k") == 1 and cache.ttl("k") is None


# (cachelib's own warns of a float, and takes it.)
@pytest.mark.filterwarnings("ignore:Float timeouts:DeprecationWarning")
@pytest.mark.parametrize("which", ["cachelib", "flask_caching"])
@pytest.mark.parametrize(
    "timeout", [1e300, True, 10**30, 1e10, -0.0, False, 0, -1, -1e300, "5"], ids=repr
)
def test_cachelib_takes_what_its_own_takes(which: str, timeout: Any) -> None:
    if which == "cachelib":
        simple: Any = pytest.importorskip("cachelib.simple")
        from warp_cache.cachelib import SharedCache
    else:
        simple = pytest.importorskip("flask_caching.backends.simplecache")
        from warp_cache.flask_caching import SharedCache  # type: ignore[assignment]

    def seen(cache: Any) -> Any:
        try:
            cache.set("k", 1, timeout)
            found = [cache.get("k")]
            cache.set_many({"k": 2}, timeout)
            return [*found, cache.get("k")]
        except TypeError:
            return TypeError

    own = simple.SimpleCache()
    assert seen(SharedCache()) == seen(own)


@pytest.mark.parametrize("ttl", [*NO_END, *LIVES, *ENDED, math.nan, None], ids=repr)
def test_aiocache_takes_what_its_own_takes(ttl: Any) -> None:
    aiocache: Any = pytest.importorskip("aiocache")
    from warp_cache.aiocache import SharedCache

    async def seen(cache: Any) -> list[Any]:
        found = []
        for change in (
            lambda: cache.add("a", 1, ttl=ttl),
            lambda: cache.set("b", 1, ttl=ttl),
            lambda: cache.multi_set([("c", 1)], ttl=ttl),
            lambda: cache.expire("d", ttl),
        ):
            await cache.set("d", 1)
            await change()
            # Timers that have gone off, and ends of entries that a coarse clock has come to.
            await asyncio.sleep(0.05)
            found.append([await cache.get(key) for key in "abcd"])
        return found

    async def both() -> tuple[list[Any], list[Any]]:
        return await seen(SharedCache()), await seen(aiocache.SimpleMemoryCache())

    ours, own = asyncio.run(both())
    assert ours == own


@pytest.mark.parametrize("expires_in", [True, 1e9, 0, False, -1, None], ids=repr)
def test_litestar_takes_what_its_own_takes(expires_in: Any) -> None:
    memory: Any = pytest.importorskip("litestar.stores.memory")
    from warp_cache.litestar import SharedStore

    async def seen(store: Any) -> Any:
        await store.set("k", b"1", expires_in)
        return await store.get("k")

    async def both() -> tuple[Any, Any]:
        return await seen(SharedStore()), await seen(memory.MemoryStore())

    ours, own = asyncio.run(both())
    assert ours == own
