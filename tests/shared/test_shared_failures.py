"""Computations that leave nothing for the others: who waited for one computes at once, in no queue.

The proof is no time but a meeting: each computation after the first waits inside until all of them
are inside. Callers who took turns would never meet.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support
from children import WAITS, Child, Children

from warp_cache import cache

OTHERS = 3

# A function for each way to end without a value. The first to compute is held until a file "go" is
# there; the others until they have met, and else they say that they took turns.
SOURCE = """
import asyncio, os, signal, sys, threading, time
from pathlib import Path
from warp_cache import cache
folder = Path(sys.argv[1])
held = int(os.environ.get("HELD", "1"))
OTHERS = 3
party = held + OTHERS

def enter(kind):
    with open(folder / f"{kind}.inside", "a") as file:
        file.write(f"{os.getpid()}\\n")
    return inside(kind).index(str(os.getpid()))

def inside(kind):
    return (folder / f"{kind}.inside").read_text().split()

def may_leave(kind, number):
    if number < held:
        return (folder / f"{kind}.go{number}").exists()
    return not (folder / f"{kind}.hold").exists() and len(inside(kind)) >= party

def meet(kind):
    number, end = enter(kind), time.monotonic() + 15
    while not may_leave(kind, number):
        assert time.monotonic() < end, "they take turns"
        time.sleep(0.005)
    return number

async def meet_async(kind):
    number, end = enter(kind), time.monotonic() + 15
    while not may_leave(kind, number):
        assert time.monotonic() < end, "they take turns"
        await asyncio.sleep(0.005)
    return number

class Unloadable:
    def __reduce__(self):
        return (explode, ())

def explode():
    raise ValueError("not to be loaded")

def shared(function):
    options = {"max_value_size": 1000} if function.__name__ != "no_room" else {"max_bytes": 1 << 20}
    return cache(backend="shared", name=function.__name__, wait_timeout=30, **options)(function)

@shared
def raises(x):
    meet("raises")
    raise ValueError("no")

@shared
def halts(x):
    meet("halts")
    raise SystemExit("no")

@shared
def too_large(x):
    meet("too_large")
    return bytes(5000)

@shared
def no_room(x):
    meet("no_room")
    return bytes(1 << 21)

@shared
def unpicklable(x):
    meet("unpicklable")
    return lambda: x

@shared
def unloadable(x):
    meet("unloadable")
    return Unloadable()

@shared
def cleared(x):
    if enter("cleared") == 0:
        while not may_leave("cleared", 0):
            time.sleep(0.005)
    return x

@shared
def heals(x):
    if enter("heals") == 0:
        time.sleep(60)
    while not may_leave("heals", 0):
        time.sleep(0.005)
    return x

@shared
def killed(x):
    if meet("killed") < held:
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("no")

@shared
async def raises_async(x):
    await meet_async("raises_async")
    raise ValueError("no")

@shared
async def cancels(x):
    await meet_async("cancels")
    raise asyncio.CancelledError

@shared
async def too_large_async(x):
    await meet_async("too_large_async")
    return bytes(5000)

