"""Control over entries among processes: what one does, all others see at their next call."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import pytest
import support

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shared backend needs Unix")

# A function whose computations the test can hold: `open_` files in its folder let them go.
CHILD = """
import asyncio, os, sys, time, warnings
from pathlib import Path
from warp_cache import cache, lru_cache, invalidate_tags

folder = Path(sys.argv[1])
LONG = 1000

def source():
    return (folder / "source").read_text()

def wait_for(name):
    end = time.monotonic() + 60
    while not (folder / name).exists():
        assert time.monotonic() < end, name
        time.sleep(0.002)

@cache(backend="shared", name="plain", tags=("all", "x:{x}"), ttl=LONG)
def f(x):
    value = source()
    with (folder / "calls").open("a") as calls:
        calls.write(f"{os.getpid()} {x} {value}\\n")
    if (folder / f"hold-{value}").exists():
        wait_for(f"go-{value}")
    return value

@cache(backend="shared", name="stale", tags="all", ttl=0.05, stale_while_revalidate=LONG)
def stale(x):
    value = source()
    with (folder / "calls").open("a") as calls:
        calls.write(f"{os.getpid()} {x} {value}\\n")
    if (folder / f"hold-{value}").exists():
        wait_for(f"go-{value}")
    return value

@cache(backend="shared", name="spare", ttl=0.05, stale_if_error=LONG)
def spare(x):
    if source() == "down":
        raise ValueError("down")
    return source()

@cache(backend="shared", name="negative", cache_exceptions={KeyError: LONG})
def negative(x):
    with (folder / "calls").open("a") as calls:
        calls.write(f"{os.getpid()} {x}\\n")
    raise KeyError("no", x)

@cache(backend="shared", name="coroutine", tags="all", ttl=LONG)
async def coroutine(x):
    value = source()
    while (folder / f"hold-{value}").exists() and not (folder / f"go-{value}").exists():
        await asyncio.sleep(0.002)
    return value
