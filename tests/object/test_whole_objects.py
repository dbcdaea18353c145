"""What concerns many entries of a cache object, or the object as a whole, in both tiers."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import warp_cache
from warp_cache import Cache

Make = Callable[..., Cache[Any, Any]]


def test_many(make: Make) -> None:
    cache = make()
    assert cache.set_many({"a": 1, "b": 2}, ttl=100) == []
    assert cache.set_many([("c", 3)]) == []
    assert cache.get_many(["a", "x", "c"]) == {"a": 1, "c": 3}
    assert 99 < cache.ttl("a") <= 100
    assert cache.delete_many(["a", "x", "c"]) == 2
    assert cache.get_many("abc") == {"b": 2}


def test_iteration_is_over_a_snapshot(make_here: Make) -> None:
    cache = make_here()
    cache.update({"a1": 1, "a2": 2, "b1": 3})
    seen = []
    for key in cache:
        seen.append(key)
        cache.clear()
        cache[key + "x"] = 0
    assert sorted(seen) == ["a1", "a2", "b1"]
    cache.clear()
    cache.update({"a1": 1, "a2": 2, "b1": 3})
    items = iter(cache.items())
    del cache[next(items)[0]]
    gone = next(iter(cache))
    rest = iter(list(cache))
    del cache[gone]
    assert gone in list(rest)
    assert len(list(cache.values())) == 1
    assert cache == dict(cache.items())
    assert cache != {}


def test_keys_of_the_shared_tier_are_read_back() -> None:
    cache = Cache[Any, int](backend="shared", name="keys")
    keys = [None, 2, 2.5, "é", b"b", (1, ("a", None)), frozenset([1, (2, "x")]), 2**80, -7]
    for number, key in enumerate(keys):
        cache[key] = number
    assert {key: cache[key] for key in cache} == dict(zip(keys, range(len(keys)), strict=True))
    cache[True] = 100
    assert cache[1] == 100
    for wrong in (object(), 1j, math.nan, (1, object()), frozenset([1j])):
        for use in (cache.__getitem__, cache.get, cache.__contains__, cache.incr, cache.delete):
            with pytest.raises(TypeError, match="key of a shared or remote cache"):
                use(wrong)


def test_prefixes(make_here: Make) -> None:
    cache = make_here()
    cache.update({"a1": 1, "a2": 2, "b1": 3})
    cache[("a", 1)] = 4
    cache[b"a1"] = 5
    assert sorted(cache.keys("a")) == ["a1", "a2"]
    assert list(cache.keys(b"a")) == [b"a1"]
    assert len(cache.keys("a")) == 2
    assert "a1" in cache.keys("a")
    assert "b1" not in cache.keys("a")
    assert cache.clear("a") == 2
    assert cache.clear(prefix="b") == 1
    assert len(cache) == 2
    assert cache.clear() == 2
    assert not cache


def test_tags(make_here: Make) -> None:
    cache = make_here()
    cache.set("a", 1, tags=["x", "y"])
    cache.set("b", 2, tags="y")
    cache["c"] = 3
    cache.incr("a", 1)
    cache.invalidate_tags("x")
    assert sorted(cache) == ["b", "c"]
    assert len(cache) == 2
    warp_cache.invalidate_tags("y")
    assert list(cache) == ["c"]
    with pytest.raises(ValueError, match="16"):
        cache.set("d", 4, tags=[str(i) for i in range(17)])


def test_size_bounds(make_here: Make) -> None:
    cache = make_here(3)
    for number in range(10):
        cache[number] = number
    assert len(cache) == 3
    assert cache.info().evictions == 7
    nothing = make_here(0)
    nothing["a"] = 1
    assert not nothing.set("a", 1)
    assert "a" not in nothing
    assert nothing.get_or_set("a", lambda: 2) == 2
    assert len(nothing) == 0
    assert nothing.incr("a", default=4) == 5
    assert "a" not in nothing


def test_the_repr_tells_no_secrets(make: Make) -> None:
    cache = make()
    cache["secret key"] = "secret value"
    assert "secret" not in repr(cache)
    assert cache.options()["backend"] in repr(cache)


def test_copies_and_pickles(make_here: Make) -> None:
    cache = make_here(ttl=100)
    cache["a"] = [1]
    cache.set("b", 2, ttl=None)
    for other in (cache.copy(), copy.copy(cache), pickle.loads(pickle.dumps(cache))):
        assert other == cache
        assert 98 < other.ttl("a") <= 100
        assert other.ttl("b") == math.inf
        assert other.options() == cache.options()
        other["c"] = 1
        assert ("c" in cache) == (cache.options()["backend"] == "shared")
        del other["c"]


class Weighing(Cache[Any, Any]):
    """Its option, its attribute and its entry refer to it."""

    def __init__(self) -> None:
        super().__init__(100, max_weight=1000, weigher=self.weigh)
        self.itself = self

    def weigh(self, value: Any) -> int:
        return 7


@pytest.mark.parametrize("protocol", [*range(pickle.HIGHEST_PROTOCOL + 1), None])
def test_what_holds_itself_is_copied_as_a_dict_is(protocol: int | None) -> None:
    def again(cache: Any) -> Any:
        if protocol is None:
            return copy.deepcopy(cache)
        return pickle.loads(pickle.dumps(cache, protocol))

    one, two = Cache[Any, Any](10), Cache[Any, Any](10, ttl=100, strategy="mru")
    one["itself"], one["a list"], one["the other"] = one, [one], two
    two["back"] = {1: one}
    two.set("last", 1, tags=["a"])
    copied = again(one)
    other = copied["the other"]
    assert copied is not one and other is not two
    assert list(other) == list(two)
    assert copied["itself"] is copied is copied["a list"][0] is other["back"][1]
    assert 98 < other.ttl("back") <= 100
    other.invalidate_tags("a")
    assert list(other) == ["back"]

    weighing = Weighing()
    weighing["itself"] = weighing
    copied = again(weighing)
    assert copied["itself"] is copied is copied.itself is not weighing
    copied["b"] = 1
    assert copied.options()["weigher"].__self__ is copied
    assert copied.info().weight == 14


def test_closing_drops_nothing(make: Make) -> None:
    with make() as cache:
        cache["a"] = 1
    assert cache.copy()["a"] == 1


def test_the_repr_of_what_was_never_made() -> None:
    class Early(Cache[Any, Any]):
        def __init__(self) -> None:
            self.shown = repr(self)
            super().__init__()

    assert Early().shown == "<Early, not made yet>"
    assert repr(Cache.__new__(Cache)) == "<Cache, not made yet>"


def test_a_copy_of_a_lock_does_not_hold_it(make: Make) -> None:
    cache = make()
    lock = cache.lock("a", wait=5, lease=100)
    with lock:
        for other in (copy.copy(lock), pickle.loads(pickle.dumps(lock))):
            with pytest.raises(RuntimeError, match="not held by this object"):
                other.release()
        assert cache.lock("a").locked()
    with copy.copy(lock):
        assert cache.lock("a").locked()


def test_purge(make_here: Make) -> None:
    cache = make_here()
    cache["b"] = 2
    cache.set("a", 1, ttl=1e-6)
    while "a" in cache:
        pass
    assert cache.purge() == 1
    assert cache.purge() == 0


def test_the_module_knows_objects(make: Make) -> None:
    cache = make()
    cache["a"] = 1
    assert any(known is cache for known in warp_cache.caches())
    with warp_cache.disabled():
        assert cache["a"] == 1
        cache["b"] = 2
        assert cache.get_or_set("a", lambda: 3) == 3
    assert cache["b"] == 2
    warp_cache.clear_all()
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "shared"}, "name"),
        ({"ttl": lambda value: 1}, "ttl"),
        ({"jitter": 0.5}, "jitter needs a ttl"),
        ({"max_weight": 10}, "weigher"),
        ({"backend": "disk"}, "backend"),
        ({"strategy": "best"}, "strategy"),
        ({"ttl": 0}, "ttl"),
        ({"backend": "shared", "name": "x", "on_removal": print}, "on_removal"),
        ({"remote": True}, "remote"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Cache(**options)


def test_removals_are_told_with_the_key() -> None:
    told: list[Any] = []
    cache = Cache[str, int](2, on_removal=lambda *removal: told.append(removal))
    cache["a"] = 1
    cache["a"] = 2
    cache["b"] = 3
    cache["c"] = 4
    del cache["b"]
    assert [(key, value, cause.name) for key, value, cause in told] == [
        ("a", 1, "REPLACED"),
        ("a", 2, "SIZE"),
        ("b", 3, "EXPLICIT"),
    ]


def test_weights() -> None:
    cache = Cache[str, str](max_weight=10, weigher=len)
    assert cache.set("a", "x" * 6)
    assert cache.set("b", "x" * 5)
    assert list(cache) == ["b"]
    assert not cache.set("b", "x" * 11)
    assert "b" not in cache
    assert cache.info().weight == 0
