"""What is found at its first use is asked for again meanwhile: by hooks of imports, and a child."""

from __future__ import annotations

import pytest
from support import check_clean, run_python

USES = {
    "counters": "f.cache_info()",
    "options": "f.cache_options()",
    "a refresh": "f.cache_refresh(1)",
    "the coroutine of a refresh": "g.cache_refresh(1).close()",
    "a coroutine": "g(1).close()",
    "the class": "f.__class__",
    "a bound method": "C().method()",
    "a lock": "box.lock('k').__enter__().__exit__(None, None, None)",
    "memoize": "box.memoize(len)('a')",
    "a stale value": "stale(1)",
}

PROGRAM = """
import builtins, os
from warp_cache import Cache, cache

@cache
def f(x): return x

@cache(ttl=1e-9, stale_while_revalidate=60)
def stale(x): return x

@cache
async def g(x): return x

class C:
    @cache
    def method(self): return 1

box = Cache(max_size=3)
stale(1)

def use():
    {use}

def in_itself():
    use()

def in_a_child():
    child = os.fork()
    if child == 0:
        try:
            use()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

real, depth = builtins.__import__, 0

def hooked(*args, **kwargs):
    global depth
    depth += 1
    try:
        if depth == 1:
            {again}()
        return real(*args, **kwargs)
    finally:
        depth -= 1

builtins.__import__ = hooked
use()
builtins.__import__ = real
use()
"""


@pytest.mark.parametrize("again", ["in_itself", "in_a_child"])
@pytest.mark.parametrize("use", USES)
def test_nobody_waits_for_what_is_found_at_its_first_use(use: str, again: str) -> None:
    check_clean(run_python(PROGRAM.format(use=USES[use], again=again), limit=30))
