"""Interleaved measuring: in each round every contender runs once, for some 30 milliseconds.

A part that measures for itself adds rows (`Harness.add`) or declares figures and adds points to
them (`Harness.figure`, `Harness.point`; `benchmarks.model` says what they are). It scales itself
down where `options.quick` is set, and asks `out_of_time()` before each piece of work that takes
more than a second or so: what is left out then is named by `skip(what)`.
"""

from __future__ import annotations

import gc
import math
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.loops import Key, Loop
from benchmarks.model import Figure, PartResult, Row, Series, X

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True)
class Options:
    """How long and how often to measure."""

    rounds: int = 25
    sample_ms: float = 30.0
    quick: bool = False
    # Seconds that a part may take in all its processes; None: as long as it takes.
    budget_s: float | None = None

    @property
    def sample_ns(self) -> float:
        return self.sample_ms * 1e6

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Contender:
    """A callable (or, for a method, the object that has it) and what a reader must know of it."""

    name: str
    target: Any
    note: str = ""
    # How it is called, where that is not as the row says: a template like those of `Loop`.
    call: str = ""


@dataclass
class Harness:
    """Runs the rows of one part and collects what they gave."""

    options: Options
    result: PartResult
    begun: float = field(default_factory=time.monotonic)

    def out_of_time(self) -> bool:
        """Whether this process has used up its part of the budget."""
        budget = self.options.budget_s
        return budget is not None and time.monotonic() - self.begun > budget

    def skip(self, what: str) -> None:
        """Name what the budget left no time for."""
        line = f"no time was left for: {what}"
        if line not in self.result.notes:
            self.result.notes.append(line)

    def say(self, text: str) -> None:
        """One line of progress, which replaces the line before; nothing without a terminal."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K" + text)
            sys.stderr.flush()

    def add(self, row: Row) -> None:
        self.result.rows.append(row)

    def figure(
        self,
        key: str,
        title: str,
        *,
        kind: Literal["lines", "bars"] = "lines",
        x_label: str = "",
        y_label: str = "",
        x_log: bool = False,
        y_log: bool = False,
        y_percent: bool = False,
        lower_is_better: bool | None = None,
        note: str = "",
        rows: Sequence[str] = (),
    ) -> Figure:
        """Declare a picture; the key names its file, so it holds letters, digits and hyphens."""
        if any(figure.key == key for figure in self.result.figures):
            raise ValueError(f"the part {self.result.part} has a figure {key!r} already")
        if re.fullmatch(r"[a-z0-9-]+", key) is None:
            raise ValueError(f"key must be of a-z, 0-9 and hyphens, got {key!r}")
        figure = Figure(
            key=key,
            title=title,
            kind=kind,
            x_label=x_label,
            y_label=y_label,
            x_log=x_log,
            y_log=y_log,
            y_percent=y_percent,
            lower_is_better=lower_is_better,
            note=note,
            rows=list(rows),
        )
        self.result.figures.append(figure)
        return figure

    def point(
        self, figure: str | Figure, series: str, x: X, rounds: Sequence[float], note: str = ""
    ) -> None:
        """Add what a contender gave at x; all its rounds, or more rounds of a point that is there.

        `figure` is the key of one declared before, or what `figure()` returned.
        """
        if isinstance(figure, str):
            declared = {one.key: one for one in self.result.figures}
            if figure not in declared:
                raise ValueError(f"figure must be one of {sorted(declared)}, got {figure!r}")
            figure = declared[figure]
        if not rounds or not all(map(math.isfinite, rounds)):
            raise ValueError(f"{figure.key}, {series}, {x}: no rounds, or not finite: {rounds!r}")
        figure.curve(series, note).add(x, [float(value) for value in rounds])

    def calls(
        self,
        key: str,
        work: str,
        contenders: Sequence[Contender],
        keys: Sequence[Key],
        *,
        call: str = "f({0})",
        prepare: Callable[[Contender], None] | None = None,
        wall: bool = False,
    ) -> Row | None:
        """Time a call for all contenders; the empty loop runs in every round beside them."""
        loops = [Loop(one.call or call, keys, wall=wall) for one in contenders]
        empty = Loop(call, keys, empty=True, wall=wall)
        runs: list[Callable[[int], int]] = [
            _bound(loop, contender.target)
            for loop, contender in zip(loops, contenders, strict=True)
        ]
        if prepare is not None:
            for contender in contenders:
                prepare(contender)
        return self.runs(key, work, contenders, runs, empty)

    def runs(
        self,
        key: str,
        work: str,
        contenders: Sequence[Contender],
        runs: Sequence[Callable[[int], int]],
        empty: Loop,
        *,
        sample_ms: float | None = None,
    ) -> Row | None:
        """The same for runs of the caller's own: nanoseconds for a number of turns of the loop.

        `sample_ms` is for runs that take much longer than what they time.
        """
        if self.out_of_time():
            self.skip(work)
            return None
        self.say(f"{self.result.part}: {work}")
        options = self.options
        if sample_ms is not None:
            options = replace(options, sample_ms=min(sample_ms, options.sample_ms))
        values = interleave([*runs, _bound(empty, None)], options, self.out_of_time)
        return self._finish(key, work, contenders, empty, values)

    def awaits(
        self, key: str, work: str, contenders: Sequence[Contender], keys: Sequence[Key]
    ) -> Row | None:
        """Time `await f(k)` for all contenders, inside one running event loop."""
        import asyncio  # slow to import, and most parts do without

        if self.out_of_time():
            self.skip(work)
            return None
        self.say(f"{self.result.part}: {work}")
        loops = [Loop(one.call or "f({0})", keys, awaited=True) for one in contenders]
        empty = Loop("f({0})", keys, awaited=True, empty=True)
        event_loop = asyncio.new_event_loop()
        try:
            runs = [
                _bound_async(event_loop, loop, contender.target)
                for loop, contender in zip(loops, contenders, strict=True)
            ]
            runs.append(_bound_async(event_loop, empty, None))
            values = interleave(runs, self.options, self.out_of_time)
        finally:
            event_loop.close()
        return self._finish(key, work, contenders, empty, values)

    def _finish(
        self,
        key: str,
        work: str,
        contenders: Sequence[Contender],
        empty: Loop,
        values: list[list[float]],
    ) -> Row:
        per_call = [[value / empty.calls_per_turn for value in rounds] for rounds in values]
        series = [
            Series(contender.name, rounds, contender.note)
            for contender, rounds in zip(contenders, per_call[:-1], strict=True)
        ]
        row = Row(f"{self.result.part}/{key}", work, "ns", series, per_call[-1])
        self.add(row)
        return row


def interleave(
    runs: Sequence[Callable[[int], int]],
    options: Options,
    out_of_time: Callable[[], bool] = lambda: False,
) -> list[list[float]]:
    """Nanoseconds a turn, for each run and round.

    A run takes a number of turns and returns the nanoseconds they took. Where time runs out, the
    rounds that are whole count: one at least.
    """
    turns = [calibrate(run, options.sample_ns) for run in runs]
    values: list[list[float]] = [[] for _ in runs]
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        # The first round warms caches, branch predictors and the clock of the CPU; it does not
        # count.
        for round_number in range(-1, options.rounds):
            if round_number > 0 and out_of_time():
                break
            for offset in range(len(runs)):
                # Another one starts each round, so that nobody always follows the same neighbour.
                index = (round_number + offset) % len(runs)
                elapsed = runs[index](turns[index])
                if round_number >= 0:
                    values[index].append(elapsed / turns[index])
    finally:
        if was_enabled:
            gc.enable()
    return values


def calibrate(run: Callable[[int], int], sample_ns: float) -> int:
    """How many turns fill a sample."""
    turns = 1
    while True:
        elapsed = run(turns)
        if elapsed >= sample_ns / 4:
            return max(1, round(turns * sample_ns / elapsed))
        turns = max(turns * 2, min(turns * 16, int(turns * sample_ns / 2 / max(elapsed, 1))))


def _bound(loop: Loop, target: Any) -> Callable[[int], int]:
    return lambda turns: loop.time(target, turns)


def _bound_async(
    event_loop: asyncio.AbstractEventLoop, loop: Loop, target: Any
) -> Callable[[int], int]:
    async def run(turns: int) -> int:
        return await loop.time_async(target, turns)

    return lambda turns: event_loop.run_until_complete(run(turns))
