"""Several processes on two hosts, of the part `remote`: what one does and when the others know."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.contenders import Peer, load
from benchmarks.harness import Harness
from benchmarks.model import CASHEWS, DOGPILE, LISTENER, NOT_LISTENING, WARP_CACHE, Row, Series
from benchmarks.parts.remote_worker import COMPUTING, Orders
from benchmarks.parts.shared_processes import Worker
from benchmarks.remote_stores import Address, cashews_locked, dogpile_locked
from benchmarks.workloads import Decorator

PROCESSES = 8
HOSTS = 2
# Invalidations of a round: the median of them is what a round gives.
SEEN = 15
QUICK_SEEN = 3
# Seconds that a process has to become idle, and for which it then is.
SETTLING = 1.5
IDLE = 5.0
QUICK_IDLE = 1.0


def run(harness: Harness, folder: Path, address: Address) -> None:
    """One computation for all; an invalidation; then nothing at all."""
    for work, measure in (
        (f"a key computed once by {PROCESSES} processes on {HOSTS} hosts", _once),
        ("an invalidation seen on another host, beside a thread that computes", _seen),
        ("CPU of an idle process", _idle),
    ):
        if harness.out_of_time():
            harness.skip(work)
            continue
        harness.say(f"remote: {work}")
        measure(harness, folder, address, work)


@contextlib.contextmanager
def _crew(folder: Path, address: Address, hosts: list[str]) -> Iterator[list[Worker]]:
    """A process of each host that is named, in this order; all are gone at the end."""
    workers: list[Worker] = []
    try:
        for host in hosts:
            directory = folder / f"host-{host}"
            directory.mkdir(mode=0o700, exist_ok=True)
            orders = Orders(address.port, str(directory))
            workers.append(Worker(json.dumps(asdict(orders)), "remote_worker"))
        yield workers
    finally:
        for worker in workers:
            worker.close()


def _asked(worker: Worker, *words: object) -> int:
    worker.ask(*words)
    return int(worker.answer()[0])


def _once(harness: Harness, folder: Path, address: Address, work: str) -> None:
    """From the end of the computation to when the last process has its value."""
    names = {WARP_CACHE: ""}
    for name, module, make, note in (
        (DOGPILE, "dogpile.cache", dogpile_locked, "distributed_lock, which polls"),
        (CASHEWS, "cashews", cashews_locked, "lock=True, which polls"),
    ):
        peer = Peer(name, name, module, _with(make, address))
        if load(harness, peer, None) is not None:
            names[name] = note
    rounds: dict[str, list[float]] = {name: [] for name in names}
    hosts = [f"once-{number % HOSTS}" for number in range(PROCESSES)]
    with _crew(folder, address, hosts) as workers:
        for number in range(-1, harness.options.rounds):
            for name in names:
                # (cashews has no hits for the value -1.)
                waited = _one_computation(workers, name, number + 2)
                if number >= 0:
                    rounds[name].append(waited)
    series = [Series(name, rounds[name], note) for name, note in names.items()]
    told = f"{work}: until the last has it, after {COMPUTING * 1e3:.0f} ms of computing"
    harness.add(Row("remote/once", told, "ms", series))


def _with(
    make: Callable[[Any, Address], Decorator], address: Address
) -> Callable[[Any, int | None], Decorator]:
    return lambda module, size: make(module, address)


def _one_computation(workers: list[Worker], name: str, key: int) -> float:
    for worker in workers:
        worker.ask("once", name, key)
    answers = [list(map(int, worker.answer())) for worker in workers]
    ends = [ended for ended, _ in answers if ended]
    if len(ends) != 1:
        raise AssertionError(f"{name}: {len(ends)} processes computed the key {key}")
    return (max(had for _, had in answers) - ends[0]) / 1e6


def _seen(harness: Harness, folder: Path, address: Address, work: str) -> None:
    """From the call's begin on one host to the first call of the other that is not served it.

    The process that listens on the other host computes in Python, without pause; what asks is a
    second process there, as it is one thread at a time that runs Python code.
    """
    times = QUICK_SEEN if harness.options.quick else SEEN
    with _crew(folder, address, ["seen-0", "seen-1", "seen-1"]) as (writer, computing, reader):
        for worker in (writer, computing, reader):
            _asked(worker, "near", 0)
        _asked(computing, "compute")
        rounds = []
        for number in range(harness.options.rounds):
            waited = []
            for key in range(1 + number * times, 1 + (number + 1) * times):
                _asked(writer, "near", key)
                _asked(reader, "near", key)
                reader.ask("watch", key)
                # It asks without pause by now.
                time.sleep(0.01)
                begun = _asked(writer, "invalidate", key)
                # A call that had begun before, and came back without it, waited for nothing.
                waited.append(max(0, int(reader.answer()[0]) - begun) / 1e6)
            rounds.append(sorted(waited)[len(waited) // 2])
    harness.add(Row("remote/seen", work, "ms", [Series(WARP_CACHE, rounds)]))


def _idle(harness: Harness, folder: Path, address: Address, work: str) -> None:
    seconds = QUICK_IDLE if harness.options.quick else IDLE
    used: dict[str, list[float]] = {LISTENER: [], NOT_LISTENING: []}
    with _crew(folder, address, ["idle", "idle"]) as workers:
        for worker in workers:
            _asked(worker, "near", 1)
        time.sleep(SETTLING)
        # Each takes long, and one is like the other.
        for _ in range(min(3, harness.options.rounds)):
            begun = time.monotonic()
            before = [_asked(worker, "cpu") for worker in workers]
            time.sleep(seconds)
            after = [_asked(worker, "cpu") for worker in workers]
            elapsed = (time.monotonic() - begun) * 1e9
            for name, start, end in zip(used, before, after, strict=True):
                used[name].append((end - start) / elapsed * 100)
    series = [Series(name, rounds) for name, rounds in used.items()]
    harness.add(Row("remote/idle", work, "% of a core", series))