"""


class World:
    """The folder through which a test directs its children."""

    def __init__(self, folder: Any, children: Any) -> None:
        self.folder = folder
        self.set_source("old")
        self.children = children.start(CHILD, 2)

    def set_source(self, value: str) -> None:
        temporary = self.folder / "source.new"
        temporary.write_text(value)
        temporary.replace(self.folder / "source")

    def hold(self, value: str) -> None:
        (self.folder / f"hold-{value}").touch()

    def go(self, value: str) -> None:
        (self.folder / f"go-{value}").touch()

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def begin_refresh(self, child: Any, before: int) -> None:
        """Call until the entry is stale and its refresh has begun (which is held)."""

        def begun() -> bool:
            assert child.ask("stale(1)") == "'old'"
            return len(self.calls) > before

        support.eventually(begun)

    def await_calls(self, number: int) -> None:
        support.eventually(lambda: len(self.calls) >= number)


@pytest.fixture
def world(tmp_path: Any, children: Any) -> World:
    return World(tmp_path, children)


def test_what_one_invalidates_all_others_compute_anew(world: World) -> None:
    first, second = world.children
    assert first.ask("f(1)") == second.ask("f(1)") == "'old'"
    assert first.ask("f(1)") == "'old'", "decoded and near"
    assert len(world.calls) == 1
    world.set_source("new")
    assert second.ask("f.cache_invalidate(1)") == "True"
    assert first.ask("f.cache_contains(1)") == "False"
    assert first.ask("f.get(1)") == "None"
    assert first.ask("f(1)") == "'new'"
    assert second.ask("f(1)") == "'new'"
    assert len(world.calls) == 2


@pytest.mark.parametrize(
    "operation",
    [
        "f.cache_clear()",
        "f.cache_invalidate_tags('all')",
        "f.cache_invalidate_tags('x:1')",
        "invalidate_tags('x:1')",
        "f.cache_put('none', (1,), ttl=0)",
    ],
)
def test_the_same_of_tags_and_clear_and_put(world: World, operation: str) -> None:
    first, second = world.children
    assert first.ask("f(1)") == first.ask("f(1)") == second.ask("f(1)") == "'old'"
    world.set_source("new")
    second.ask(operation)
    assert first.ask("(f.get(1), f(1))") == "(None, 'new')"


def test_a_put_is_seen_with_its_lifetime_and_tags(world: World) -> None:
    first, second = world.children
    first.ask("f(1)")
    second.ask("f.cache_put('put', (1,), ttl=LONG / 2, tags='own')")
    assert first.ask("f(1)") == "'put'"
    assert first.ask("LONG / 2 - 60 < f.cache_ttl(1) <= LONG / 2") == "True"
    first.ask("f.cache_invalidate_tags('all')")
    assert second.ask("f.get(1)") == "'put'"
    first.ask("f.cache_invalidate_tags('own')")
    assert second.ask("f.get(1)") == "None"


def test_a_refresh_is_seen_by_all(world: World) -> None:
    first, second = world.children
    first.ask("f(1)"), second.ask("f(1)")
    world.set_source("new")
    assert first.ask("f.cache_refresh(1)") == "'new'"
    assert second.ask("f(1)") == "'new'"


OPERATIONS = {
    "f.cache_invalidate(1)": "'new'",
    "f.cache_clear()": "'new'",
    "f.cache_invalidate_tags('all')": "'new'",
    "f.cache_put('none', (1,), ttl=-1)": "'new'",
    "f.set('set', 1)": "'set'",
    "f.cache_put('set', (1,))": "'set'",
}


@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_a_computation_of_another_process_is_fenced(world: World, operation: str) -> None:
    first, second = world.children
    world.hold("old")
    old = first.start("f(1)")
    world.await_calls(1)
    world.set_source("new")
    second.ask(operation)
    expected = OPERATIONS[operation]
    assert second.ask("f(1)") == expected, "at once, while the old one runs"
    assert first.ask("f(1)") == expected, "in its own process too"
    world.go("old")
    assert old.answer() == "'old'"
    assert first.ask("f(1)") == second.ask("f(1)") == second.ask("f.get(1)") == expected


def test_a_coroutine_of_another_process_is_fenced(world: World) -> None:
    first, second = world.children
    world.hold("old")
    old = first.start("asyncio.run(asyncio.wait_for(coroutine(1), 60))")
    time.sleep(0.3)
    world.set_source("new")
    second.ask("asyncio.run(asyncio.wait_for(coroutine.acache_invalidate(1), 60))")
    assert second.ask("asyncio.run(asyncio.wait_for(coroutine(1), 60))") == "'new'"
    world.go("old")
    assert old.answer() in ("'old'", "'new'")  # 'new' if it began only after the invalidation
    assert first.ask("coroutine.get(1)") == "'new'"


def test_a_background_refresh_of_another_process_is_fenced(world: World) -> None:
    first, second = world.children
    assert first.ask("stale(1)") == "'old'"
    time.sleep(0.1)
    world.set_source("older")
    world.hold("older")
    world.begin_refresh(first, 1)
    world.set_source("new")
    second.ask("stale.cache_invalidate(1)")
    world.go("older")
    time.sleep(0.1)
    assert second.ask("stale(1)") == "'new'"
    assert first.ask("stale(1) in ('new',)") == "True"


def test_one_refresh_of_a_key_at_a_time_among_processes(world: World) -> None:
    first, second = world.children
    first.ask("stale(1)"), second.ask("stale(1)")
    time.sleep(0.1)
    before = len(world.calls)
    world.set_source("new")
    world.hold("new")
    world.begin_refresh(first, before)
    assert second.ask("[stale(1) for _ in range(50)] == ['old'] * 50") == "True"
    time.sleep(0.1)
    assert len(world.calls) == before + 1
    world.go("new")
    support.eventually(lambda: second.ask("stale.get(1)") == "'new'")


def test_a_process_that_dies_in_its_refresh_leaves_it_to_another(world: World) -> None:
    first, second = world.children
    first.ask("stale(1)"), second.ask("stale(1)")
    time.sleep(0.1)
    before = len(world.calls)
    world.set_source("new")
    world.hold("new")
    world.begin_refresh(first, before)
    first.kill()
    world.go("new")
    support.eventually(lambda: second.ask("stale(1)") == "'new'")


def test_spare_values_are_those_of_all(world: World) -> None:
    first, second = world.children
    assert first.ask("spare(1)") == "'old'"
    time.sleep(0.1)
    world.set_source("down")
    assert second.ask("spare(1)") == first.ask("spare(1)") == "'old'"
    assert second.ask("spare.cache_contains(1)") == "False"
    second.ask("spare.cache_invalidate(1)")
    assert first.ask("spare(1)").startswith("!ValueError")


def test_a_stored_exception_is_raised_in_all(world: World) -> None:
    first, second = world.children
    answers = [child.ask("negative(1)") for child in (first, second, first, second)]
    assert len(set(answers)) == 1 and answers[0].startswith("!KeyError: ('no', 1)")
    assert len(world.calls) == 1
    assert second.ask("negative.cache_invalidate(1)") == "True"
    first.ask("negative(1)")
    assert len(world.calls) == 2


def test_counters_are_those_of_all(world: World) -> None:
    first, second = world.children
    for child in (first, second, first):
        child.ask("f(1)")
    first.ask("f.cache_refresh(1)")
    for child in (first, second):
        info = "(lambda i: (i[:2], i.loads, i.load_failures, i.refreshes))(f.cache_info())"
        assert child.ask(info) == "((2, 1), 2, 0, 1)"


def test_an_invalidation_behind_a_stopped_process_that_computes(world: World) -> None:
    first, second = world.children
    world.hold("old")
    old = first.start("f(1)")
    world.await_calls(1)
    first.signal(signal.SIGSTOP)
    world.set_source("new")
    second.ask("f.cache_invalidate(1)")
    assert second.ask("f(1)") == "'new'"
    first.signal(signal.SIGCONT)
    world.go("old")
    assert old.answer() == "'old'"
    assert second.ask("f.get(1)") == first.ask("f.get(1)") == "'new'"


STOPPED = """
import sys, threading
from warp_cache import cache

