"""CPython's own tests of mappings, against the cache object: a dict that happens to be bounded."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest

from warp_cache import Cache, testing

mapping_tests = pytest.importorskip("test.mapping_tests")


class Unbounded(Cache[Any, Any]):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(max_size=None)
        self.update(*args, **kwargs)


class TestAsMapping(mapping_tests.TestHashMappingProtocol):  # type: ignore[misc]
    type2test = Unbounded
    # What a cache decides otherwise: how it is made and shown.
    test_constructor = None
    test_fromkeys = None
    test_repr = None
    test_repr_deep = None


def test_it_is_registered() -> None:
    cache = Cache[str, int]()
    assert isinstance(cache, MutableMapping)
    assert isinstance(cache, Mapping)
    with pytest.raises(TypeError):
        hash(cache)


def test_unions_are_dicts_and_count_nothing() -> None:
    cache = Cache[str, int]()
    cache.update(a=1, b=2)
    assert cache | {"b": 3, "c": 4} == {"a": 1, "b": 3, "c": 4}
    assert {"b": 3, "c": 4} | cache == {"a": 1, "b": 2, "c": 4}
    assert type(cache | cache) is dict
    with pytest.raises(TypeError):
        cache | [("a", 1)]  # type: ignore[operator]
    assert cache.info()[:2] == (0, 0)
    same = cache
    cache |= {"b": 5}
    cache |= [("c", 6)]
    assert same is cache and cache == {"a": 1, "b": 5, "c": 6}


def test_views_go_backwards() -> None:
    cache = Cache[str, int]()
    cache.update(a=1, ab=2, b=3)
    assert [*reversed(cache.keys())] == ["b", "ab", "a"] == [*reversed(cache)]
    assert [*reversed(cache.keys("a"))] == ["ab", "a"]
    assert [*reversed(cache.values())] == [3, 2, 1]
    assert [*reversed(cache.items())] == [("b", 3), ("ab", 2), ("a", 1)]


def test_missing_of_a_subclass_is_asked_by_subscripts_alone() -> None:
    class Default(Cache[str, int]):
        def __missing__(self, key: str) -> int:
            return len(key)

    cache = Default()
    assert cache["four"] == 4
    assert cache.get("four") is None
    assert "four" not in cache


def test_a_subclass_that_forgets_super() -> None:
    class Forgetful(Cache[str, int]):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match="super"):
        Forgetful()["a"]


@pytest.mark.parametrize("strategy", ["LRU", "MRU", "FIFO", "LFU", "SIEVE", "S3FIFO"])
def test_a_copy_has_the_same_next_victims(strategy: str) -> None:
    cache = Cache[str, int](4, strategy=strategy)
    cache.update(a=1, b=2, c=3, d=4)
    for key in "aab":
        cache[key]
    assert [*cache.copy()] == [*pickle.loads(pickle.dumps(cache))] == [*cache]


def test_a_copy_has_the_entries_as_they_were() -> None:
    class Doubling(Cache[str, int]):
        def set(self, key: str, value: int, **terms: Any) -> bool:
            return super().set(key, 2 * value, **terms)

    cache = Doubling()
    cache.set("a", 1)
    assert cache.copy() == cache == {"a": 2}


def test_a_copy_has_the_seconds_that_were_left() -> None:
    with testing.clock() as clock:
        cache = Cache[str, int](ttl=100, jitter=0.9, stale_while_revalidate=50)
        cache["a"] = 1
        left = cache.ttl("a")
        clock.advance(left - 3)
        cache["b"] = 2
        copies = [cache.copy(), pickle.loads(pickle.dumps(cache)), copy.deepcopy(cache)]
        for copied in copies:
            assert copied.ttl("a") == pytest.approx(3) == cache.ttl("a")
            assert copied.ttl("b") == pytest.approx(cache.ttl("b"))
        clock.advance(8)
        stale = [again.copy() for again in (cache, *copies)]
        for copied in stale:
            assert copied["a"] == 1
            assert copied.ttl("a") == pytest.approx(-5)
        clock.advance(44)
        assert all("a" in copied for copied in stale)
        clock.advance(2)
        assert not any("a" in copied for copied in (cache, *copies, *stale))
