"""Django's backends: what its own tests do not see, and users need."""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

django = pytest.importorskip("django")

from django.conf import settings  # noqa: E402
from django.core.cache import caches  # noqa: E402
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation  # noqa: E402
from django.utils.functional import empty  # noqa: E402

from warp_cache import Cache, CacheUnavailable, _adapting  # noqa: E402
from warp_cache.django import MemoryCache, SharedCache  # noqa: E402
from warp_cache.django._checks import check_caches  # noqa: E402
from warp_cache.django._keys import glob  # noqa: E402

BOTH = pytest.mark.parametrize("backend", [SharedCache, MemoryCache])


@pytest.fixture(autouse=True, scope="module")
def _settings() -> Iterator[None]:
    """Settings while these tests run: examples of the documents have others."""
    before = settings._wrapped
    settings._wrapped = empty
    settings.configure(SECRET_KEY="not a secret", CACHES={})
    yield
    settings._wrapped = before
    # What `override_settings` has left there.
    caches.__dict__.pop("settings", None)
    caches._settings = None


@pytest.fixture(autouse=True)
def _new_caches() -> Iterator[None]:
    """The directory is another one for each test; so are the caches."""
    _adapting._kept.clear()
    yield
    _adapting._kept.clear()


def made(backend: type[Any], **params: Any) -> Any:
    return backend("test", params)


@BOTH
def test_a_negative_timeout_has_ended(backend: type[Any]) -> None:
    cache = made(backend)
    cache.set("k", 1)
    cache.set("k", 2, -1)
    assert cache.get("k") is None
    assert cache.add("k", 1, -5) is True and cache.get("k") is None
    cache.set("k", 1)
    assert cache.add("k", 2, -5) is False and cache.get("k") == 1
    assert cache.touch("k", -1) is True and cache.get("k") is None
    assert cache.touch("k", -1) is False
    assert cache.get_or_set("k", lambda: 7, -1) == 7 and not cache.has_key("k")
    cache.set_many({"a": 1}, -1)
    assert not cache.has_key("a")


@BOTH
def test_incr_keeps_the_timeout(backend: type[Any]) -> None:
    cache = made(backend)
    cache.set("k", 1, 1000)
    cache.incr("k", 5)
    assert 990 < cache.ttl("k") <= 1000
    assert asyncio.run(cache.aincr("k", -1)) == 5
    assert 990 < cache.ttl("k") <= 1000
    cache.set("forever", 1, None)
    cache.decr("forever")
    assert cache.ttl("forever") is None


@BOTH
def test_incr_adds_whatever_python_adds(backend: type[Any]) -> None:
    cache = made(backend)
    cache.set("k", 1.5)
    assert cache.incr("k", 2) == 3.5 and cache.incr("k", 0.25) == 3.75
    with pytest.raises(ValueError, match="not found"):
        cache.incr("none", 0.5)
    cache.set("text", "a")
    with pytest.raises(TypeError):
        cache.incr("text")


@BOTH
def test_a_version_moves_with_what_is_left_of_its_timeout(backend: type[Any]) -> None:
    cache = made(backend)
    cache.set("k", "value", 500)
    assert cache.incr_version("k") == 2
    assert cache.get("k") is None and cache.get("k", version=2) == "value"
    assert 490 < cache.ttl("k", version=2) <= 500
    assert asyncio.run(cache.adecr_version("k", version=2)) == 1
    assert 490 < cache.ttl("k") <= 500


@BOTH
def test_nobody_gets_another_ones_object(backend: type[Any]) -> None:
    cache = made(backend)
    value = {"a": [1]}
    cache.set("k", value)
    value["a"].append(2)
    first = cache.get("k")
    first["a"].append(3)
    cache.get_many(["k"])["k"]["a"].append(4)
    cache.get_or_set("k", dict)["a"].append(5)
    assert cache.get("k") == {"a": [1]}


@BOTH
def test_errors_of_pickle_come_out(backend: type[Any]) -> None:
    class Refuses:
        def __reduce__(self) -> Any:
            raise pickle.PicklingError("not me")

    cache = made(backend)
    cache.set("k", "old")
    for method in (cache.set, cache.add):
        with pytest.raises(pickle.PicklingError, match="not me"):
            method("other", Refuses())
    with pytest.raises(pickle.PicklingError, match="not me"):
        cache.set_many({"x": 1, "k": Refuses()})
    assert cache.get("k") == "old"
    if backend is SharedCache:
        assert cache.get("x") is None