@cache(backend="shared", name="stopped", max_size=64)
def f(x):
    return "computed"

def forever():
    n = 0
    while True:
        n += 1
        f.set("v" * (n % 500), 1000 + n % 60)
"""


def test_an_invalidation_behind_a_stopped_writer_voids_the_cache(children: Any) -> None:
    """Wherever the writer stands, also in the middle of storing; it must not take long either."""
    writer, other = children.start(STOPPED, 2)
    writer.start("threading.Thread(target=forever, daemon=True).start()")
    for number in range(4):
        other.ask(f"f.set('before {number}', 1)")
        time.sleep(0.02 + 0.007 * number)
        writer.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            operation = ["f.cache_invalidate(1)", "f.cache_clear()", "f.set('set', 1)"][number % 3]
            answer = other.ask(operation)
            assert not answer.startswith("!"), answer
            assert time.monotonic() - began < 20
            expected = ("'computed'", "'set'") if "set" in operation else ("'computed'",)
            assert other.ask("f(1)") in expected, "never what was there before"
        finally:
            writer.signal(signal.SIGCONT)
        assert other.ask("f(1)") in expected, "nor when the writer goes on"


SPAWNED = """
import multiprocessing
from warp_cache import cache

@cache(backend="shared", name="spawned", tags="t")
def f(x):
    return multiprocessing.current_process().name

def child(queue):
    queue.put((f.get(1), f.cache_contains(2)))
    f.cache_invalidate(1)
    f.cache_invalidate_tags("t")
    queue.put(f(3))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    f(1), f(2)
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,), name="the child")
    process.start()
    print(queue.get(timeout=30), queue.get(timeout=30))
    process.join(30)
    print(process.exitcode, f.cache_contains(1), f.cache_contains(2), f.get(3))
"""


def test_spawned_children_take_part() -> None:
    done = support.run_python(SPAWNED, limit=60)
    expected = "('MainProcess', True) the child\n0 False False the child"
    assert done.returncode == 0 and done.stdout.strip() == expected, done.stderr
