"""The file of a recording: where it may be, what a kill, a full disk, a fork or the exit leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support
from recordings import read, streams

import warp_cache
from warp_cache import cache
from warp_cache._warp_cache_rs import _record_read

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def square(x: int) -> int:
    return x * x


def test_a_second_recording_is_refused(tmp_path: Path) -> None:
    cached = cache(square)
    with warp_cache.record(tmp_path / "first.rec") as first:
        cached(1)
        with pytest.raises(RuntimeError, match="first.rec is under way, .* one at a time"):
            warp_cache.record(tmp_path / "second.rec").__enter__()
        with pytest.raises(RuntimeError, match="under way already"):
            first.__enter__()
        cached(2)
    assert not (tmp_path / "second.rec").exists()
    assert streams(tmp_path / "first.rec") == {"square": [0, 1]}
    with first:
        cached(3)
    assert streams(tmp_path / "first.rec") == {"square": [0]}


@pytest.mark.parametrize(
    "path, error, message",
    [
        ("no/such/folder/file", FileNotFoundError, "No such file or directory: 'no/such/"),
        (".", IsADirectoryError, "Is a directory: '.'"),
        ("/dev/null", OSError, "not a regular file: '/dev/null'"),
        ("", ValueError, "path must be the name of a file, got ''"),
        ("a\0b", ValueError, "path must be the name of a file"),
        (b"bytes", TypeError, "path must be a str or an os.PathLike of str, got b'bytes'"),
        (5, TypeError, "path must be a str or an os.PathLike of str, got 5"),
    ],
)
def test_a_path_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any, error: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    cached = cache(square)
    with pytest.raises(error) as raised, warp_cache.record(path):
        pass
    assert message in str(raised.value)
    assert cached(3) == 9
    with warp_cache.record("good.rec"):
        assert cached(3) == 9
    assert streams("good.rec") == {"square": [0]}


def test_a_pipe_is_refused_without_a_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError), warp_cache.record(tmp_path / "pipe"):
        pass


def test_pid_in_the_path(tmp_path: Path) -> None:
    with warp_cache.record(tmp_path / "a-{pid}-{pid}.rec") as recording:
        cache(square)(1)
    pid = os.getpid()
    assert recording.path == str(tmp_path / f"a-{pid}-{pid}.rec")
    assert streams(recording.path) == {"square": [0]}


def test_an_exception_ends_the_recording(tmp_path: Path) -> None:
    cached = cache(square)
    with pytest.raises(KeyError), warp_cache.record(tmp_path / "calls.rec"):
        cached(2)
        raise KeyError
    cached(3)
    assert streams(tmp_path / "calls.rec") == {"square": [0]}


def test_a_cut_file_is_readable_up_to_the_cut(tmp_path: Path) -> None:
    functions = [cache(max_size=5)(lambda x, at=at: x) for at in range(3)]
    with warp_cache.record(tmp_path / "calls.rec"):
        for at in range(600):
            functions[at % 3](at % 7 * (at % 11))
    whole = (tmp_path / "calls.rec").read_bytes()
    full = [f.keys for f in read(tmp_path / "calls.rec")]
    longest = -1
    for cut in range(8, len(whole)):
        functions_, complete = _record_read(whole[:cut])
        assert not complete
        total = 0
        for *_, keys in functions_:
            stream = memoryview(keys).cast("I").tolist()
            assert any(known[: len(stream)] == stream for known in full)
            total += len(stream)
        assert total >= longest
        longest = total
    assert longest == 600


KILLED = """
import sys, time, warp_cache
from warp_cache import cache
cached = cache(max_size=100)(lambda x: x)
warp_cache.record(sys.argv[1] if len(sys.argv) > 1 else PATH).__enter__()
end = time.monotonic() + 2.5
for at in range(10**9):
    cached(at * at % 1009)
    if at % 1000 == 0 and time.monotonic() > end:
        print(at, flush=True)
        time.sleep(100)
