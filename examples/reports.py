"""Four reports on the library, each of which wants the analysis of every file.

A report is a generator: it yields the path whose analysis it needs and is sent that analysis. So
the same report runs on a plain function, on a cached one, in a thread or in a coroutine.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

from library import Analysis

Report = Generator[str, Analysis, Any]

# A report visits the files in the common order, but not quite: within such a stretch the order is
# its own.
STRETCH = 4
# How many of the modules that a file imports from are looked up.
LOOKED_UP = 3


def sizes(files: list[str]) -> Report:
    """Lines, functions and classes, by directory."""
    total: Counter[tuple[str, str]] = Counter()
    for path in files:
        found = yield path
        directory = Path(path).parent.name
        total[directory, "lines"] += found.lines
        total[directory, "functions"] += found.functions
        total[directory, "classes"] += found.classes
    return total


def complexity(files: list[str]) -> Report:
    """The files with the most branches."""
    branches = {}
    for path in files:
        found = yield path
        branches[path] = found.branches
    return sorted(branches.items(), key=lambda item: (-item[1], item[0]))[:20]


def vocabulary(files: list[str]) -> Report:
    """The commonest kinds of syntax, over all files."""
    total: Counter[str] = Counter()
    for path in files:
        found = yield path
        total.update(dict(found.node_types))
    return total


def cross_references(files: list[str], modules: dict[str, str]) -> Report:
    """How many of the names that files import from one another are defined there."""
    found_there, not_there = 0, 0
    for path in files:
        found = yield path
        wanted: dict[str, list[str]] = {}
        for module, name in found.takes:
            if module in modules:
                wanted.setdefault(modules[module], []).append(name)
        for target in list(wanted)[:LOOKED_UP]:
            other = yield target
            for name in wanted[target]:
                if name in other.defines:
                    found_there += 1
                else:
                    not_there += 1
    return found_there, not_there


def all_reports(files: list[str], modules: dict[str, str]) -> dict[str, Report]:
    """A new set of the four; each goes through the same files, nearly in step with the others."""
    return {
        "sizes": sizes(_order(files, 1)),
        "complexity": complexity(_order(files, 2)),
        "vocabulary": vocabulary(_order(files, 3)),
        "cross-references": cross_references(_order(files, 4), modules),
    }


def run(report: Report, analyse: Callable[[str], Analysis], tick: Callable[[], None]) -> Any:
    """Drive a report with a function."""
    try:
        path = next(report)
        while True:
            found = analyse(path)
            tick()
            path = report.send(found)
    except StopIteration as finished:
        return finished.value


async def run_async(
    report: Report, analyse: Callable[[str], Awaitable[Analysis]], tick: Callable[[], None]
) -> Any:
    """Drive a report with an async function."""
    try:
        path = next(report)
        while True:
            found = await analyse(path)
            tick()
            path = report.send(found)
    except StopIteration as finished:
        return finished.value


def _order(files: list[str], seed: int) -> list[str]:
    chance = random.Random(seed)
    ordered = []
    for start in range(0, len(files), STRETCH):
        stretch = files[start : start + STRETCH]
        chance.shuffle(stretch)
        ordered.extend(stretch)
    return ordered
