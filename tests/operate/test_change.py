"""`clear`, `drop`, `invalidate-tag`: what they change is changed for all, fence included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SLOW = """
import sys, threading, time
from warp_cache import cache
begun, go = threading.Event(), threading.Event()
version = ["old"]

@cache(backend="shared", name="slow", tags=("t",))
def slow(x):
    found = version[0]
    begun.set()
    go.wait()
    return found

def begin(x):
    begun.clear(), go.clear()
    thread = threading.Thread(target=slow, args=(x,))
    thread.start()
    begun.wait()
    globals()["thread"] = thread

def end():
    version[0] = "new"
    go.set()
    thread.join()
    return slow.get(1)
"""


@pytest.mark.parametrize(
    "command",
    [
        ["clear", "slow", "--yes"],
        ["drop", "slow", "(1)"],
        ["drop", "slow", "1"],
        ["invalidate-tag", "t"],
    ],
    ids=" ".join,
)
def test_what_is_under_way_is_fenced(run: Any, worker: Any, command: list[str]) -> None:
    one = worker(SLOW)
    one.ask("begin(1)")
    # There is no entry yet: of that alone, drop speaks.
    assert run(*command)[0] == (1 if command[0] == "drop" else 0)
    assert one.ask("end()") == "None", "what was computed before is not stored"
    assert one.ask("slow(1)") == "'new'"


@pytest.mark.parametrize(
    "command",
    [["clear", "slow", "--yes"], ["drop", "slow", "1"], ["invalidate-tag", "other", "t"]],
    ids=" ".join,
)
def test_what_processes_have_decoded_is_gone(run: Any, worker: Any, command: list[str]) -> None:
    workers = worker(SLOW), worker(SLOW)
    for one in workers:
        one.ask("go.set()")
        # The first call stores, the second is a hit of what this process has decoded.
        assert [one.ask("slow(1)") for _ in range(2)] == ["'old'"] * 2
        one.ask("version.__setitem__(0, 'new')")
    assert run(*command)[0] == 0
    assert [one.ask("slow(1)") for one in workers] == ["'new'"] * 2


def test_clear_asks(run: Any, worker: Any, terminal: Any) -> None:
    one = worker()
    one.ask("[load(i) for i in range(3)]")
    assert run("clear", "app.load") == (
        2,
        "",
        "warp_cache clear: add --yes where nobody can be asked\n",
    )
    assert run("clear", "app.load", "--json")[0] == 2
    for answer, status, then in (("n", 1, "3"), ("", 1, "3"), ("yes", 0, "0")):
        shell = terminal("clear", "app.load")
        assert "Drop all 3 entries of app.load-" in shell.read_until("[y/N] ")
        shell.type(f"{answer}\n")
        shell.read_all()
        assert shell.process.returncode == status
        assert one.ask("load.cache_info().currsize") == then
    one.ask("load(1)")
    document = json.loads(run("clear", "app.load", "--yes", "--json")[1])
    assert document["dropped"] == 1 and document["path"].endswith(".cache")
    shell = terminal("clear", "app.load")
    shell.read_until("[y/N] ")
    assert shell.interrupt() == 130


def test_what_is_said_of_a_clear_is_what_there_was(run: Any, worker: Any) -> None:
    """Entries that have ended are none, whether or not somebody has freed their slots."""
    one = worker(
        "from warp_cache import Cache\n"
        "box = Cache(name='box', backend='shared', max_size=50)\n"
        "[box.set(at, at, ttl=1e-3 if at < 4 else None) for at in range(7)]\n"
        "import time\ntime.sleep(0.01)"
    )
    assert json.loads(run("clear", "box", "--yes", "--json")[1])["dropped"] == 3
    assert one.ask("len(box)") == "0"
    one.ask("[box.set(at, at) for at in range(2)]")
    assert run("clear", "box", "--yes")[1] == "box is empty; it had 2 entries.\n"


def test_drop(run: Any, worker: Any) -> None:
    one = worker()
    one.ask("[load(i) for i in range(5)]")
    status, out, errors = run("drop", "app.load", "(3, 2)")
    assert (status, errors) == (0, "") and out.startswith("dropped 1 entry of app.load-")
    status, out, _ = run("drop", "app.load", "(3, 2)")
    assert status == 1 and out.endswith("has no entry (3, 2)\n")
    entries = json.loads(run("keys", "app.load", "--json")[1])["entries"]
    assert json.loads(run("drop", "app.load", entries[0]["id"], "--json")[1])["dropped"] == 1
    assert one.ask("load.cache_info().currsize") == "3"
    status, out, _ = run("drop", "app.load", "something")
    assert status == 1 and "write the key as keys shows it, or its id" in out


def test_drop_of_keys_that_are_no_literals(run: Any, worker: Any) -> None:
    source = """
from warp_cache import cache
from datetime import datetime
from enum import Enum
Colour = Enum("Colour", "RED BLUE")

@cache(backend="shared", name="typed", typed=True)
def typed(x): return str(x)

@cache(backend="shared", name="at")
def at(x): return str(x)
"""
    one = worker(source)
    one.ask("(typed(1), typed(1.0), typed(True), at(datetime(2020, 1, 1)))")
    assert one.ask("typed.cache_info().currsize") == "3"
    # Where types count, one text may be several keys.
    assert run("drop", "typed", "(1)")[0] == 0
    left = json.loads(run("keys", "typed", "--json")[1])["entries"]
    assert all(entry["key"] != "(1)" for entry in left)
    (entry,) = json.loads(run("keys", "at", "--json")[1])["entries"]
    assert run("drop", "at", entry["key"])[0] == 0
    assert one.ask("at.cache_info().currsize") == "0"


def test_tags_reach_all_caches(run: Any, worker: Any, cache_dir: Path) -> None:
    workers = worker(), worker(SLOW)
    workers[0].ask("[load(i) for i in range(3)]")
    workers[1].ask("(go.set(), slow(1))")
    status, out, errors = run("invalidate-tag", "user:1", "t")
    assert (status, out, errors) == (0, "user:1, t: invalidated in 2 caches\n", "")
    assert workers[0].ask("[load.cache_contains(i) for i in range(3)]") == "[True, False, True]"
    assert workers[1].ask("slow.cache_contains(1)") == "False"
    document = json.loads(run("invalidate-tag", "none", "--json")[1])
    assert len(document["caches"]) == 2 and document["failed"] == []
    # One that may not be touched is told, and fails the command.
    (cache_dir / "wide.cache").write_bytes(b"")
    (cache_dir / "wide.cache").chmod(0o666)
    (cache_dir / "zeros.cache").write_bytes(bytes(9999))
    (cache_dir / "zeros.cache").chmod(0o600)
    status, out, errors = run("invalidate-tag", "user:2")
    assert status == 2 and "invalidated in 2 caches" in out and "permissions are 0666" in errors
    assert workers[0].ask("load.cache_contains(2)") == "False"


def test_a_killed_writer_does_no_harm(run: Any, worker: Any) -> None:
    one = worker()
    one.ask("[load(i) for i in range(5)]")
    one.process.kill()
    one.process.wait()
    assert run("info", "app.load")[0] == 0
    assert run("drop", "app.load", "1, 2")[0] == 0
    assert run("clear", "app.load", "--yes")[0] == 0
    assert worker().ask("load.cache_info().currsize") == "0"
