"""Limits that the kernel sets to a process: what has no room is not stored, none is killed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import support

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of POSIX systems")

# What a program that embeds Python has: Python itself ignores the signal.
BEGIN = """
import os, resource, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")  # that something is not stored
from warp_cache import cache, record
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def limit(bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def make(name, **options):
    return cache(backend="shared", name=name, **options)(lambda x: "v" * 2000)


def use(f, numbers=range(500)):
    assert all(f(x) == "v" * 2000 for x in numbers)
"""


@pytest.mark.parametrize(
    "options",
    [
        "max_size=5000",
        "max_size=None",
        "max_size=5000, strategy=5",
        "max_size=5000, strategy=6",
        "max_size=300",
    ],
)
def test_a_limit_for_the_size_of_files_costs_entries(options: str) -> None:
    source = f"""
sizes = (300 << 10, 512 << 10, 1 << 20, 5 << 20)
functions = [make(f"f{{bytes}}", {options}, max_bytes=1 << 27) for bytes in sizes]
for f, bytes in zip(functions, sizes):
    limit(bytes)
    use(f)
    # Lowered below what there is: what fits into that goes on.
    limit(4096)
    use(f)
    f.cache_clear()
    use(f, range(50))
    limit(resource.RLIM_INFINITY)
time.sleep(1.1)  # a full disk is left alone for a second
for f in functions:
    use(f, range(50))
    use(f, range(50))
    assert f.cache_info().hits >= 45, f.cache_info()
"""
    support.check_clean(support.run_python(BEGIN + source))


def test_when_a_cache_is_opened_in_threads_and_while_recording(tmp_path: Path) -> None:
    source = f"""
f = opened(make("f", max_size=None, max_bytes=1 << 27))
for bytes in (0, 1, 4096, 100 << 10):
    limit(bytes)
    try:
        opened(make(f"g{{bytes}}"))
        assert bytes
    except UserWarning as error:
        assert "ulimit -f" in str(error), error
threads = [threading.Thread(target=use, args=(f, range(n, 300, 3))) for n in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
limit(1000)
plain = cache(lambda x: x)
try:
    with record({str(tmp_path / "rec")!r}):
        for x in range(100_000):
            plain(x)
except OSError as error:
    print(error.errno)
except RuntimeWarning:
    pass
assert os.path.getsize({str(tmp_path / "rec")!r}) <= 1000
"""
    done = support.run_python(BEGIN + support.OPENED + source)
    assert done.returncode == 0, done.stderr


def test_the_signal_of_others_is_left_to_them() -> None:
    """A handler is not called for our files, a pending signal stays pending, a mask as it was."""
    source = """
caught = []
signal.signal(signal.SIGXFSZ, lambda *_: caught.append(1))
f = make("f", max_size=5000, max_bytes=1 << 27)
before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
limit(400 << 10)
use(f)
assert not caught and signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
assert not signal.sigpending()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGXFSZ])
os.kill(os.getpid(), signal.SIGXFSZ)
f.cache_clear()
use(f, range(500, 1000))
assert signal.sigpending() == {signal.SIGXFSZ}
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGXFSZ])
assert caught == [1]
# Theirs kills as ever.
pid = os.fork()
if not pid:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    limit(10)
    os.write(os.open(os.environ["WARP_CACHE_DIR"] + "/x", os.O_CREAT | os.O_WRONLY), b"x" * 10)
    os.truncate(os.environ["WARP_CACHE_DIR"] + "/x", 11)
    os._exit(0)
assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGXFSZ
"""
    support.check_clean(support.run_python(BEGIN + source))


linux = pytest.mark.skipif(sys.platform != "linux", reason="a limit that Linux enforces")


@linux
def test_two_caches_at_defaults_in_two_gigabytes_of_addresses() -> None:
    numpy = "import numpy" if importlib.util.find_spec("numpy") else ""
    source = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from warp_cache import cache
def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
before = size()
caches = [cache(backend="shared", name=f"n{{n}}")(lambda x: bytes(x)) for n in range(2)]
assert size() - before < 64 << 20, size() - before
{numpy}
everything = [cache(backend="shared", name=f"m{{n}}", max_size=None)(str) for n in range(2)]
# They are opened at their first use.
assert all(f.cache_info().currsize == 0 for f in (*caches, *everything))
for f in caches:
    for n in range(3):
        assert f(n << 22) == f(n << 22) == bytes(n << 22)
    assert f.cache_info().hits == 3, f.cache_info()
assert [f(7) + f(7) for f in everything] == ["77"] * 2
assert all(f.cache_info().hits == 1 for f in everything), [f.cache_info() for f in everything]
"""
    support.check_clean(support.run_python(source))


@linux
def test_no_more_addresses_costs_entries_and_nobody_elses() -> None:
    """A process that cannot map what is in the file computes; the others keep what they have."""
    source = """
import os, resource, warnings
warnings.simplefilter("ignore")  # that something is not stored
from warp_cache import cache
big = bytes(1 << 20)
def body(x): return big[: x << 20 or 9]
f = cache(backend="shared", name="f", max_size=1000, max_bytes=1 << 29)(body)
f(0)
r, w = os.pipe()
pid = os.fork()
if not pid:
    os.close(w)
    os.read(r, 1)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (24 << 20),) * 2)
    assert f(0) == big[:9]
    for x in range(300):
        assert f(1) == big
        f.set(big, 1000 + x)
    g = cache(backend="shared", name="g", max_size=2000, max_bytes=1 << 29)(lambda x: big[:100_000])
    for x in range(1000):
        assert g(x) == big[:100_000]
    os._exit(0)
for x in range(1, 151):
    f.set(big, x)
os.close(w)
assert os.waitpid(pid, 0)[1] == 0
assert f.get(0) == big[:9] and all(f.get(x) == big for x in range(1, 151))
assert f.cache_info().currsize == 151, f.cache_info()
"""
    support.check_clean(support.run_python(source, limit=60))


