"""`prune`: what nobody can use is removed, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import support

from tests.operate.older import files_of, make_older


def pruned(run: Any, *arguments: str) -> dict[str, str]:
    """Of each file that is removed the reason."""
    status, out, errors = run("prune", "--json", *arguments)
    assert (status, errors) == (0, "")
    found = json.loads(out)
    assert found["failed"] == []
    return {os.path.basename(one["path"]): one["why"] for one in found["removed"]}


def test_what_is_of_no_use_goes(run: Any, worker: Any, cache_dir: Path) -> None:
    one = worker()
    one.ask("(load(1), named(1))")
    load = next(path for name, path in files_of(cache_dir).items() if name.startswith("app.load"))
    for name in ("format", "short"):
        shutil.copy(load, cache_dir / f"{name}.cache")
    make_older(cache_dir / "format.cache")
    os.truncate(cache_dir / "short.cache", 9000)
    (cache_dir / "mine.cache").write_text("not a cache")
    os.chmod(cache_dir / "mine.cache", 0o600)
    (cache_dir / ".x.cache.1.2.tmp").write_text("")
    os.utime(cache_dir / ".x.cache.1.2.tmp", (0, 0))
    before = sorted(os.listdir(cache_dir))
    expected = {
        "format.cache": "format 7",
        "short.cache": "damaged",
        ".x.cache.1.2.tmp": "never finished",
    }
    assert pruned(run, "--dry-run") == expected
    assert sorted(os.listdir(cache_dir)) == before
    status, out, _ = run("prune", "--dry-run")
    assert status == 0 and out.startswith("WOULD REMOVE") and "format 7" in out
    assert pruned(run) == expected
    assert sorted(os.listdir(cache_dir)) == sorted(set(before) - set(expected))
    assert run("prune") == (0, "There is nothing to remove.\n", "")
    assert one.ask("load.cache_info().hits") == "0" and one.ask("load(1)") != ""
    assert one.ask("load.cache_info().hits") == "1", "the caches in use are as they were"


def test_older_code_goes(run: Any, app: Path, worker: Any, cache_dir: Path) -> None:
    old = worker()
    old.ask("load(1)")
    source = (app / "app.py").read_text()
    (app / "app.py").write_text(source.replace('"x": x,', '"x": x + 1,'))
    new = worker()
    new.ask("load(1)")
    # Both versions are running: neither is left over.
    assert pruned(run) == {}
    old.close()
    assert list(pruned(run).values()) == ["older code"]
    assert len(files_of(cache_dir)) == 1
    assert new.ask("load.cache_info().hits") == "0" and new.ask("load(1)") == "{'x': 2, 'y': 2}"
    assert new.ask("load.cache_info().hits") == "1"


def test_by_age(run: Any, worker: Any, cache_dir: Path) -> None:
    one, two = worker(), worker()
    one.ask("named(1)")
    two.ask("pickled(1)")
    two.close()
    assert pruned(run, "--older-than", "1h") == {}
    long_ago = time.time() - 7200
    for path in cache_dir.iterdir():
        os.utime(path, (long_ago, long_ago))
    # What a process has open is not old.
    assert pruned(run, "--older-than", "1h") == {"pickled.cache": "unused for 2 h"}
    assert set(files_of(cache_dir)) == {"named"}


BOX = """
from warp_cache import Cache
box = Cache(name="box", backend="shared", max_size={size})

@box.memoize()
def square(x):
    return x * {factor}
"""


def test_files_of_cache_objects(run: Any, worker: Any, cache_dir: Path) -> None:
    def made(size: int, factor: int) -> Any:
        one = worker(BOX.format(size=size, factor=factor))
        one.ask("(box.set('a', 1), square(3))")
        return one

    made(50, 2).close()
    kept = made(60, 2)
    # What an object has is nobody's code, and whoever comes with its parameters goes on with it.
    assert pruned(run) == {} and len(files_of(cache_dir)) == 2
    again = made(50, 3)
    assert again.ask("box.get('a')") == "1"
    again.close()
    long_ago = time.time() - 7200
    for path in cache_dir.iterdir():
        os.utime(path, (long_ago, long_ago))
    assert list(pruned(run, "--older-than", "1h").values()) == ["unused for 2 h"]
    (left,) = cache_dir.glob("*.cache")
    assert kept.ask("box.options()['path']") == repr(str(left))
    assert kept.ask("(box.get('a'), square(3))") == "(1, 6)"


FAR = """
import os
from warp_cache import cache