@BOTH
def test_the_a_methods_take_no_thread(backend: type[Any]) -> None:
    cache = made(backend)

    async def use() -> None:
        await cache.aset("k", 1)
        assert await cache.aget("k") == 1 and await cache.ahas_key("k")
        assert await cache.aadd("k", 2) is False and await cache.aincr("k") == 2
        await cache.aset_many({"a": 1, "b": 2})
        assert await cache.aget_many(["a", "b"]) == {"a": 1, "b": 2}
        await cache.adelete_many(["a"])
        assert await cache.atouch("b", 100) and await cache.adelete("b")
        await cache.aclear()
        assert await cache.aget("k", "none") == "none"

    before = threading.enumerate()
    asyncio.run(use())
    assert set(threading.enumerate()) <= set(before)  # those of other tests may end


@BOTH
def test_aget_or_set_awaits_its_default_once(backend: type[Any]) -> None:
    cache = made(backend)
    runs = []

    async def compute() -> str:
        runs.append(1)
        await asyncio.sleep(0)
        return "value"

    async def use() -> list[Any]:
        both = await asyncio.gather(*(cache.aget_or_set("k", compute) for _ in range(5)))
        return [
            *both,
            await cache.aget_or_set("l", lambda: compute()),
            await cache.aget_or_set("m", 3),
        ]

    assert asyncio.run(use()) == ["value"] * 6 + [3]
    assert len(runs) == 2


@BOTH
def test_what_asks_the_database_to_be_pickled_takes_a_thread(backend: type[Any]) -> None:
    class Query:
        rows = ""

        def __reduce__(self) -> Any:
            if not self.rows:
                try:
                    asyncio.get_running_loop()
                except RuntimeError:
                    self.rows = "rows"
                else:
                    raise SynchronousOnlyOperation("not in a loop")
            return str, (self.rows,)

    cache = made(backend)

    async def use() -> None:
        await cache.aset("a", Query())
        assert await cache.aadd("b", Query())
        await cache.aset_many({"c": Query()})
        await cache.aget_or_set("d", Query())
        await cache.aget_or_set("e", Query)
        assert await cache.aset("f", Query(), nx=True)
        assert await cache.aset("f", Query(), xx=True)
        await cache.aset("g", Query(), nx=False)
        await cache.aget_or_set("h", lambda: [Query()])
        await cache.aget_or_set("i", lambda: {"key": Query()})

    asyncio.run(use())
    expected = {**dict.fromkeys("abcdefg", "rows"), "h": ["rows"], "i": {"key": "rows"}}
    assert cache.get_many("abcdefghi") == expected


@BOTH
def test_close_drops_nothing_and_threads_have_one_cache(backend: type[Any]) -> None:
    cache = made(backend)
    cache.set("k", "value")
    cache.close()
    assert cache.get("k") == "value"
    seen = []
    thread = threading.Thread(target=lambda: seen.append(made(backend).get("k")))
    thread.start()
    thread.join()
    assert seen == ["value"]
    assert made(backend)._cache is cache._cache


def test_a_constructor_for_each_thread_opens_nothing() -> None:
    made(SharedCache).set("k", 1)
    opened = []
    original = _adapting.Cache.__init__
    _adapting.Cache.__init__ = lambda *a, **o: opened.append(1) or original(*a, **o)  # type: ignore
    try:
        timeit.timeit(lambda: made(SharedCache), number=100)
    finally:
        _adapting.Cache.__init__ = original  # type: ignore[method-assign]
    assert not opened


def test_a_key_function_may_be_set_at_run_time() -> None:
    cache = made(SharedCache)
    cache.set("k", "plain")
    cache.key_func = lambda key, prefix, version: f"mine-{key}"
    assert cache.get("k") is None
    cache.set("k", "mine")
    assert list(cache._cache) and "mine-k" in cache._cache and ":1:k" in cache._cache


def test_a_subclass_validates_keys_in_its_way() -> None:
    class Liberal(SharedCache):
        def validate_key(self, key: Any) -> None:
            assert key.startswith(":1:")

    Liberal("test", {}).set("with spaces" * 30, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"MAX_ENTRIES": "many"}, "MAX_ENTRIES must be a whole number of at least 0, got 'many'"),
        ({"MAX_BYTES": 0}, "MAX_BYTES must be a whole number of at least 1, got 0"),
        ({"MAX_ENTRY": 1}, "OPTIONS of a shared cache are .*got 'MAX_ENTRY'"),
        ({"STRATEGY": "best"}, "strategy"),
        ({"DIRECTORY": 5}, "DIRECTORY must be a path, got 5"),
        ({"REVERSE_KEY_FUNCTION": 5}, "REVERSE_KEY_FUNCTION must be a function .*got 5"),
    ],
)
def test_a_wrong_option_is_told_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        made(SharedCache, OPTIONS=options)


