"""Lives end when they should, in whatever time namespace a process is or comes to be."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import pytest
import support

BEGIN = """
import ctypes, os, sys, time
from warp_cache import cache
libc = ctypes.CDLL(None, use_errno=True)
TIME = 0x80


def make(ttl):
    return cache(backend="shared", name="moment", ttl=ttl)(lambda x: time.time())


def within(seconds, work):
    '''What `work` returns in a child whose clocks since the start are so much ahead.'''
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            if libc.unshare(TIME):
                os._exit(77)
            with open("/proc/self/timens_offsets", "w") as file:
                file.write(f"boottime {seconds} 0\\nmonotonic {seconds} 0\\n")
            inner = os.fork()
            if not inner:
                os.write(w, repr(work()).encode())
                os._exit(0)
            os.waitpid(inner, 0)
        finally:
            os._exit(0)
    os.close(w)
    with open(r) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return eval(said)


up = int(time.clock_gettime(time.CLOCK_BOOTTIME))
shifts = [100_000, 3, -3, -up + 1]
"""


@functools.cache
def works() -> bool:
    probe = BEGIN + "assert within(5, lambda: 1) == 1"
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    return subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not works(), reason="needs the right to make time namespaces")


def test_a_life_is_as_long_inside_as_outside() -> None:
    source = """
f = make(1.5)
f(-1)
old = [within(shift, lambda: make(1.5)(n)) for n, shift in enumerate(shifts)]
# Inside is shared with outside, both ways, while an entry lives ...
assert [f.get(n) for n in range(len(shifts))] == old
assert [within(shift, lambda: make(1.5).get(-1)) for shift in shifts] == [f.get(-1)] * len(shifts)
assert f.get(-1) and len(os.listdir(os.environ["WARP_CACHE_DIR"])) == 1
time.sleep(1.6)
# ... and no longer.
assert [f.get(n) for n in range(-1, len(shifts))] == [None] * (len(shifts) + 1)
for n, shift in enumerate(shifts):
    assert within(shift, lambda: make(1.5).get(n)) is None
"""
    support.check_clean(support.run_python(BEGIN + source))


@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_a_clock_that_changes_while_the_cache_is_open(backend: str) -> None:
    """A fork's child that is in another namespace than its parent has the parent's readings."""
    source = f"""
f = cache(backend="{backend}", name="moment", ttl=1.5)(lambda x: time.time())
first = f(1)
def later():
    found = f.get(1)
    time.sleep(1.7)
    gone = f.get(1)
    new = f(2)
    return found, gone, f.get(2) == new
for shift in shifts:
    f.cache_clear()
    first = f(1)
    assert within(shift, later) == (first, None, True), shift
time.sleep(0.1)
if "{backend}" == "shared":
    assert f.get(2)
"""
    support.check_clean(support.run_python(BEGIN + source))


def test_a_process_that_enters_another_namespace() -> None:
    source = """
f, g = make(1.5), cache(ttl=1.5)(lambda x: time.time())
r, w = os.pipe()
holders = []
for shift in (100_000, -up + 1):
    pid = os.fork()
    if not pid:
        os.close(w)
        libc.unshare(TIME)
        with open("/proc/self/timens_offsets", "w") as file:
            file.write(f"boottime {shift} 0\\n")
        if not os.fork():
            os.read(r, 1)
        os._exit(0)
    os.waitpid(pid, 0)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            link = os.readlink(f"/proc/{name}/ns/time")
        except OSError:
            continue
        known = ["/proc/self/ns/time", *(f"/proc/self/fd/{holder}" for holder in holders)]
        if link not in map(os.readlink, known):
            holders.append(os.open(f"/proc/{name}/ns/time", os.O_RDONLY))
assert len(holders) >= 2
for holder in holders[-2:]:
    f(1), g(1)
    if libc.setns(holder, TIME):
        print("no setns")
        break
    before = f(2), g(2)
    assert f.get(2) == before[0] and g.get(2) == before[1]
    assert f.get(1) and g.get(1)
    time.sleep(1.6)
    assert (f.get(1), f.get(2), g.get(1), g.get(2)) == (None,) * 4
os.close(w)
"""
    done = support.run_python(BEGIN + source)
    assert done.returncode == 0, done.stderr
