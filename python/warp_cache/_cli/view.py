"""Tables with colours, and what is under way meanwhile, by rich (the extra ``cli``)."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warp_cache._cli import terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from warp_cache._cli.advice import Advice
    from warp_cache._cli.curves import Curves
    from warp_cache._cli.traces import Workload

__all__ = ["View"]


class _Console(Console):
    """Rich's own would end the process, with status 1."""

    def on_broken_pipe(self) -> None:
        raise


class View:
    """Writes to standard output."""

    def __init__(self) -> None:
        self.console = _Console(highlight=False)

    def replaying(self, workload: Workload) -> AbstractContextManager[object]:
        """Shows, while the block lasts, that a workload is being replayed."""
        return self.console.status(Text(f"{workload.name}: {len(workload.keys):,} calls"))

    def show(self, curves: Curves, advised: Advice) -> None:
        """All about one function; the best strategy of each size stands out."""
        show = self.console.print
        show(Text(terminal.heading(curves), style="bold"))
        if note := terminal.replayed(curves):
            show(Text(note, style="dim"))
        if advised.strategy is not None:
            header, *lines = terminal.rows(curves)
            table = Table(caption="% of calls that are hits", show_edge=False, pad_edge=False)
            for name in header:
                chosen = name == advised.strategy.name
                table.add_column(name, justify="right", style="cyan" if chosen else "")
            for line in lines:
                table.add_row(
                    *(Text(cell, style="bold green" if "*" in cell else "") for cell in line)
                )
            show(table)
        show(Text(advised.sentence))
        for note in (terminal.sought(advised), terminal.unreplayed(curves)):
            if note:
                show(Text(note, style="dim"))
        show()
