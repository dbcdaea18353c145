"""Tables and the live view of the caches' commands, by rich (the extra ``cli``)."""

from __future__ import annotations

from contextlib import nullcontext

from rich.live import Live
from rich.table import Table
from rich.text import Text

from warp_cache._cli.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["Screen", "made", "table"]

_COLOURS = {"in use": "green", "idle": "", "ok": "green", "problem": "bold red", "note": "yellow"}


def made(header: list[str], rows: list[list[str]], title: str | None = None) -> Table:
    """A table whose first column gives way where the terminal is narrow."""
    drawn = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for at, name in enumerate(header):
        is_text = at in (0, len(header) - 1)
        drawn.add_column(
            name,
            justify="left" if is_text else "right",
            no_wrap=True,
            overflow="ellipsis",
            min_width=8 if at == 0 else len(name),
        )
    for row in rows:
        cells = [Text(cell) for cell in row]
        cells[0].stylize("bold")
        cells[-1].stylize(_COLOURS.get(row[-1], "yellow"))
        drawn.add_row(*cells)
    return drawn


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    View().console.print(made(header, rows))


class Screen:
    """A table that is drawn again and again in its place."""

    def __init__(self) -> None:
        self._live = Live(console=View().console, screen=True, auto_refresh=False)

    def open(self) -> AbstractContextManager[object]:
        return self._live if self._live.console.is_terminal else nullcontext()

    @property
    def height(self) -> int:
        console = self._live.console
        return console.height if console.is_terminal else 1 << 30

    def draw(self, title: str, header: list[str], rows: list[list[str]]) -> None:
        drawn = made(header, rows, title)
        if self._live.console.is_terminal:
            self._live.update(drawn, refresh=True)
        else:
            self._live.console.print(drawn)
