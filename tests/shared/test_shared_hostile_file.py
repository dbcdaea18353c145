"""A cache file that is damaged, replaced, or none at all: a miss or a clear exception, no more.

The number of mutations comes from WARP_MUTATIONS, the first one's seed from WARP_SEED.
"""

from __future__ import annotations

import os
import socket
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

MUTATIONS = int(os.environ.get("WARP_MUTATIONS", "500"))
SEED = int(os.environ.get("WARP_SEED", "0"))
SHARES = {"closed": 0.5, "mapped": 0.4, "busy": 0.1}

# Damaged files are repaired.
pytestmark = pytest.mark.deaths(None)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.mark.timeout(120 + MUTATIONS)
@pytest.mark.parametrize("how", SHARES)
def test_mutations(how: str) -> None:
    script = Path(__file__).with_name("mutations.py")
    count = int(MUTATIONS * SHARES[how])
    done = subprocess.run(
        [sys.executable, "-Wignore", str(script), str(SEED), str(count), how],
        env=support._environment(None),
        capture_output=True,
        text=True,
        timeout=100 + MUTATIONS,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-3000:])
    assert sum(eval(done.stdout).values()) == count


def shared(**options: Any) -> Any:
    return support.opened(cache(backend="shared", name="f", **options)(lambda x: ["value", x]))


def snapshot(path: Path) -> Any:
    """All that can be seen of a file without following it."""
    status = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
    return (status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_nlink, content)


def make_fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_directory(path: Path) -> None:
    path.mkdir(0o700)


def make_symlink(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("precious")
    path.symlink_to(target)


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def make_link(path: Path) -> None:
    shared()
    os.link(path, path.with_name("another"))


def make_mode(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        shared()
        path.chmod(mode)

    return make


def make_given_away(path: Path) -> None:
    shared()
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_fifo, "not a regular file"),
        (make_directory, "not a regular file"),
        (make_socket, "not a regular file"),
        (make_symlink, "symbolic link"),
        (make_dangling, "symbolic link"),
        (make_link, "2 names"),
        *[(make_mode(mode), f"{mode:04o}") for mode in (0o640, 0o602, 0o666, 0o4600, 0o1600)],
        pytest.param(make_given_away, "belongs to user 65534", marks=as_root),
    ],
)
def test_what_stands_in_the_files_place_is_refused_and_left_alone(
    make: Callable[[Path], None], message: str, cache_dir: Path
) -> None:
    cache_dir.mkdir(0o700)
    path = cache_dir / "f.cache"
    make(path)
    before = {name: snapshot(cache_dir / name) for name in os.listdir(cache_dir)}
    for _ in range(2):
        with pytest.raises(UncacheableWarning, match=message) as caught:
            shared()
        assert str(path) in str(caught.value)
    assert {name: snapshot(cache_dir / name) for name in os.listdir(cache_dir)} == before


def wide(path: Path) -> None:
    path.mkdir()
    path.chmod(0o750)


def link(path: Path) -> None:
    path.with_name("real").mkdir(0o700)
    path.symlink_to("real")


def plain_file(path: Path) -> None:
    path.write_text("precious")


def given_away(path: Path) -> None:
    path.mkdir(0o700)
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (wide, "permissions are 0750"),
        (link, "symbolic link"),
        (plain_file, "not a directory"),
        pytest.param(given_away, "belongs to user 65534", marks=as_root),
    ],
)
def test_what_stands_in_the_directorys_place_is_refused_and_left_alone(
    make: Callable[[Path], None], message: str, cache_dir: Path
) -> None:
    make(cache_dir)
    before = snapshot(cache_dir)
    with pytest.raises(UncacheableWarning, match=message):
        shared()
    assert snapshot(cache_dir) == before
    assert not cache_dir.is_dir() or list(cache_dir.iterdir()) == []


