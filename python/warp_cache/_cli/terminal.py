"""All about one function as plain text in simple columns."""

from __future__ import annotations

import textwrap

from warp_cache._cli.advice import percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from warp_cache._cli.advice import Advice
    from warp_cache._cli.curves import Curves

__all__ = ["heading", "replayed", "report", "rows", "sought", "unreplayed"]

_WIDTH = 80


def heading(curves: Curves) -> str:
    workload = curves.workload
    return f"{workload.name}: {len(workload.keys):,} calls, {workload.unique:,} different keys"


def replayed(curves: Curves) -> str:
    """What to know of a workload that was replayed in part; empty for one that was not."""
    if curves.rate == 1:
        return ""
    return f"Replayed: {percent(curves.rate)} of the keys, chosen by hash, stand for all."


def sought(advised: Advice) -> str:
    """What the advice is the best for; empty where there is none."""
    return f"Looked for: {advised.goal}." if advised.goal else ""


def unreplayed(curves: Curves) -> str:
    """What the recorded function does and a replay does not; empty for one that does nothing so."""
    if not curves.workload.ends:
        return ""
    return "Its entries end by time (ttl, tti), which is not replayed: it has fewer hits than this."


def rows(curves: Curves) -> list[list[str]]:
    """The table: its header, then percent of calls that are hits.

    A star marks the best strategy of a size.
    """
    table = [["max_size", *(strategy.name for strategy in curves.ratios), "optimum"]]
    for at, size in enumerate(curves.sizes):
        ratios = [found[at] for found in curves.ratios.values()]
        cells = [f"{r * 100:.1f}" + ("*" if r == max(ratios) else " ") for r in ratios]
        table.append([f"{size:,}", *cells, f"{curves.optimum[at] * 100:.1f} "])
    return table


def report(curves: Curves, advised: Advice) -> str:
    """All about one function, with an empty line at the end."""
    parts = [heading(curves), ""]
    parts += textwrap.wrap(replayed(curves), _WIDTH)
    if advised.strategy is not None:
        header, *lines = rows(curves)
        # The stars stand right of the numbers.
        table = [[header[0], *(f"{name} " for name in header[1:])], *lines]
        widths = [max(8, *map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            cells = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            parts.append(" ".join(cells).rstrip())
        parts.append("")
    parts += textwrap.wrap(advised.sentence, _WIDTH)
    parts += textwrap.wrap(sought(advised), _WIDTH)
    parts += textwrap.wrap(unreplayed(curves), _WIDTH)
    return "\n".join([*parts, ""])
