"""``python -m warp_cache top``: what the shared caches are doing, again and again."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from contextlib import nullcontext
from typing import Any

from warp_cache._cli import files, listing, output, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from warp_cache._cli.files import CacheFile

__all__ = ["add_to"]

_HEADER = ["NAME", "CALLS/s", "HITS", "LOADS/s", "EVICT/s", "ENTRIES", "BYTES", "PROCS"]
_COUNTERS = ("hits", "misses", "loads", "evictions")
# Home, and clear to the end of the screen.
_CLEAR = "\x1b[H\x1b[J"


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "top",
        help="the shared caches at work, live",
        description="Show what the shared caches do, the busiest first, until Ctrl-C. In a pipe "
        "one table follows another; with --json there is one document a line.",
    )
    parser.add_argument(
        "--interval", type=_seconds, default=2.0, metavar="S", help="seconds between two (2)"
    )
    parser.add_argument("--count", type=_number, metavar="N", help="end after so many")
    files.add_directory(parser)
    tables.add_shape(parser)
    parser.set_defaults(run=_run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.05 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"seconds from 0.05 to 86400, got {text!r}")
    return seconds


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"a number from 1 on, got {text!r}")
    return int(text)


class _Rates:
    """What has been counted since the last look."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, dict[str, Any]]] = {}

    def of(self, cache: CacheFile, info: dict[str, Any]) -> dict[str, float]:
        """For a second, by counter; nothing at the first look, or after a clear."""
        now = time.monotonic()
        at, before = self._before.get(cache.path, (now, info))
        self._before[cache.path] = now, info
        passed = now - at
        if passed <= 0:
            return dict.fromkeys(_COUNTERS, 0.0)
        return {name: max(0, info[name] - before[name]) / passed for name in _COUNTERS}


def _look(options: argparse.Namespace, rates: _Rates) -> list[dict[str, Any]]:
    found = []
    for cache in files.all_caches(options.directory):
        info = listing.counted(cache)
        if info is not None:
            found.append({**cache.described(), "counted": info, "rates": rates.of(cache, info)})
    found.sort(key=lambda one: (-one["rates"]["hits"] - one["rates"]["misses"], one["full_name"]))
    return found


def _row(one: dict[str, Any]) -> list[str]:
    rates, info = one["rates"], one["counted"]
    calls = rates["hits"] + rates["misses"]
    ratio = tables.ratio(info["hits"], info["misses"])
    if calls:
        ratio = tables.ratio(rates["hits"], rates["misses"])
    return [
        output.printable(one["name"]),
        _rate(calls),
        ratio,
        _rate(rates["loads"]),
        _rate(rates["evictions"]),
        tables.count(info["entries"]),
        tables.size(one["file_bytes"]),
        str(len(one["processes"])),
    ]


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == 0 else f"{number:.1f}"


class _Plain:
    """The live view without rich."""

    def __init__(self) -> None:
        is_screen = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._clear = _CLEAR if is_screen else ""

    def open(self) -> AbstractContextManager[object]:
        return nullcontext()

    @property
    def height(self) -> int:
        import shutil

        return shutil.get_terminal_size().lines if self._clear else 1 << 30

    def draw(self, title: str, header: list[str], rows: list[list[str]]) -> None:
        lines = tables.plain(header, rows, tables.width())
        print(self._clear, end="")
        print("\n".join([title[: tables.width()], *lines, ""][: self.height]), flush=True)


def _run(options: argparse.Namespace) -> None:
    output.prepare()
    rates = _Rates()
    # The first look, which rates need, and which shows at once that nothing can be read.
    _look(options, rates)
    drawing = tables.rich_view(options)
    screen: Any = None if options.json else drawing.Screen() if drawing else _Plain()
    try:
        with screen.open() if screen else nullcontext():
            _go_on(options, rates, screen)
    except KeyboardInterrupt:
        # The way to end it.
        return


def _go_on(options: argparse.Namespace, rates: _Rates, screen: Any) -> None:
    shown = 0
    while options.count is None or shown < options.count:
        # (What was looked at a moment ago has no rates yet.)
        time.sleep(options.interval if shown else min(options.interval, 0.5))
        found = _look(options, rates)
        shown += 1
        if screen is None:
            print(json.dumps({"time": time.time(), "caches": found}), flush=True)
            continue
        lines = [_row(one) for one in found]
        at = time.strftime("%H:%M:%S")
        caches = f"{len(found)} cache{'' if len(found) == 1 else 's'}"
        title = f"warp_cache top, {at}: {caches}, every {options.interval:g} s; Ctrl-C ends it"
        header, lines, missing = tables.narrowed(_HEADER, lines, tables.width())
        if missing:
            title = f"{missing} more columns need more room"
        screen.draw(title, header, lines[: max(1, screen.height - 4)])
