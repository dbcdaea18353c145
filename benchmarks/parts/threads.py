"""Throughput of one to eight threads, with a GIL and without.

Without a GIL there are rows too: two threads over one.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import load
from benchmarks.harness import Harness, calibrate
from benchmarks.loops import Key, Loop
from benchmarks.machine import conditions, usable_cpus
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU, Row, Series
from benchmarks.parts import thread_targets
from benchmarks.peers import CACHEBOX_LEAN, CACHETOOLS, MOKA, THEINE

TITLE = "Threads"

THREADS = 2
COUNTS = (1, 2, 4, 8)
# Each of the processes that a part is spread over runs so many.
CURVE_ROUNDS = 2
PEERS = (CACHEBOX_LEAN, MOKA, CACHETOOLS, THEINE)
KEYS_EACH = 512
PLAIN = "a plain Python function"
TARGETS: dict[str, Callable[[int], int]] = {
    PLAIN: thread_targets.plain,
    FUNCTOOLS: thread_targets.by_functools,
    WARP_LRU: thread_targets.by_lru_cache,
    WARP_CACHE: thread_targets.by_cache,
}

Keys = Callable[[int], Sequence[Key]]


def run(harness: Harness) -> None:
    """Different keys for each thread; then one key for all, whose value is immortal; then some."""
    gil = conditions()["gil_enabled"]
    if not gil and usable_cpus() < THREADS:
        harness.result.notes.append(f"threads: fewer than {THREADS} CPUs, so there are no rows")
    elif not gil:
        _rows(harness, "different", "different keys", _different, TARGETS)
        _rows(harness, "hot", "one hot key, immortal value", _hot, TARGETS)
        by_strategy = thread_targets.BY_STRATEGY
        _rows(harness, "same", "the same 64 keys, by strategy", _same, by_strategy)
    # The peers last: on a free-threaded build one of them may switch the GIL on.
    targets = [(name, target, "") for name, target in TARGETS.items()]
    _curves(harness, "different", "different keys for each thread", _different, targets, gil)
    _curves(harness, "hot", "one hot key", _hot, targets, gil)
    theirs = []
    for peer in PEERS:
        decorator = load(harness, peer, thread_targets.SIZE)
        if decorator is not None:
            theirs.append((peer.name, decorator(thread_targets.plain), peer.note))
    _points(harness, "threads-different", _different, theirs)
    _points(harness, "threads-hot", _hot, theirs)
    if conditions()["gil_enabled"] != gil:
        harness.result.notes.append("threads: a peer has switched the GIL on: theirs are with it")


Targets = Sequence[tuple[str, Callable[[int], int], str]]


def _curves(harness: Harness, key: str, work: str, keys: Keys, targets: Targets, gil: bool) -> None:
    harness.figure(
        f"threads-{key}",
        f"Throughput of hits by threads: {work}",
        x_label="threads",
        y_label="M calls/s",
        y_log=True,
        lower_is_better=False,
        note=f"{usable_cpus()} CPUs; "
        + ("the threads take turns holding the GIL" if gil else "without a GIL"),
    )
    _points(harness, f"threads-{key}", keys, targets)


def _points(harness: Harness, figure: str, keys: Keys, targets: Targets) -> None:
    per_thread = {name: _calibrated(harness, target, keys) for name, target, _ in targets}
    gc.collect()
    gc.disable()
    try:
        for _ in range(min(CURVE_ROUNDS, harness.options.rounds)):
            for name, target, note in targets:
                if harness.out_of_time():
                    harness.skip(f"some curves of {figure}, or some of their rounds")
                    break
                for threads in COUNTS:
                    rate = throughput(target, keys, per_thread[name], threads)
                    harness.point(figure, name, threads, [rate], note)
    finally:
        gc.enable()


def _different(thread: int) -> Sequence[Key]:
    """Made by the thread that uses them: the owner of an object counts without atomics."""
    start = 10**6 * (thread + 1)
    return [(n,) for n in range(start, start + KEYS_EACH)]


def _hot(thread: int) -> Sequence[Key]:
    """A small int is immortal, and the function returns it."""
    return [(7,)]


def _same(thread: int) -> Sequence[Key]:
    """In turn, so that an order of uses changes with each of them."""
    return [(n,) for n in range(64)]


def _rows(
    harness: Harness,
    key: str,
    work: str,
    keys: Keys,
    targets: Mapping[str, Callable[[int], int]],
) -> None:
    harness.say(f"threads: {work}")
    per_thread = {name: _calibrated(harness, target, keys) for name, target in targets.items()}
    single: dict[str, list[float]] = {name: [] for name in targets}
    several: dict[str, list[float]] = {name: [] for name in targets}
    gc.collect()
    gc.disable()
    try:
        for round_number in range(-1, harness.options.rounds):
            for name, target in targets.items():
                one = throughput(target, keys, per_thread[name], 1)
                more = throughput(target, keys, per_thread[name], THREADS)
                if round_number >= 0:
                    single[name].append(one)
                    several[name].append(more)
    finally:
        gc.enable()
    scaling = {
        name: [more / one for more, one in zip(several[name], single[name], strict=True)]
        for name in targets
    }
    for suffix, title, unit, values in (
        ("one", "1 thread", "M calls/s", single),
        ("several", f"{THREADS} threads", "M calls/s", several),
        ("scaling", f"{THREADS} threads ÷ 1", "×", scaling),
    ):
        series = [Series(name, rounds) for name, rounds in values.items()]
        harness.add(Row(f"threads/{key}-{suffix}", f"{work}, {title}", unit, series))


def _calibrated(harness: Harness, target: Any, keys: Keys) -> int:
    loop = Loop("f({0})", keys(0))
    return calibrate(lambda turns: loop.time(target, turns), harness.options.sample_ns)


@dataclass
class _Times:
    calls: int = 0
    start: int = 0
    end: int = 0


def throughput(target: Any, keys: Keys, turns: int, threads: int) -> float:
    """Million calls a second of all threads, from the first one's start to the last one's end."""
    forget = getattr(target, "cache_clear", None)
    if forget is not None:
        # Values of the last round belong to threads that are gone; this round's threads make their
        # own.
        forget()
    barrier = threading.Barrier(threads)
    times = [_Times() for _ in range(threads)]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            loop = Loop("f({0})", keys(number))
            # Fills the cache with values that this thread owns.
            loop.time(target, 2)
            barrier.wait()
            times[number].start = time.perf_counter_ns()
            loop.time(target, turns)
            times[number].end = time.perf_counter_ns()
            times[number].calls = turns * loop.calls_per_turn
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    elapsed = max(one.end for one in times) - min(one.start for one in times)
    return sum(one.calls for one in times) / elapsed * 1e3