def test_max_entries_is_exact() -> None:
    cache = made(SharedCache, OPTIONS={"MAX_ENTRIES": 10, "CULL_FREQUENCY": 2})
    cache.set_many({str(n): n for n in range(25)})
    assert len(cache._cache) == 10


def test_each_cache_may_have_a_directory(tmp_path: Path) -> None:
    caches = {}
    for name in ("one", "two"):
        caches[name] = made(SharedCache, OPTIONS={"DIRECTORY": tmp_path / name})
        caches[name].set("k", name)
    for name, cache in caches.items():
        assert cache.get("k") == name
        assert list((tmp_path / name).iterdir())


@pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")
def test_a_directory_that_cannot_be_used_breaks_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("WARP_CACHE_DIR", str(tmp_path / "file"))
    cache = made(SharedCache)
    cache.set("k", 1)
    assert cache.get("k", "none") == "none" and not cache.has_key("k")
    assert cache.add("k", 1) is False and cache.touch("k") is False
    assert cache.get_or_set("k", lambda: 7) == 7
    with pytest.raises(ValueError, match="cannot be reached"):
        cache.incr("k")
    assert cache.get_many(["k"]) == {}


def test_the_first_eviction_of_what_is_to_stay_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    cache = made(SharedCache, OPTIONS={"MAX_BYTES": 1_000_000})
    with caplog.at_level(logging.WARNING, "warp_cache"):
        for number in range(3000):
            cache.set(str(number), "x" * 2000)
    told = [record for record in caplog.records if "had to make room" in record.getMessage()]
    assert len(told) == 1 and "'test'" in told[0].getMessage()


def test_patterns_are_those_of_redis() -> None:
    cases = {
        "a*c": (["ac", "abc", "ab:c"], ["ab", "xac"]),
        "a?c": (["abc"], ["ac", "abbc"]),
        "[a-c]x": (["ax", "cx"], ["dx", "-x"]),
        "[^a]x": (["bx"], ["ax"]),
        "[]x": ([], ["x", "ax"]),
        "[a\\-c]": (["a", "-", "c"], ["b"]),
        "\\*": (["*"], ["a"]),
        "a.b": (["a.b"], ["axb"]),
        "[": (["["], ["a"]),
    }
    for pattern, (right, wrong) in cases.items():
        begins, matches = glob(pattern)
        assert all(matches.fullmatch(key) and key.startswith(begins) for key in right), pattern
        assert not any(matches.fullmatch(key) for key in wrong), pattern


def test_keys_one_after_the_other_take_arguments_in_the_order_of_django_redis() -> None:
    cache = made(SharedCache)
    cache.set_many({"a": 1, "b": 2})
    assert sorted(cache.iter_keys("*", 1000)) == ["a", "b"]
    assert list(cache.iter_keys("*", 1000, 2)) == []


def test_prefixes_and_versions_are_taken_to_the_letter_in_patterns() -> None:
    star, plain = made(SharedCache, KEY_PREFIX="*"), made(SharedCache, KEY_PREFIX="p")
    star.set("k1", 1)
    plain.set("k1", 1)
    plain.set("k1", 1, version=2)
    assert star.keys("k*") == ["k1"] and star.delete_pattern("*") == 1
    assert plain.keys("k*") == ["k1"] and plain.get("k1", version=2) == 1


def test_a_pattern_may_have_another_prefix() -> None:
    one, other = made(SharedCache, KEY_PREFIX="one"), made(SharedCache, KEY_PREFIX="[other]")
    one.set_many({"k1": 1, "k2": 2})
    other.set_many({"k1": 3, "k2": 4})
    assert one.delete_pattern("k*", prefix="[other]") == 2
    assert one.delete_pattern("k1", None, "one", itersize=10) == 1
    assert sorted(one.keys("*")) == ["k2"] and other.keys("*") == []


