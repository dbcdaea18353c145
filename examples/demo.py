"""Caches the analysis of the standard library, with functools.lru_cache and with warp_cache.

Four reports run at the same time over the source files of the running interpreter's own standard
library. Each wants every file parsed and counted, and they come to the same file at nearly the same
moment. Then the reports run in a process each, with functools.lru_cache in every process and with
one cache that all processes share. How many computations that saves is the same in every run.

    python examples/demo.py
"""

from __future__ import annotations

import asyncio
import functools
import platform
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import library
import processes
import reports
from library import Analysis
from progress import Progress
from tables import aligned, saved

import warp_cache


@dataclass
class Outcome:
    """What one way of running the reports took, and what the reports said."""

    title: str
    seconds: float
    calls: int
    computed: int
    hits: int
    results: dict[str, Any]

    @property
    def shared(self) -> int:
        """Calls that neither computed nor hit: they waited for another caller's computation."""
        return self.calls - self.computed - self.hits


class Demo:
    """The files, and the ways to run the reports over them."""

    def __init__(self) -> None:
        self.files = library.source_files()
        self.modules = library.module_names(self.files)
        self.max_size = len(self.files)
        # Before the first run nobody knows how many imports there are to follow.
        self.expected_calls = 5 * len(self.files)

    def without_cache(self) -> Outcome:
        computed: list[str] = []
        return self._threads("no cache", _counting(computed), computed)

    def with_functools(self) -> Outcome:
        computed: list[str] = []
        analyse = functools.lru_cache(maxsize=self.max_size)(_counting(computed))
        return self._threads("functools.lru_cache", analyse, computed, analyse.cache_info)

    def with_warp_cache(self) -> Outcome:
        computed: list[str] = []
        analyse = warp_cache.cache(max_size=self.max_size)(_counting(computed))
        return self._threads("warp_cache", analyse, computed, analyse.cache_info)

    def with_warp_cache_async(self) -> Outcome:
        computed: list[str] = []
        blocking = _counting(computed)

        @warp_cache.cache(max_size=self.max_size)
        async def analyse(path: str) -> Analysis:
            return await asyncio.to_thread(blocking, path)

        async def run_all(tick: Callable[[], None]) -> dict[str, Any]:
            todo = reports.all_reports(self.files, self.modules)
            results = await asyncio.gather(
                *(reports.run_async(report, analyse, tick) for report in todo.values())
            )
            return dict(zip(todo, results, strict=True))

        title = "warp_cache, async"
        with Progress(title, self.expected_calls) as bar:
            start = time.perf_counter()
            results = asyncio.run(run_all(bar.tick))
            seconds = time.perf_counter() - start
        return self._outcome(title, seconds, computed, analyse.cache_info, results, bar.done)

    def _threads(
        self,
        title: str,
        analyse: Callable[[str], Analysis],
        computed: list[str],
        cache_info: Callable[[], Any] | None = None,
    ) -> Outcome:
        """One thread for each report."""
        results: dict[str, Any] = {}
        with Progress(title, self.expected_calls) as bar:

            def work(name: str, report: reports.Report) -> None:
                results[name] = reports.run(report, analyse, bar.tick)

            start = time.perf_counter()
            threads = [
                threading.Thread(target=work, args=item)
                for item in reports.all_reports(self.files, self.modules).items()
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - start
        return self._outcome(title, seconds, computed, cache_info, results, bar.done)

    def _outcome(
        self,
        title: str,
        seconds: float,
        computed: list[str],
        cache_info: Callable[[], Any] | None,
        results: dict[str, Any],
        calls: int,
    ) -> Outcome:
        self.expected_calls = calls
        hits = 0 if cache_info is None else cache_info().hits
        return Outcome(title, seconds, calls, len(computed), hits, results)


def _counting(computed: list[str]) -> Callable[[str], Analysis]:
    """`analyse`, with a note of each time that it really ran."""

    def analyse(path: str) -> Analysis:
        computed.append(path)
        return library.analyse(path)

    return analyse


def table(outcomes: list[Outcome]) -> str:
    header = ("", "calls", "computed", "hits", "shared", "seconds", "speed")
    slowest = outcomes[0].seconds
    lines = [header] + [
        (
            one.title,
            f"{one.calls:,}",
            f"{one.computed:,}",
            f"{one.hits:,}",
            f"{one.shared:,}",
            f"{one.seconds:.1f}",
            f"{slowest / one.seconds:.1f}×",
        )
        for one in outcomes
    ]
    return aligned(lines)


def main() -> int:
    # The library's own tests hold code that the compiler warns of.
    warnings.simplefilter("ignore")
    demo = Demo()
    print(
        f"{len(demo.files):,} files of the standard library of Python {platform.python_version()}, "
        f"4 reports at once"
    )
    outcomes = [
        demo.without_cache(),
        demo.with_functools(),
        demo.with_warp_cache(),
        demo.with_warp_cache_async(),
    ]
    print()
    print(table(outcomes))
    print()
    for one in outcomes[2:]:
        print(saved(one.title, one.calls, one.computed, len(demo.files)))
    if any(one.results != outcomes[0].results for one in outcomes):
        print("The reports differ, which must never happen.", file=sys.stderr)
        return 1
    right, wrong = outcomes[0].results["cross-references"]
    print(
        f"All reports are the same in all four runs: of {right + wrong:,} imported names "
        f"{right:,} are defined where they are sought"
    )
    print()
    return processes.run_all()


if __name__ == "__main__":
    sys.exit(main())
