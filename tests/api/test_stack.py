"""Recursion through a cached function takes about as much of the C stack as through functools'.

What a level takes is measured: the kernel says where a thread's stack pointer stands.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import support

pytestmark = pytest.mark.skipif(
    not Path("/proc/thread-self/syscall").exists(), reason="only Linux says where a stack stands"
)

# At most so many bytes a level more than functools'. (A release build takes fewer than functools
# for a plain function. One without optimisation across crates, or without a GIL, takes more.)
PLAIN = 176
ANY_OBJECT = 320 if support.FREE_THREADED else PLAIN
CASES = {
    "cache": ("cache(max_size=None)", "n", PLAIN),
    "bounded": ("cache(max_size=10_000)", "n", PLAIN),
    "ttl": ("cache(max_size=None, ttl=60)", "n", PLAIN),
    "lru_cache": ("lru_cache(maxsize=None)", "n", PLAIN),
    "two arguments": ("cache(max_size=None)", "n, k", PLAIN),
    "any object": ("cache(max_size=None)", "n, t", ANY_OBJECT),
    "keywords": ("cache(max_size=None)", "n, *, k", 512),
    "one at a time": ("cache(max_size=None, single_flight=False)", "n", 512),
    "tags": ("cache(max_size=None, tags=lambda *_: ['a'])", "n", 640),
    "shared": ("cache(max_size=1000, backend='shared', name='stack')", "n", 768),
}

MEASURED = """
import functools, json, sys, threading
from warp_cache import cache, lru_cache

LEVELS = 100

def stack():
    with open("/proc/thread-self/syscall", "rb") as file:
        return int(file.read().split()[-2], 16)

def measure(decorate, parameters):
    at = {}
    arguments = parameters.replace("*, k", "k=k")
    values = dict(n=2 * LEVELS, k=0, t=(1.5, ("a",)))
    source = '''
@decorate
def down(PARAMETERS):
    if n in (0, LEVELS):
        at[n] = stack()
    if n:
        n -= 1
        down(ARGUMENTS)
'''.replace("PARAMETERS", parameters).replace("ARGUMENTS", arguments)
    names = {"decorate": decorate, "at": at, "stack": stack, "LEVELS": LEVELS}
    exec(source, names)
    exec(f"down({arguments})", names | values)
    return (at[LEVELS] - at[0]) / LEVELS

def work():
    stack()
    for name, (decorate, parameters, _) in CASES.items():
        measured[name] = (
            measure(eval(decorate), parameters),
            measure(functools.lru_cache(None), parameters),
        )

measured = {}
threading.stack_size(64 << 20)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps(measured))
"""


def test_a_level_of_recursion_takes_no_more_of_the_stack_than_it_may() -> None:
    """Where the limit is raised, what functools can live with must not end in a crash."""
    done = support.run_python(f"CASES = {CASES!r}\n{MEASURED}")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured.keys() == CASES.keys()
    excess = {name: int(ours - theirs) for name, (ours, theirs) in measured.items()}
    assert all(theirs > 100 for _, theirs in measured.values()), measured
    assert {name: more for name, more in excess.items() if more > CASES[name][2]} == {}, measured
