"""The other adapters: what the frameworks' own tests do not see, and users need."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from warp_cache import CacheUnavailable, _adapting


@pytest.fixture(autouse=True)
def _new_caches() -> Iterator[None]:
    _adapting._kept.clear()
    yield
    _adapting._kept.clear()


@pytest.fixture
def no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("WARP_CACHE_DIR", str(tmp_path / "file"))


unusable = pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")


@pytest.mark.parametrize("adapter", ["cachelib", "dogpile", "aiocache"])
def test_in_memory_values_are_copies_too(adapter: str) -> None:
    if adapter == "cachelib":
        cache = cachelib(backend="memory")
    elif adapter == "dogpile":
        cache = pytest.importorskip("dogpile.cache").make_region()
        cache.configure("warp_cache.shared", arguments={"name": "test", "backend": "memory"})
    else:
        cache = aiocache(backend="memory")._cache
    value = {"a": [1]}
    cache.set("k", value)
    value["a"].append(2)
    cache.get("k")["a"].append(3)
    assert cache.get("k") == {"a": [1]}


# --- cachelib, Flask-Caching -------------------------------------------------------------------


def cachelib(**options: Any) -> Any:
    pytest.importorskip("cachelib")
    from warp_cache.cachelib import SharedCache

    return SharedCache("test", **options)


def test_cachelib_translates_timeouts() -> None:
    cache = cachelib(default_timeout=timedelta(seconds=100))
    cache.set("k", 1, -1)
    assert cache.get("k") is None
    assert cache.add("k", 1, -1) and not cache.has("k")
    cache.set("default", 1)
    cache.set("never", 1, 0)
    assert 90 < cache._cache.ttl("default") <= 100
    assert cache._cache.ttl("never") == float("inf")
    assert cachelib(default_timeout=-1).set("gone", 1) and not cache.has("gone")
    assert cachelib(default_timeout=timedelta(milliseconds=5)).default_timeout == 1


def test_cachelib_inc_keeps_the_timeout() -> None:
    cache = cachelib()
    cache.set("k", 1, 1000)
    assert cache.inc("k", 4) == 5 and cache.dec("k") == 4
    assert 990 < cache._cache.ttl("k") <= 1000
    cache.set("f", 1.5)
    assert cache.inc("f") == 2.5


def test_cachelib_stores_what_its_serializer_makes() -> None:
    serializers = pytest.importorskip("cachelib.serializers")
    cache = cachelib()
    cache.serializer = serializers.JSONSerializer()
    assert cache.set("k", {"a": [1]}) and cache.add("added", 2)
    assert cache.set_many({"b": 3}) == ["b"]
    assert cache._cache["k"] == b'{"a": [1]}'
    assert cache.get_many("k", "added", "b", "none") == [{"a": [1]}, 2, 3, None]
    assert cache.inc("n", 2) == 2 and cache.inc("n") == 3 and cache.dec("n", 5) == -2
    assert cache._cache["n"] == b"-2" and 250 < cache._cache.ttl("n") <= 300


def test_cachelib_clears_its_prefix_alone() -> None:
    one, other = cachelib(key_prefix="a:"), cachelib(key_prefix="b:")
    one.set("k", 1)
    other.set("k", 2)
    assert one.clear() and one.get("k") is None and other.get("k") == 2


@unusable
def test_cachelib_without_a_directory(no_directory: None) -> None:
    cache = cachelib()
    cache.set("k", 1)
    assert cache.get("k") is None and not cache.has("k") and cache.get_many("k") == [None]
    assert cache.add("k", 1) is False and cache.inc("k") is None


def test_flask_caching_takes_its_settings() -> None:
    flask = pytest.importorskip("flask")
    flask_caching = pytest.importorskip("flask_caching")

    def made(**config: Any) -> Any:
        app = flask.Flask("shop")
        return flask_caching.Cache(
            app, config={"CACHE_TYPE": "warp_cache.flask_caching.SharedCache", **config}
        ).cache

    plain = made()
    assert plain._cache.options()["max_size"] is None and plain.key_prefix == "flask_cache_"
    assert plain._cache.options()["name"] == "shop"
    assert made(CACHE_THRESHOLD=9)._cache.options()["max_size"] == 9
    named = made(CACHE_OPTIONS={"name": "mine", "max_bytes": 2_000_000}, CACHE_DEFAULT_TIMEOUT=7)
    assert named._cache.options()["name"] == "mine" and named.default_timeout == 7


# --- dogpile ------------------------------------------------------------------------------------


def test_dogpile_finds_the_backend_by_its_name() -> None:
    from importlib.metadata import entry_points

    pytest.importorskip("dogpile.cache")
    from dogpile.cache import make_region

    region = make_region().configure("warp_cache.shared", arguments={"name": "test"})
    region.set("k", {"a": [1]})
    region.get("k")["a"].append(2)
    assert region.get("k") == {"a": [1]}
    found = entry_points(group="dogpile.cache")
    assert "warp_cache.shared" in {point.name for point in found}


@unusable
def test_dogpile_without_a_directory(no_directory: None) -> None:
    pytest.importorskip("dogpile.cache")
    from dogpile.cache import make_region

    region = make_region().configure("warp_cache.shared", arguments={"name": "test"})
    assert region.get_or_create("k", lambda: "value") == "value"


def test_dogpile_creates_more_at_once_than_there_are_locks() -> None:
    pytest.importorskip("dogpile.cache")
    from dogpile.cache import make_region

    region = make_region().configure("warp_cache.shared", arguments={"name": "test"})
    keys = [str(number) for number in range(2000)]
    # One that waited for himself would never end.
    assert region.get_or_create_multi(keys, lambda *missing: list(missing)) == keys
    assert region.get_multi(keys) == keys
    mutexes = [region.backend.get_mutex(key) for key in keys]
    assert all(mutex.acquire() and mutex.locked() for mutex in mutexes)
    assert not region.backend.get_mutex(keys[0]).acquire(wait=False)
    for mutex in mutexes:
        mutex.release()
    assert not any(mutex.locked() for mutex in mutexes)


def test_dogpiles_mutex_is_one_holders_though_looks_find_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("dogpile.cache")
    from dogpile.cache import make_region

    from warp_cache._object.locking import CacheLock

    region = make_region().configure("warp_cache.shared", arguments={"name": "test"})
    mutex, other = region.backend.get_mutex("k"), region.backend.get_mutex("k")
    assert mutex.acquire()
    # As where holders let go just before each look, and others take it before each attempt.
    monkeypatch.setattr(CacheLock, "locked", lambda self: False)
    assert not other.acquire(wait=False)
    mutex.release()
    assert other.acquire(wait=False)
    other.release()


# --- limits -------------------------------------------------------------------------------------


def storage(uri: str = "warp://test", **options: Any) -> Any:
    pytest.importorskip("limits")
    from limits.storage import storage_from_string

    import warp_cache.limits  # noqa: F401

    return storage_from_string(uri, **options)


def test_limits_set_the_end_by_the_first_hit_alone() -> None:
    counts = storage()
    counts.incr("k", 1000)
    counts.incr("k", 5000)
    assert 990 < counts._cache.ttl("k") <= 1000


def test_limits_keeps_windows_and_counters_apart() -> None:
    counts = storage()
    assert counts.incr("k", 60) == 1
    assert counts.acquire_entry("k", 1, 60) and not counts.acquire_entry("k", 1, 60)
    assert counts.acquire_sliding_window_entry("k", 1, 60)
    assert counts.get("k") == 1
    counts.clear("k")
    assert counts.get("k") == 0 and counts.acquire_entry("k", 1, 60)


def test_limits_counts_the_same_for_both_interfaces() -> None:
    counts, later = storage(), storage("async+warp://test")
    counts.incr("k", 60)
    assert asyncio.run(later.incr("k", 60)) == 2
    assert pickle.loads(pickle.dumps(later))._storage._cache is counts._cache


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("warp://test?size=1", "options of warp:// are .*got 'size'"),
        ("warp://test?max_bytes=lots", "max_bytes must be a whole number"),
    ],
)
def test_limits_tells_wrong_options(uri: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        storage(uri)


@unusable
def test_limits_leaves_it_to_the_limiter_where_it_cannot_count(no_directory: None) -> None:
    counts = storage()
    assert issubclass(CacheUnavailable, counts.base_exceptions)
    assert counts.check() is False
    for call in (
        lambda: counts.incr("k", 60),
        lambda: counts.get("k"),
        lambda: counts.acquire_entry("k", 1, 60),
        lambda: counts.acquire_sliding_window_entry("k", 1, 60),
    ):
        with pytest.raises(CacheUnavailable):
            call()
    from limits.errors import StorageError

    with pytest.raises(StorageError):
        storage("warp://other", wrap_exceptions=True).incr("k", 60)


# --- Litestar -----------------------------------------------------------------------------------


def store(**options: Any) -> Any:
    pytest.importorskip("litestar")
    from warp_cache.litestar import SharedStore

    return SharedStore("test", **options)


def test_litestar_namespaces_do_not_meet() -> None:
    async def use() -> None:
        root = store()
        a, ab = root.with_namespace("a"), root.with_namespace("ab")
        inner = a.with_namespace("b")
        for number, each in enumerate((root, a, ab, inner)):
            await each.set("k", str(number))
        assert [await each.get("k") for each in (root, a, ab, inner)] == [b"0", b"1", b"2", b"3"]
        await a.delete_all()
        assert [await each.exists("k") for each in (root, a, ab, inner)] == [
            True,
            False,
            True,
            False,
        ]
        await root.delete_all()
        assert not await ab.exists("k")

    asyncio.run(use())


@pytest.mark.parametrize("namespace", ["", "a\0b"])
def test_litestar_refuses_a_namespace_that_would_meet_others(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace must be"):
        store(namespace=namespace)


def test_litestar_renews_what_has_an_end() -> None:
    async def use() -> None:
        each = store()
        await each.set("k", b"v", expires_in=10)
        await each.get("k", renew_for=timedelta(seconds=1000))
        assert 990 < await each.expires_in("k") <= 1000
        await each.set("k", "v", expires_in=0)
        await each.get("k", renew_for=5)
        assert await each.expires_in("k") == -1
        await each.set("k", "v", expires_in=-1)
        assert await each.expires_in("k") is None

    asyncio.run(use())


@unusable
def test_litestar_without_a_directory(no_directory: None) -> None:
    async def use() -> None:
        each = store()
        await each.set("k", b"v")
        assert await each.get("k") is None and not await each.exists("k")
        assert await each.expires_in("k") is None

    asyncio.run(use())


# --- aiocache -----------------------------------------------------------------------------------


def aiocache(**options: Any) -> Any:
    pytest.importorskip("aiocache")
    from warp_cache.aiocache import SharedCache

    return SharedCache(name="test", **options)


def test_aiocache_increments_and_keeps_the_ttl() -> None:
    async def use() -> None:
        cache = aiocache()
        await cache.set("k", 1, ttl=1000)
        assert await cache.increment("k", 2) == 3
        assert 990 < cache._cache.ttl("k") <= 1000
        await cache.set("text", "4")
        assert await cache.increment("text") == 5
        await cache.set("word", "four")
        with pytest.raises(TypeError, match="not an integer"):
            await cache.increment("word")

    asyncio.run(use())


def test_aiocache_values_are_copies() -> None:
    async def use() -> None:
        cache = aiocache()
        await cache.set("k", {"a": [1]})
        (await cache.get("k"))["a"].append(2)
        assert await cache.get("k") == {"a": [1]}

    asyncio.run(use())


class Incomparable:
    def __init__(self, number: int) -> None:
        self.number = number


class Unanswering(Incomparable):
    """As arrays do, whose comparison is no truth."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("it is ambiguous")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("backend", ["shared", "memory"])
