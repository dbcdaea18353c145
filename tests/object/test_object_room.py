"""Where a cache object's entries are, what does not fit, and what clear() counts."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warp_cache import Cache

Make = Callable[..., Cache[Any, Any]]
SMALL, LARGE = b"s", b"l" * 2_000_000


@pytest.fixture(params=["memory", "shared"])
def cramped(request: pytest.FixtureRequest, tmp_path: Path) -> Cache[Any, Any]:
    """A cache that has room for SMALL, and not for LARGE."""
    if request.param == "memory":
        return Cache(None, max_weight=1000, weigher=len)
    return Cache(None, backend="shared", name="cramped", max_bytes=400_000, directory=tmp_path)


@pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")
def test_what_does_not_fit_replaces_nothing(cramped: Cache[Any, Any]) -> None:
    cramped["k"] = SMALL
    assert cramped.replace("k", SMALL, LARGE) is False
    assert cramped["k"] == SMALL
    assert cramped.replace("k", SMALL, b"t") is True
    assert cramped["k"] == b"t"


@pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")
def test_an_older_value_never_stands_for_one_that_was_computed(cramped: Cache[Any, Any]) -> None:
    cramped["k"] = SMALL
    assert cramped.compute("k", lambda old: LARGE) == LARGE
    assert "k" not in cramped
    assert cramped.compute("k", lambda old: LARGE if old is None else old) == LARGE
    assert "k" not in cramped
    cramped["k"] = SMALL
    assert cramped.set("k", LARGE) is False
    assert "k" not in cramped


def test_a_sum_that_weighs_too_much_leaves_no_older_one() -> None:
    cache: Cache[str, int] = Cache(None, max_weight=5, weigher=lambda value: value)
    cache["k"] = 4
    assert cache.incr("k", 3) == 7
    assert "k" not in cache


def test_clear_counts_memoized_entries(make_here: Make) -> None:
    cache = make_here()
    double = cache.memoize(lambda n: 2 * n)
    cache["k"] = 1
    assert (double(1), double(2)) == (2, 4)
    assert cache.clear() == 3
    assert cache.clear() == 0 and len(cache) == 0


def test_clear_does_not_count_what_has_ended(make_here: Make) -> None:
    cache = make_here()
    cache.set("ended", 1, ttl=0.01)
    cache["k"] = 1
    double = cache.memoize(lambda n: 2 * n)
    double(1)
    while "ended" in cache:
        time.sleep(0.01)
    assert cache.clear() == 2


def test_tags_of_a_memoized_function_are_its_own(make: Make) -> None:
    cache = make()
    one = cache.memoize(lambda n: n, tags=["user"])
    other = cache.memoize(lambda n: -n, tags=["user"])
    cache.set("k", 1, tags=["user"])
    one(1), other(1)
    one.cache_invalidate_tags("user")
    assert not one.cache_contains(1) and other.cache_contains(1) and "k" in cache
    one(1)
    cache.invalidate_tags("user")
    assert not one.cache_contains(1) and not other.cache_contains(1) and "k" not in cache


def test_popitem_takes_none_that_is_no_longer_served(make_here: Make) -> None:
    cache = make_here(ttl=0.01, stale_if_error=60)
    cache["k"] = 1
    while "k" in cache:
        time.sleep(0.01)
    with pytest.raises(KeyError):
        cache.popitem()


def test_stale_windows_are_those_of_the_cache() -> None:
    cache: Cache[str, int] = Cache(ttl=0.01, stale_if_error=60)
    fails = False

    @cache.memoize
    def load(n: int) -> int:
        if fails:
            raise OSError("away")
        return n

    assert load(1) == 1
    while load.cache_contains(1):
        time.sleep(0.01)
    fails = True
    assert load(1) == 1
    with pytest.raises(OSError, match="away"):
        load(2)


def test_a_cache_has_a_directory_of_its_own(tmp_path: Path) -> None:
    first: Cache[str, int] = Cache(backend="shared", name="placed", directory=tmp_path / "a")
    second: Cache[str, int] = Cache(backend="shared", name="placed", directory=str(tmp_path / "b"))
    third: Cache[str, int] = Cache(backend="shared", name="placed")
    first["k"], second["k"] = 1, 2
    assert (first["k"], second["k"], third.get("k")) == (1, 2, None)
    for cache, folder in ((first, "a"), (second, "b")):
        assert Path(cache.options()["path"]).parent == tmp_path / folder
        assert cache.options()["directory"] == str(tmp_path / folder)
    assert pickle.loads(pickle.dumps(first))["k"] == first.copy()["k"] == 1


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"directory": 3, "backend": "shared"}, TypeError, "directory must be the path"),
        ({"directory": "", "backend": "shared"}, ValueError, "directory must be the path"),
        ({"directory": "a\0b", "backend": "shared"}, ValueError, "directory must be the path"),
        ({"directory": "a"}, ValueError, "backend='memory', which has no file"),
    ],
)
def test_a_wrong_directory_is_named(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Cache(name="placed", **given)
