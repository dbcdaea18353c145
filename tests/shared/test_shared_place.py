"""Where a shared cache lies, what it costs there, who may see it, and who meets in it."""

from __future__ import annotations

import errno
import gc
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import support
from children import Children

from warp_cache import UncacheableWarning, cache

LINUX = sys.platform == "linux"


def shared(name: str = "f", **options: Any) -> Any:
    return support.opened(cache(backend="shared", name=name, **options)(lambda x: ["value", x]))


def where(source: str, environment: dict[str, str], remove: tuple[str, ...] = ()) -> str:
    """What a process prints that has this environment."""
    settings = {k: v for k, v in support._environment(environment).items() if k not in remove}
    return subprocess.run(
        [sys.executable, "-c", source], env=settings, capture_output=True, text=True, check=True
    ).stdout.strip()


DIRECTORIES = (
    "import warp_cache._naming.identity as i; print(*i.directories()[0], i.directories()[1])"
)


def test_the_rules_of_the_directories(tmp_path: Path) -> None:
    own, temporary, user = str(tmp_path / "own"), str(tmp_path / "temporary"), os.geteuid()
    everything = {
        "WARP_CACHE_DIR": own,
        "TMPDIR": temporary,
        "XDG_RUNTIME_DIR": "/run/x",
        "TMP": "/tmp/",
    }
    usual = [f"{place}/warp_cache-{user}" for place in (f"/run/user/{user}", "/tmp", "/var/tmp")]
    others = [f"/dev/shm/warp_cache-{user}", f"/run/x/warp_cache-{user}", *usual, "False"]

    def said(environment: dict[str, str], *remove: str) -> list[str]:
        return where(DIRECTORIES, environment, ("TEMP", *remove)).split()

    assert said(everything) == [own, "True"]
    first = [f"{temporary}/warp_cache-{user}"]
    expected = first + others[:2] + usual[:1] + usual[1:] + ["False"]
    assert said(everything, "WARP_CACHE_DIR") == expected
    assert said({**everything, "WARP_CACHE_DIR": ""}) == expected
    neither = said({}, "WARP_CACHE_DIR", "TMPDIR", "XDG_RUNTIME_DIR", "TMP")
    assert neither == others[:1] + usual + ["False"]
    relative = where("import os; os.chdir('/')\n" + DIRECTORIES, {"WARP_CACHE_DIR": "some/where"})
    assert relative == "/some/where True"


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
def test_rights_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    if umask == 0o777 and os.geteuid() != 0:
        pytest.skip("only root can use a directory without rights")
    source = f"""
import os
os.umask({umask})
from warp_cache import cache
f = cache(backend="shared", name="f")(lambda x: x)
f(1)
"""
    place = tmp_path / "a" / "b"
    where(source, {"WARP_CACHE_DIR": str(place)})
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    (file,) = place.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) & 0o077 == 0


with_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc here")


@with_proc
def test_descriptors_are_not_inherited(cache_dir: Path) -> None:
    function = shared()
    function(1)
    assert any("f.cache" in one for one in support.descriptors(cache_dir))
    source = """
import os
folder = "/proc/self/fd"
print([os.path.realpath(f"{folder}/{one}") for one in os.listdir(folder)])
"""
    done = subprocess.run(
        [sys.executable, "-c", source], close_fds=False, capture_output=True, text=True, check=True
    )
    assert "cache" not in done.stdout


@with_proc
def test_many_caches_leak_nothing(cache_dir: Path) -> None:
    shared("warm")(1)
    before = support.descriptors(cache_dir)
    maps = Path("/proc/self/maps").read_text().count(str(cache_dir))
    for _ in range(3):
        functions = [shared(f"n{number}") for number in range(200)]
        assert all(function(n) == ["value", n] for n, function in enumerate(functions))
        assert len(support.descriptors(cache_dir)) <= len(before) + 200
        # Opened again, refused, and made anew: no more than one descriptor for each file.
        again = [shared(f"n{number}") for number in range(200)]
        assert [function.get(n) for n, function in enumerate(again)] == [
            ["value", n] for n in range(200)
        ]
        assert len(support.descriptors(cache_dir)) <= len(before) + 200
        del functions, again
        gc.collect()
        assert support.descriptors(cache_dir) == before
    assert Path("/proc/self/maps").read_text().count(str(cache_dir)) == maps


@with_proc
def test_refusals_leak_nothing(cache_dir: Path) -> None:
    shared("open")(1)
    (cache_dir / "open.cache").chmod(0o644)
    (cache_dir / "link.cache").symlink_to("nowhere")
    (cache_dir / "noise.cache").mkdir()
    before = support.descriptors(cache_dir)
    for _ in range(50):
        for name in ("open", "link", "noise"):
            with pytest.raises(UncacheableWarning):
                shared(name)
    assert support.descriptors(cache_dir) == before


def disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_an_empty_cache_of_a_million_costs_little(cache_dir: Path) -> None:
    function = shared(max_size=1_000_000)
    assert disk(cache_dir / "f.cache") < 4 << 20
    function(1)
    assert disk(cache_dir / "f.cache") < 4 << 20


@pytest.mark.parametrize("max_bytes", [1 << 18, 1 << 20, (1 << 22) + 4711])
def test_max_bytes(max_bytes: int, cache_dir: Path) -> None:
    function = cache(backend="shared", name="f", max_size=None, max_bytes=max_bytes)(
        lambda x: bytes(x % 5000)
    )
    for x in range(4000):
        assert function(x) == bytes(x % 5000)
        assert function(x) == bytes(x % 5000)
    file = cache_dir / "f.cache"
    assert file.stat().st_size <= max_bytes and disk(file) <= max_bytes + (1 << 16)
    info = function.cache_info()
    assert info.hits > 3500 and info.hits + info.misses == 8000 and info.currsize > 10


# --- small and full disks ---------------------------------------------------------------------


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts file systems of so many bytes."""
    if not LINUX or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("to mount a small tmpfs takes root on Linux")
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        place = tmp_path / f"tmpfs{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


FILL = """
import os, sys, zlib
from warp_cache import cache
size = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
def body(x):
    return (x, bytes([x % 256]) * (x * 7919 % size))
most = int(os.environ["MOST"]) or None
f = cache(backend="shared", name="f", max_size=None, max_bytes=most)(body)
g = cache(backend="shared", name="g", max_size=300)(lambda x: x)
hits = 0
for x in range(600):
    x %= 400
    assert f(x) == body(x) == f(x)
    assert g(x) == x == g(x)
for x in range(300):
    assert g(x) == x
info, other = f.cache_info(), g.cache_info()
assert info.hits + info.misses == 1200 and other.hits + other.misses == 1500, (info, other)
print(info.hits, other.hits)
"""


@pytest.mark.parametrize("most", [0, 1 << 30], ids=["default", "more-than-there-is"])
@pytest.mark.parametrize("megabytes", [1, 8, 64])
def test_tiny_tmpfs(megabytes: int, most: int, tmpfs: Callable[[int], Path]) -> None:
    place = tmpfs(megabytes << 20)
    source = FILL.replace("10_000_000", str((megabytes << 20) // 50))
    settings = {"WARP_CACHE_DIR": str(place / "cache"), "MOST": str(most), **support.UNCACHEABLE}
    done = support.run_python(source, environment=settings, limit=60)
    support.check_clean(done)
    hits, others = map(int, done.stdout.split())
    assert hits >= 600 and others > 600, done.stdout


def test_a_disk_that_fills_up_under_a_cache(tmpfs: Callable[[int], Path]) -> None:
    place = tmpfs(8 << 20)
    source = """
import os
from pathlib import Path
from warp_cache import cache
f = cache(backend="shared", name="f", max_size=None, max_bytes=1 << 30)(lambda x: bytes([x]) * 2000)
for x in range(100):
    f(x)
with open(Path(os.environ["WARP_CACHE_DIR"]).parent / "fat", "wb", buffering=0) as fat:
    try:
        while True:
            fat.write(bytes(1 << 16))
    except OSError:
        pass
for x in range(2500):
    assert f(x % 250) == bytes([x % 250]) * 2000 == f(x % 250)
info = f.cache_info()
assert info.hits + info.misses == 5100 and info.hits >= 2500, info
try:
    opened(cache(backend="shared", name="g", max_bytes=1 << 20)(lambda x: x))
except UserWarning as error:
    print(error)
os.unlink(fat.name)
g = cache(backend="shared", name="g", max_bytes=1 << 20)(lambda x: x)
assert g(1) == g(1) == 1 and g.cache_info().hits == 1
"""
    environment = {"WARP_CACHE_DIR": str(place / "cache")}
    done = support.run_python(support.OPENED + source, environment=environment)
    support.check_clean(done)
    assert os.strerror(errno.ENOSPC) in done.stdout and "no space" in done.stdout
    assert sorted(path.name for path in (place / "cache").iterdir()) == ["f.cache", "g.cache"]


def test_a_tmpfs_of_every_size_around_the_least(tmpfs: Callable[[int], Path]) -> None:
    """From no room for an empty cache, over room for nothing else, to room for some entries."""
    place = tmpfs(128 << 10)
    source = """
