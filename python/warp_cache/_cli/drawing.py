"""Tables and the live view of the caches' commands, by rich (the extra ``cli``)."""

from __future__ import annotations

from contextlib import nullcontext

from rich.live import Live
from rich.table import Table
from rich.text import Text

from warp_cache._cli import tables
from warp_cache._cli.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console

__all__ = ["Screen", "facts", "made", "table"]

_COLOURS = {"in use": "green", "idle": "", "ok": "green", "problem": "bold red", "note": "yellow"}
# Columns that no table has.
_ENDLESS = 1 << 16


def made(
    header: list[str], rows: list[list[str]], columns: int | None, title: str | None = None
) -> Table:
    """A table of at most so many columns, whose first one gives way."""
    drawn = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for at, name in enumerate(header):
        is_text = at in (0, len(header) - 1)
        drawn.add_column(
            name,
            justify="left" if is_text else "right",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if at == 0 else len(name),
        )
    for row in tables.fitted(header, rows, columns):
        cells = [Text(cell) for cell in row]
        cells[0].stylize("bold")
        cells[-1].stylize(_COLOURS.get(row[-1], "yellow"))
        drawn.add_row(*cells)
    return drawn


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    console = View().console
    if console.is_terminal:
        console.print(made(header, rows, console.width))
    else:
        _whole(console, made(header, rows, None))


def facts(title: str, rows: list[list[str]]) -> None:
    """Print what is known of one thing."""
    console = View().console
    (name, _), *lines = tables.facts(title, rows, console.width if console.is_terminal else None)
    if not console.is_terminal:
        console.width = _ENDLESS
    console.print(Text(name, style="bold"), no_wrap=True)
    for what, text in lines:
        line = Text.assemble((what, "bold"), (text, _COLOURS.get(text, "")))
        console.print(line, no_wrap=True)


def _whole(console: Console, drawn: Table) -> None:
    """Print a table into a pipe, where no line has an end."""
    console.width = _ENDLESS
    console.print(drawn)


class Screen:
    """A table that is drawn again and again in its place."""

    def __init__(self) -> None:
        console = View().console
        self._live = Live(console=console, screen=True, auto_refresh=False)
        # (A dumb terminal has no place to draw in: there one table follows another.)
        self._is_drawn = console.is_terminal and not console.is_dumb_terminal

    def open(self) -> AbstractContextManager[object]:
        return self._live if self._is_drawn else nullcontext()

    @property
    def height(self) -> int:
        return self._live.console.height if self._is_drawn else 1 << 30

    def draw(self, title: str, header: list[str], rows: list[list[str]]) -> None:
        console = self._live.console
        if self._is_drawn:
            self._live.update(made(header, rows, console.width, title), refresh=True)
        elif console.is_terminal:
            console.print(made(header, rows, console.width, title))
        else:
            _whole(console, made(header, rows, None, title))
