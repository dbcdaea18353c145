"""Several processes on two hosts: one computation, fences, faults of server and processes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import servers
import support
from children import FORKED

Start = Callable[..., Any]

# A function whose computation says that it has begun, and ends when it is let go.
SOURCE = """
from pathlib import Path
FOLDER = Path({folder!r})

@cache(remote=True, ttl=600, name="f", tags=("tag",), wait_timeout=60)
def f(x):
    (FOLDER / f"began-{{x}}-{{os.getpid()}}-{{time.monotonic_ns()}}").touch()
    while not (FOLDER / f"go-{{x}}").exists():
        time.sleep(0.001)
    return f"{{x}}-{{os.getpid()}}-{{time.monotonic_ns()}}"

@cache(remote=True, ttl=600, name="g")
def g(x):
    return time.monotonic_ns()
"""


class Folder:
    """By which a test and its processes talk."""

    def __init__(self, path: Path) -> None:
        self.path = path / "signs"
        self.path.mkdir()
        self.source = SOURCE.format(folder=str(self.path))

    def go(self, x: object) -> None:
        (self.path / f"go-{x}").touch()

    def began(self, x: object) -> int:
        return len(list(self.path.glob(f"began-{x}-*")))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_eight_processes_on_two_hosts_compute_a_key_once(start: Start, folder: Folder) -> None:
    children = [start(folder.source, host) for host in "abababab"]
    for child in children:
        child.ask("f")
    for key in range(3):
        asked = [child.start(f"f({key})") for child in children]
        support.eventually(lambda key=key: folder.began(key) > 0)
        folder.go(key)
        answers = {asked.answer() for asked in asked}
        assert len(answers) == 1 and folder.began(key) == 1, answers


@pytest.mark.parametrize(
    "change", ["f.cache_invalidate(1)", "f.cache_clear()", "f.cache_invalidate_tags('tag')"]
)
def test_a_change_on_one_host_fences_a_computation_on_the_other(
    start: Start, folder: Folder, change: str
) -> None:
    one, other = start(folder.source, "a"), start(folder.source, "b")
    under_way = one.start("f(1)")
    support.eventually(lambda: folder.began(1) == 1)
    other.ask(change)
    folder.go(1)
    old = under_way.answer()
    for child in (one, other):
        assert child.ask("f.get(1)") == "None", "what was computed before is not stored"
    new = other.ask("f(1)")
    assert new != old and one.ask("f(1)") == new and folder.began(1) == 2


def test_a_set_on_one_host_wins_over_a_computation_on_the_other(
    start: Start, folder: Folder
) -> None:
    one, other = start(folder.source, "a"), start(folder.source, "b")
    under_way = one.start("f(1)")
    support.eventually(lambda: folder.began(1) == 1)
    other.ask("f.set('set', 1)")
    folder.go(1)
    under_way.answer()
    assert one.ask("f(1)") == other.ask("f(1)") == "'set'"


def test_near_copies_of_the_other_host_are_void_within_the_staleness(
    start: Start, folder: Folder
) -> None:
    one, other = start(folder.source, "a"), start(folder.source, "b")
    for _ in range(20):
        value = one.ask("g(1)")
        support.eventually(lambda value=value: other.ask("g(1)") == value)
        # Near there.
        other.ask("[g(1) for _ in range(10)]")
        one.ask("g.cache_invalidate(1)")
        new = one.ask("g(1)")
        assert new != value
        # A call that begins later than the staleness afterwards.
        time.sleep(0.01)
        support.eventually(lambda new=new: other.ask("g(1)") == new, 1.0 + 5.0)
    assert int(other.ask("g.cache_info().hits")) > int(other.ask("g.cache_info().remote_hits"))


def test_near_hits_are_usual(start: Start, folder: Folder) -> None:
    one = start(folder.source, "a")
    one.ask("g(1)")
    support.eventually(lambda: _is_near(one))


def _is_near(child: Any) -> bool:
    before = int(child.ask("g.cache_info().remote_hits"))
    child.ask("[g(1) for _ in range(20)]")
    return int(child.ask("g.cache_info().remote_hits")) == before


def test_whoever_computes_may_be_killed(start: Start, folder: Folder) -> None:
    one, other = start(folder.source, "a"), start(folder.source, "b")
    one.start("f(1)")
    support.eventually(lambda: folder.began(1) == 1)
    waiting = other.start("f(1)")
    one.kill()
    support.eventually(lambda: folder.began(1) == 2)
    folder.go(1)
    assert waiting.answer().startswith("'1-")


def test_a_server_that_is_gone_harms_no_call(
    start: Start, folder: Folder, server: servers.Server
) -> None:
    one, other = start(folder.source, "a", timeout=0.25), start(folder.source, "b", timeout=0.25)
    value = one.ask("g(1)")
    assert other.ask("g(1)") == value
    server.kill()
    for child in (one, other):
        assert child.ask("g(2) > 0") == "True"
        assert child.ask("g.get(3)") == "None" and child.ask("g.cache_contains(3)") == "False"
        for change in ("g.cache_invalidate(1)", "g.set(0, 1)", "g.cache_clear()"):
            answer = child.ask(change)
            assert answer.startswith("!RemoteError"), answer
            assert str(server.port) not in answer
        assert int(child.ask("g.cache_info().remote_errors")) > 0
    assert one.ask("g(1)") != value, "what was invalidated here is not served"
    server.start()
    support.eventually(lambda: one.ask("g(5)") == other.ask("g(5)"))
    support.eventually(lambda: other.ask("g.cache_invalidate(5)") in ("True", "False"))


def test_a_server_that_is_stopped_is_waited_for_once(
    start: Start, folder: Folder, server: servers.Server
) -> None:
    one = start(folder.source, "a", timeout=0.1)
    one.ask("g(1)")
    server.stop()
    assert one.ask("[g(x) > 0 for x in range(100)]") == repr([True] * 100)
    server.resume()
    support.eventually(lambda: one.ask("g(1000)") == one.ask("g(1000)"))


def test_an_empty_restart_forgets_and_goes_on(
    start: Start, folder: Folder, server: servers.Server
) -> None:
    one, other = start(folder.source, "a", timeout=0.25), start(folder.source, "b", timeout=0.25)
    value = one.ask("g(1)")
    support.eventually(lambda: other.ask("g(1)") == value)
    server.kill()
    server.start()
    support.eventually(lambda: one.ask("g(1)") != value)
    support.eventually(lambda: one.ask("g(1)") == other.ask("g(1)") != value)


def test_a_flush_voids_all(start: Start, folder: Folder, server: servers.Server) -> None:
    one, other = start(folder.source, "a"), start(folder.source, "b")
    value = one.ask("g(1)")
    support.eventually(lambda: other.ask("g(1)") == value)
    server.say("FLUSHALL")
    support.eventually(lambda: other.ask("g(1)") != value)


def test_a_killed_listener_is_replaced(start: Start, folder: Folder) -> None:
    one, two, other = (
        start(folder.source, "a"),
        start(folder.source, "a"),
        start(folder.source, "b"),
    )
    for child in (one, two, other):
        child.ask("g(1)")
    one.kill()
    value = other.ask("g(1)")
    support.eventually(lambda: two.ask("g(1)") == value)
    other.ask("g.cache_invalidate(1)")
    new = other.ask("g(1)")
    support.eventually(lambda: two.ask("g(1)") == new)


def test_a_stopped_listener_is_replaced(start: Start, folder: Folder) -> None:
    one, two, other = (
        start(folder.source, "a"),
        start(folder.source, "a"),
        start(folder.source, "b"),
    )
    for child in (one, two, other):
        child.ask("g(1)")
    one.signal(signal.SIGSTOP)
    for _ in range(5):
        other.ask("g.cache_invalidate(1)")
        new = other.ask("g(1)")
        support.eventually(lambda new=new: two.ask("g(1)") == new)
    one.signal(signal.SIGCONT)
    support.eventually(lambda: one.ask("g(1)") == other.ask("g(1)"))


def test_a_forked_child_goes_on(start: Start, folder: Folder) -> None:
    one = start(folder.source + FORKED, "a")
    value = one.ask("g(1)")
    assert one.ask("forked('g(1)')").strip("'") == value
    computed = one.ask("forked('g(2)')").strip("'")
    assert one.ask("g(2)") == computed
    one.ask("forked('g.cache_invalidate(1)')")
    support.eventually(lambda: one.ask("g(1)") != value)


def test_recursion_is_no_deadlock(start: Start, folder: Folder) -> None:
    source = """
