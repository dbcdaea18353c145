"""Descriptors that run out, or that somebody else closes: a shared cache goes on without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import support

from warp_cache import cache

posix = pytest.mark.skipif(os.name != "posix", reason="limits of POSIX systems")


@posix
def test_no_more_descriptors() -> None:
    support.check_clean(
        support.run_python(
            support.OPENED
            + """
import os, resource
from warp_cache import cache
make = lambda n: opened(cache(backend="shared", name=f"n{n}")(lambda x: (n, x)))
make(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
made, refused = [], 0
for n in range(100):
    try:
        made.append((n, make(n)))
    except UserWarning as error:
        assert "ulimit -n" in str(error) and f"n{n}" in str(error), error
        refused += 1
assert len(made) > 10 and refused > 10, (made, refused)
for n, function in made:
    assert function(1) == function(1) == (n, 1)
    assert function.cache_info()[:2] == (1, 1)
del made, function
assert make(1)(1) == (1, 1)
"""
        )
    )


@posix
def test_descriptors_that_somebody_else_closes(tmp_path: Path) -> None:
    """A daemon closes all that it has not opened; then the numbers belong to its own files."""
    support.check_clean(
        support.run_python(
            """
import os
from pathlib import Path
from warp_cache import cache
make = lambda: cache(backend="shared", name="f", max_size=None)(lambda x: [x, "v" * 500])
f = make()
assert f(0) == f(0)
low = max(map(int, os.listdir("/proc/self/fd"))) + 20
os.closerange(3, low)
own = []
for number in range(low):
    own.append(open(f"own{number}", "w+b", buffering=0))
    own[-1].write(b"precious")
for x in list(range(3000)) * 2:
    assert f(x) == [x, "v" * 500]
g = make()
for x in range(3000):
    assert g(x) == [x, "v" * 500]
hits, misses = g.cache_info()[:2]
assert hits + misses == 9002 and hits > 5500, (hits, misses)
del f, g
for number, file in enumerate(own):
    assert os.fstat(file.fileno()).st_size == 8, number
    assert Path(f"own{number}").read_bytes() == b"precious"
""",
            limit=60,
        )
    )


@posix
def test_a_daemon_without_its_parents_descriptors_shares_on() -> None:
    support.check_clean(
        support.run_python(
            """
import os, time
from warp_cache import cache
f = cache(backend="shared", name="f", max_size=5000)(lambda x: [x, "v" * 500])
f(0)
pid = os.fork()
if pid == 0:
    code = 1
    try:
        os.closerange(3, 100)
        f(1)
        time.sleep(1.1)
        for x in list(range(3000)) * 2:
            assert f(x) == [x, "v" * 500]
        f.set("daemon", "who")
        code = 0
    finally:
        os._exit(code)
assert os.waitpid(pid, 0)[1] == 0
assert f.get("who") == "daemon"
assert all(f.get(x) == [x, "v" * 500] for x in range(3000))
""",
            options=["-Wignore"],
        )
    )


@posix
def test_who_has_no_descriptors_takes_nobodys_file_away(cache_dir: Path) -> None:
    function = cache(backend="shared", name="f")(lambda x: x)
    function(1)
    before = (cache_dir / "f.cache").stat().st_ino
    source = """
import os, resource
from warp_cache import cache
import warp_cache._naming.identity
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
while held:
    try:
        f = opened(cache(backend="shared", name="f")(lambda x: x))
    except OSError as error:  # not even decorating is possible
        print(error.errno)
        os.close(held.pop())
    except UserWarning as error:
        print("24" if "ulimit -n" in str(error) else error)
        os.close(held.pop())
    else:
        assert f.get(1) == 1
        break
"""
    done = support.run_python(support.OPENED + source)
    support.check_clean(done)
    assert set(done.stdout.split()) == {"24"}
    assert (cache_dir / "f.cache").stat().st_ino == before
