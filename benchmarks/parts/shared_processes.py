"""The last rows of the part `shared`: the throughput of two processes over that of one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import ROOT, upstream
from benchmarks.harness import Harness
from benchmarks.machine import usable_cpus
from benchmarks.model import SHARED_CACHE, SHARED_LRU, Row, Series
from benchmarks.parts.shared_worker import PLAIN

PROCESSES = 2
# Time for both to have read their orders, before they begin together.
AHEAD_NS = 2_000_000


class Worker:
    """A process that calls what it is told to, pinned to a processor."""

    def __init__(self, run: str, cpu: int, *, with_upstream: bool) -> None:
        command = [sys.executable, "-W", "ignore:The global interpreter lock"]
        command += ["-m", "benchmarks.parts.shared_worker", "serve", run, str(cpu)]
        command += ["with" if with_upstream else "without"]
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
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if usable_cpus() < PROCESSES or len(cpus) < PROCESSES:
        harness.result.notes.append(f"shared: fewer than {PROCESSES} CPUs, so none were compared")
        return
    work = "9 hits and 1 miss + write + evict"
    harness.say(f"shared: {work}")
    workers: list[Worker] = []
    run_id = f"{os.getpid()}-{Path(os.environ['WARP_CACHE_DIR']).parent.name[-6:]}"
    try:
        for cpu in cpus[:PROCESSES]:
            workers.append(Worker(run_id, cpu, with_upstream=with_upstream))
        single, several = _measure(harness, workers, names)
        for name in names[1:]:
            workers[0].ask(name, "info")
            hits, misses = map(int, workers[0].answer())
            if not 0.09 < misses / (hits + misses) < 0.12:
                raise AssertionError(f"{name}: {misses} misses beside {hits} hits")
    finally:
        for worker in workers:
            worker.close()
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


def _measure(
    harness: Harness, workers: list[Worker], names: list[str]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    single: dict[str, list[float]] = {name: [] for name in names}
    several: dict[str, list[float]] = {name: [] for name in names}
    turns = {}
    for name in names:
        # The first calls fill the cache, in both processes.
        throughput(workers, name, 2000)
        rate = throughput(workers[:1], name, 2000)
        turns[name] = max(100, round(rate * harness.options.sample_ms * 1e3 / 10))
    for round_number in range(harness.options.rounds):
        for offset in range(len(names)):
            name = names[(round_number + offset) % len(names)]
            one = throughput(workers[:1], name, turns[name])
            more = throughput(workers, name, turns[name])
            single[name].append(one)
            several[name].append(more)
    return single, several


def throughput(workers: list[Worker], name: str, turns: int) -> float:
    """Million calls a second of all, from the first one's start to the last one's end."""
    start = time.perf_counter_ns() + AHEAD_NS
    for worker in workers:
        worker.ask(name, turns, start)
    answers = [list(map(int, worker.answer())) for worker in workers]
    elapsed = max(end for _, _, end in answers) - min(begun for _, begun, _ in answers)
    return sum(calls for calls, _, _ in answers) / elapsed * 1e3