@BOTH
def test_a_lock_may_be_held_for_longer(backend: type[Any]) -> None:
    cache = made(backend)
    lock, other = cache.lock("job", timeout=1000), cache.lock("job", timeout=1000)

    def left() -> float:
        return float(cache._cache.ttl(cache.make_key("job")))

    with pytest.raises(RuntimeError, match="not held: acquire"):
        lock.extend(1)
    lock.acquire()
    assert lock.extend(1000) is True and 1000 < left() <= 2000
    assert lock.extend(5000, replace_ttl=True) is True and 2000 < left() <= 5000
    assert lock.reacquire() is True and left() <= 1000
    assert other.acquire(blocking=False) is False and lock.owned()
    assert lock.extend(0.01, replace_ttl=True)
    assert other.acquire(blocking_timeout=60)
    for late in (lock.reacquire, lambda: lock.extend(1)):
        with pytest.raises(RuntimeError, match="held no more"):
            late()
    assert asyncio.run(other.areacquire()) and asyncio.run(other.aextend(5000))
    assert left() > 1000 and other.owned()
    with pytest.raises(RuntimeError, match="its lease was over"):
        lock.release()
    with cache.lock("another") as endless, pytest.raises(RuntimeError, match="without a timeout"):
        endless.extend(1)
    other.release()
    assert not cache.has_key("job") and not other.locked()
    # As if it had never been longer.
    assert lock.acquire(blocking=False)


def test_a_lock_whose_token_cannot_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = made(SharedCache)

    def broken(*_arguments: Any, **_options: Any) -> None:
        raise failure

    monkeypatch.setattr(Cache, "set", broken)
    failure: BaseException = CacheUnavailable("no space")
    with cache.lock("job") as lock:
        assert lock.locked()
    failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        cache.lock("job").acquire()
    assert not cache.lock("job").locked()


def test_a_lock_has_its_token_under_its_key() -> None:
    cache = made(SharedCache)
    lock = cache.lock("job", timeout=60)
    with lock:
        assert cache.has_key("job") and lock.owned() and lock.locked()
        with pytest.raises(TimeoutError, match="somebody else holds it"):
            cache.lock("job", blocking_timeout=0.01).__enter__()
        cache.clear()
        assert cache.lock("job").acquire(blocking=False) is False
    assert not cache.has_key("job") and not lock.owned()
    with pytest.raises(RuntimeError):
        lock.release()


def test_a_lock_in_coroutines() -> None:
    cache = made(SharedCache)

    async def use() -> bool:
        async with cache.lock("job", blocking_timeout=10):
            return await cache.lock("job").aacquire(blocking=False)

    assert asyncio.run(use()) is False


def test_set_if(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = made(SharedCache)
    assert cache.set("k", 1, xx=True) is False and not cache.has_key("k")
    assert cache.set("k", 1, nx=True) is True and cache.set("k", 2, nx=True) is False
    assert cache.set("k", 3, 100, xx=True) is True and cache.get("k") == 3
    # Also in the place of what equals nothing, not even itself.
    for old in (None, float("nan")):
        cache.set("k", old)
        assert cache.set("k", 4, xx=True) is True and cache.get("k") == 4
    with pytest.raises(ValueError, match="nx and xx"):
        cache.set("k", 3, nx=True, xx=True)


@pytest.mark.parametrize(
    ("configured", "engine", "ids"),
    [
        ({"default": {"BACKEND": "warp_cache.django.SharedCache"}}, "cache", []),
        ({"default": {"BACKEND": "warp_cache.django.MemoryCache"}}, "cache", ["W002"]),
        ({"default": {"BACKEND": "warp_cache.django.MemoryCache"}}, "db", []),
        (
            {
                "default": {
                    "BACKEND": "warp_cache.django.SharedCache",
                    "OPTIONS": {"MAX_BYTES": 1 << 60},
                }
            },
            "cache",
            ["W001"],
        ),
        (
            {"default": {"BACKEND": "warp_cache.django.SharedCache", "OPTIONS": {"SIZE": 1}}},
            "cache",
            ["E001"],
        ),
        (
            {
                "default": {
                    "BACKEND": "warp_cache.django.SharedCache",
                    "OPTIONS": {"DIRECTORY": __file__},
                }
            },
            "cache",
            ["E002"],
        ),
    ],
)
def test_the_system_check(configured: Any, engine: str, ids: list[str]) -> None:
    from django.test import override_settings

    sessions = f"django.contrib.sessions.backends.{engine}"
    with override_settings(CACHES=configured, SESSION_ENGINE=sessions):
        assert [message.id for message in check_caches()] == [
            f"warp_cache.{found}" for found in ids
        ]
