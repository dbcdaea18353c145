"""Large calls and deep recursion: the limits are Python's own, and beyond them is no crash."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import support

from warp_cache import cache, lru_cache

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])


def gather(*args: Any, **kwargs: Any) -> Any:
    return (args, tuple(kwargs.items()))


@both
@pytest.mark.parametrize("typed", [False, True])
def test_every_number_of_arguments(decorate: Decorate, typed: bool) -> None:
    cached = decorate(max_size=None, typed=typed)(gather)
    for round_number in range(2):
        calls = 0
        for positional in range(51):
            for keywords in (0, 1, 2, 3, 7, 8, 9, 31, 32, 33, 50):
                args = tuple(range(positional))
                kwargs = {f"k{n}": n for n in range(keywords)}
                assert cached(*args, **kwargs) == gather(*args, **kwargs)
                calls += 1
        assert cached.cache_info() == (round_number * calls, calls, None, calls)


@both
@pytest.mark.parametrize("count", [1000, 65_535, 65_536, 100_000])
def test_very_many_arguments(decorate: Decorate, count: int) -> None:
    cached = decorate(gather)
    args = tuple(range(count))
    for _ in range(2):
        assert cached(*args) == (args, ())
        assert cached(*args[:-1]) == (args[:-1], ())
        assert cached(*args[:-1], -5) == ((*args[:-1], -5), ())
    kwargs = {f"k{n}": n for n in range(min(count, 5000))}
    for _ in range(2):
        assert cached(**kwargs) == ((), tuple(kwargs.items()))
    assert cached.cache_info() == (4, 4, 128, 4)


@both
def test_order_of_very_many_keywords_of_a_gathering_function(decorate: Decorate) -> None:
    cached = decorate(gather)
    names = [f"k{n}" for n in range(200)]
    forwards, backwards = dict.fromkeys(names, 0), dict.fromkeys(reversed(names), 0)
    for _ in range(2):
        assert cached(**forwards)[1] == tuple(forwards.items())
        assert cached(**backwards)[1] == tuple(backwards.items())
    assert cached.cache_info()[:2] == (2, 2)


@both
def test_long_strings_and_wide_tuples(decorate: Decorate) -> None:
    cached = decorate(lambda key: object())
    keys: list[Callable[[], Any]] = [
        lambda: "x" * 10**6,
        lambda: "x" * (10**6 - 1) + "y",
        lambda: "😀" * 10**5,
        lambda: b"x" * 10**6,
        lambda: tuple(range(10**5)),
        lambda: tuple(range(10**5 - 1)) + (0,),
        lambda: tuple(str(n) for n in range(10**4)),
        lambda: 10**4000,
        lambda: 10**4000 + 1,
    ]
    first = [cached(key()) for key in keys]
    assert len(set(first)) == len(keys)
    assert [cached(key()) for key in keys] == first


@both
def test_nested_tuples(decorate: Decorate) -> None:
    def nested(depth: int, core: Any) -> Any:
        for _ in range(depth):
            core = (core,)
        return core

    cached = decorate(max_size=None)(lambda key: object())
    for depth in (1, 2, 10, 100, 300):
        for core in ((), 1, "a"):
            assert cached(nested(depth, core)) is cached(nested(depth, core))
            assert cached(nested(depth, core)) is not cached(nested(depth + 1, core))


DEEP_KEY = """
import sys
from warp_cache import cache, lru_cache

def nested(depth):
    key = 1
    for _ in range(depth):
        key = (key,)
    return key

for decorate in (cache, lru_cache):
    cached = decorate(lambda key: object())
    for depth in (1_000, 10_000, 20_000):
        kept = nested(depth)
        value = cached(kept)
        assert cached(kept) is value, "the same object needs no comparison"
        try:
            assert cached(nested(depth)) is value
        except RecursionError:
            pass
        assert cached(kept) is value
    hits, misses, _, size = cached.cache_info()
    assert misses == size == 3 and hits >= 6, cached.cache_info()
print("fine")
"""


def test_comparing_deeply_nested_keys_does_not_crash() -> None:
    """Where CPython gives up with RecursionError, so may the cache; it may not crash."""
    support.check_clean(support.run_python(DEEP_KEY), out="fine")


RECURSION = """
import sys
from warp_cache import cache, lru_cache

sys.setrecursionlimit(LIMIT)

