"""Processes that use one cache stay together, whatever becomes of its file and its words."""

from __future__ import annotations

import os
import shutil
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support
from children import Child, Children

from warp_cache import cache

# Files are damaged, and put in order.
pytestmark = pytest.mark.deaths(None)

SOURCE = """
import os, sys
from warp_cache import cache
made, calls = {}, []

def of(name):
    if name not in made:
        made[name] = cache(backend="shared", name=name, max_size=100, max_bytes=1 << 20)(
            lambda x: calls.append(x) or x
        )
    return made[name]

def computed(name, x):
    before = len(calls)
    assert of(name)(x) == x
    return len(calls) > before

def fill(name, numbers=range(20)):
    for x in numbers:
        of(name)(x)
        of(name)(x)
"""


def put(file: Path, at: int, value: int) -> None:
    with open(file, "r+b") as stream:
        stream.seek(at)
        stream.write(struct.pack("=Q", value))


def meet(one: Child, other: Child, name: str) -> None:
    """Each sees what the other stores and clears."""
    for number, (first, second) in enumerate([(one, other), (other, one)]):
        key = 1_000_000 + number
        assert first.ask(f"computed({name!r}, {key})") == "True"
        assert second.ask(f"computed({name!r}, {key})") == "False"
        first.ask(f"of({name!r}).cache_clear()")
        assert second.ask(f"computed({name!r}, {key})") == "True"
        assert first.ask(f"computed({name!r}, {key})") == "False"


@pytest.mark.skipif(sys.platform != "linux", reason="who lives is known on Linux")
def test_damage_before_an_opener_comes(children: Children, cache_dir: Path) -> None:
    one, other = children.start(SOURCE, 2)
    # The header's words, and the control words by which a file is judged (and some others).
    for at in [*range(0, 104, 8), 512, 520, 528, 536, 552, 568, 576, 656]:
        for value in (0, 1, 40, 2**64 - 1, 0x5555_0000_5555):
            name = f"n{at}-{value:x}"
            one.ask(f"fill({name!r})")
            assert one.ask(f"computed({name!r}, 1)") == "False"
            put(cache_dir / f"{name}.cache", at, value)
            other.ask(f"of({name!r}).cache_clear()")
            # At once, without a look that is due.
            assert one.ask(f"computed({name!r}, 1)") == "True", name
            one.ask(f"fill({name!r}, range(50, 100))")
            other.ask(f"fill({name!r}, range(80, 130))")
            meet(one, other, name)


def test_a_page_of_zeros_before_an_opener_comes(children: Children, cache_dir: Path) -> None:
    one, other = children.start(SOURCE, 2)
    one.ask("fill('f')")
    for at in range(0, 4096, 8):
        put(cache_dir / "f.cache", at, 0)
    other.ask("of('f').cache_clear()")
    assert one.ask("computed('f', 1)") == "True"
    meet(one, other, "f")


def remove(file: Path) -> None:
    file.unlink()


def rename(file: Path) -> None:
    file.rename(file.with_name("another"))


def replace_by_nothing(file: Path) -> None:
    new = file.with_name("new")
    new.touch(0o600)
    new.rename(file)


def replace_by_a_copy(file: Path) -> None:
    new = file.with_name("new")
    shutil.copy(file, new)
    new.chmod(0o600)
    new.rename(file)


def remove_directory(file: Path) -> None:
    shutil.rmtree(file.parent)


