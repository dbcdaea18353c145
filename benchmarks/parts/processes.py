"""Throughput of one to eight processes that share a cache: no writes, a tenth, and half."""

from __future__ import annotations

import contextlib

from benchmarks import stores, upstream
from benchmarks.harness import Harness
from benchmarks.model import SHARED_CACHE, SHARED_LRU, Figure
from benchmarks.parts.shared import private_folder
from benchmarks.parts.shared_processes import Counters, Worker, cpus, crew, throughput
from benchmarks.parts.shared_worker import CALLS_PER_TURN, HOT, PLAIN, WRITES

TITLE = "Processes"
OWN_PROCESSES = True

PROCESSES = (1, 2, 4, 8)
# Room for the hot keys and what all write between two uses of one of them.
SIZE = 8192
ROUNDS = 7
QUICK_ROUNDS = 2
# Turns at half of writes after which one of our caches is full.
FILL = 2 * SIZE // CALLS_PER_TURN


def run(harness: Harness) -> None:
    """A curve for each contender; the servers run beside the processes, on the same processors."""
    if not cpus():
        harness.result.notes.append("processes: this platform cannot pin them, so none were run")
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(private_folder(harness))
        stack.enter_context(upstream.leaving_nothing())
        names = [PLAIN, SHARED_CACHE, SHARED_LRU, *stores.embedded(harness)]
        if upstream.load(harness) is not None:
            names.append(upstream.NAME)
        if stack.enter_context(stores.redis_server(harness, folder)) is not None:
            names.append(stores.REDIS)
        if stack.enter_context(stores.memcached_server(harness, folder)) is not None:
            names.append(stores.MEMCACHED)
        workers = stack.enter_context(crew(max(PROCESSES), names, SIZE, str(folder)))
        figures = {writes: _figure(harness, writes) for writes in WRITES}
        for name in names:
            if harness.out_of_time():
                harness.skip(f"processes with {name}")
                continue
            _curves(harness, workers, name, figures)


def _figure(harness: Harness, writes: int) -> Figure:
    percent = 100 * writes // CALLS_PER_TURN
    rest = f"{percent} % misses that are written and evict" if writes else "all hits"
    return harness.figure(
        f"processes-{percent}",
        f"Throughput of processes that share a cache: {rest}",
        x_label="processes",
        y_label="M calls/s",
        y_log=True,
        lower_is_better=False,
        note=f"{len(cpus())} CPUs: more processes than that, and the servers, take turns on them.",
    )


def _curves(harness: Harness, workers: list[Worker], name: str, figures: dict[int, Figure]) -> None:
    rounds = QUICK_ROUNDS if harness.options.quick else ROUNDS
    ours = name in (SHARED_CACHE, SHARED_LRU)
    # At least until all hot keys are there.
    throughput(workers[:1], name, FILL if ours else 2 * HOT // CALLS_PER_TURN + 1, max(WRITES))
    for writes, figure in figures.items():
        harness.say(f"processes: {name}, {figure.key}")
        # Everyone opens what there is to open.
        throughput(workers, name, 20, writes)
        before = Counters.of(workers[0], name) if ours else None
        rate = throughput(workers[:1], name, 60, writes)
        turns = max(10, round(rate * harness.options.sample_ms * 1e3 / CALLS_PER_TURN))
        for _ in range(min(rounds, harness.options.rounds)):
            for number in PROCESSES:
                values = [throughput(workers[:number], name, turns, writes)]
                harness.point(figure, name, number, values)
        if before is not None:
            Counters.of(workers[0], name).require(writes / CALLS_PER_TURN, since=before)
