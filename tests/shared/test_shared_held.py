"""A process keeps nothing of what the file no longer holds: values and keys of whatever kind."""

from __future__ import annotations

import array
import asyncio
import gc
import os
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import support
from children import Children
from keys import Key, alive, forget, key, number_of, numbered

from warp_cache import Cache, Strategy, cache


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    forget()
    yield
    forget()


def held() -> set[int]:
    """The numbers of the keys that are alive."""
    support.merge_counts()
    return alive()


def twin(**options: Any) -> Any:
    """Another function on the same file, as another process would be: with nothing decoded."""
    return numbered(**options)


ENDS: dict[str, Callable[[Any, Any], object]] = {
    "evicted by this function": lambda f, _: [f(key(n)) for n in range(100, 108)],
    "evicted by others": lambda _, other: [other(key(n)) for n in range(100, 108)],
    "replaced by others": lambda _, other: [other.set([-1], key(n)) for n in range(8)],
    "cleared by others": lambda _, other: other.cache_clear(),
    "cleared": lambda f, _: f.cache_clear(),
    "lost": lambda *_: [os.truncate(path, 0) for path in files()],
    "removed, as others find": lambda _, other: [*map(os.unlink, files()), other.cache_clear()],
}
LOOKS: dict[str, Callable[[Any], object]] = {
    "a look": lambda f: f(key(999)),
    "get": lambda f: f.get(key(999)),
    "a store by hand": lambda f: f.set([0], key(999)),
    "cache_info": lambda f: f.cache_info(),
}


def files() -> list[Path]:
    return list(Path(os.environ["WARP_CACHE_DIR"]).glob("numbered*.cache"))


@pytest.mark.parametrize("strategy", [Strategy.LRU, Strategy.TINYLFU])
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("end", ENDS)
def test_what_is_gone_is_gone_at_the_next_look(end: str, look: str, strategy: Strategy) -> None:
    options: dict[str, Any] = {"max_size": 8, "strategy": strategy}
    function, other = numbered(**options), twin(**options)
    # A shared cache is opened at its first use.
    other.cache_info()
    for n in range(8):
        function(key(n))
    assert held() >= set(range(8))
    ENDS[end](function, other)
    LOOKS[look](function)
    if end == "lost":
        # The next call finds another file.
        LOOKS[look](function)
    there = {n for n in (*range(8), *range(100, 108), 999) if other.get(key(n)) is not None}
    # What the other one holds is its own affair.
    del other
    gc.collect()
    gone = end == "replaced by others" or "cleared" in end or "removed" in end or end == "lost"
    assert held() <= ({999} if gone else there)


@pytest.mark.parametrize("strategy", Strategy)
def test_only_what_the_file_holds(strategy: Strategy) -> None:
    chance = random.Random(strategy)
    function = numbered(max_size=20, strategy=strategy)
    other = twin(max_size=20, strategy=strategy)
    for step in range(600):
        who = function if chance.random() < 0.6 else other
        number = int(chance.paretovariate(0.8)) % 200
        if chance.random() < 0.03:
            who.set([number], key(number))
        else:
            assert who(key(number)) == [number]
        if step % 60 == 59:
            function.cache_info(), other.cache_info()
            alive = held()
            assert len(alive) <= 20
            assert all(function.get(key(n)) is not None for n in alive)


def test_more_changes_than_the_file_tells() -> None:
    function, other = numbered(max_size=40), twin(max_size=40)
    for n in range(40):
        function(key(n))
    for n in range(1000, 2000):
        other.set([n], key(n))
    del other
    gc.collect()
    function(key(5000))
    assert held() == {5000}


def test_expired_at_the_next_look() -> None:
    function = numbered(ttl=0.2)
    for n in range(10):
        function(key(n))
    time.sleep(0.25)
    function.get(key(999))
    assert held() == set()


def test_expired_while_others_are_hit() -> None:
    function = cache(backend="shared", ttl=1.0)(lambda key: number_of(key))
    for n in range(10):
        function(key(n))
    time.sleep(0.6)
    function(key(100))
    deadline = time.monotonic() + support.LIMIT
    # The later one is found in this process, again and again; nothing else is asked for.
    while held() & set(range(10)) and time.monotonic() < deadline:
        assert function(key(100)) == 100
    assert not held() & set(range(10))


def test_a_heap_of_deadlines_that_have_lost_their_entries() -> None:
    function = numbered(max_size=10, ttl=1000)
    for n in range(2000):
        function(key(n))
    assert held() == set(range(1990, 2000))