"""


def test_a_killed_program_leaves_what_it_had_written(tmp_path: Path) -> None:
    path = tmp_path / "calls.rec"
    seen: list[int] = []

    def kill(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        seen.append(int(process.stdout.readline()))
        process.kill()

    done = support.run_python(KILLED.replace("PATH", repr(str(path))), talk=kill)
    assert done.returncode == -signal.SIGKILL
    ((_, _, _, unique, keys),), complete = _record_read(path.read_bytes())
    assert not complete
    assert len(keys) // 4 > seen[0] // 20 and unique <= 1009


FULL = """
import resource, sys, warnings
import warp_cache
from warp_cache import cache
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
shown = []
warnings.showwarning = lambda message, kind, *more: shown.append((kind.__name__, str(message)))
warnings.simplefilter("always")
cached = cache(max_size=10)(lambda x: x)
with warp_cache.record(PATH):
    for x in range(400_000):
        assert cached(x % 1000) == x % 1000
    print(len(shown), *shown[0])
with warp_cache.record(PATH):
    cached(1)
assert cached.cache_info()[:2] == (0, 400_000 + 1)
"""


def test_a_disk_that_is_full_ends_the_recording_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "calls.rec"
    done = support.run_python(FULL.replace("PATH", repr(str(path))))
    support.check_clean(done)
    assert done.stdout.startswith(f"1 RuntimeWarning warp_cache stopped recording to {path}: File")
    assert streams(path) == {"<lambda>": [0]}


def test_a_full_disk_where_warnings_are_errors(tmp_path: Path) -> None:
    """The call goes on even then; the error is shown as one that nobody can catch."""
    source = FULL.replace('warnings.simplefilter("always")', 'warnings.simplefilter("error")')
    source = source.replace("    print(len(shown), *shown[0])\n", "")
    done = support.run_python(source.replace("PATH", repr(str(tmp_path / "calls.rec"))))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeWarning: warp_cache stopped recording") == 1


def test_a_full_disk_at_the_end(tmp_path: Path) -> None:
    source = FULL.replace("400_000", "60_000").replace("100_000", "20_000")
    source = source.replace("    print(len(shown), *shown[0])\n", "", 1)
    source = source.replace("assert cached.cache_info", "print(shown)\nassert cached.cache_info", 1)
    done = support.run_python(source.replace("PATH", repr(str(tmp_path / "calls.rec"))))
    support.check_clean(done)
    assert done.stdout.count("stopped recording") == 1


# --- forks ---------------------------------------------------------------------------------

FORK = """
import os, sys, warp_cache
from warp_cache import cache
cached = cache(max_size=10)(lambda x: x)
fresh = cache(max_size=10)(lambda x: x)
with warp_cache.record(PATH) as recording:
    parent = recording.path
    for x in range(100): cached(x)
    pid = os.fork()
    if pid == 0:
        for x in range(100_000): cached(x % 50), fresh(1)
        if "{pid}" not in PATH:
            with warp_cache.record(parent + ".child"):
                cached(5)
            sys.exit(0)
    else:
        status = os.waitpid(pid, 0)[1]
        assert status == 0, status
        for x in range(10): cached(x)
print("parent" if pid else "child")
"""


@needs_fork
def test_a_child_leaves_its_parents_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "calls.rec"
    support.check_clean(support.run_python(FORK.replace("PATH", repr(str(path)))), out="parent")
    assert streams(path) == {"<lambda>": [*range(100), *range(10)]}
    assert streams(f"{path}.child") == {"<lambda>": [0]}


@needs_fork
def test_a_child_with_a_pid_in_the_path_has_a_file_of_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "calls-{pid}.rec")
    done = support.run_python(FORK.replace("PATH", repr(path)))
    support.check_clean(done, out="child\nparent")
    found = sorted(len(f.keys) for file in tmp_path.iterdir() for f in read(file))
    assert found == [110, 100_000, 100_000]


POOL = """
import multiprocessing, warp_cache
from warp_cache import cache

@cache(max_size=10)
def work(x):
    return x

def task(x):
    return work(x)

if __name__ == "__main__":
    with warp_cache.record(PATH):
        work(0)
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=task, args=(x,)) for x in range(3)]
        for process in processes: process.start()
        for process in processes: process.join()
"""


@needs_fork
def test_processes_of_multiprocessing_complete_their_files(tmp_path: Path) -> None:
    path = str(tmp_path / "calls-{pid}.rec")
    support.check_clean(support.run_python(POOL.replace("PATH", repr(path))))
    assert [streams(file) for file in tmp_path.iterdir()] == [{"work": [0]}] * 4


# --- the environment variable --------------------------------------------------------------

PROGRAM = """
import sys, warp_cache
from warp_cache import cache
cached = cache(max_size=10)(lambda x: x)
for x in range(1000): cached(x % 20)
if sys.argv[1:] == ["exit"] or EXIT:
    raise SystemExit(0)
