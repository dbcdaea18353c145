"""The demo's second part: four worker processes, with one cache for all of them or one for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import library
from progress import Progress
from tables import aligned, saved

WORKER = Path(__file__).with_name("worker.py")
REPORTS = ("sizes", "complexity", "vocabulary", "cross-references")
WAYS = {"functools": "lru_cache, one in each process", "shared": 'cache(backend="shared")'}
# Without a shared cache every file is parsed eight times over.
PART = 2


class Impossible(Exception):
    """A shared cache cannot be made here: no room, or no support for this platform."""


@dataclass
class Run:
    """What the four processes of one run did together."""

    title: str
    calls: int
    computed: int
    by_others: int
    seconds: float
    results: list[str]


def run_all() -> int:
    """Run both ways twice, and print what came of it. Returns 1 if results differ, else 0."""
    files = library.source_files()
    files = files[: len(files) // PART]
    print(
        f"{len(files):,} of these files (1 in {PART}, so that it does not take long), "
        f"{len(REPORTS)} processes with a report each, run twice"
    )
    with tempfile.TemporaryDirectory(prefix="warp_cache-demo-") as folder:
        environment = {**os.environ, "WARP_CACHE_DIR": str(Path(folder, "caches"))}
        runs = []
        try:
            for way, title in WAYS.items():
                for number in ("1st run", "2nd run"):
                    runs.append(_run(way, f"{title}, {number}", files, environment))
        except Impossible as error:
            print(f"There can be no shared cache here, so this part is left out: {error}")
            return 0
    print()
    print(table(runs))
    print()
    *_, first, second = runs
    print(saved("Shared, 1st run", first.calls, first.computed, len(files)))
    print(saved("Shared, 2nd run, in new processes", second.calls, second.computed, len(files)))
    if any(run.results != runs[0].results for run in runs):
        print("The reports differ, which must never happen.", file=sys.stderr)
        return 1
    print("All reports are the same in all four runs")
    return 0


def table(runs: list[Run]) -> str:
    header = ("", "calls", "computed", "by others", "seconds", "speed")
    slowest = runs[0].seconds
    return aligned(
        [header]
        + [
            (
                run.title,
                f"{run.calls:,}",
                f"{run.computed:,}",
                f"{run.by_others:,}",
                f"{run.seconds:.1f}",
                f"{slowest / run.seconds:.1f}×",
            )
            for run in runs
        ]
    )


def _run(way: str, title: str, files: list[str], environment: dict[str, str]) -> Run:
    workers: list[subprocess.Popen[str]] = []
    lines: list[str] = [""] * len(REPORTS)

    def read(number: int) -> None:
        output = workers[number].stdout
        assert output is not None
        for line in output:
            lines[number] = line
            if line.strip().isdigit():
                for _ in range(int(line)):
                    bar.tick()

    start = time.perf_counter()
    # Each file once for every report, and half as often again for what the files import.
    with Progress(title, len(files) * len(REPORTS) * 3 // 2) as bar:
        try:
            for report in REPORTS:
                worker = subprocess.Popen(
                    [sys.executable, str(WORKER), way, report],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                workers.append(worker)
                assert worker.stdin is not None
                with worker.stdin as order:
                    json.dump(files, order)
            readers = [threading.Thread(target=read, args=(n,)) for n in range(len(workers))]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        finally:
            for worker in workers:
                if worker.poll() is None and sys.exc_info()[0] is not None:
                    worker.kill()
                worker.wait()
                if worker.stdout is not None:
                    worker.stdout.close()
    seconds = time.perf_counter() - start
    for worker, report in zip(workers, REPORTS, strict=True):
        if worker.returncode:
            raise RuntimeError(f"the process of {report} ended with status {worker.returncode}")
    found: list[dict[str, Any]] = [json.loads(line) for line in lines]
    for one in found:
        if "impossible" in one:
            raise Impossible(one["impossible"])
    return Run(
        title,
        sum(one["calls"] for one in found),
        sum(one["computed"] for one in found),
        sum(one["by_others"] for one in found),
        seconds,
        [one["result"] for one in found],
    )