def rename_directory(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


FATES = [
    remove,
    rename,
    replace_by_nothing,
    replace_by_a_copy,
    remove_directory,
    rename_directory,
]


@pytest.mark.parametrize("fate", FATES)
def test_those_who_miss_meet_again(
    fate: Callable[[Path], None], children: Children, cache_dir: Path
) -> None:
    one, other, new = children.start(SOURCE, 3)
    one.ask("fill('f')")
    other.ask("fill('f')")
    fate(cache_dir / "f.cache")
    new.ask("fill('f', range(10, 30))")
    new.ask("of('f').cache_clear()")
    time.sleep(1)
    # What is not in the decoded level is looked up in the file that the path names.
    assert one.ask("computed('f', 500)") == "True"
    assert new.ask("computed('f', 500)") == "False"
    # Of the old one nothing is left.
    assert [one.ask(f"computed('f', {x})") for x in range(3)] == ["True"] * 3
    if fate not in (rename, rename_directory):
        # Whoever only hits is told by the one who has looked.
        assert other.ask("computed('f', 3)") == "True"
    assert other.ask("computed('f', 501)") == "True"
    meet(one, other, "f")
    meet(other, new, "f")
    meet(new, one, "f")


@pytest.mark.parametrize("fate", FATES)
def test_a_clear_looks_at_once(
    fate: Callable[[Path], None], children: Children, cache_dir: Path
) -> None:
    one, new = children.start(SOURCE, 2)
    one.ask("fill('f')")
    fate(cache_dir / "f.cache")
    new.ask("fill('f')")
    assert new.ask("computed('f', 1)") == "False"
    one.ask("of('f').cache_clear()")
    assert new.ask("computed('f', 1)") == "True"
    meet(one, new, "f")


def shared(name: str, **options: Any) -> Any:
    return cache(backend="shared", name=name, **options)(lambda x: ["value", x])


def test_within_a_process(cache_dir: Path) -> None:
    """Functions that share one file leave it together."""
    one, other = shared("f"), shared("f")
    assert one(1) == other(1) and other.cache_info().hits == 1
    (cache_dir / "f.cache").unlink()
    one.cache_clear()
    assert (cache_dir / "f.cache").exists()
    assert other.get(1) is None
    assert one(1) == other(1) and other.cache_info()[:2] == (1, 1)


def test_what_was_decoded_goes(cache_dir: Path) -> None:
    function = shared("f")
    for x in range(5):
        function(x)
    (cache_dir / "f.cache").unlink()
    support.eventually(lambda: function.get(100) or (cache_dir / "f.cache").exists())
    assert [function.get(x) for x in range(5)] == [None] * 5
    assert function(1) == ["value", 1] and function.cache_info()[:2] == (0, 1)


def test_where_no_other_can_be_made(cache_dir: Path) -> None:
    """It computes: a value that no clear reaches is served to nobody."""
    function = shared("f")
    function(1)
    (cache_dir / "f.cache").unlink()
    (cache_dir / "f.cache").mkdir()
    time.sleep(1)
    with pytest.warns(UserWarning, match="removed or replaced"):
        for x in (2, 3):
            assert function(x) == ["value", x]
    assert function(1) == ["value", 1] and function.cache_info().skips.get("lost", 0) > 0
    (cache_dir / "f.cache").rmdir()
    support.eventually(lambda: function(1) and function.cache_info().hits > 0, 5)


def test_a_file_without_a_name_on_purpose_stays(cache_dir: Path) -> None:
    class Changing:
        def __init__(self) -> None:
            self.n = 1

        def __call__(self, x: int) -> int:
            return x + self.n

    private = cache(backend="shared")(Changing())
    for x in range(10):
        private(x)
    assert not list(cache_dir.glob("*.cache"))
    time.sleep(1.1)
    assert [private(x) for x in range(10)] == [*range(1, 11)]
    assert private(10) == 11
    private.set(8, 7)
    assert private.get(7) == 8
    assert private.cache_info()[:2] == (10, 11)


def test_a_forked_child_and_its_parent(cache_dir: Path) -> None:
    function = shared("f")
    function(1)
    pid = os.fork()
    if not pid:
        (cache_dir / "f.cache").unlink()
        function.cache_clear()
        function.set(["child"], 7)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    # Told by the child, whose clear has found that the file has no name.
    assert function.get(7) == ["child"]
    assert function.cache_info().misses == 0


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root changes its root"
)
def test_another_root_is_no_reason_to_leave(cache_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    source = f"""
import os, time
from warp_cache import cache
calls = []
f = cache(backend="shared", name="f")(lambda x: calls.append(x) or x)
f(1)
os.chroot({str(tmp_path / "root")!r})
time.sleep(1)
f(2), f(2), f(1)
f.set(7, 3)
assert calls == [1, 2] and f.get(1) == 1
assert not os.listdir("/"), os.listdir("/")
"""
    support.check_clean(support.run_python(source))
    assert shared("f", max_size=128).cache_info().misses >= 0
