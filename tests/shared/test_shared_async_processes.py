"""Coroutine functions of several processes: one computes, and what becomes of those who wait."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import support
from children import WAITS, Child, Children

SOURCE = """
import asyncio, os, sys, time
from pathlib import Path
from warp_cache import cache
folder = Path(sys.argv[1])

@cache(backend="shared", name="gated", wait_timeout=float(os.environ.get("BOUND", "20")))
async def gated(x):
    with open(folder / "calls", "a") as file:
        file.write(f"{os.getpid()} {x}\\n")
    while not (folder / "open").exists():
        await asyncio.sleep(0.005)
    if x < 0:
        raise ValueError(f"no {x}")
    return {"x": [x]}

async def several(x, count=3):
    found = await asyncio.gather(*(gated(x) for _ in range(count)), return_exceptions=True)
    assert len({id(one) for one in found}) == count
    return found

async def cancelled(x):
    task = asyncio.create_task(gated(x))
    await asyncio.sleep(0.2)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"

def run(coroutine):
    return asyncio.run(coroutine)
"""


def calls_in(folder: Path) -> list[int]:
    path = folder / "calls"
    return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def leader_of(children: list[Child], folder: Path, count: int = 1) -> Child:
    support.eventually(lambda: len(calls_in(folder)) >= count)
    pid = calls_in(folder)[-1]
    return next(child for child in children if child.process.pid == pid)


def test_one_computation_over_processes(children: Children, tmp_path: Path) -> None:
    group = children.start(SOURCE + WAITS, 3)
    asked = [child.start("run(several(1))") for child in group]
    first = leader_of(group, tmp_path)
    for child in group:
        if child is not first:
            child.await_waits(1)
    (tmp_path / "open").touch()
    assert [question.answer() for question in asked] == [repr([{"x": [1]}] * 3)] * 3
    assert len(calls_in(tmp_path)) == 1
    assert group[0].ask("tuple(gated.cache_info())") == "(0, 9, 128, 1)"


def test_a_leader_that_is_killed(children: Children, tmp_path: Path) -> None:
    group = children.start(SOURCE, 3)
    asked = {child: child.start("run(several(1))") for child in group}
    first = leader_of(group, tmp_path)
    first.kill()
    leader_of(group, tmp_path, 2)
    (tmp_path / "open").touch()
    others = [child for child in group if child is not first]
    assert {asked[child].answer() for child in others} == {repr([{"x": [1]}] * 3)}
    assert len(calls_in(tmp_path)) == 2


def test_a_leader_that_is_stopped(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOUND", "0.5")
    group = children.start(SOURCE, 2)
    began = time.monotonic()
    asked = {child: child.start("run(several(1))") for child in group}
    first = leader_of(group, tmp_path)
    first.signal(signal.SIGSTOP)
    other = next(child for child in group if child is not first)
    (tmp_path / "open").touch()
    assert asked[other].answer() == repr([{"x": [1]}] * 3)
    assert time.monotonic() - began > 0.5
    assert len(calls_in(tmp_path)) == 2
    first.signal(signal.SIGCONT)
    assert asked[first].answer() == repr([{"x": [1]}] * 3)


def test_a_leader_that_raises(children: Children, tmp_path: Path) -> None:
    group = children.start(SOURCE, 2)
    asked = [child.start("run(several(-1))") for child in group]
    leader_of(group, tmp_path)
    (tmp_path / "open").touch()
    assert [question.answer() for question in asked] == [repr([ValueError("no -1")] * 3)] * 2


def test_a_leader_that_is_cancelled(children: Children, tmp_path: Path) -> None:
    one, two = children.start(SOURCE, 2)
    cancelled = one.start("run(cancelled(1))")
    leader_of([one, two], tmp_path)
    waiting = two.start("run(several(1))")
    assert cancelled.answer() == "'cancelled'"
    assert leader_of([one, two], tmp_path, 2) is two
    (tmp_path / "open").touch()
    assert waiting.answer() == repr([{"x": [1]}] * 3)


@support.uncacheable
def test_a_leader_that_leaves_the_file(
    children: Children, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait in the file that it began in are freed when it is done."""
    monkeypatch.setenv("BOUND", "60")
    plain = """
bound = float(os.environ["BOUND"])
plain = cache(backend="shared", name="gated", wait_timeout=bound)(lambda x: {"x": [-x]})
"""
    one, two = children.start(SOURCE + plain + WAITS, 2)
    began = time.monotonic()
    computed = one.start("run(several(1))")
    leader_of([one, two], tmp_path)
    waiting = two.start("plain(1)")
    two.await_waits(1)
    (cache_dir / "gated.cache").rename(cache_dir / "another.cache")
    # Whether the file is astray is looked at once a second.
    time.sleep(1.1)
    one.ask("plain(2)")
    (tmp_path / "open").touch()
    assert computed.answer() == repr([{"x": [1]}] * 3)
    assert waiting.answer() == repr({"x": [-1]})
    assert time.monotonic() - began < 30
