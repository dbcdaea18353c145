"""Reference counts, tracked objects and memory stay flat over 10^5 calls of every kind."""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support
from fighters import VARIANTS
from support import Growth, check_clean, run_python

from warp_cache import cache, lru_cache

MANY = 100_000
# Blocks that may stay for a while: without a GIL, CPython frees what dictionaries were made of in
# lots of some 250.
FREED_LATER = 1500 if support.FREE_THREADED else 300


class Thing:
    """A key, a value, an argument: compared by identity and tracked by the collector."""


class Cast:
    """The objects that take part in the calls, and how often each of them is referred to."""

    def __init__(self, decorate: Callable[..., Any], max_size: int | None) -> None:
        self.keys = [Thing() for _ in range(3)]
        self.value = Thing()
        self.error = ValueError("from the function")
        self.pair = (self.keys[0], 2**70)
        self.text = "".join(["not", " interned"])
        self.big = 2**80
        self.names = {"".join(["w", "ord"]): self.value}

        def body(*args: Any, **kwargs: Any) -> Any:
            if args and args[0] == -1:
                raise self.error
            return self.value

        self.body = body
        self.f = decorate(max_size=max_size)(body)

    def counts(self) -> dict[str, int]:
        counted = {
            "key 0": self.keys[0],
            "key 1": self.keys[1],
            "key 2": self.keys[2],
            "value": self.value,
            "error": self.error,
            "pair": self.pair,
            "text": self.text,
            "big": self.big,
            "body": self.body,
            "f": self.f,
            "name": next(iter(self.names)),
        }
        return {name: sys.getrefcount(thing) for name, thing in counted.items()}


def _failing(cast: Cast) -> None:
    with contextlib.suppress(ValueError):
        cast.f(-1)
    # The one exception object that is raised again and again would collect tracebacks itself.
    cast.error.__traceback__ = cast.error.__context__ = None


def _unhashable(cast: Cast) -> None:
    for call in (lambda: cast.f([]), lambda: cast.f(1, word=[]), lambda: cast.f.get({})):
        with contextlib.suppress(TypeError):
            call()


def _evicting(cast: Cast) -> None:
    for key in cast.keys:
        cast.f(key)


