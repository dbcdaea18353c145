"""Several processes that call the same cached functions; and, of the part `shared`, the last rows.

The rows are the throughput of two processes over that of one. The part `processes` draws curves.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import ROOT, upstream
from benchmarks.harness import Harness
from benchmarks.model import SHARED_CACHE, SHARED_LRU, Row, Series
from benchmarks.parts.shared_worker import PLAIN, Orders

PROCESSES = 2
SIZE = 1024
WRITES = 1
# Time for each to have read its orders, before they begin together.
AHEAD_NS = 1_000_000


class Worker:
    """A process that does what it is told to by a module of the parts; orders: its own, as JSON."""

    def __init__(self, orders: str, module: str = "shared_worker") -> None:
        command = [sys.executable, "-W", "ignore:The global interpreter lock"]
        command += ["-m", f"benchmarks.parts.{module}", "serve", orders]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self.answer() != ["ready"]:
            raise RuntimeError("a process of the benchmark did not start")

    def ask(self, *words: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\t".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def run(harness: Harness, with_upstream: bool) -> None:
    """Nine of ten calls hit what all ask for, one misses, is written and evicts."""
    names = [PLAIN, SHARED_CACHE, SHARED_LRU] + [upstream.NAME] * with_upstream
    if len(cpus()) < PROCESSES:
        harness.result.notes.append(f"shared: fewer than {PROCESSES} CPUs, so none were compared")
        return
    work = "9 hits and 1 miss + write + evict"
    if harness.out_of_time():
        harness.skip(work)
        return
    harness.say(f"shared: {work}")
    with crew(PROCESSES, names, SIZE) as workers:
        single, several = _measure(harness, workers, names)
        for name in names[1:]:
            Counters.of(workers[0], name).require(0.1, since=Counters())
    scaling = {
        name: [more / one for more, one in zip(several[name], single[name], strict=True)]
        for name in names
    }
    for suffix, title, unit, values in (
        ("one", "1 process", "M calls/s", single),
        ("several", f"{PROCESSES} processes", "M calls/s", several),
        ("scaling", f"{PROCESSES} processes ÷ 1", "×", scaling),
    ):
        series = [Series(name, values[name]) for name in names]
        harness.add(Row(f"shared/processes-{suffix}", f"{work}, {title}", unit, series))


def cpus() -> list[int]:
    """Those that this process may use; empty where the platform cannot tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextlib.contextmanager
def crew(number: int, names: list[str], size: int, folder: str = "") -> Iterator[list[Worker]]:
    """So many processes, spread over the processors; all are gone at the end, whatever happened."""
    run_id = f"{os.getpid()}-{Path(os.environ['WARP_CACHE_DIR']).parent.name[-6:]}"
    places = itertools.islice(itertools.cycle(cpus() or [0]), number)
    workers: list[Worker] = []
    try:
        for cpu in places:
            orders = Orders(run_id, cpu, names, size, folder)
            workers.append(Worker(json.dumps(asdict(orders))))
        yield workers
    finally:
        for worker in workers:
            worker.close()


@dataclass(frozen=True)
class Counters:
    """Hits and misses of one of our caches so far, in all processes."""

    hits: int = 0
    misses: int = 0

    @classmethod
    def of(cls, worker: Worker, name: str) -> Counters:
        worker.ask(name, "info")
        return cls(*map(int, worker.answer()))

    def require(self, share: float, since: Counters) -> None:
        """Fail if the calls were not the mix that they were to be."""
        hits, misses = self.hits - since.hits, self.misses - since.misses
        if not 0.9 * share <= misses / (hits + misses) <= 1.2 * share:
            raise AssertionError(f"{misses} misses beside {hits} hits, not {share:.0%}")


def _measure(
    harness: Harness, workers: list[Worker], names: list[str]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    single: dict[str, list[float]] = {name: [] for name in names}
    several: dict[str, list[float]] = {name: [] for name in names}
    turns = {}
    for name in names:
        # The first calls fill the cache, in both processes.
        throughput(workers, name, 2000, WRITES)
        rate = throughput(workers[:1], name, 2000, WRITES)
        turns[name] = max(100, round(rate * harness.options.sample_ms * 1e3 / 10))
    for round_number in range(harness.options.rounds):
        for offset in range(len(names)):
            name = names[(round_number + offset) % len(names)]
            one = throughput(workers[:1], name, turns[name], WRITES)
            more = throughput(workers, name, turns[name], WRITES)
            single[name].append(one)
            several[name].append(more)
    return single, several


def throughput(workers: list[Worker], name: str, turns: int, writes: int) -> float:
    """Million calls a second of all, from the first one's start to the last one's end."""
    start = time.perf_counter_ns() + AHEAD_NS * len(workers)
    for worker in workers:
        worker.ask(name, turns, writes, start)
    answers = [list(map(int, worker.answer())) for worker in workers]
    elapsed = max(end for _, _, end in answers) - min(begun for _, begun, _ in answers)
    return sum(calls for calls, _, _ in answers) / elapsed * 1e3
