"""Several processes and one shared cache object: nothing is counted twice, lost or told wrongly."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from warp_cache import Cache

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no shared tier")

_processes = multiprocessing.get_context("spawn")
N = 4


def opened() -> Cache[Any, Any]:
    return Cache(1000, backend="shared", name="processes")


def _run(target: Callable[..., Any], arguments: Any, results: Any) -> None:
    results.put(target(*arguments))


def together(target: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What so many processes return that run at the same time."""
    results = _processes.Queue()
    running = [
        _processes.Process(target=_run, args=(target, (number, *arguments), results))
        for number in range(N)
    ]
    for process in running:
        process.start()
    returned = [results.get(timeout=60) for _ in running]
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    return returned


def _count(_: int) -> list[int]:
    cache = opened()
    return [cache.incr("n", default=0, ttl=1000) for _ in range(500)]


def test_increments() -> None:
    counted = together(_count)
    assert sorted(n for part in counted for n in part) == list(range(1, N * 500 + 1))
    assert 900 < opened().ttl("n") <= 1000


def _add(number: int) -> list[bool]:
    cache = opened()
    return [cache.add(("add", i), number) for i in range(300)]


def test_of_many_adds_one_wins() -> None:
    added = together(_add)
    assert [sum(won) for won in zip(*added, strict=True)] == [1] * 300


def _append(number: int) -> None:
    cache = opened()
    for i in range(100):
        cache.compute("list", lambda old, i=i: [*(old or []), (number, i)])


def test_no_computed_change_is_lost() -> None:
    together(_append)
    assert sorted(opened()["list"]) == [(n, i) for n in range(N) for i in range(100)]


def _write(number: int) -> int:
    cache = opened()
    wrong = 0
    for _ in range(300):
        cache["whole"] = [number] * 2000
        seen = cache.get("whole", [0] * 2000)
        wrong += len(seen) != 2000 or len(set(seen)) != 1
    return wrong


def test_values_are_whole() -> None:
    assert together(_write) == [0] * N


def _load(_: int) -> tuple[int, int]:
    cache = opened()

    def compute() -> int:
        cache.incr("computed", default=0)
        time.sleep(0.2)
        return os.getpid()

    return cache.get_or_set("once", compute), 0


def test_one_computation_for_all() -> None:
    assert len(set(together(_load))) == 1
    assert opened()["computed"] == 1


def _locked(_: int) -> int:
    cache = opened()
    for _ in range(50):
        with cache.lock("section", wait=60):
            seen = cache.get("inside", 0)
            cache["inside"] = seen + 1
    return 0


def test_a_lock_lets_one_in() -> None:
    together(_locked)
    assert opened()["inside"] == N * 50


def _hold(ready: Any) -> None:
    lock = opened().lock("held")
    lock.acquire()
    ready.set()
    time.sleep(600)


def test_a_killed_holder_leaves_its_lock() -> None:
    ready = _processes.Event()
    holder = _processes.Process(target=_hold, args=(ready,))
    holder.start()
    assert ready.wait(60)
    lock = opened().lock("held")
    assert lock.locked()
    assert not lock.acquire(blocking=False)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(60)
    assert lock.acquire(timeout=30)
    lock.release()


def _keep_writing(ready: Any) -> None:
    cache = opened()
    cache.incr("n", default=0)
    ready.set()
    while True:
        cache.incr("n")
        cache["value"] = list(range(100))


def test_a_killed_writer_harms_nobody() -> None:
    for _ in range(3):
        ready = _processes.Event()
        writer = _processes.Process(target=_keep_writing, args=(ready,))
        writer.start()
        assert ready.wait(60)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join(60)
        cache = opened()
        before = cache["n"]
        assert cache.incr("n") == before + 1
        assert cache.get("value", list(range(100))) == list(range(100))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_shares_the_cache_and_owns_no_lock() -> None:
    cache = opened()
    lock: Any = cache.lock("a", lease=1000)
    lock.acquire()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            cache.incr("n", default=0)
            if not lock._prolong(5):
                lock.release()
        except RuntimeError:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache["n"] == 1
    assert lock.locked()
    lock.release()
    assert not lock.locked()


@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_a_lock_that_is_prolonged_is_held_all_the_time(backend: str) -> None:
    cache: Any = Cache(name="locks", backend=backend)  # type: ignore[arg-type]
    lock, other = cache.lock("a", lease=1000), cache.lock("a")
    assert lock._prolong(5) is False
    lock.acquire()
    ended = threading.Event()

    def prolong() -> None:
        try:
            for n in range(3000):
                assert lock._prolong(1000 + n)
        finally:
            ended.set()

    thread = threading.Thread(target=prolong)
    thread.start()
    while not ended.is_set():
        assert other.locked() and not other.acquire(blocking=False)
    thread.join()
    lock.release()
    assert not other.locked() and lock._prolong(5) is False
    lock.acquire()
    assert lock._prolong(0.01) and other.acquire(timeout=60)
    assert lock._prolong(1000) is False
    with pytest.raises(RuntimeError):
        lock.release()
    assert other.locked()
    other.release()


def test_locks_of_threads_in_both_tiers(make: Callable[..., Cache[Any, Any]]) -> None:
    cache = make()
    inside: list[int] = []

    def work() -> None:
        for _ in range(50):
            with cache.lock("a"):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lock, other = cache.lock("a"), cache.lock("a", wait=0)
    with lock:
        cache.clear()
        assert other.locked()
        with pytest.raises(TimeoutError), other:
            pass
        with pytest.raises(RuntimeError):
            other.release()
        assert len(cache) == 0
    with pytest.raises(RuntimeError):
        lock.release()
    leased = cache.lock("a", lease=0.01)
    leased.acquire()
    assert other.acquire(timeout=30)
    with pytest.raises(RuntimeError):
        leased.release()
    other.release()