@pytest.mark.parametrize("kind", [Incomparable, Unanswering])
def test_aiocache_knows_again_what_equals_nothing(kind: Any, backend: str) -> None:
    lock_module = pytest.importorskip("aiocache.lock")

    async def use() -> None:
        cache = aiocache(backend=backend)
        await cache.set("k", kind(1))
        async with lock_module.OptimisticLock(cache, "k") as lock:
            await lock.cas(kind(2))
            assert (await cache.get("k")).number == 2
            with pytest.raises(lock_module.OptimisticLockError):
                await lock.cas(kind(3))
            await cache.delete("k")
            with pytest.raises(lock_module.OptimisticLockError):
                await lock.cas(kind(3))
        assert await cache.get("k") is None

    asyncio.run(use())


def test_aiocache_compares_and_sets_in_one_step() -> None:
    from_lock = pytest.importorskip("aiocache.lock")

    async def use() -> None:
        cache = aiocache()
        await cache.set("k", 1)
        async with from_lock.OptimisticLock(cache, "k") as lock:
            await cache.set("k", 2)
            with pytest.raises(from_lock.OptimisticLockError):
                await lock.cas(3)
        async with from_lock.OptimisticLock(cache, "k") as lock:
            await lock.cas(3)
        assert await cache.get("k") == 3

    asyncio.run(use())
