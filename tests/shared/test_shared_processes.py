"""The shared backend over several processes: one cache, one computation, whoever dies."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import support
from children import WAITS, Child, Children

# A function that is computed while a file "open" is missing, and notes who computed.
SOURCE = """
import os, sys, time, threading
from pathlib import Path
from warp_cache import cache, lru_cache
folder = Path(sys.argv[1])

def note(x):
    with open(folder / "calls", "a") as file:
        file.write(f"{os.getpid()} {x}\\n")

@cache(backend="shared", name="quick")
def quick(x):
    note(x)
    return {"x": [x]}

@cache(backend="shared", name="gated", wait_timeout=float(os.environ.get("BOUND", "20")))
def gated(x):
    note(x)
    end = time.monotonic() + 30
    while not (folder / "open").exists() and time.monotonic() < end:
        time.sleep(0.005)
    return {"x": [x]}

@cache(backend="shared", name="raising")
def raising(x):
    note(x)
    while not (folder / "open").exists():
        time.sleep(0.005)
    raise ValueError(f"no {x}")

@cache(backend="shared", name="cycle", wait_timeout=1)
def cycle(x, first=True):
    note(x)
    time.sleep(0.3)
    return cycle(1 - x, False) if first else x

@lru_cache(backend="shared", name="unguarded")
def unguarded(x):
    note(x)
    while not (folder / "open").exists():
        time.sleep(0.005)
    return x

counted = cache(backend="shared", name="counted", max_size=50)(lambda x: x)

