"""Bytes that an entry takes beside its key and its value.

Each figure comes from a fresh process, which allocates all keys and values first, then fills the
cache, and reports by how much its anonymous resident memory grew. That counts everything, whoever
allocated it. Tables grow by doubling, so one size would flatter or slander: the sizes go through
one doubling, and the goal is held against the worst of them.
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
)


def run(harness: Harness) -> None:
    """The rounds of a contender are its sizes, the same for all."""
    if not sys.platform.startswith("linux"):
        harness.result.notes.append("memory: needs /proc, so it runs on Linux only")
        return
    steps = 3 if harness.options.quick else STEPS
    sizes = [round(2 ** (17 + (step + 0.5) / steps)) for step in range(steps)]
    series = []
    for name in CONTENDERS:
        harness.say(f"memory: {name}")
        values = []
        for size in sizes:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.parts.memory_probe", name, str(size)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
                harness.result.missing.append(f"{name}: {reason}")
                break
            values.append(float(done.stdout) / size)
        else:
            series.append(Series(name, values))
    work = f"bytes an entry, {sizes[0]:,} to {sizes[-1]:,} entries"
    harness.add(Row("memory/entry", work, "bytes", series))
