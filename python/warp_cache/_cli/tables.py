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
    "facts",
    "fitted",
    "narrowed",
    "plain",
    "ratio",
    "rich_view",
    "show",
    "show_facts",
    "shorten",
    "size",
    "width",
]

# What no terminal is narrower than, to be of use.
_NARROWEST = 20
# What a name is not shortened below.
_SHORTEST = 8
# Blanks between two columns, as rich has them, too.
_BETWEEN = 2


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
    """Print a table. The first column is text, the others are numbers but for the last.

    Where a terminal has no room for all columns, each row is told by itself.
    """
    columns = width()
    if columns is not None and columns < _least(header, rows):
        for name, *cells in rows:
            told = [[what, cell] for what, cell in zip(header[1:], cells, strict=True) if cell]
            show_facts(options, name, told)
        return
    drawing = rich_view(options)
    if drawing is not None:
        drawing.table(header, rows)
    else:
        print("\n".join(plain(header, rows, width())))


def show_facts(options: argparse.Namespace, title: str, rows: list[list[str]]) -> None:
    """Print what is known of one thing under its name: a line for each, what it is and its text."""
    drawing = rich_view(options)
    if drawing is not None:
        drawing.facts(title, rows)
    else:
        lines = facts(title, rows, width())
        print("\n".join((what + text).rstrip() for what, text in lines))


def facts(title: str, rows: list[list[str]], columns: int | None) -> list[tuple[str, str]]:
    """The lines of what is known, each in two parts. Nothing is left out: a text that is too long
    for so many columns goes on in the next line.
    """
    indent = max(len(what) for what, _ in rows) + _BETWEEN
    if columns is None:
        return [(title, ""), *((what.ljust(indent), text) for what, text in rows)]
    lines = [(part, "") for part in _folded(title, columns)]
    if columns - indent < _NARROWEST:
        # No room for two columns.
        for what, text in rows:
            lines += ((part, "") for part in _folded(what, columns))
            lines += ((" " * _BETWEEN, part) for part in _folded(text, columns - _BETWEEN))
        return lines
    for what, text in rows:
        first, *others = _folded(text, columns - indent)
        lines.append((what.ljust(indent), first))
        lines += ((" " * indent, other) for other in others)
    return lines


def _folded(text: str, columns: int) -> list[str]:
    return [text[at : at + columns] for at in range(0, len(text), columns)] or [""]


def plain(header: list[str], rows: list[list[str]], columns: int | None) -> list[str]:
    """The lines of a table, of at most so many columns: the first one gives way."""
    table = [header, *fitted(header, rows, columns)]
    widths = _widths(table)
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(row[1:-1], widths[1:-1], strict=True)]
        line = (" " * _BETWEEN).join([*cells, row[-1]]).rstrip()
        lines.append(line if columns is None else line[:columns])
    return lines


def fitted(header: list[str], rows: list[list[str]], columns: int | None) -> list[list[str]]:
    """The rows, with the text of the first column shortened so that all the others are to be seen
    in so many columns.
    """
    if columns is None:
        return rows
    limit = max(_SHORTEST, _SHORTEST + columns - _least(header, rows))
    return [[shorten(row[0], limit), *row[1:]] for row in rows]


def narrowed(
    header: list[str], rows: list[list[str]], columns: int | None
) -> tuple[list[str], list[list[str]], int]:
    """As many columns of a table, from its first on, as there is room for; and how many are left
    out.
    """
    kept = len(header)
    while columns is not None and kept > 2:
        if _least(header[:kept], [row[:kept] for row in rows]) <= columns:
            break
        kept -= 1
    return header[:kept], [row[:kept] for row in rows], len(header) - kept


def _least(header: list[str], rows: list[list[str]]) -> int:
    """The columns that a table takes whose first one has given way as far as it can."""
    widths = _widths([header, *rows])
    return _SHORTEST + sum(widths[1:]) + _BETWEEN * (len(widths) - 1)


def _widths(table: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*table, strict=True)]


def shorten(text: str, limit: int) -> str:
    """The text, or its beginning and end, which tells names apart."""
    if len(text) <= limit:
        return text
    if limit < _SHORTEST:
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