# One turn of each kind; the second number says how many times MANY is divided by.
TURNS: dict[str, tuple[Callable[[Cast], Any], int]] = {
    "hits on an object": (lambda c: c.f(c.keys[0]), 1),
    "hits on a str": (lambda c: c.f(c.text), 1),
    "hits on a big int": (lambda c: c.f(c.big), 1),
    "hits on an equal int": (lambda c: c.f(c.big + 1), 1),
    "hits on a tuple": (lambda c: c.f(c.pair), 1),
    "hits on an equal tuple": (lambda c: c.f((c.keys[0], c.big)), 1),
    "hits on several arguments": (lambda c: c.f(c.keys[0], c.text, c.big), 1),
    "hits with a keyword": (lambda c: c.f(c.keys[0], word=c.value), 1),
    "hits with a dict of keywords": (lambda c: c.f(**c.names), 1),
    "hits without arguments": (lambda c: c.f(), 1),
    "misses and evictions": (_evicting, 3),
    "evictions of long keys": (lambda c: [c.f(k, c.text, word=c.value) for k in c.keys], 3),
    "exceptions": (_failing, 2),
    "unhashable arguments": (_unhashable, 3),
    "get": (lambda c: (c.f.get(c.keys[0]), c.f.get(c.keys[1], c.text)), 2),
    "set": (lambda c: [c.f.set(c.value, key) for key in c.keys], 3),
    "clear": (lambda c: (c.f(c.keys[0]), c.f.cache_clear()), 2),
    "information": (lambda c: (c.f.cache_info(), c.f.cache_parameters(), repr(c.f)), 4),
    "binding": (lambda c: c.f.__get__(c.keys[0], Thing)(), 2),
    "attributes": (lambda c: (c.f.__wrapped__, c.f.__name__, c.f.__doc__, c.f.__dict__), 4),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("max_size", [0, 1, 128])
@pytest.mark.parametrize("variant", ["lru", "lru_cache"])
def test_references_are_unchanged(variant: str, max_size: int, turn: str) -> None:
    _check(Cast(VARIANTS[variant], max_size), turn, MANY // 2)


@pytest.mark.parametrize(
    "turn", ["hits on an object", "hits with a keyword", "misses and evictions"]
)
@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"lru", "lru_cache"}))
def test_references_are_unchanged_in_every_variant(variant: str, turn: str) -> None:
    for max_size in (1, None):
        _check(Cast(VARIANTS[variant], max_size), turn, MANY // 2)


@pytest.mark.parametrize("turn", ["hits on an object", "misses and evictions", "exceptions"])
def test_references_are_unchanged_over_a_hundred_thousand_calls(turn: str) -> None:
    for decorate in (cache, lru_cache):
        _check(Cast(decorate, 2), turn, 2 * MANY)


def _check(cast: Cast, turn: str, many: int) -> None:
    act, share = TURNS[turn]
    for _ in range(300):
        act(cast)
    gc.collect()
    before, types = cast.counts(), sys.getrefcount(type(cast.f))
    growth = Growth(blocks=FREED_LATER, objects=100)
    for _ in growth:
        for _ in range(many // share):
            act(cast)
    gc.collect()
    after = cast.counts()
    # Which one of the keys is in the cache at the end may differ by the references of one entry.
    drift = {name: after[name] - before[name] for name in before}
    assert all(abs(change) <= 4 for change in drift.values()), drift
    assert abs(sys.getrefcount(type(cast.f)) - types) < 50, "the type of the cached function"
    growth.check()
    cast.f.cache_clear()
    gc.collect()
    cleared = cast.counts()
    fresh = cast.counts()
    assert cleared == fresh


def test_clearing_gives_back_every_reference() -> None:
    for decorate in VARIANTS.values():
        cast = Cast(decorate, None)
        untouched = cast.counts()
        for act, _ in TURNS.values():
            act(cast)
            act(cast)
        cast.f.cache_clear()
        gc.collect()
        after = cast.counts()
        assert after == untouched


def test_deleting_the_function_gives_back_every_reference() -> None:
    for decorate in VARIANTS.values():
        cast = Cast(decorate, None)
        watched = [cast.value, *cast.keys]
        for act, _ in TURNS.values():
            act(cast)
        cast.f.cache_clear()
        without = [sys.getrefcount(thing) for thing in watched]
        cast.f(*cast.keys, word=cast.value)
        cast.f(*cast.keys, word=cast.value)
        cast.f = None
        gc.collect()
        assert [sys.getrefcount(thing) for thing in watched] == without


def test_expiry_gives_back_every_reference() -> None:
    cast = Cast(lambda max_size: cache(max_size=max_size, ttl=0.001), 64)
    before = cast.counts()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        for i in range(3):
            cast.f(cast.keys[i])
            cast.f(cast.keys[i], cast.text)
    info = cast.f.cache_info()
    assert info.hits and info.misses > 60, f"nothing expired: {info}"
    cast.f.cache_clear()
    gc.collect()
    assert cast.counts() == before


def test_a_cached_function_owns_one_reference_to_what_it_wraps() -> None:
    def plain() -> None:
        pass

    gc.collect()
    before = sys.getrefcount(plain)
    for decorate in (cache, lru_cache):
        made = [decorate(plain) for _ in range(1000)]
        del made
        gc.collect()
        # Each one that was made may have left a mark on the function, but not a reference.
        assert sys.getrefcount(plain) <= before + 2


MEMORY = """
import gc, os, sys
from warp_cache import Strategy, cache, lru_cache

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def fail(i):
    raise ValueError(i)

def many(count):
    for decorator in (cache(max_size=64), lru_cache(max_size=64), cache(max_size=64, ttl=9),
                      cache(max_size=0), *(cache(s, max_size=64) for s in Strategy)):
        f = decorator(lambda *args, **kwargs: [args])
        g = decorator(fail)
        for i in range(count):
            f(i)
            f(i, "second", word=i)
            f("first" + str(i % 100))
            f.set(i, -i)
            try:
                g(i)
            except ValueError:
                pass
            try:
                f([])
            except TypeError:
                pass
            if i % 500 == 0:
                f.cache_clear()
    for _ in range(count // 10):
        f = cache(lambda i: f)
        f(1)

many(25_000)
before = resident()
many(25_000)
grown = resident() - before
# A leak of 32 bytes a call in one of the six kinds would be 4 MB.
print("flat" if grown < 3_000_000 else f"grown by {grown} bytes")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc/self/statm")
def test_memory_of_the_process_is_flat() -> None:
    check_clean(run_python(MEMORY), out="flat")
