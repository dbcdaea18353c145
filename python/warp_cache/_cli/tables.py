"""Tables as plain text, or by rich; numbers as people read them.

In a terminal a table is as wide as that, and names are shortened; in a pipe nothing is.
"""

from __future__ import annotations

import shutil
import sys

from warp_cache._cli import extras
from warp_cache._cli.advice import percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

__all__ = [
    "add_shape",
    "age",
    "count",
    "entries",
    "plain",
    "ratio",
    "rich_view",
    "show",
    "shorten",
    "size",
    "width",
]

# What no terminal is narrower than, to be of use.
_NARROWEST = 20


def add_shape(parser: argparse.ArgumentParser) -> None:
    """The options that say what the output looks like."""
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print JSON and nothing else")
    shape.add_argument("--plain", action="store_true", help="plain text in a terminal, too")
    shape.add_argument("--rich", action="store_true", help="tables with colours, not only there")


def rich_view(options: argparse.Namespace) -> Any:
    """The module that draws with rich: where that is asked for, or can be had in a terminal."""
    if options.json or options.plain or not (options.rich or sys.stdout.isatty()):
        return None
    try:
        return extras.load("warp_cache._cli.drawing", "cli", "a table with colours")
    except extras.MissingExtra:
        if options.rich:
            raise
        return None


def width() -> int | None:
    """Columns of the terminal; None in a pipe, which has no end of a line."""
    if not sys.stdout.isatty():
        return None
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def show(options: argparse.Namespace, header: list[str], rows: list[list[str]]) -> None:
    """Print a table. The first column is text, the others are numbers but for the last."""
    drawing = rich_view(options)
    if drawing is not None:
        drawing.table(header, rows)
    else:
        print("\n".join(plain(header, rows, width())))


def plain(header: list[str], rows: list[list[str]], columns: int | None) -> list[str]:
    """The lines of a table, of at most so many columns: the first one gives way."""
    table = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    if columns is not None:
        others = sum(widths[1:]) + 2 * (len(widths) - 1)
        widths[0] = min(widths[0], max(8, columns - others))
    lines = []
    for row in table:
        cells = [shorten(row[0], widths[0]).ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(row[1:-1], widths[1:-1], strict=True)]
        line = "  ".join([*cells, row[-1]]).rstrip()
        lines.append(line if columns is None else line[:columns])
    return lines


def shorten(text: str, limit: int) -> str:
    """The text, or its beginning and end, which tells names apart."""
    if len(text) <= limit:
        return text
    if limit < 8:
        return text[:limit]
    end = (limit - 2) // 2
    return f"{text[: limit - 2 - end]}..{text[-end:]}"


def count(number: int) -> str:
    return f"{number:,}"


def entries(number: int) -> str:
    return f"{count(number)} entr{'y' if number == 1 else 'ies'}"


def size(number: float) -> str:
    """Bytes."""
    if number < 1000:
        return f"{number:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        number /= 1000
        if number < 999.5:
            return f"{number:.0f} {unit}" if number >= 9.95 else f"{number:.1f} {unit}"
    return f"{number:,.0f} TB"


def age(seconds: float | None) -> str:
    """A span of time; empty for none."""
    if seconds is None:
        return ""
    for limit, unit, length in ((100, "s", 1), (6000, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:,.0f} d"


def ratio(hits: int, misses: int) -> str:
    """Of the calls, those that were hits; empty without calls."""
    calls = hits + misses
    return percent(hits / calls) if calls else ""
