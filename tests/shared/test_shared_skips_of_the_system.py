"""What is not stored for want of something that the system has: counted, and told once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import support


def said_by(source: str, folder: Path) -> str:
    """What a process prints, its warnings among it."""
    environment = {**support._environment(None), "WARP_CACHE_DIR": str(folder / "caches")}
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=support.LIMIT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


SPACE = """
import resource
from warp_cache import cache
f = cache(backend="shared", name="space", max_bytes=64 << 20)(lambda x: bytes(1 << 20))
f(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
big = cache(backend="shared", name="space", max_bytes=64 << 20)(lambda x: bytes(40 << 20))
for x in range(10, 13):
    big(x)
print(big.cache_info())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_no_room(tmp_path: Path) -> None:
    said = said_by(SPACE, tmp_path)
    assert "skips={'space': 3}" in said
    assert said.count("UncacheableWarning") == 1
    assert "no room for" in said and os.strerror(errno.EFBIG) in said and "ulimit -f" in said


PROCESSES = """
import fcntl, os, pathlib, subprocess, sys, time
from warp_cache import cache
f = cache(backend="shared", name="full")(lambda x: x)
f.cache_info()  # opens it
[file] = pathlib.Path(os.environ["WARP_CACHE_DIR"]).glob("full*.cache")
take = f'''
import fcntl, sys
file = open({str(file)!r}, "r+b")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 256, 1 << 40)
print("taken", flush=True)
sys.stdin.read()
'''
pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
with subprocess.Popen([sys.executable, "-c", take], **pipes) as other:
    other.stdout.readline()
    for x in range(3):
        f(x)
    print(f.cache_info())
    f.cache_clear()
    print(f.cache_info())
    other.stdin.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="locks of Linux")
def test_no_line_left(tmp_path: Path) -> None:
    said = said_by(PROCESSES, tmp_path)
    assert "misses=3, maxsize=128, currsize=0, skips={'processes': 3})" in said
    assert said.count("UncacheableWarning") == 1 and "255 others" in said
    assert said.endswith("(hits=0, misses=0, maxsize=128, currsize=0)\n")


LOCKS = """
import ctypes, errno, platform, struct, sys
from warp_cache import cache
f = cache(backend="shared", name="locks")(lambda x: x)
commands = [5, 6, 7, 36, 37, 38]
fcntl = {"x86_64": 72, "aarch64": 25}[platform.machine()]
steps = [(0x20, 0, 0, 0), (0x15, 0, len(commands) + 1, fcntl)]
steps += [(0x20, 0, 0, 24)]
steps += [(0x15, len(commands) - i, 0, command) for i, command in enumerate(commands)]
steps += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | errno.ENOLCK)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
    print("no seccomp")
    sys.exit()
for x in range(3):
    f(x)
f.set(1, 1)
print(f.cache_info())
f.cache_clear()
print(f.cache_info())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp")
def test_no_locks(tmp_path: Path) -> None:
    said = said_by(LOCKS, tmp_path)
    if "no seccomp" in said:
        pytest.skip("seccomp is not allowed here")
    assert "misses=3, maxsize=128, currsize=0, skips={'locks': 4})" in said
    assert said.count("UncacheableWarning") == 1
    assert "byte-range locks" in said and os.strerror(errno.ENOLCK) in said
    assert said.endswith("(hits=0, misses=0, maxsize=128, currsize=0)\n")


LOST = """
import os, pathlib
from warp_cache import cache
f = cache(backend="shared", name="lost")(lambda x: x)
f(1)
folder = pathlib.Path(os.environ["WARP_CACHE_DIR"])
[file] = folder.glob("lost*.cache")
os.truncate(file, 0)
folder.rename(folder.with_name("elsewhere"))
folder.write_text("in the way")
for x in range(4):
    f(x)
print(f.cache_info().skips["lost"] >= 3)
f.cache_clear()
print(f.cache_info().skips)
"""


def test_a_lost_file(tmp_path: Path) -> None:
    said = said_by(LOST, tmp_path)
    assert "True\n" in said and said.endswith("{}\n")
    assert said.count("UncacheableWarning") == 1 and "cut" in said


EXIT = """
import atexit, threading
from warp_cache import cache
f = cache(backend="shared", name="exit")(lambda x: threading.Lock())
class Last:
    def __del__(self):
        f(2)
keep = Last()
atexit.register(f, 1)
"""


def test_at_the_end_of_the_interpreter(tmp_path: Path) -> None:
    said = said_by(EXIT, tmp_path)
    assert said.count("UncacheableWarning") == 1 and "Traceback" not in said