@linux
@pytest.mark.parametrize("more", [6, 24, 48])
def test_the_last_addresses_are_left_to_the_program(more: int) -> None:
    source = f"""
import resource
from warp_cache import cache
f = cache(backend="shared", name="f", max_size=100_000)(lambda x: bytes(2000) + str(x).encode())
for x in range(300):
    f(x)
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + ({more} << 20),) * 2)
for x in 2 * [*range(20_000)]:
    assert f(x) == bytes(2000) + str(x).encode()
assert f.cache_info().currsize >= 300
f.cache_clear()
assert f(1) == f(1) and f.cache_info().hits == 1
assert bytes(1 << 20)
"""
    support.check_clean(
        support.run_python("import warnings; warnings.simplefilter('ignore')\n" + source, limit=60)
    )


@linux
@pytest.mark.parametrize("more", [6, 24])
def test_entries_that_addresses_are_wanting_for_are_counted(more: int) -> None:
    """What is stored in the place of others, as the file cannot grow here, is a skip; once told."""
    source = f"""
import resource, sys, warnings
from warp_cache import UncacheableWarning, cache
f = cache(backend="shared", name="f", max_size=100_000)(lambda x: bytes(2000) + str(x).encode())
for x in range(300):
    f(x)
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
assert not f.cache_info().skips, f.cache_info()
resource.setrlimit(resource.RLIMIT_AS, (now + ({more} << 20),) * 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for x in range(20_000):
        assert f(x) == bytes(2000) + str(x).encode()
    f.set(bytes(2000), 20_000)
info = f.cache_info()
assert info.currsize < 20_000
assert info.skips["space"] > 1000 and list(info.skips) == ["space"], info
[told] = caught
assert told.category is UncacheableWarning, told
for words in ("in the place of others", "Cannot allocate memory", "ulimit -v"):
    assert words in str(told.message), told.message
"""
    support.check_clean(support.run_python(source, limit=60))


@linux
def test_what_others_have_and_this_one_cannot_map_is_counted() -> None:
    source = """
import os, resource, warnings
from warp_cache import cache
big = bytes(1 << 20)
f = cache(backend="shared", name="f", max_size=1000, max_bytes=1 << 29)(lambda x: big)
f(0)
r, w = os.pipe()
pid = os.fork()
if not pid:
    os.close(w)
    os.read(r, 1)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (24 << 20),) * 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x in range(100, 200):
            assert f(x) == big
    assert f.cache_info().skips["space"] == 100, f.cache_info()
    assert len(caught) == 1 and "Cannot allocate memory" in str(caught[0].message), caught
    os._exit(0)
for x in range(1, 100):
    f.set(big, x)
os.close(w)
assert os.waitpid(pid, 0)[1] == 0
"""
    support.check_clean(support.run_python(source, limit=60))


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="another user is to be had as root only")
def test_memory_that_may_not_be_locked() -> None:
    source = """
import ctypes, os, resource, warnings
warnings.simplefilter("ignore")
from warp_cache import cache
f = cache(backend="shared", name="f", max_size=None, max_bytes=1 << 28)(lambda x: bytes(100_000))
os.environ["WARP_CACHE_DIR"] = os.environ["WARP_CACHE_DIR"] + "-61001"
os.mkdir(os.environ["WARP_CACHE_DIR"]); os.chown(os.environ["WARP_CACHE_DIR"], 61001, 61001)
os.chmod(os.environ["WARP_CACHE_DIR"], 0o700)
os.chmod(os.path.dirname(os.environ["WARP_CACHE_DIR"]), 0o711)
cache(backend="memory")(len)
libc = ctypes.CDLL(None)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))
os.setgid(61001); os.setuid(61001)
if libc.mlockall(2):
    raise SystemExit  # MCL_FUTURE is not to be had here
try:
    for x in range(200):
        assert f(x) == bytes(100_000)
    cache(backend="shared", name="g")(lambda x: x)
except MemoryError:
    pass  # Python's own: its memory is locked, too
except OSError as error:
    assert "ulimit -l" in str(error), error
"""
    support.check_clean(support.run_python(source))


@linux
def test_the_usual_size_heeds_the_limit_of_a_control_group(cache_dir: Path) -> None:
    group = Path("/sys/fs/cgroup/memory")
    if os.geteuid() != 0 or not group.is_dir():
        pytest.skip("needs to make control groups of version 1")
    mine = next(
        (
            line.split(":", 2)[2]
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if "memory" in line.split(":")[1].split(",")
        ),
        "/",
    )
    outer = group / mine.strip("/") / f"warp_cache_test_{os.getpid()}"
    inner = outer / "inner"
    try:
        inner.mkdir(parents=True)
        (outer / "memory.limit_in_bytes").write_text(str(400 << 20))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    source = """
import os, sys
from pathlib import Path
from warp_cache import cache
if sys.argv[1:]:
    Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
f = cache(backend="shared", name="f", max_size=None)(lambda x: x)
f(1)
os.write(1, Path(os.environ["WARP_CACHE_DIR"], "f.cache").read_bytes()[72:80])
"""

    def most(*where: object) -> int:
        command = [sys.executable, "-c", source, *map(str, where)]
        done = subprocess.run(
            command, env=support._environment(None), capture_output=True, check=True
        )
        return int.from_bytes(done.stdout, sys.byteorder)

    try:
        assert most(inner) <= 100 << 20
        # Who comes from elsewhere shares the file as it is.
        assert most() <= 100 << 20 and len(list(cache_dir.iterdir())) == 1
    finally:
        inner.rmdir()
        outer.rmdir()
