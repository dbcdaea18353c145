"""Modules of the package that are imported at their first use: nobody sees half of one."""

from __future__ import annotations

import os

import pytest
from support import check_clean, run_python

# The first refresh imports `_refresh`, which stops in the middle until `go_on` is set.
START = """
import asyncio, os, signal, sys, threading, warnings
from importlib.abc import MetaPathFinder
warnings.filterwarnings("ignore", category=DeprecationWarning)
from warp_cache import cache

inside, go_on = threading.Event(), threading.Event()

class Stop(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "warp_cache._refresh_attempt":
            inside.set()
            assert go_on.wait(60)

@cache
def plain(n):
    return n

@cache
async def coroutine(n):
    return n

# What is imported at decoration and by a first call is there.
asyncio.run(coroutine(0))
sys.meta_path.insert(0, Stop())
thread = threading.Thread(target=plain.cache_refresh, args=(1,))
thread.start()
assert inside.wait(60)
assert "warp_cache._refresh" in sys.modules
"""

SCRIPTS = {
    "a miss": """
print(asyncio.run(coroutine(1)))
go_on.set()
""",
    "a refresh": """
threading.Timer(0.05, go_on.set).start()
print(plain.cache_refresh(1))
""",
    "a fork": """
# (The handler that was registered last runs first.)
os.register_at_fork(before=go_on.set)
pid = os.fork()
if pid == 0:
    # Whoever hangs is killed.
    signal.alarm(30)
    try:
        print(plain.cache_refresh(1), flush=True)
    finally:
        os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
""",
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_while_another_thread_imports(what: str) -> None:
    if what == "a fork" and not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    check_clean(run_python(START + SCRIPTS[what] + "thread.join()\n"), out="1")


def test_refreshes_in_the_background_are_imported_at_decoration() -> None:
    source = """
import sys
from warp_cache import Cache, cache
cache(ttl=1)(int)
print("warp_cache._refresh" in sys.modules)
OPTION
print("warp_cache._refresh" in sys.modules)
"""
    for option in (
        "cache(ttl=1, stale_while_revalidate=1)(int)",
        "Cache(ttl=1, stale_while_revalidate=1)",
    ):
        check_clean(run_python(source.replace("OPTION", option)), out="False\nTrue")
