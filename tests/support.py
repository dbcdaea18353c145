"""Bounded threads, processes and waits: with these a hang is a failed test, never a stuck run."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import warp_cache
from warp_cache import _bringing, _green

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()

# Far above what any of these waits needs on a loaded machine: it only ends a hang.
LIMIT = 100.0
# Long enough for a thread that has entered a call to reach its wait inside.
PAUSE = 0.1
# For pytest-timeout, where it is installed: the last net, below the waits bounded by LIMIT.
TEST_LIMIT = 300


def limit_items(items: Iterable[pytest.Item], config: pytest.Config, folder: Path) -> None:
    """Give each test below `folder` the time limit, if the plug-in that can enforce it is there."""
    if not config.pluginmanager.hasplugin("timeout"):
        return
    for item in items:
        if folder in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_LIMIT))


@pytest.fixture(autouse=True, scope="module")
def small_heap() -> None:
    """Hide from the collector what pytest holds and what earlier modules have left alive.

    Hundreds of tests collect, some of them thousands of times.
    """
    gc.collect()
    gc.freeze()


def examples(number: int) -> int:
    """So many examples of a property, times WARP_CACHE_EXAMPLES: fewer in the matrix."""
    return max(2, round(number * float(os.environ.get("WARP_CACHE_EXAMPLES", "1"))))


def name_of(value: object) -> str:
    """Its repr without addresses, which differ between processes: names a case of a test."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


class Growth:
    """Rounds after each of which no more than so many blocks and objects may stay.

    `for _ in growth: …` does up to three: threads of the process may need memory for something
    else meanwhile, a leak does each time. `check()` fails where each round left too much.
    """

    def __init__(self, blocks: int, objects: int | None = None) -> None:
        self._limits = blocks, sys.maxsize if objects is None else objects
        self.grown: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[None]:
        for _ in range(3):
            gc.collect()
            objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
            yield
            gc.collect()
            self.grown.append((sys.getallocatedblocks() - blocks, len(gc.get_objects()) - objects))
            if self._fits():
                return

    def _fits(self) -> bool:
        return all(grown < limit for grown, limit in zip(self.grown[-1], self._limits, strict=True))

    def check(self) -> None:
        assert self._fits(), f"blocks and objects that stayed: {self.grown}"


class _Allocated(ctypes.Structure):
    """What glibc's mallinfo2 gives."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]
    hblkhd: int
    uordblks: int


def allocated() -> int | None:
    """Bytes that C's malloc has given, to Rust among others; None where that is not told."""
    if not hasattr(ctypes.pythonapi, "mallinfo2"):
        return None
    ask = ctypes.pythonapi.mallinfo2
    ask.argtypes, ask.restype = [], _Allocated
    told = ask()
    return int(told.uordblks + told.hblkhd)


def descriptors(folder: Path) -> set[str]:
    """What this process has open in `folder`: the rest belongs to other tests and their threads."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if path.startswith(f"{folder}/"):
            found.add(f"{descriptor} {path}")
    return found


# A test of what cannot be stored; what is said of it then, tests/shared/test_shared_skips.py tells.
uncacheable = pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")
# The same for a child (whose interpreter knows only its own classes).
UNCACHEABLE = {"PYTHONWARNINGS": "ignore::UserWarning"}

# Opens a shared cache before its first use; an UncacheableWarning is raised where that fails. For
# programs that `run_python` runs, too.
OPENED = """
import warnings

def opened(function, *args):
    if function._place()[0] is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            function(*args or (1,))
    return function
"""
_opened: dict[str, Any] = {}
exec(OPENED, _opened)
opened: Callable[..., Any] = _opened["opened"]


# --- threads -------------------------------------------------------------------------------


def start(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
    """Run `function` in a daemon thread of its own; the future has its result or exception."""
    future: Future[Any] = Future()

    def body() -> None:
        try:
            result = function(*args, **kwargs)
        except BaseException as error:  # noqa: B036 - handed to whoever asks the future
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=body, daemon=True).start()
    return future


def start_together(functions: Iterable[Callable[[], Any]]) -> list[Future[Any]]:
    """Start one thread for each function and let them all go at the same moment."""
    functions = list(functions)
    barrier = threading.Barrier(len(functions))

    def body(function: Callable[[], Any]) -> Any:
        barrier.wait(LIMIT)
        return function()

    return [start(body, function) for function in functions]


def results(futures: Iterable[Future[Any]], limit: float = LIMIT) -> list[Any]:
    """The results, in order; an exception of a thread is raised here, and so is a hang."""
    end = time.monotonic() + limit
    return [future.result(max(0.0, end - time.monotonic())) for future in futures]


def errors(futures: Iterable[Future[Any]], limit: float = LIMIT) -> list[BaseException | None]:
    """The exceptions (None where there was none), in order; a hang is a TimeoutError."""
    end = time.monotonic() + limit
    return [future.exception(max(0.0, end - time.monotonic())) for future in futures]


def eventually(condition: Callable[[], Any], limit: float = LIMIT) -> None:
    """Wait until `condition()` is true."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"still false after {limit} s: {condition}"
        time.sleep(0.002)