import gc, os, subprocess
from warp_cache import cache
place = os.environ["WARP_CACHE_DIR"]
mount = ["mount", os.path.dirname(place), "-o"]
for pages in range(1, 33):
    subprocess.run([*mount, f"remount,size={pages << 12}"], check=True)
    try:
        f = cache(backend="shared", name="f", max_bytes=1 << 20)(lambda x: bytes([x]) * 1000)
        opened(f)
    except UserWarning as error:
        print("refused", error)
        assert os.listdir(place) == [], os.listdir(place)
        continue
    for x in list(range(100)) * 2:
        assert f(x) == bytes([x]) * 1000 == f(x)
    info = f.cache_info()
    assert info.hits + info.misses == 400, info
    print("hits", info.hits)
    f.cache_clear()
    del f
    gc.collect()
    os.unlink(place + "/f.cache")
"""
    settings = {"WARP_CACHE_DIR": str(place / "cache"), **support.UNCACHEABLE}
    done = support.run_python(support.OPENED + source, environment=settings)
    support.check_clean(done)
    lines = done.stdout.splitlines()
    refused = rf"refused .*no space for .*f\.cache: {os.strerror(errno.ENOSPC)}"
    assert re.match(refused, lines[0]) and lines[-1].startswith("hits 2"), done.stdout
    assert all(line.startswith("hits") or re.match(refused, line) for line in lines), done.stdout


def test_a_read_only_place(tmpfs: Callable[[int], Path]) -> None:
    place = tmpfs(1 << 20)
    (place / "cache").mkdir(0o700)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARP_CACHE_DIR", str(place / "cache"))
        with pytest.raises(UncacheableWarning, match=rf"f\.cache: {os.strerror(errno.EROFS)}"):
            shared()


# --- who meets in a file ----------------------------------------------------------------------

PAIR = """
import os, sys, time
from pathlib import Path
from warp_cache import cache
folder = Path(sys.argv[1])
@cache(backend="shared", name="gated", wait_timeout=20)
def gated(x):
    with open(folder / "calls", "a") as file:
        file.write(f"{x}\\n")
    while not (folder / "open").exists():
        time.sleep(0.005)
    return {"x": x}
f = cache(backend="shared", name="f", max_size=20)(lambda x: ["value", x])
"""


def test_equal_pids_in_different_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unshare = shutil.which("unshare")
    command = [unshare or "unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    probe = [*command, "sh", "-c", "echo $$"]
    if unshare is None or subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("no pid namespaces can be made here (unshare --pid takes root)")
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(command)} {sys.executable} "$@"\n')
    wrapper.chmod(0o700)
    with Children(tmp_path) as children:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(wrapper))
            group = children.start(PAIR, 3)
        outside = children.start(PAIR)[0]
        assert [child.ask("os.getpid()") for child in group] == ["1"] * 3
        asked = [child.start("gated(1)") for child in group]
        calls = tmp_path / "calls"
        support.eventually(calls.exists)
        # The leader lives, though for the others its pid is their own: nobody takes its place.
        asked.append(outside.start("gated(1)"))
        time.sleep(0.5)
        assert calls.read_text().split() == ["1"]
        for child in group:
            child.process.send_signal(9)
        support.eventually(lambda: len(calls.read_text().split()) == 2)
        (tmp_path / "open").touch()
        assert asked[-1].answer(10) == "{'x': 1}"
        assert outside.ask("[f(x) for x in range(40)][-1]") == "['value', 39]"


def test_two_functions_never_share(cache_dir: Path) -> None:
    def make(n: int) -> list[Any]:
        return [
            cache(backend="shared")(lambda x: (x, 1)),
            cache(backend="shared")(lambda x: (x, 2)),
            cache(backend="shared")(lambda x, y=3: (x, y)),
            cache(backend="shared")(lambda x: (x, n)),
            cache(backend="shared")(lambda x, n=n: (x, n)),
        ]

    one, two = make(10), make(20)
    for functions, n in ((one, 10), (two, 20), (one, 10)):
        assert [function(0) for function in functions] == [
            (0, 1),
            (0, 2),
            (0, 3),
            (0, n),
            (0, n),
        ]
    assert len(list(cache_dir.iterdir())) == 7


@pytest.mark.parametrize("max_bytes", [1, 159_743, (1 << 36) + 1, 1 << 63, 1 << 70])
def test_impossible_max_bytes(max_bytes: int, cache_dir: Path) -> None:
    with pytest.raises(ValueError, match="max_bytes must be from 180224 to 68719476736 bytes"):
        shared(max_bytes=max_bytes)
    assert not cache_dir.exists() or list(cache_dir.iterdir()) == []