@as_root
def test_another_user_is_refused_what_is_roots(cache_dir: Path) -> None:
    shared()(1)
    cache_dir.parent.chmod(0o755)
    source = """
import os, sys
from warp_cache import cache
cache(backend="shared", name="warm")(lambda x: x)(1)  # all is imported
os.setgid(65534), os.setuid(65534)
assert cache(backend="shared", name="f")(lambda x: x)(1) == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=support._environment(None),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "Permission denied" in done.stdout + done.stderr, done


def test_another_versions_file_is_left_alone_and_ours_lies_beside_it(cache_dir: Path) -> None:
    shared()(1)
    path = cache_dir / "f.cache"
    with open(path, "r+b") as file:
        file.seek(8)
        file.write((99).to_bytes(8, sys.byteorder))
    before = snapshot(path)
    function = shared()
    assert function.get(1) is None and function(1) == function(1) == ["value", 1]
    assert shared().get(1) == ["value", 1]
    assert snapshot(path) == before
    assert len(os.listdir(cache_dir)) == 2


def test_both_names_taken_is_a_clear_error(cache_dir: Path) -> None:
    test_another_versions_file_is_left_alone_and_ours_lies_beside_it(cache_dir)
    for path in cache_dir.iterdir():
        with open(path, "r+b") as file:
            file.seek(8)
            file.write((99).to_bytes(8, sys.byteorder))
    with pytest.raises(UncacheableWarning, match=r"f\.cache"):
        shared()


def test_other_parameters_make_another_file(cache_dir: Path) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"ttl": 5},
        {"ttl": 6},
        {"typed": True},
        {"max_size": 64},
        {"max_size": 0},
        {"max_size": 1},
        {"max_size": None},
        {"strategy": 1},
        {"max_key_size": 100},
        {"max_value_size": 100},
        {"max_bytes": 1 << 20},
    ]
    functions = [shared(**one) for one in options]
    assert len(list(cache_dir.iterdir())) == len(options)
    for number, function in enumerate(functions):
        function.set(number, 1)
    expected = [None if one == {"max_size": 0} else n for n, one in enumerate(options)]
    assert [function.get(1) for function in functions] == expected
    assert [shared(**one).get(1) for one in options] == expected


SOURCE = """
from warp_cache import cache
f = cache(backend="shared", name="f")(lambda x: ["value", x])
f.cache_info()  # opens it
"""


@pytest.fixture
def file(cache_dir: Path) -> Iterator[Path]:
    yield cache_dir / "f.cache"


def test_deletion_in_use_begins_a_new_world(children: Children, file: Path) -> None:
    """Who has the old one goes on with it, to its next look (test_shared_astray.py)."""
    old = children.start(SOURCE, 2)
    assert old[0].ask("f.set('old', 1)") == "None"
    file.unlink()
    new = children.start(SOURCE, 2)
    assert [child.ask("f.get(1)") for child in [old[0], *new]] == ["'old'", "None", "None"]
    new[0].ask("f.set('new', 1)")
    time.sleep(1)
    assert old[1].ask("f.get(1)") == "'new'"
    # That one has told the other.
    assert [child.ask("f(1)") for child in old + new] == ["'new'"] * 4
    old[0].kill()
    assert old[1].ask("[f(x) for x in range(200)][2:] == [['value', x] for x in range(2, 200)]")


@pytest.mark.parametrize("content", ["empty", "noise", "older"])
def test_replacement_in_use(children: Children, file: Path, content: str) -> None:
    """By `rename`, as an editor or a restored backup would."""
    old = children.start(SOURCE)[0]
    backup = file.read_bytes()[: 1 << 20]
    assert old.ask("[f(x) for x in range(100)][99]") == "['value', 99]"
    other = file.with_name("other")
    other.write_bytes({"empty": b"", "noise": os.urandom(100_000), "older": backup}[content])
    other.chmod(0o600)
    other.rename(file)
    new = children.start(SOURCE)[0]
    ask = "[f(x) for x in range(200)] == [['value', x] for x in range(200)]"
    assert [child.ask(ask) for child in (old, new, old)] == ["True"] * 3


def test_truncation_in_use_reaches_all_processes(children: Children, file: Path) -> None:
    group = children.start(SOURCE, 3)
    ask = "[f(x) for x in range(200)] == [['value', x] for x in range(200)]"
    assert [child.ask(ask) for child in group] == ["True"] * 3
    for size in (100_000, 5000, 0):
        os.truncate(file, size)
        assert [child.ask(ask) for child in group] == ["True"] * 3
        time.sleep(1.1)  # another file is looked for once a second
        assert [child.ask(ask) for child in group] == ["True"] * 3
    group[0].ask("f.set('all', 'see')")
    assert {child.ask("f.get('see')") for child in group} == {"'all'"}


def test_files_of_an_earlier_boot_are_replaced(file: Path) -> None:
    """The words of the boot are damaged: so is the checksum; such a file is nobody's any more."""
    function = shared()
    function(1)
    inode = file.stat().st_ino
    del function
    with open(file, "r+b") as stream:
        stream.seek(24)
        stream.write(b"otherboototherbo")
    again = shared()
    assert again.get(1) is None and again(2) == again(2) == ["value", 2]
    assert file.stat().st_ino != inode