@contextmanager
def switching(interval: float = 1e-6) -> Iterator[None]:
    """Let the interpreter switch threads as often as it can (no effect without a GIL)."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def merge_counts() -> None:
    """Let objects die that nothing refers to.

    Without a GIL, an object that another thread made dies once that thread has merged its count,
    or, if it has ended, whichever thread has its id now and may be asleep; the collector does it
    for all threads.
    """
    if FREE_THREADED:
        gc.collect()


class Arriving:
    """A key that tells, through `__hash__`, how many calls have taken it in hand."""

    def __init__(self, name: object = "key") -> None:
        self.name = name
        self._arrived = threading.Semaphore(0)

    def __hash__(self) -> int:
        self._arrived.release()
        return 12345

    def __repr__(self) -> str:
        return f"Arriving({self.name!r})"

    def await_calls(self, count: int) -> None:
        """Wait until `count` more calls have hashed the key and gone on to their wait."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=LIMIT), f"{count} calls never came"
        time.sleep(PAUSE)


class Waits:
    """Tells how many calls have begun to wait for another's computation."""

    def __init__(self) -> None:
        self._begun = threading.Semaphore(0)

    def tell(self, _: None) -> None:
        self._begun.release()

    def await_calls(self, count: int) -> None:
        """Wait until so many more calls do, and have been entered among those who wait."""
        for _ in range(count):
            assert self._begun.acquire(timeout=LIMIT), f"{count} calls never waited"
        time.sleep(PAUSE)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Of this process; instead of a pause in which all who are to wait must have come so far."""
    import waits

    # They are put back at the end.
    monkeypatch.setattr(_green, "find_sleep", _green.find_sleep)
    monkeypatch.setattr(_bringing, "asyncio", asyncio)
    monkeypatch.setitem(sys.modules, "gevent", None)
    found = Waits()
    waits.tell_waits(found.tell)
    return found


class Held:
    """The body of a slow function: it counts its calls and stays inside until `release()`."""

    def __init__(
        self, result: Callable[..., Any] = lambda *args: ("value", args, object())
    ) -> None:
        self.result = result
        self.calls: list[tuple[Any, ...]] = []
        self._started = threading.Semaphore(0)
        self._release = threading.Event()

    def __call__(self, *args: Any) -> Any:
        self.calls.append(args)
        self._started.release()
        assert self._release.wait(LIMIT), "nobody released the computation"
        return self.result(*args)

    def await_start(self, count: int = 1) -> None:
        for _ in range(count):
            assert self._started.acquire(timeout=LIMIT), f"{count} computations never started"

    def release(self) -> None:
        self._release.set()


# --- processes -----------------------------------------------------------------------------


def _environment(extra: dict[str, str] | None) -> dict[str, str]:
    package = str(Path(warp_cache.__file__).resolve().parent.parent)
    path = [package, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    # A fatal error tells where it happened; a clean run prints nothing.
    environment["PYTHONFAULTHANDLER"] = "1"
    environment.pop("PYTHONWARNINGS", None)
    return {**environment, **(extra or {})}


def _stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    """End a hung process; SIGABRT first, so that faulthandler prints where it hangs."""
    for number in (signal.SIGABRT, signal.SIGKILL):
        process.send_signal(number)
        try:
            return process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            continue
    return ("", "")


def run_python(
    source: str,
    *,
    options: Iterable[str] = (),
    environment: dict[str, str] | None = None,
    limit: float = LIMIT,
    talk: Callable[[subprocess.Popen[str]], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `source` as a script (a file: spawned children can import it); return what it did.

    `talk` may signal or read from the process while it runs. Outliving `limit` fails the test.
    """
    with tempfile.TemporaryDirectory(prefix="warp_cache_test_") as folder:
        script = Path(folder, "script.py")
        script.write_text(source, encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, *options, str(script)],
            cwd=folder,
            env=_environment(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            if talk is not None:
                talk(process)
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            out, err = _stop(process)
            pytest.fail(f"hung for {limit} s\n--- stdout\n{out}\n--- stderr\n{err}")
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def check_clean(
    done: subprocess.CompletedProcess[str], code: int = 0, out: str | None = None
) -> None:
    """Assert exit code, an empty stderr and, if given, the exact output."""
    report = f"exit code {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    assert done.returncode == code, report
    assert done.stderr == "", report
    if out is not None:
        assert done.stdout.strip() == out, report


def _is_a_crash_of_its_own(done: subprocess.CompletedProcess[str]) -> bool:
    """3.10 frees the interpreter under daemon threads that still wait for the GIL (a segfault in
    `take_gil`, after faulthandler is gone): such an end says nothing about what they called.
    """
    return sys.version_info < (3, 11) and done.returncode == -signal.SIGSEGV and done.stderr == ""


def check_clean_often(source: str, repeats: int = 20, code: int = 0, **options: Any) -> None:
    """Run `source` many times, some at once, and check each end.

    A race wants load; where there is no GIL, the threads of one process make enough of it.
    """
    with ThreadPoolExecutor(2 if FREE_THREADED else 4) as pool:
        runs = [pool.submit(run_python, source, **options) for _ in range(repeats)]
    ends = [run.result() for run in runs]
    telling = [end for end in ends if not _is_a_crash_of_its_own(end)]
    assert len(telling) > repeats / 2, "too many crashes even for 3.10"
    for end in telling:
        check_clean(end, code)
