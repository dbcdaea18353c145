"""Histories of processes that call and invalidate: nobody sees what was computed before."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shared backend needs Unix")

HISTORY = """
import mmap, os, random, struct, sys, time
from pathlib import Path
from warp_cache import cache

file = open(Path(sys.argv[1]) / "numbers", "r+b")
memory = mmap.mmap(file.fileno(), 16)

def read(at):
    return struct.unpack_from("q", memory, at)[0]

@cache(backend="shared", name="history", tags=("all",), max_size=16)
def f(x):
    version = read(0)
    if version % 3 == 0:
        time.sleep(0.0003)
    return version

OPERATIONS = [
    lambda: f.cache_invalidate(1),
    lambda: f.cache_clear(),
    lambda: f.cache_invalidate_tags("all"),
    lambda: f.set(read(0), 1),
    lambda: f.cache_put(read(0), (1,), ttl=1000),
]

def write(seconds):
    end, number = time.monotonic() + seconds, read(0)
    while time.monotonic() < end:
        number += 1
        struct.pack_into("q", memory, 0, number)
        OPERATIONS[number % len(OPERATIONS)]()
        struct.pack_into("q", memory, 8, number)
        time.sleep(0.0003)
    return number

def watch(seconds):
    end, calls = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        least = read(8)
        got = f(1)
        calls += 1
        if got < least:
            return f"got {got}, at least {least} was due"
    return "right" if calls else "none"
"""


def test_processes_never_see_what_was_computed_before_an_invalidation(
    tmp_path: Any, children: Any
) -> None:
    (tmp_path / "numbers").write_bytes(bytes(16))
    writer, *readers = children.start(HISTORY, 3)
    running = [reader.start("watch(1.5)") for reader in readers]
    own = writer.start("watch(1.5)")
    written = writer.start("write(1.5)")
    assert [one.answer() for one in [*running, own]] == ["'right'"] * 3
    assert int(written.answer()) > 10