@NAME(PARAMETERS)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def work():
    # Near the limit, from both sides, again and again: nothing may be left behind.
    for deep in (LIMIT * 10, LIMIT * 3, 10**6):
        try:
            fib(deep)
        except RecursionError:
            pass
        else:
            raise SystemExit("no RecursionError")
        assert fib(20) == 6765
    reached = 20
    for n in range(20, LIMIT * 2, 20):  # in small steps there is no deep recursion
        assert fib(n) is not None
        reached = n
    hits, misses, _, _ = fib.cache_info()
    assert misses >= reached
    fib.cache_clear()
    assert fib(30) == 832040
    assert fib.cache_info()[:2] == (28, 31)

work()
print("fine")
"""


@pytest.mark.parametrize("name", ["cache", "lru_cache"])
@pytest.mark.parametrize("limit", [200, 1000, 3000])
@pytest.mark.parametrize("parameters", ["max_size=None", "max_size=64", "max_size=None, ttl=60"])
def test_recursion_beyond_the_limit(name: str, limit: int, parameters: str) -> None:
    source = RECURSION.replace("NAME", name).replace("LIMIT", str(limit))
    done = support.run_python(source.replace("PARAMETERS", parameters))
    support.check_clean(done, out="fine")


RAISED_LIMIT = """
import sys
from functools import lru_cache
from warp_cache import cache, lru_cache as warp_lru_cache

sys.setrecursionlimit(LIMIT)

@NAME(maxsize=None)
def down(n):
    return 0 if n == 0 else down(n - 1)

try:
    down(10**6)
except RecursionError:
    print("fine")
"""


# Until 3.11 a function in Python takes the C stack, too: some 830 bytes a call of ours in all. Each
# is two levels, so that 20,000 levels are a little more than the usual 8 MB.
HIGH = 20_000 if sys.version_info >= (3, 11) else 16_000


@pytest.mark.parametrize("name", ["warp_lru_cache", "cache"])
@pytest.mark.parametrize("limit", [10_000, HIGH])
def test_a_raised_limit_that_functools_can_live_with(name: str, limit: int) -> None:
    """Memoized recursion is where people raise the limit; a call must not eat much more stack."""
    source = RAISED_LIMIT.replace("LIMIT", str(limit))
    if support.run_python(source.replace("NAME", "lru_cache")).returncode != 0:
        pytest.skip("functools crashes too")
    support.check_clean(support.run_python(source.replace("NAME", name)), out="fine")


@both
def test_recursion_up_to_the_limit(decorate: Decorate) -> None:
    """A cached call must not cost much more of the limit than a plain one does."""
    depth = 0

    @decorate(max_size=None)
    def down(n: int) -> int:
        nonlocal depth
        depth = max(depth, n)
        return 0 if n == 0 else down(n - 1) + 1

    wanted = sys.getrecursionlimit() // 3
    assert down(wanted) == wanted
    assert down.cache_info() == (0, wanted + 1, None, wanted + 1)


MUTUAL = """
from warp_cache import cache, lru_cache

class Key:
    def __init__(self, n):
        self.n = n
    def __hash__(self):
        return 1
    def __eq__(self, other):
        return lookup(Key(self.n + 1)) == 0

for decorate in (cache, lru_cache):
    lookup = decorate(lambda key: key.n)
    lookup(Key(0))
    try:
        lookup(Key(1))
    except RecursionError:
        pass
    else:
        raise SystemExit("endless recursion ended")
    lookup.cache_clear()
    assert lookup(Key(5)) == 5
print("fine")
"""


def test_endless_recursion_through_comparison() -> None:
    """__eq__ that looks up a key that needs __eq__: RecursionError, then a working cache."""
    support.check_clean(support.run_python(MUTUAL), out="fine")


@both
def test_a_hundred_thousand_entries(decorate: Decorate) -> None:
    cached = decorate(max_size=100_000)(str)
    for _ in range(2):
        assert all(cached(n) == str(n) for n in range(100_000))
    assert cached.cache_info() == (100_000, 100_000, 100_000, 100_000)
    assert all(cached(n) == str(n) for n in range(100_000, 150_000))
    assert cached.cache_info() == (100_000, 150_000, 100_000, 100_000)
    assert cached.get(49_999) is None and cached.get(50_000) == "50000"