def test_lifetimes_of_single_entries_in_a_cache_that_has_none() -> None:
    function = numbered(max_size=20)
    computed = {50}
    function.cache_put([100], (key(100),), ttl=1000)
    for n in (*range(10), 100, 50):
        if n < 10:
            function.cache_put([n], (key(n),), ttl=0.2)
        misses = function.cache_info().misses
        assert function(key(n)) == [n]
        if function.cache_info().misses > misses:
            # (On a slow machine it has expired by now.)
            computed.add(n)
    assert held() >= {50, 100}
    time.sleep(0.25)
    function.get(key(999))
    assert held() == {100} | computed
    function.cache_invalidate(key(100))
    for _ in range(1000):
        assert function(key(50)) == [50]
    assert held() == computed


def test_entries_with_lifetimes_that_are_stored_anew_take_no_room() -> None:
    decorated = cache(backend="shared", max_size=20)(lambda n: n)
    cached = Cache[int, int](backend="shared", max_size=20, name="anew")

    def many(rounds: int) -> None:
        for n in range(rounds):
            decorated.cache_put(n, (n % 10,), ttl=1000)
            cached.set(n % 10, n, ttl=1000)

    many(1000)
    before = support.allocated()
    if before is None:
        pytest.skip("the C library does not tell what it has allocated")
    many(50_000)
    assert support.allocated() - before < 500_000


CHILD = """
import sys
sys.path.insert(0, {folder!r})
from keys import key, numbered
function = numbered(max_size=8)
"""


def test_gone_by_another_process(children: Children) -> None:
    function = numbered(max_size=8)
    [child] = children.start(CHILD.format(folder=str(Path(__file__).parent)))
    for end in (
        "[function(key(n)) for n in range(100, 120)]",
        "[function.set([0], key(n)) for n in range(8)]",
        "function.cache_clear()",
    ):
        for n in range(8):
            function(key(n))
        assert held() == set(range(8))
        child.ask(end)
        function(key(999))
        assert held() == {999}


def test_a_fork_lets_go_as_its_parent_does() -> None:
    function, other = numbered(max_size=8), twin(max_size=8)
    for n in range(8):
        function(key(n))
    child = os.fork()
    if not child:
        try:
            [other.set([n], key(n)) for n in range(100, 108)]
            function(key(999))
            os._exit(0 if held() <= {999, *range(100, 108)} else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    function(key(999))
    assert held() == {999}


def test_coroutine_functions() -> None:
    @cache(backend="shared", max_size=5)
    async def function(key: Key) -> list[int]:
        return [number_of(key)]

    async def main() -> None:
        for n in range(50):
            await function(key(n))
            await asyncio.gather(*(function(key(n)) for _ in range(3)))

    asyncio.run(main())
    gc.collect()
    assert held() == set(range(45, 50))


def test_threads() -> None:
    function = cache(backend="shared", max_size=16)(lambda key: [number_of(key)])

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(400):
            number = chance.randrange(64)
            assert function(key(number)) == [number]

    support.results(support.start_together([lambda s=s: work(s) for s in range(6)]))
    function.cache_info()
    assert len(held()) <= 16


VALUES: dict[str, Callable[[int], Any]] = {
    "immutable": lambda n: n.to_bytes(4, "big") * 50_000,
    "text": lambda n: f"{n:04}" * 50_000,
    "containers": lambda n: [n.to_bytes(4, "big") * 50_000],
    "pickled": lambda n: array.array("i", [n]) * 50_000,
}


# Known by itself, and by its bytes.
ARGUMENTS: dict[str, Callable[[int], Any]] = {"int": int, "path": lambda n: Path(str(n))}


@pytest.mark.parametrize("ttl", [None, 0.05])
@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize("kind", VALUES)
def test_bytes_are_bounded_by_the_files(kind: str, argument: str, ttl: float | None) -> None:
    make, passed = VALUES[kind], ARGUMENTS[argument]
    decorate = cache(backend="shared", max_size=None, max_bytes=1 << 20, ttl=ttl)
    function = decorate(lambda n: make(int(str(n))))
    function(passed(0))
    tracemalloc.start()
    try:
        for n in range(1, 40):
            function(passed(n))
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < 2 << 20


def test_an_end_of_a_key_that_calls_in() -> None:
    def call(number: int) -> None:
        function(key(number + 500))

    function = cache(backend="shared", max_size=4)(lambda key: [number_of(key)])
    for n in range(100):
        function(key(n, lambda _, n=n: call(n)))
    function.cache_info()
    assert len(held()) <= 4
