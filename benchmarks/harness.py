"""Interleaved measuring: in each round every contender runs once, for some 30 milliseconds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.loops import Key, Loop
from benchmarks.model import PartResult, Row, Series

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True)
class Options:
    """How long and how often to measure."""

    rounds: int = 25
    sample_ms: float = 30.0
    quick: bool = False

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


@dataclass
class Harness:
    """Runs the rows of one part and collects what they gave."""

    options: Options
    result: PartResult

    def say(self, text: str) -> None:
        """One line of progress, which replaces the line before; nothing without a terminal."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K" + text)
            sys.stderr.flush()

    def add(self, row: Row) -> None:
        self.result.rows.append(row)

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
    ) -> Row:
        """Time a call for all contenders; the empty loop runs in every round beside them."""
        loops = [Loop(call, keys, wall=wall) for _ in contenders]
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
    ) -> Row:
        """The same for runs of the caller's own: nanoseconds for a number of turns of the loop."""
        self.say(f"{self.result.part}: {work}")
        values = interleave([*runs, _bound(empty, None)], self.options)
        return self._finish(key, work, contenders, empty, values)

    def awaits(
        self, key: str, work: str, contenders: Sequence[Contender], keys: Sequence[Key]
    ) -> Row:
        """Time `await f(k)` for all contenders, inside one running event loop."""
        import asyncio  # slow to import, and most parts do without

        self.say(f"{self.result.part}: {work}")
        loops = [Loop("f({0})", keys, awaited=True) for _ in contenders]
        empty = Loop("f({0})", keys, awaited=True, empty=True)
        event_loop = asyncio.new_event_loop()
        try:
            runs = [
                _bound_async(event_loop, loop, contender.target)
                for loop, contender in zip(loops, contenders, strict=True)
            ]
            runs.append(_bound_async(event_loop, empty, None))
            values = interleave(runs, self.options)
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


def interleave(runs: Sequence[Callable[[int], int]], options: Options) -> list[list[float]]:
    """Nanoseconds a turn, for each run and round.

    A run takes a number of turns and returns the nanoseconds they took.
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
