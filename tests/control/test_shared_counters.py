"""What a shared cache counts of computations: in the file, for all processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import support

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shared backend needs Unix")

CHILD = """
import asyncio, os, sys, threading, time
from pathlib import Path
from warp_cache import cache, lru_cache

folder = Path(sys.argv[1])

@cache(backend="shared", name="counted", max_size=1000)
def f(x):
    if x == "hold":
        (folder / "held").touch()
        while True:
            time.sleep(1)
    if x < 0:
        raise ValueError(x)
    # Some time that a counter of nanoseconds sees.
    return sum(range(1000))

@cache(backend="shared", name="old", max_size=1000, ttl=0.001, stale_if_error=1000)
def old(x):
    if (folder / "down").exists():
        raise ValueError("down")
    return x

@lru_cache(backend="shared", name="coroutine", max_size=1000)
async def coroutine(x):
    await asyncio.sleep(0)
    if x < 0:
        raise ValueError(x)
    return x

def attempt(function, x):
    try:
        function(x)
    except ValueError:
        return "raised"

def run(x):
    try:
        return asyncio.run(asyncio.wait_for(coroutine(x), 60))
    except ValueError:
        return "raised"

def counted(function=f):
    info = function.cache_info()
    return (info.loads, info.load_failures, info.stale_hits, info.refreshes)

def seconds(function=f):
    return function.cache_info().load_seconds

def compute_in_threads(first, threads, each):
    def body(number):
        for x in range(first + number * each, first + (number + 1) * each):
            f(x)
    all = [threading.Thread(target=body, args=(number,)) for number in range(threads)]
    [one.start() for one in all], [one.join(60) for one in all]

def in_a_fork(x):
    child = os.fork()
    if child == 0:
        try:
            f(x)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]
"""


def test_each_process_says_the_sums(children: Any) -> None:
    first, second = children.start(CHILD, 2)
    first.ask("[f(x) for x in range(3)]")
    second.ask("[f(x) for x in range(2, 5)]")
    for child in (first, second, first):
        assert child.ask("attempt(f, -1)") == "'raised'"
    second.ask("f.cache_refresh(0)")
    for child in (first, second):
        assert child.ask("counted()") == "(9, 3, 0, 1)"
        assert child.ask("f.cache_info()[:2]") == "(1, 8)", "a refresh is neither hit nor miss"
    times = [float(child.ask("seconds()")) for child in (first, second)]
    assert times[0] == times[1] > 0
    first.ask("f(5)")
    assert float(second.ask("seconds()")) > times[1], "the time of the one is added to that of all"


def test_those_of_coroutine_functions(children: Any) -> None:
    first, second = children.start(CHILD, 2)
    assert (first.ask("run(1)"), second.ask("run(2)"), first.ask("run(2)")) == ("1", "2", "2")
    assert second.ask("run(-1)") == first.ask("run(-1)") == "'raised'"
    for child in (first, second):
        assert child.ask("counted(coroutine)") == "(4, 2, 0, 0)"
        assert float(child.ask("seconds(coroutine)")) > 0


def test_stale_hits(children: Any, tmp_path: Path) -> None:
    first, second = children.start(CHILD, 2)
    first.ask("old(1)")
    support.eventually(lambda: second.ask("old.cache_contains(1)") == "False")
    (tmp_path / "down").touch()
    assert first.ask("old(1)") == second.ask("old(1)") == "1"
    for child in (first, second):
        assert child.ask("counted(old)") == "(3, 2, 2, 0)"


def test_what_a_killed_process_has_counted_stays(children: Any, tmp_path: Path) -> None:
    first, second = children.start(CHILD, 2)
    first.ask("[f(x) for x in range(5)]"), first.ask("attempt(f, -1)"), second.ask("f(5)")
    first.ask("f.cache_refresh(1)")
    before = second.ask("(counted(), seconds())")
    first.start("f('hold')")
    support.eventually(lambda: (tmp_path / "held").exists())
    first.kill()
    assert second.ask("(counted(), seconds())") == before, "what never ended is no computation"
    assert second.ask("counted()") == "(8, 1, 0, 1)"
    # Whoever has its place in the file goes on from there.
    (third,) = children.start(CHILD)
    third.ask("f(6)")
    assert second.ask("counted()") == third.ask("counted()") == "(9, 1, 0, 1)"
    assert second.ask("f.cache_info().repairs") == "0"


def test_a_clear_zeroes_them_for_all(children: Any) -> None:
    first, second = children.start(CHILD, 2)
    first.ask("[f(x) for x in range(3)]"), second.ask("attempt(f, -1)")
    second.ask("f.cache_refresh(0)")
    first.ask("f.cache_clear()")
    for child in (first, second):
        assert child.ask("(counted(), seconds())") == "((0, 0, 0, 0), 0.0)"
    second.ask("f(0)")
    assert first.ask("counted()") == "(1, 0, 0, 0)"


def test_a_clear_during_a_computation_counts_it_as_in_memory(children: Any) -> None:
    """It counts where it ends."""
    (child,) = children.start(
        CHILD
        + """
clears = {}
def clearing(**options):
    @cache(**options)
    def g(x):
        clears[g]()
        return x
    clears[g] = g.cache_clear
    g(1)
    return counted(g)
"""
    )
    assert child.ask("clearing(backend='shared', name='clearing')") == "(1, 0, 0, 0)"
    assert child.ask("clearing()") == "(1, 0, 0, 0)"


def test_threads_lose_no_count(children: Any) -> None:
    first, second = children.start(CHILD, 2)
    started = [
        child.start(f"compute_in_threads({at}, 4, 50)") for child, at in ((first, 0), (second, 200))
    ]
    for one in started:
        one.answer()
    assert first.ask("counted()") == second.ask("counted()") == "(400, 0, 0, 0)"


def test_a_forks_child_counts_for_itself(children: Any) -> None:
    (parent,) = children.start(CHILD)
    parent.ask("f(0)")
    assert parent.ask("in_a_fork(1)") == "0"
    assert parent.ask("(counted(), f.get(1) is None)") == "((2, 0, 0, 0), False)"


UNOPENED = """
import warnings
from warp_cache import cache

warnings.simplefilter("ignore")

@cache(backend="shared", name="unopened")
def f(x):
    return 1 / x

for x in (1, 1, 0):
    try:
        f(x)
    except ZeroDivisionError:
        pass
info = f.cache_info()
print(info.loads, info.load_failures, info.load_seconds > 0)
f.cache_clear()
info = f.cache_info()
print(info.loads, info.load_failures, info.load_seconds)
"""


def test_without_a_file_a_process_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {"WARP_CACHE_DIR": str(tmp_path / "file")}
    done = support.run_python(UNOPENED, environment=environment, limit=60)
    assert done.stdout.splitlines() == ["3 1 True", "0 0 0.0"], done.stderr
