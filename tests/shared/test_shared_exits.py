"""The interpreter ends while threads are in calls of shared caches."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import support

EXIT = """
import os, sys, threading, time
from warp_cache import cache
mode = {mode!r}
@cache(backend="shared", name="f", wait_timeout=30)
def f(x):
    if os.environ.get("LEADER") or mode == "compute":
        time.sleep(60)
    return [x]
def forever():
    while True:
        f(int(time.monotonic() * 1000) % 50 if mode == "use" else 1)
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.05)
if mode == "use":
    for x in range(100):
        f(x), f.set([x], x), f.cache_clear()
"""


FIRST = """
import random, threading, time
from warp_cache import cache
caches = []
for number in range(400):
    @cache(backend="shared", name=f"f{number}")
    def f(x):
        return [x]
    caches.append(f)
def forever():
    while True:
        for f in caches:
            f(1)
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(random.random() * 0.05)
"""


def test_the_interpreter_ends_while_threads_call_for_the_first_time() -> None:
    """A first call runs Python code of the package's own, in which a thread may be ended."""
    support.check_clean_often(FIRST, repeats=30)


@pytest.mark.parametrize("mode", ["use", "compute"])
def test_the_interpreter_ends_under_daemon_threads(mode: str) -> None:
    """Those that use the cache, compute, or wait for one that computes."""
    support.check_clean_often(EXIT.format(mode=mode), repeats=8)


def test_the_interpreter_ends_while_threads_wait_for_another_process() -> None:
    def talk(process: Any) -> None:
        time.sleep(1)
        support.check_clean_often(EXIT.format(mode="wait"), repeats=6)
        process.kill()

    source = EXIT.format(mode="wait") + "time.sleep(60)"
    leader = support.run_python(source, environment={"LEADER": "1"}, talk=talk)
    assert leader.returncode == -9 and os.listdir(os.environ["WARP_CACHE_DIR"])
