"""A file that cannot be used, or not be changed, breaks no request: the adapters miss, and what was
to go is not served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from warp_cache import Cache, CacheUnavailable, _adapting

pytestmark = pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")


@pytest.fixture(autouse=True)
def _new_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("WARP_CACHE_DIR", str(tmp_path / "file"))
    _adapting._kept.clear()
    yield
    _adapting._kept.clear()


def test_django_drops() -> None:
    pytest.importorskip("django")
    from django.conf import settings

    if not settings.configured:
        settings.configure(SECRET_KEY="not a secret", CACHES={})
    from warp_cache.django import SharedCache

    cache = SharedCache("test", {})
    assert cache.delete("k") is False and cache.delete_many(["k"]) is None
    assert cache.set("k", 1, 0) is None and cache.set_many({"k": 1}, -1) == []
    assert cache.touch("k", 0) is False and cache.set("k", 1, 0, xx=True) is False
    assert cache.delete_pattern("*") == 0

    async def use() -> None:
        assert await cache.adelete("k") is False and await cache.adelete_many(["k"]) is None
        assert await cache.aset("k", 1, 0) is None and await cache.aset_many({"k": 1}, 0) == []
        assert await cache.atouch("k", 0) is False

    asyncio.run(use())


def test_cachelib_drops() -> None:
    pytest.importorskip("cachelib")
    from warp_cache.cachelib import SharedCache

    cache = SharedCache("test")
    assert cache.delete("k") is False and cache.delete_many("k") == ["k"]
    assert cache.set("k", 1, -1) is True and cache.set_many({"k": 1}, -1) == ["k"]


def test_dogpile_drops() -> None:
    pytest.importorskip("dogpile.cache")
    from dogpile.cache import make_region

    region = make_region().configure("warp_cache.shared", arguments={"name": "test"})
    region.delete("k")
    region.delete_multi(["k"])
    assert region.key_is_locked("k") is False


def test_litestar_drops() -> None:
    pytest.importorskip("litestar")
    from warp_cache.litestar import SharedStore

    store = SharedStore("test")

    async def use() -> None:
        await store.delete("k")
        await store.set("k", b"v", expires_in=-1)
        assert await store.get("k", renew_for=5) is None

    asyncio.run(use())


def test_aiocache_drops() -> None:
    pytest.importorskip("aiocache")
    from warp_cache.aiocache import SharedCache

    assert asyncio.run(SharedCache(name="test").delete("k")) == 0


def test_limits_guesses_nothing() -> None:
    pytest.importorskip("limits")
    from limits.storage import storage_from_string

    import warp_cache.limits  # noqa: F401

    counts: Any = storage_from_string("warp://test")
    calls: list[Callable[[], object]] = [
        lambda: counts.get_expiry("k"),
        lambda: counts.get_moving_window("k", 1, 60),
        lambda: counts.get_sliding_window("k", 60),
        lambda: counts.clear("k"),
        lambda: counts.reset(),
    ]
    for call in calls:
        with pytest.raises(CacheUnavailable):
            call()


def test_the_object_reads_what_it_cannot_renew() -> None:
    cache: Cache[str, int] = Cache(backend="shared", name="test")
    assert cache.get("k", 1, renew=5) == 1
    assert asyncio.run(cache.aget("k", renew=5)) is None


class _Unchangeable:
    """A cache whose file another process keeps from being changed, for as long as anyone waits, or
    that is lost.
    """

    def __init__(self, is_lost: bool = False) -> None:
        self.entries: Cache[str, int] = Cache(None)
        self._is_lost = is_lost

    def delete_many(self, keys: Any) -> int:
        raise CacheUnavailable("the file could not be changed")

    def set(self, key: Any, value: Any, ttl: Any) -> bool:
        raise CacheUnavailable("what is there cannot be invalidated")

    def set_many(self, entries: Any, ttl: Any) -> list[Any]:
        raise CacheUnavailable("what is there cannot be invalidated")

    def clear(self) -> int:
        if self._is_lost:
            raise CacheUnavailable("what is there cannot be invalidated")
        return self.entries.clear()

    async def adelete_many(self, keys: Any) -> int:
        return self.delete_many(keys)

    async def aset(self, key: Any, value: Any, ttl: Any) -> bool:
        return self.set(key, value, ttl)

    async def aset_many(self, entries: Any, ttl: Any) -> list[Any]:
        return self.set_many(entries, ttl)

    async def aclear(self) -> int:
        return self.clear()


def test_nothing_is_served_that_could_not_be_dropped() -> None:
    cache: Any = _Unchangeable()
    cache.entries["k"] = 1
    assert _adapting.dropped(cache, ["k"]) == 0 and "k" not in cache.entries
    cache.entries["k"] = 1
    assert asyncio.run(_adapting.adropped(cache, ["k"])) == 0 and "k" not in cache.entries


def test_a_lost_file_breaks_no_request() -> None:
    cache: Any = _Unchangeable(is_lost=True)
    kept = _adapting.Kept(cache, None)

    async def use() -> None:
        assert await _adapting.adropped(cache, ["k"]) == 0
        assert await kept.aset("k", 1, None) is False
        assert await kept.aset_many({"k": 1}, None) == ["k"]

    asyncio.run(use())
    assert _adapting.dropped(cache, ["k"]) == 0
    assert kept.set("k", 1, None) is False and kept.set_many({"k": 1}, None) == ["k"]
