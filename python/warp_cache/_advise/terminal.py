"""A table and curves in plain characters, as wide as the terminal allows."""

from __future__ import annotations

import math
import shutil
import textwrap

from warp_cache._advise.advice import percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from warp_cache._advise.advice import Advice
    from warp_cache._advise.curves import Curves

__all__ = ["report"]

_WIDEST = 100
# Four equal parts.
_HEIGHT = 17
_OPTIMUM = "."


def report(curves: Curves, advised: Advice) -> str:
    """All about one function, with an empty line at the end."""
    width = max(40, min(_WIDEST, shutil.get_terminal_size().columns))
    workload = curves.workload
    heading = f"{workload.name}: {len(workload.keys):,} calls, {workload.unique:,} different keys"
    parts = [heading, "=" * min(width, len(heading)), ""]
    if curves.rate < 1:
        note = f"Replayed: {percent(curves.rate)} of the keys, chosen by hash, stand for all."
        parts += [*textwrap.wrap(note, width), ""]
    if advised.strategy is not None:
        parts += [*_table(curves, width), "", *_plot(curves, width), ""]
    return "\n".join([*parts, *textwrap.wrap(advised.sentence, width), ""])


def _columns(curves: Curves) -> dict[str, list[float]]:
    named = {strategy.name: ratios for strategy, ratios in curves.ratios.items()}
    return {**named, "optimum": curves.optimum}


def _table(curves: Curves, width: int) -> list[str]:
    """Percent of calls that are hits; a star marks the best strategy of a size."""
    columns = _columns(curves)
    first = max(len("max_size"), *(len(f"{size:,}") for size in curves.sizes))
    wide = max(8, *(len(name) + 2 for name in columns))
    names, rows = list(columns), []
    best = [max(ratios) for ratios in zip(*curves.ratios.values(), strict=True)]
    fit = max(1, (width - first) // wide)
    for start in range(0, len(names), fit):
        shown = names[start : start + fit]
        rows += [""] if start else []
        rows.append("max_size".rjust(first) + "".join(f"{name:>{wide - 1}} " for name in shown))
        for at, size in enumerate(curves.sizes):
            cells = [
                f"{columns[name][at] * 100:{wide - 1}.1f}"
                + ("*" if name != "optimum" and columns[name][at] == best[at] else " ")
                for name in shown
            ]
            rows.append(f"{size:>{first},}" + "".join(cells))
    return [row.rstrip() for row in rows]


def _plot(curves: Curves, width: int) -> list[str]:
    """Hits over size (logarithmic), a letter for each strategy; the first of those that meet."""
    columns = _columns(curves)
    marks = _marks(list(columns))
    across = width - 8
    # A multiple of twenty points, so that its quarters are round numbers.
    top = max(1, math.ceil(max(max(ratios) for ratios in columns.values()) * 5 - 1e-9)) / 5
    field = [[" "] * across for _ in range(_HEIGHT)]
    for name, ratios in reversed(columns.items()):
        for x in range(across):
            ratio = _between(curves.sizes, ratios, x / max(1, across - 1))
            y = _HEIGHT - 1 - round(ratio / top * (_HEIGHT - 1))
            field[y][x] = marks[name]
    rows = []
    for y, line in enumerate(field):
        label = percent(top * (1 - y / (_HEIGHT - 1))) if y % 4 == 0 else ""
        rows.append(f"{label[:6]:>6} |{''.join(line).rstrip()}")
    low, high = f"{curves.sizes[0]:,}", f"{curves.sizes[-1]:,}"
    rows.append(" " * 7 + "+" + "-" * across)
    rows.append(" " * 8 + low + "max_size".center(across - len(low) - len(high)) + high)
    legend = "  ".join(f"{mark} {name}" for name, mark in marks.items())
    indent = " " * 8
    return rows + textwrap.wrap(legend, width, initial_indent=indent, subsequent_indent=indent)


def _between(sizes: Sequence[int], ratios: Sequence[float], part: float) -> float:
    """The ratio at a part of the way from the least size to the largest."""
    if len(sizes) == 1:
        return ratios[0]
    x = math.log(sizes[0]) + part * (math.log(sizes[-1]) - math.log(sizes[0]))
    at = next((i for i, size in enumerate(sizes) if math.log(size) >= x - 1e-9), len(sizes) - 1)
    if at == 0:
        return ratios[0]
    low, high = math.log(sizes[at - 1]), math.log(sizes[at])
    return ratios[at - 1] + (ratios[at] - ratios[at - 1]) * (x - low) / (high - low)


def _marks(names: Sequence[str]) -> dict[str, str]:
    """For each name the first of its characters that no other has taken."""
    marks: dict[str, str] = {}
    for name in names:
        free = [c for c in name if c not in marks.values()]
        marks[name] = _OPTIMUM if name == "optimum" else (free or ["?"])[0]
    return marks
