"""Runs that nobody has measured: their numbers are chosen, and what is to be said of them known."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.files import Run
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU, Figure, PartResult, Row, Series

PROCESSES = 5
ROUNDS = 25


def machine(**python: Any) -> dict[str, Any]:
    """A machine; the keywords say what its interpreter has that is not usual."""
    return {
        "system": "Linux 6.1",
        "libc": "glibc 2.36",
        "architecture": "x86_64",
        "cpu": "A Processor",
        "cpus_usable": 2,
        "governor": None,
        "memory_gib": 8.0,
        "python": {
            "implementation": "CPython",
            "version": "3.11.2",
            "compiler": "GCC 12",
            "pgo": True,
            "pgo_evidence": "--enable-optimizations",
            "lto": False,
            "free_threaded": False,
            "debug": False,
            **python,
        },
        "packages": {"warp_cache": "0.1.0", "cachebox": "6.2.10"},
    }


def conditions(**more: Any) -> dict[str, Any]:
    return {
        "date": "2026-01-02",
        "rounds": ROUNDS,
        "sample_ms": 30.0,
        "quick": False,
        "processes": PROCESSES,
        "seconds": 12.5,
        "cpus_usable": 2,
        "load_before": [[0.5, 0.5, 0.5]] * PROCESSES,
        "load_after": [[0.7, 0.5, 0.5]] * PROCESSES,
        "gil_enabled_before": True,
        "gil_enabled_after": True,
        **more,
    }


def rounds(
    median: float, seed: int | str = 0, noise: float = 0.005, number: int = ROUNDS
) -> list[float]:
    """Around a median: every process has an accident of its own, and so has every round."""
    dice = random.Random(seed)
    values = []
    accident = 1.0
    for position in range(number):
        if position % (number // PROCESSES or 1) == 0:
            accident = dice.gauss(1.0, noise)
        values.append(median * accident * dice.gauss(1.0, noise))
    return values


def row(
    medians: Mapping[str, float],
    *,
    key: str = "hits/int",
    work: str = "1 int",
    unit: str = "ns",
    seed: int = 0,
    noise: float = 0.005,
    loop: float | None = None,
    notes: Mapping[str, str] | None = None,
) -> Row:
    series = [
        Series(name, rounds(median, f"{seed}, {place}", noise), (notes or {}).get(name, ""))
        for place, (name, median) in enumerate(medians.items())
    ]
    empty = None if loop is None else rounds(loop, f"{seed}, loop", noise)
    return Row(key, work, unit, series, empty, [ROUNDS // PROCESSES] * PROCESSES)


def part(rows: Sequence[Row] = (), figures: Sequence[Figure] = (), **more: Any) -> PartResult:
    name = rows[0].key.partition("/")[0] if rows else "hits"
    return PartResult(
        more.pop("name", name),
        rows=list(rows),
        figures=list(figures),
        missing=more.pop("missing", []),
        notes=more.pop("notes", []),
        conditions=conditions(**more),
    )


def run(*parts: PartResult, failed: Sequence[str] = (), **python: Any) -> Run:
    return Run("2026-01-02", machine(**python), list(parts), list(failed))


def usual(seed: int = 0, **python: Any) -> Run:
    """Two rows of hits, one of misses, and curves over threads."""
    medians = {FUNCTOOLS: 30.0, WARP_LRU: 18.0, WARP_CACHE: 20.0}
    hits = [
        row(medians, seed=seed, loop=4.0),
        row(medians, key="hits/str", work="1 str | escaped", seed=seed + 10, loop=4.0),
    ]
    misses = [row(medians, key="misses/function", work="a miss", seed=seed + 20)]
    return run(part(hits, missing=["moka-py: not installed"]), part(misses), threads(), **python)


def threads(factor: float = 1.0) -> PartResult:
    figure = Figure(
        "throughput",
        "Hits of several threads",
        x_label="threads",
        y_label="M calls/s",
        note="all on one machine",
    )
    for name, rate in ((FUNCTOOLS, 20.0), (WARP_CACHE, 40.0 * factor)):
        for count in (1, 2, 4):
            figure.curve(name).add(count, rounds(rate * count**0.9, f"{name}, {count}"))
    return part(figures=[figure], name="threads", load_before=[[0.5]] * PROCESSES)
