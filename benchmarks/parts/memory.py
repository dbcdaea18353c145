"""Bytes that an entry takes beside its key and its value.

Each figure comes from a fresh process, which allocates all keys and values first, then fills the
cache, and reports by how much its anonymous resident memory grew. That counts everything, whoever
allocated it. Tables grow by doubling, so one size would flatter or slander: the sizes go through
one doubling, and the goal is held against the worst of them. Then the sizes go from a hundred
entries to a million; there are as many small caches as it takes to tell their bytes from whole
pages, so what a cache costs by itself is spread over few entries, as it is for who has many.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks import ROOT
from benchmarks.harness import Harness
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU, Row, Series

TITLE = "Memory"
OWN_PROCESSES = True

STEPS = 6
UNBOUNDED = " (unbounded)"
CONTENDERS = (
    FUNCTOOLS,
    WARP_LRU,
    WARP_CACHE,
    FUNCTOOLS + UNBOUNDED,
    WARP_LRU + UNBOUNDED,
    "cachebox",
    "moka-py",
    "cachetools",
    "theine",
)
SIZES = tuple(round(10 ** (power / 2)) for power in range(4, 13))
# At least so many entries in all.
ENOUGH = 1 << 16


def run(harness: Harness) -> None:
    """The rounds of a contender are its sizes, the same for all; then the curves."""
    if not sys.platform.startswith("linux"):
        harness.result.notes.append("memory: needs /proc, so it runs on Linux only")
        return
    _doubling(harness)
    _against_size(harness)


def _doubling(harness: Harness) -> None:
    power, steps = (14, 2) if harness.options.quick else (17, STEPS)
    sizes = [round(2 ** (power + (step + 0.5) / steps)) for step in range(steps)]
    series = []
    for name in CONTENDERS:
        values = [_bytes_an_entry(harness, name, size) for size in sizes]
        known = [value for value in values if value is not None]
        if len(known) == len(sizes):
            series.append(Series(name, known))
    work = f"bytes an entry, {sizes[0]:,} to {sizes[-1]:,} entries"
    harness.add(Row("memory/entry", work, "bytes", series))


def _against_size(harness: Harness) -> None:
    figure = harness.figure(
        "memory",
        "Bytes an entry, beside key and value",
        x_label="entries",
        y_label="bytes",
        x_log=True,
        y_log=True,
        note="Of a full cache; what a cache takes by itself included.",
    )
    for size in SIZES[:5:2] if harness.options.quick else SIZES:
        for name in CONTENDERS:
            if name.endswith(UNBOUNDED):
                continue
            if harness.out_of_time():
                harness.skip(f"memory beyond {size:,} entries")
                return
            value = _bytes_an_entry(harness, name, size, max(1, ENOUGH // size))
            if value is not None:
                harness.point(figure, name, size, [value])


def _bytes_an_entry(harness: Harness, name: str, size: int, copies: int = 1) -> float | None:
    """In a process of its own; None, and a line in the report, where that fails."""
    harness.say(f"memory: {name}, {size:,} entries")
    command = [sys.executable, "-W", "ignore:The global interpreter lock"]
    command += ["-m", "benchmarks.parts.memory_probe", name, str(size), str(copies)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        line = f"{name}: {reason}"
        if line not in harness.result.missing:
            harness.result.missing.append(line)
        return None
    return float(done.stdout) / (size * copies)
