"""Histories of calls and invalidations, and what the fence (§2.3) says about them.

Every moment is one of `time.monotonic_ns`, which all processes of a machine share. A computation
returns the moment at which it began; so no order of events has to be guessed afterwards: a value
that a call got is too old if it was made before an invalidation began that had returned before the
call began.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# What kind, of which function, of which keys (a bit each), from when, until when; of a call the
# moment that its value bears, and of a value that was set by hand the number of who set it.
_RECORD = struct.Struct("=BBxxIqqqq")
CALL, FENCE, SET = range(3)
NAMES = ("call", "invalidation", "set")


@dataclass(frozen=True)
class Event:
    kind: int
    function: int
    keys: int
    start: int
    end: int
    made: int = 0
    by_hand: int = 0

    def __str__(self) -> str:
        keys = [key for key in range(32) if self.keys >> key & 1]
        value = f", value of {self.made}" if self.kind == CALL else ""
        by_hand = f", set by hand as {self.by_hand:#x}" if self.by_hand else ""
        what = f"{NAMES[self.kind]} of function {self.function}, keys {keys}"
        return f"{what}: {self.start} to {self.end}{value}{by_hand}"


class Recorder:
    """Writes a process's events as they end; what a killed process has written stays."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, event: Event) -> None:
        record = _RECORD.pack(
            event.kind,
            event.function,
            event.keys,
            event.start,
            event.end,
            event.made,
            event.by_hand,
        )
        # One write: of threads side by side, none comes between the bytes of another.
        os.write(self.descriptor, record)


def read(folder: Path) -> list[Event]:
    """The events of all processes."""
    events = []
    for path in sorted(folder.glob("*.events")):
        data = path.read_bytes()
        whole = len(data) - len(data) % _RECORD.size
        events += [Event(*fields) for fields in _RECORD.iter_unpack(data[:whole])]
    return events


@dataclass(frozen=True)
class Violation:
    call: Event
    fence: Event

    def __str__(self) -> str:
        return f"{self.call}\n  which is older than the {self.fence}"


@dataclass(frozen=True)
class Verdict:
    calls: int
    fences: int
    # Calls whose value was made before they began.
    hits: int
    # Calls during which somebody invalidated their key.
    crossed: int
    violations: list[Violation]


class _Fences:
    """The invalidations of one key, by their ends."""

    def __init__(self, events: list[Event]) -> None:
        events.sort(key=lambda event: event.end)
        self.ends = [event.end for event in events]
        # Of all that have ended by then the one that began last.
        self.latest: list[Event] = []
        for event in events:
            before = self.latest[-1] if self.latest else event
            self.latest.append(max(before, event, key=lambda event: event.start))

    def before(self, moment: int) -> Event | None:
        """Of those that had returned, the one that began last."""
        at = bisect_left(self.ends, moment)
        return self.latest[at - 1] if at else None

    def any_within(self, start: int, end: int) -> bool:
        return bisect_left(self.ends, start) < bisect_left(self.ends, end)


def judge(events: Iterable[Event]) -> Verdict:
    """What of a history breaks the fence."""
    calls = []
    of_key: dict[tuple[int, int], list[Event]] = defaultdict(list)
    set_until: dict[int, int] = {}
    count = 0
    for event in events:
        if event.kind == CALL:
            calls.append(event)
            continue
        count += 1
        if event.kind == SET:
            set_until[event.by_hand] = event.end
        for key in range(32):
            if event.keys >> key & 1:
                of_key[event.function, key].append(event)
    fences = {key: _Fences(some) for key, some in of_key.items()}
    none = _Fences([])
    violations, hits, crossed = [], 0, 0
    for call in calls:
        known = fences.get((call.function, call.keys.bit_length() - 1), none)
        hits += call.made < call.start
        crossed += known.any_within(call.start, call.end)
        fence = known.before(call.start)
        made: float = call.made
        if call.by_hand:
            # It took effect at some moment until its return; of who was killed in it nobody knows.
            made = set_until.get(call.by_hand, float("inf"))
        if fence is not None and made < fence.start:
            violations.append(Violation(call, fence))
    return Verdict(len(calls), count, hits, crossed, violations)