"""


def run(source: str, path: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return support.run_python(source, environment={"WARP_CACHE_RECORD": str(path)}, **more)


@pytest.mark.parametrize("leave", ["False", "True"])
def test_the_variable_records_the_whole_program(tmp_path: Path, leave: str) -> None:
    path = tmp_path / "calls.rec"
    support.check_clean(run(PROGRAM.replace("EXIT", leave), path))
    assert streams(path) == {"<lambda>": [x % 20 for x in range(1000)]}


def test_the_variable_with_pid(tmp_path: Path) -> None:
    support.check_clean(run(PROGRAM.replace("EXIT", "False"), tmp_path / "{pid}.rec"))
    (file,) = tmp_path.iterdir()
    assert file.stem.isdecimal() and len(streams(file)["<lambda>"]) == 1000


def test_a_child_process_does_not_write_over_its_parents_file(tmp_path: Path) -> None:
    source = """
import subprocess, sys
from warp_cache import cache
cached = cache(lambda x: x)
cached(1)
child = "from warp_cache import cache; f = cache(lambda x: x); f(1); f(2); f(1)"
subprocess.run([sys.executable, "-c", child], check=True)
cached(1)
"""
    support.check_clean(run(source, tmp_path / "calls.rec"))
    own, childs = sorted(tmp_path.iterdir())
    assert streams(own) == {"<lambda>": [0, 0]} and own.name == "calls.rec"
    assert streams(childs) == {"<lambda>": [0, 1, 0]} and childs.stem == "calls.rec"


@pytest.mark.parametrize("path", ["/no/such/folder/x", "."])
def test_a_variable_that_cannot_be_followed_is_a_warning(path: str) -> None:
    done = run(PROGRAM.replace("EXIT", "False"), path)
    assert done.returncode == 0
    assert (
        "RuntimeWarning: warp_cache cannot record, as WARP_CACHE_RECORD asks it to" in done.stderr
    )


def test_an_empty_variable_is_none() -> None:
    support.check_clean(run(PROGRAM.replace("EXIT", "False"), ""))


def test_a_block_under_the_variable_is_refused(tmp_path: Path) -> None:
    source = "import warp_cache\nwith warp_cache.record('other.rec'): pass\n"
    done = run(source, tmp_path / "calls.rec")
    assert done.returncode == 1 and "is under way" in done.stderr
    assert streams(tmp_path / "calls.rec") == {}


def test_importing_once_more_keeps_the_recording(tmp_path: Path) -> None:
    source = """
import importlib, sys, warp_cache
warp_cache.cache(abs)(1)
importlib.reload(warp_cache)
for name in [name for name in sys.modules if name.split(".")[0] == "warp_cache"]:
    del sys.modules[name]
import warp_cache
warp_cache.cache(len)("")
"""
    support.check_clean(run(source, tmp_path / "calls.rec"))
    assert streams(tmp_path / "calls.rec") == {"abs": [0], "len": [0]}


def test_nothing_is_imported_unless_it_is_used() -> None:
    source = """
import sys, warp_cache
print([name for name in sys.modules if name in ("warp_cache._recording", "warp_cache._cli")])
warp_cache.record
print("warp_cache._recording" in sys.modules)
"""
    support.check_clean(support.run_python(source), out="[]\nTrue")


def test_daemon_threads_that_call_at_the_exit(tmp_path: Path) -> None:
    source = """
import threading, time
from warp_cache import cache
cached = cache(max_size=10)(lambda x: x)
def work():
    at = 0
    while True:
        at += 1
        cached(at % 30)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
"""
    path = tmp_path / "calls.rec"
    program = run(source, path)
    if sys.version_info < (3, 11) and program.returncode == -signal.SIGSEGV:
        # Once in a hundred on a loaded machine: 3.10's `take_gil` reads the state of a daemon
        # thread that the end of the interpreter has freed.
        path.unlink(missing_ok=True)
        program = run(source, path)
    support.check_clean(program)
    assert len(streams(path)["<lambda>"]) > 100