def call(kind, threads=2):
    def work():
        try:
            value = globals()[kind](1)
            if asyncio.iscoroutine(value) or hasattr(value, "__await__"):
                value = asyncio.run(wait(value))
            answers.append(type(value).__name__)
        except BaseException as error:
            answers.append(f"{type(error).__name__}: {error}".strip(": "))
    async def wait(awaitable):
        return await awaitable
    answers = []
    workers = [threading.Thread(target=work) for _ in range(threads)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    return sorted(answers)
"""

ENDS = {
    "raises": "ValueError: no",
    "halts": "SystemExit: no",
    "too_large": "bytes",
    "no_room": "bytes",
    "unpicklable": "function",
    "unloadable": "Unloadable",
    "raises_async": "ValueError: no",
    "cancels": "CancelledError",
    "too_large_async": "bytes",
}


def inside(folder: Path, kind: str) -> list[str]:
    path = folder / f"{kind}.inside"
    return path.read_text().split() if path.exists() else []


def leader_of(group: list[Child], folder: Path, kind: str, number: int = 0) -> Child:
    support.eventually(lambda: len(inside(folder, kind)) > number)
    pid = int(inside(folder, kind)[number])
    return next(child for child in group if child.process.pid == pid)


def test_processes_do_not_queue_behind_a_failure(children: Children, tmp_path: Path) -> None:
    group = children.start(SOURCE + WAITS, 1 + OTHERS)
    first, *others = group
    asked = {kind: [first.start(f"call({kind!r}, 1)")] for kind in ENDS}
    for kind in ENDS:
        assert leader_of(group, tmp_path, kind) is first
        asked[kind] += [child.start(f"call({kind!r}, 1)") for child in others]
    for child in others:
        child.await_waits(len(ENDS))
    for kind in ENDS:
        assert len(inside(tmp_path, kind)) == 1, f"{kind}: computed beside the leader"
        (tmp_path / f"{kind}.go0").touch()
    for kind, end in ENDS.items():
        for question in asked[kind]:
            assert question.answer() == repr([end]), kind
        assert len(inside(tmp_path, kind)) == 1 + OTHERS, kind


def test_who_waits_for_somebody_who_waited(children: Children, tmp_path: Path) -> None:
    group = children.start(SOURCE.replace(">= party", ">= held + 1") + WAITS, 3)
    first, second, third = group
    # Two threads, or loops, in each process: one waits for the other, or is free as well.
    kinds = ("raises", "halts", "unpicklable", "raises_async")
    asked = {kind: [first.start(f"call({kind!r}, 2)")] for kind in kinds}
    for kind in kinds:
        assert leader_of(group, tmp_path, kind) is first
        asked[kind].append(second.start(f"call({kind!r}, 2)"))
    first.await_waits(len(kinds))
    second.await_waits(2 * len(kinds))
    # Who waits for another thread of its process has yet to be entered among those who do.
    time.sleep(support.PAUSE)
    for kind in kinds:
        (tmp_path / f"{kind}.go0").touch()
        for question in asked[kind]:
            assert question.answer() == repr([ENDS[kind]] * 2), kind
    # Free callers ask for the lease, so that new ones have somebody to wait for.
    newly = [first.start("call('too_large', 1)")]
    leader_of(group, tmp_path, "too_large")
    newly.append(second.start("call('too_large', 1)"))
    second.await_waits(1)
    (tmp_path / "too_large.hold").touch()
    (tmp_path / "too_large.go0").touch()
    assert leader_of(group, tmp_path, "too_large", 1) is second
    newly.append(third.start("call('too_large', 1)"))
    third.await_waits(1)
    assert len(inside(tmp_path, "too_large")) == 2, "the new one waits"
    (tmp_path / "too_large.hold").unlink()
    assert [question.answer() for question in newly] == [repr(["bytes"])] * 3
    assert len(inside(tmp_path, "too_large")) == 3
    # What a clearing has made worthless is not waited for: the first one is held still.
    cleared = [child.start("call('cleared', 1)") for child in group]
    stuck = leader_of(group, tmp_path, "cleared")
    for child in group:
        if child is not stuck:
            child.await_waits(1)
    stuck.ask("cleared.cache_clear()")
    for child, question in zip(group, cleared, strict=True):
        assert child is stuck or question.answer() == repr(["int"])
    assert not cleared[group.index(stuck)].is_answered()
    assert len(inside(tmp_path, "cleared")) == 2, "one of the others computes for both"
    (tmp_path / "cleared.go0").touch()
    assert cleared[group.index(stuck)].answer() == repr(["int"])


def test_after_a_death_one_takes_over_and_the_rest_wait_once(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELD", "2")
    group = children.start(SOURCE.replace("+ OTHERS", "+ 2") + WAITS, 5)
    # What the second one brings, all have.
    asked = {child: child.start("call('heals', 2)") for child in group}
    first = leader_of(group, tmp_path, "heals")
    group.remove(first)
    for child in group:
        child.await_waits(2)
    first.kill()
    second = leader_of(group, tmp_path, "heals", 1)
    for child in group:
        if child is not second:
            child.await_waits(1)
    (tmp_path / "heals.go0").touch()
    assert {asked[child].answer() for child in group} == {repr(["int", "int"])}
    assert len(inside(tmp_path, "heals")) == 2
    # The second one dies as well: the rest compute side by side.
    asked = {child: child.start("call('killed', 1)") for child in group}
    leaders = []
    for number in (0, 1):
        leaders.append(leader_of(group, tmp_path, "killed", number))
        for child in group:
            if child not in leaders:
                child.await_waits(1)
        assert len(inside(tmp_path, "killed")) == 1 + number, "the others wait"
        (tmp_path / f"killed.go{number}").touch()
    for child in group:
        if child not in leaders:
            assert asked[child].answer() == repr(["ValueError: no"])
    assert len(inside(tmp_path, "killed")) == 4


class Meeting:
    """A computation whose first run is held; of the later ones each waits until all are there."""

    def __init__(self, others: int, end: Callable[[], Any]) -> None:
        self.end = end
        self.lock = threading.Lock()
        self.calls = 0
        self.started = threading.Event()
        self.release = threading.Event()
        self.barrier = threading.Barrier(others)

    def __call__(self, x: object) -> Any:
        with self.lock:
            self.calls += 1
            first = self.calls == 1
        if first:
            self.started.set()
            assert self.release.wait(support.LIMIT)
        else:
            # A broken barrier is an error of its own: they took turns.
            self.barrier.wait(10)
        return self.end()


class Unloadable:
    def __reduce__(self) -> Any:
        return (int, ("no number",))


def halt() -> None:
    raise SystemExit("no")


def too_large_to_store() -> Any:
    return [Unloadable(), bytes(5000)]


@support.uncacheable
@pytest.mark.parametrize("end", [Unloadable, too_large_to_store, halt])
def test_threads_do_not_queue_in_the_shared_backend(
    end: Callable[[], Any], waits: support.Waits
) -> None:
    meeting = Meeting(4, end)
    options: dict[str, Any] = {"name": "meeting", "wait_timeout": None, "max_value_size": 1000}
    function = cache(backend="shared", **options)(lambda x: meeting(x))
    threads = [support.start(function, 1)]
    assert meeting.started.wait(support.LIMIT)
    threads += [support.start(function, 1) for _ in range(4)]
    waits.await_calls(4)
    meeting.release.set()
    for error in support.errors(threads):
        assert type(error) is (SystemExit if end is halt else type(None)), error
    assert meeting.calls == 5
    # Whether it was in the file or not: four could not read what they had waited for.
    assert function.cache_info().skips["unreadable"] == (0 if end is halt else 4)


@support.uncacheable
def test_loops_do_not_queue(cache_dir: Path, waits: support.Waits) -> None:
    """Coroutine functions, in several loops of one process, and several tasks in each."""
    meeting = Meeting(3, halt)
    meeting.end = lambda: bytes(5000)

    @cache(backend="shared", name="loops", max_value_size=1000, wait_timeout=None)
    async def function(x: int) -> Any:
        return await asyncio.to_thread(meeting, x)

    async def several() -> list[Any]:
        return await asyncio.gather(*(function(1) for _ in range(3)))

    def loop() -> list[Any]:
        return asyncio.run(several())

    threads = [support.start(loop)]
    assert meeting.started.wait(support.LIMIT)
    threads += [support.start(loop) for _ in range(3)]
    waits.await_calls(3)
    meeting.release.set()
    assert support.results(threads) == [[bytes(5000)] * 3] * 4
    assert meeting.calls == 4, "one in each loop"
