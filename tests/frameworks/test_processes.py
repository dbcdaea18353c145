"""What holds for each adapter that processes share: eight promises."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable

import pytest
import support
from children import Child, Children

from tests.frameworks.fronts import FRONTS, Front

Start = Callable[[int], list[Child]]
_COMMON = """
import os, time
def many(key, times):
    for _ in range(times): incr(key)
def adds(keys):
    return [key for key in keys if add(key, "mine")]
def writes(key, letter, times):
    for _ in range(times): put(key, letter * 1500, 60)
def reads(key, times):
    return {len(set(found)) for found in (take(key) or "x" for _ in range(times))}
def forever(key):
    while True: put(key, "x" * 1500, 60)
def forked(key):
    child = os.fork()
    if not child:
        put(key, (take("before") or "") + "x", 60)
        os._exit(0)
    return os.waitpid(child, 0)[1]
"""


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> Front:
    found = FRONTS[request.param]
    pytest.importorskip(found.needs)
    return found


@pytest.fixture
def start(front: Front, children: Children) -> Start:
    return lambda count: children.start(front.source + _COMMON, count)


@pytest.fixture
def counting(front: Front, start: Start) -> Start:
    if not front.counts:
        pytest.skip(f"{front.needs} has no counters")
    return start


def test_no_increment_is_lost(counting: Start) -> None:
    workers = counting(3)
    for asked in [worker.start("many('n', 300)") for worker in workers]:
        assert asked.answer() == "None"
    assert workers[0].ask("incr('n')") == "901"


def test_of_many_adds_one_wins(counting: Start) -> None:
    workers = counting(3)
    asked = [worker.start("adds([f'k{n}' for n in range(100)])") for worker in workers]
    won = [key for one in asked for key in eval(one.answer())]
    assert sorted(won) == sorted(f"k{n}" for n in range(100))


def test_an_entry_ends_for_all(start: Start) -> None:
    one, other = start(2)
    one.ask("put('k', 'xxxxx', 1)")
    assert other.ask("take('k')") == "'xxxxx'"
    support.eventually(lambda: other.ask("take('k')") == "None")
    assert one.ask("take('k')") == "None"


def test_values_are_whole(start: Start) -> None:
    workers = start(3)
    writers = [
        w.start(f"writes('k', {letter!r}, 300)") for w, letter in zip(workers, "ab", strict=False)
    ]
    assert eval(workers[2].ask("reads('k', 600)")) <= {1}
    for writer in writers:
        assert writer.answer() == "None"


def test_a_killed_writer_harms_nobody(start: Start) -> None:
    one, other = start(2)
    one.start("forever('k')")
    support.eventually(lambda: other.ask("take('k')") != "None")
    one.kill()
    other.ask("put('k', 'xxx', 60)")
    assert other.ask("take('k')") == "'xxx'"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_sees_and_is_seen(start: Start) -> None:
    one, other = start(2)
    one.ask("put('before', 'x', 60)")
    assert one.ask("forked('after')") == "0"
    assert other.ask("take('after')") == "'xx'"


def test_what_one_drops_is_gone_for_all(start: Start) -> None:
    one, other = start(2)
    one.ask("put('k', 'xxxxx', 60)")
    assert other.ask("take('k')") == "'xxxxx'"
    other.ask("drop('k')")
    assert one.ask("take('k')") == "None"


def test_entries_outlive_their_processes(start: Start) -> None:
    (one,) = start(1)
    one.ask("put('k', 'xxxxx', 60)")
    one.close()
    (other,) = start(1)
    assert other.ask("take('k')") == "'xxxxx'"


@pytest.mark.parametrize(
    "name", ["django", "cachelib", "flask_caching", "dogpile", "limits", "litestar", "aiocache"]
)
def test_the_package_imports_no_framework(name: str) -> None:
    program = f"import sys, warp_cache; assert {name!r} not in sys.modules"
    assert support.run_python(program).returncode == 0
    importlib.import_module("warp_cache")