def count(times, threads=1):
    def work():
        for i in range(times):
            counted(i % 80)
            counted(i % 80)  # such a cycle alone never hits
    workers = [threading.Thread(target=work) for _ in range(threads)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
"""


@pytest.fixture
def calls(tmp_path: Path) -> Any:
    """The computations so far: (process id, argument)."""

    def read() -> list[tuple[int, str]]:
        path = tmp_path / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(pid), x) for pid, x in (line.split() for line in lines)]

    return read


def leader_of(children: list[Child], calls: Any, count: int = 1) -> Child:
    """The child that computes, once `count` computations have begun."""
    support.eventually(lambda: len(calls()) >= count)
    pid = calls()[-1][0]
    return next(child for child in children if child.process.pid == pid)


def test_a_value_of_another_process(children: Children, calls: Any) -> None:
    one, two = children.start(SOURCE, 2)
    assert one.ask("quick(1)") == two.ask("quick(x=1)") == two.ask("quick(1)") == "{'x': [1]}"
    assert calls() == [(one.process.pid, "1")]
    info = "SharedCacheInfo(hits=2, misses=1, maxsize=128, currsize=1)"
    for child in (one, two):
        assert child.ask("quick.cache_info()") == info


def test_a_process_that_starts_later(children: Children, calls: Any) -> None:
    one = children.start(SOURCE)[0]
    one.ask("quick(1)")
    one.kill()
    two = children.start(SOURCE)[0]
    assert two.ask("quick(1)") == "{'x': [1]}"
    assert calls() == [(one.process.pid, "1")]


def test_clear_and_set_reach_every_process(children: Children, calls: Any) -> None:
    one, two = children.start(SOURCE, 2)
    one.ask("quick(1)")
    two.ask("quick(1)")
    one.ask("quick.set('new', 1)")
    assert two.ask("quick(1)") == two.ask("quick.get(1)") == "'new'"
    one.ask("quick.cache_clear()")
    assert two.ask("quick.get(1)") == "None"
    assert two.ask("quick(1)") == "{'x': [1]}"
    assert [pid for pid, _ in calls()] == [one.process.pid, two.process.pid]
    assert one.ask("tuple(quick.cache_info())") == "(0, 1, 128, 1)"


def test_six_processes_ask_and_one_computes(children: Children, calls: Any, tmp_path: Path) -> None:
    group = children.start(SOURCE + WAITS, 6)
    asked = [child.start("gated(1)") for child in group for _ in range(2)]
    first = leader_of(group, calls)
    for child in group:
        child.await_waits(1 if child is first else 2)
    time.sleep(support.PAUSE)
    assert not any(question.is_answered() for question in asked)
    (tmp_path / "open").touch()
    assert [question.answer() for question in asked] == ["{'x': [1]}"] * 12
    assert len(calls()) == 1
    assert group[0].ask("tuple(gated.cache_info())") == "(0, 12, 128, 1)"


def test_without_single_flight_each_computes(
    children: Children, calls: Any, tmp_path: Path
) -> None:
    group = children.start(SOURCE, 3)
    asked = [child.start("unguarded(1)") for child in group]
    support.eventually(lambda: len(calls()) == 3)
    (tmp_path / "open").touch()
    assert [question.answer() for question in asked] == ["1"] * 3


def test_a_leader_that_is_killed(children: Children, calls: Any, tmp_path: Path) -> None:
    group = children.start(SOURCE, 4)
    asked = {child: child.start("gated(1)") for child in group}
    first = leader_of(group, calls)
    time.sleep(0.1)
    first.kill()
    second = leader_of(group, calls, 2)
    assert second is not first
    (tmp_path / "open").touch()
    assert {asked[child].answer() for child in group if child is not first} == {"{'x': [1]}"}
    assert len(calls()) == 2


def test_a_leader_that_is_stopped(
    children: Children, calls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOUND", "0.5")
    group = children.start(SOURCE, 3)
    began = time.monotonic()
    asked = {child: child.start("gated(1)") for child in group}
    first = leader_of(group, calls)
    first.signal(signal.SIGSTOP)
    (tmp_path / "open").touch()
    others = [child for child in group if child is not first]
    assert {asked[child].answer() for child in others} == {"{'x': [1]}"}
    assert time.monotonic() - began > 0.5
    first.signal(signal.SIGCONT)
    assert asked[first].answer() == "{'x': [1]}"
    assert others[0].ask("gated.cache_info().currsize") == "1"


def test_a_leader_that_raises(children: Children, calls: Any, tmp_path: Path) -> None:
    group = children.start(SOURCE, 3)
    asked = [child.start("raising(1)") for child in group]
    leader_of(group, calls)
    time.sleep(0.1)
    (tmp_path / "open").touch()
    assert [question.answer() for question in asked] == ["!ValueError: no 1"] * 3
    assert {pid for pid, _ in calls()} == {child.process.pid for child in group}


def test_a_cycle_of_waits_between_processes(children: Children) -> None:
    one, two = children.start(SOURCE, 2)
    began = time.monotonic()
    asked = [one.start("cycle(0)"), two.start("cycle(1)")]
    assert [question.answer(15) for question in asked] == ["1", "0"]
    assert time.monotonic() - began < 10


def test_a_waiting_process_answers_an_interrupt(
    children: Children, calls: Any, tmp_path: Path
) -> None:
    group = children.start(SOURCE)
    group[0].start("gated(1)")
    leader_of(group, calls)

    def interrupt(process: Any) -> None:
        time.sleep(1)
        process.send_signal(signal.SIGINT)

    source = SOURCE.replace("Path(sys.argv[1])", f"Path({str(tmp_path)!r})")
    source += """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by background jobs
try:
    gated(1)
except KeyboardInterrupt:
    print("interrupted")
"""
    support.check_clean(support.run_python(source, talk=interrupt), out="interrupted")
    assert len(calls()) == 1


def test_counters_are_exact_over_processes_and_threads(children: Children) -> None:
    group = children.start(SOURCE, 3)
    asked = [child.start("count(2000, 2)") for child in group]
    for question in asked:
        assert question.answer(60) == "None"
    group[0].kill()
    hits, misses, _, size = eval(group[1].ask("tuple(counted.cache_info())"))
    assert hits + misses == 24_000 and hits > 0 and size == 50


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str) -> None:
    script = """
import os, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from warp_cache import cache

@cache(backend="shared")
def shared(x):
    return (x, os.getpid())

if __name__ == "__main__":
    here = shared(-1)
    with ProcessPoolExecutor(2, mp_context=get_context(METHOD)) as pool:
        found = list(pool.map(shared, [1, 2, 3, -1] * 5, chunksize=3))
    assert here in found and len(set(found)) == 4, found
    assert all(shared(x) == (x, pid) for x, pid in found)
    hits, misses = shared.cache_info()[:2]
    assert hits + misses == 1 + 20 + 20 and misses >= 4, shared.cache_info()
"""
    done = support.run_python(
        script.replace("METHOD", repr(method)), options=["-Wignore"], limit=60
    )
    support.check_clean(done)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork_with_live_threads() -> None:
    support.check_clean(
        support.run_python(
            """
import os, signal, threading, time, traceback
from warp_cache import cache

stop = threading.Event()
gate = threading.Event()

@cache(backend="shared", name="f", max_size=20)
def f(x):
    return [x]

@cache(backend="shared", name="slow", wait_timeout=3)
def slow(x):
    gate.wait(20)
    return x

def work():
    i = 0
    while not stop.is_set():
        i += 1
        assert f(i % 40) == [i % 40]

threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
threads.append(threading.Thread(target=slow, args=(1,), daemon=True))
[thread.start() for thread in threads]
time.sleep(0.1)
children = []
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(30)
            assert all(f(i) == [i] for i in range(40) for _ in range(3))
            f.set("mine", os.getpid())
            assert f.get(os.getpid()) in ("mine", None)  # the others may have driven it out
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 10
stop.set()
gate.set()
[thread.join(20) for thread in threads]
assert slow.get(1) == 1
""",
            options=["-Wignore"],
            limit=90,
        )
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_while_a_thread_computes() -> None:
    support.check_clean(
        support.run_python(
            """
import os, signal, threading, time
from warp_cache import cache

gate = threading.Event()
me = os.getpid()

@cache(backend="shared", name="slow", wait_timeout=1)
def slow(x):
    if os.getpid() == me:
        gate.wait(20)
    return os.getpid() == me

thread = threading.Thread(target=slow, args=(1,))
thread.start()
time.sleep(0.1)
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    os._exit(3 if slow(1) else 4)  # its parent lives, so at the bound it computes
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
gate.set()
thread.join()
assert slow(1) is False
""",
            options=["-Wignore"],
        )
    )


def test_private_caches_are_shared_with_forks_alone(cache_dir: Path) -> None:
    support.check_clean(
        support.run_python(
            """
import os
from warp_cache import cache

def make(state):
    @cache(backend="shared")
    def function(x):
        return state
    return function

private = make(object())
private.set("here", 1)
assert os.listdir(os.environ["WARP_CACHE_DIR"]) == []
if hasattr(os, "fork"):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if private(1) == "here" else 1)
    assert os.waitpid(pid, 0)[1] == 0
""",
            options=["-Wignore"],
        )
    )