@cache(remote="redis://127.0.0.1:1/{database}", ttl=60, name="far")
def far(x):
    return x

def child():
    pid = os.fork()
    if pid == 0:
        import time
        time.sleep(600)
    return pid
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells who has such a file open")
def test_what_is_known_of_a_server_goes_with_its_last_user(
    run: Any, worker: Any, cache_dir: Path
) -> None:
    """Of the processes that have a coherence file open, one listens; all of them are its users."""
    one, two = (worker(FAR.format(database=0)) for _ in range(2))
    other = worker(FAR.format(database=1))
    for process in (one, two, other):
        process.ask("far(1)")
    files = {path.name for path in cache_dir.glob("*.coherence")}
    assert len(files) == 2
    for name in (".remote-1.coherence.1.2.tmp", "remote-1.coherence", "mine.coherence"):
        (cache_dir / name).write_text("")
        os.chmod(cache_dir / name, 0o600)
        os.utime(cache_dir / name, (0, 0))
    left = {"remote-1.coherence", "mine.coherence"}
    assert pruned(run, "--older-than", "1s") == {".remote-1.coherence.1.2.tmp": "never finished"}
    one.close()
    assert pruned(run) == {}, "the other one is a user, too, whether or not it listens by now"
    other.close()
    (gone,) = pruned(run, "--dry-run").items()
    assert gone[0] in files and gone[1] == "no process uses its server"
    assert pruned(run) == dict([gone])
    child = int(two.ask("child()"))
    two.close()
    assert pruned(run) == {}, "a fork's child has it as well"
    os.kill(child, signal.SIGKILL)
    support.eventually(lambda: len(pruned(run)) == 1)
    assert {path.name for path in cache_dir.glob("*.coherence")} == left
    again = worker(FAR.format(database=0))
    again.ask("far(1)")
    assert {path.name for path in cache_dir.glob("*.coherence")} > left


@pytest.mark.parametrize("span", ["", "7", "d", "7 years", "-1h", "1e3s", "١h"])
def test_wrong_spans(run: Any, span: str) -> None:
    status, out, errors = run("prune", "--older-than", span)
    assert (status, out) == (2, "")
    assert "a number with s, min, h, d or w, as 90min or 7d" in errors or "expected one" in errors


def test_what_cannot_be_removed_keeps_nothing_else(run: Any, worker: Any, cache_dir: Path) -> None:
    """Of each file it is told what became of it, whichever of them stays."""
    one = worker()
    one.ask("named(1)")
    one.close()
    make_older(cache_dir / "named.cache")
    # A folder in the place of a file: unlink has no way with it, whoever runs the tests.
    stuck = cache_dir / ".x.cache.1.2.tmp"
    stuck.mkdir()
    (cache_dir / ".y.cache.1.2.tmp").write_text("")
    for name in (".x.cache.1.2.tmp", ".y.cache.1.2.tmp"):
        os.utime(cache_dir / name, (0, 0))
    status, out, _ = run("prune", "--json")
    found = json.loads(out)
    assert status == 2
    assert {os.path.basename(each["path"]) for each in found["removed"]} == {
        "named.cache",
        ".y.cache.1.2.tmp",
    }
    (failed,) = found["failed"]
    assert failed["path"] == str(stuck) and "cannot remove" in failed["why"]
    assert os.listdir(cache_dir) == [stuck.name]
    status, out, errors = run("prune")
    assert (status, out) == (2, "") and str(stuck) in errors


def test_a_file_that_may_not_be_removed(run: Any, worker: Any, cache_dir: Path) -> None:
    worker().ask("named(1)")
    os.chmod(cache_dir, 0o755)
    status, out, errors = run("prune", "--directory", str(cache_dir))
    os.chmod(cache_dir, 0o700)
    assert status == 2 and "its permissions are 0755" in errors
    assert out == "", "nobody knows what there would be"
