"""A machine of its own for a test program: the default places are its own file systems.

A program runs as root in a name space of mounts; `as_user(work)` runs something in a forked child
as another user.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import support

_BEGIN = """
import ctypes, errno, inspect, os, platform, resource, struct, sys, tempfile, traceback, warnings
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
USER = 61001
RDONLY, NOEXEC, REMOUNT, REC, PRIVATE = 1, 8, 32, 0x4000, 1 << 18


def check(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(at, options="", flags=0, kind=b"tmpfs"):
    check(libc.mount(b"none", os.fsencode(at), kind, flags, options.encode()))


check(libc.unshare(0x00020000))
check(libc.mount(b"none", b"/", None, REC | PRIVATE, None))
import warp_cache._naming.identity, warp_cache._naming.description, pickle, copyreg
from warp_cache import cache
COMMON = ["/dev/shm", "/run", "/tmp", "/var/tmp"]
for at in COMMON:
    mount(at, "mode=1777,size=64m")
# Another user may not be able to read what is imported later.
os.environ["WARP_CACHE_DIR"] = "/tmp/warm-up"
cache(backend="shared", name="warm-up")([].append)(1)
cache(backend="shared")(lambda x, y=[]: x)(1)
for variable in ("WARP_CACHE_DIR", "TMPDIR", "XDG_RUNTIME_DIR", "TEMP", "TMP"):
    os.environ.pop(variable, None)


__import__("shutil").rmtree("/tmp/warm-up")


def as_user(work, user=USER, environment={}):
    '''What `work` returns or raises in a child that is this user, as text.'''
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.environ.update(environment)
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            try:
                said = str(work())
            except (OSError, UserWarning) as error:
                said = f"{type(error).__name__}: {error}"
            except BaseException:
                said = traceback.format_exc()
            os.write(w, said.encode())
        finally:
            os._exit(0)
    os.close(w)
    with open(r) as pipe:
        said = pipe.read()
    status = os.waitpid(pid, 0)[1]
    return said if not status else f"died: {status}"


def files(name="f"):
    found = [Path(at).rglob(f"{name}*.cache") for at in COMMON]
    plain = [p for paths in found for p in paths if p.is_file() and not p.is_symlink()]
    return sorted(map(str, plain))


def calls(name="f", **options):
    '''Makes a cache and calls it twice with one argument: how often that computed.'''
    computed = []
    f = cache(backend="shared", name=name, **options)(computed.append)
    opened(f)
    del computed[:]
    f(1), f(1)
    return len(computed)
"""


@functools.cache
def works() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    return subprocess.run([sys.executable, "-c", _BEGIN], capture_output=True).returncode == 0


def run(source: str, limit: float = 60) -> str:
    done = support.run_python(support.OPENED + _BEGIN + source, limit=limit)
    support.check_clean(done)
    return done.stdout