@cache(remote=True, ttl=600, name="r", wait_timeout=60)
def r(x, depth=[0]):
    depth[0] += 1
    return r(x) if depth[0] < 3 else depth[0]
"""
    one, other = start(source, "a"), start(source, "b")
    assert one.ask("r(1)") == "3"
    assert other.ask("r(1)") == "3"


def test_another_namespace_or_version_is_another_cache(start: Start, folder: Folder) -> None:
    one, other = start(folder.source, "a", namespace="x"), start(folder.source, "b", namespace="y")
    assert one.ask("g(1)") != other.ask("g(1)")


@pytest.mark.parametrize("call", ["h(1)", "asyncio.run(k(1))"])
def test_stale_if_error_covers_the_server(
    start: Start, folder: Folder, server: servers.Server, call: str
) -> None:
    source = """
import asyncio
fails = []

def value(x):
    if fails:
        raise LookupError(x)
    return time.monotonic_ns()

h = cache(remote=True, ttl=600, stale_if_error=600, name="h")(value)

@cache(remote=True, ttl=600, stale_if_error=600, name="k")
async def k(x):
    return value(x)
"""
    function = call[0] if call[0] == "h" else "k"
    one = start(source, "a", staleness=0.2)
    value = one.ask(call)

    def is_near() -> bool:
        before = one.ask(f"{function}.cache_info().remote_hits")
        # Beyond the staleness: what nobody listens for yet would be gone by then, and with it what
        # serves later.
        time.sleep(0.3)
        assert one.ask(call) == value
        return bool(one.ask(f"{function}.cache_info().remote_hits") == before)

    support.eventually(is_near)
    server.kill()
    one.ask("fails.append(1)")
    # Beyond the staleness: what is near is no hit any more, and serves as the function fails.
    support.eventually(
        lambda: (
            one.ask(call) == value and one.ask(f"{function}.cache_info().stale_hits > 1") == "True"
        )
    )
    # What is known here to be invalidated never does.
    assert one.ask(f"{function}.cache_invalidate(1)").startswith("!RemoteError")
    assert one.ask(call) == "!LookupError: 1"
