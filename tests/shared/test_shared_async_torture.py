"""Coroutine functions over several processes: kills, stops, cancellations, and loops that end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import support
from children import Child, Children

KILLS = 15
WORKER = """
import asyncio, os, random, sys, zlib
from warp_cache import cache

@cache(backend="shared", name="f", max_size=20, ttl=0.05, wait_timeout=1)
async def f(x):
    await asyncio.sleep(random.random() * 0.01)
    body = random.randbytes(x * 100)
    return {"x": x, "body": [body], "sum": zlib.crc32(body, x)}

@cache(backend="shared", name="counted", max_size=20)
async def counted(x):
    await asyncio.sleep(0)
    return [x]

def check(value, x):
    assert value["x"] == x and value["sum"] == zlib.crc32(value["body"][0], x), value
    value["body"].append("changed")

async def once(x):
    if random.random() < 0.2:
        task = asyncio.create_task(f(x))
        await asyncio.sleep(random.random() * 0.005)
        task.cancel()
        try:
            check(await task, x)
        except asyncio.CancelledError:
            pass
    else:
        check(await asyncio.wait_for(f(x), 15), x)

async def main():
    await asyncio.gather(*[once(random.randrange(30)) for _ in range(20)])
    assert await asyncio.gather(*[counted(x) for x in range(30)]) == [[x] for x in range(30)]

random.seed(os.getpid())
while True:
    asyncio.run(main())  # a loop of its own each time
    print("round", flush=True)
"""


@pytest.mark.deaths(KILLS)
def test_kills_and_stops(tmp_path: Path) -> None:
    chance = random.Random(5)
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, str(script)]
    errors = (tmp_path / "errors").open("w+")

    def start() -> subprocess.Popen[bytes]:
        environment = support._environment(None)
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors)

    workers = [start() for _ in range(3)]
    try:
        for _ in range(KILLS):
            victim = chance.randrange(3)
            time.sleep(chance.random() * 0.3)
            if chance.random() < 0.4:
                workers[victim].send_signal(signal.SIGSTOP)
                time.sleep(0.1)
                workers[victim].send_signal(signal.SIGCONT)
            else:
                workers[victim].kill()
                workers[victim].communicate()
                workers[victim] = start()
        for worker in workers:  # what is in their pipes, and then three rounds more
            assert worker.stdout is not None
            os.set_blocking(worker.stdout.fileno(), False)
            worker.stdout.read()
            seen = b""
            end = time.monotonic() + support.LIMIT
            while seen.count(b"round") < 3:
                assert time.monotonic() < end and worker.poll() is None, worker.poll()
                seen += worker.stdout.read() or b""
                time.sleep(0.01)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    errors.seek(0)
    assert errors.read() == ""
    errors.close()


SOURCE = """
import asyncio, os, sys, time
from pathlib import Path
from warp_cache import cache
folder = Path(sys.argv[1])

@cache(backend="shared", name="f", wait_timeout=float(os.environ.get("BOUND", "20")))
async def f(x):
    with open(folder / "calls", "a") as file:
        file.write(f"{os.getpid()}\\n")
    while not (folder / "open").exists():
        await asyncio.sleep(0.005)
    return {"x": [x]}

async def cancelled(x, after):
    task = asyncio.create_task(f(x))
    await asyncio.sleep(after)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "cancelled"

async def many(x):
    began = time.monotonic()
    results = await asyncio.gather(*[f(x) for _ in range(20)])
    assert len({id(one["x"]) for one in results}) == 20
    return time.monotonic() - began
"""


def pids(folder: Path) -> list[int]:
    path = folder / "calls"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def leader(group: list[Child], folder: Path, count: int = 1) -> Child:
    support.eventually(lambda: len(pids(folder)) >= count)
    return next(child for child in group if child.process.pid == pids(folder)[-1])


@pytest.mark.parametrize("how", ["killed", "cancelled", "loop ended"])
def test_a_leader_that_goes_is_replaced_by_one(
    how: str, children: Children, tmp_path: Path
) -> None:
    first, *others = children.start(SOURCE, 3)
    if how == "killed":
        first.start("asyncio.run(f(1))")
    elif how == "cancelled":
        asked = first.start("asyncio.run(cancelled(1, 1.0))")
    else:
        first.start("asyncio.run(asyncio.wait_for(f(1), 1))")
    leader([first], tmp_path)
    questions = [child.start("asyncio.run(many(1))") for child in others]
    time.sleep(0.2)
    if how == "killed":
        first.kill()
    elif how == "cancelled":
        assert asked.answer() == "'cancelled'"
    leader(others, tmp_path, 2)
    (tmp_path / "open").touch()
    assert all(float(question.answer()) < 15 for question in questions)
    assert len(pids(tmp_path)) == 2


def test_a_stopped_leader_delays_by_the_bound(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOUND", "0.5")
    first, other = children.start(SOURCE, 2)
    began = time.monotonic()
    first.start("asyncio.run(f(1))")
    leader([first], tmp_path).signal(signal.SIGSTOP)
    question: Any = other.start("asyncio.run(many(1))")
    # (A slow one that was stopped late has computed once more itself.)
    support.eventually(lambda: other.process.pid in pids(tmp_path))
    assert time.monotonic() - began > 0.5
    (tmp_path / "open").touch()
    assert float(question.answer()) < 15


def test_a_sync_and_an_async_function_on_one_file(children: Children, tmp_path: Path) -> None:
    """They share what they store; one that computes is waited for by the other."""
    source = (
        SOURCE
        + """
@cache(backend="shared", name="f", wait_timeout=20)
def plain(x):
    with open(folder / "calls", "a") as file:
        file.write(f"{os.getpid()}\\n")
    return "computed"
"""
    )
    one, two = children.start(source, 2)
    asked = [one.start("asyncio.run(f(1))")]
    leader([one], tmp_path)
    asked.append(two.start("plain(1)"))
    time.sleep(0.2)
    (tmp_path / "open").touch()
    assert [question.answer() for question in asked] == ["{'x': [1]}"] * 2
    assert len(pids(tmp_path)) == 1
