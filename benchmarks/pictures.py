"""The pictures of a run: SVG files in light and dark, and the Markdown that shows one of the two.

A part's figures are drawn as it declared them. Of a part that declared none, the rows that have
the same contenders and a time for a unit become one picture of bars.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

from benchmarks import charts
from benchmarks.captions import CAPTIONS
from benchmarks.charts import THEMES, Theme
from benchmarks.model import Figure, PartResult, Row
from benchmarks.numbers import number

# On a linear axis, a bar this many times as long as the shortest of its group would leave nothing
# of the others.
LONGEST = 40.0


@dataclass(frozen=True)
class Picture:
    """A picture, not drawn yet; the name is that of its files, without theme and ending."""

    name: str
    title: str
    draw: Callable[..., str]

    def svg(self, theme: Theme) -> str:
        return self.draw(theme=theme)

    @property
    def caption(self) -> str:
        """The sentence below the picture: what it shows."""
        return CAPTIONS.get(self.name, f"{self.title}.")

    def file(self, theme: Theme) -> str:
        return f"{self.name}-{theme}.svg"

    def markdown(self, folder: str) -> str:
        """A picture element that follows the reader's theme; `folder` is relative to the text."""
        dark, light = (f"{folder}/{self.file(theme)}" for theme in ("dark", "light"))
        return (
            "<picture>\n"
            f'  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
            f'  <img alt="{escape(self.title)}" src="{light}">\n'
            "</picture>"
        )


def of_part(result: PartResult) -> list[Picture]:
    """The pictures of one part, in the order in which it declared them."""
    figures = result.figures or _by_rows(result)
    pictures = [_picture(result, figure) for figure in figures]
    return [picture for picture in pictures if picture is not None]


def write(results: Sequence[PartResult], folder: Path) -> None:
    """Write all pictures of a run into its folder, and remove those of earlier runs from it."""
    files = {
        picture.file(theme): picture.svg(theme)
        for result in results
        for picture in of_part(result)
        for theme in THEMES
    }
    if files:
        folder.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        for path in folder.glob(f"*-{theme}.svg"):
            if path.name not in files:
                path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _by_rows(result: PartResult) -> list[Figure]:
    """One figure of all rows in nanoseconds with the first row's contenders, if there are two."""
    prefix = f"{result.part}/"
    alike = [
        row.key.removeprefix(prefix)
        for row in result.rows
        if row.unit == "ns" and _names(row) == _names(result.rows[0])
    ]
    if len(alike) < 2:
        return []
    return [Figure("rows", result.heading, kind="bars", y_label="ns", rows=alike)]


def _names(row: Row) -> list[str]:
    return [series.name for series in row.series]


def _picture(result: PartResult, figure: Figure) -> Picture | None:
    """None if nothing was measured for it."""
    draw = _lines(figure) if figure.kind == "lines" else _bars(result, figure)
    # Many a key begins with the part's name; it need not stand there twice.
    part = result.part.replace("_", "-")
    name = f"{part}-{figure.key.removeprefix(part).lstrip('-')}".rstrip("-")
    return Picture(name, figure.title, draw) if draw else None


def _lines(figure: Figure) -> Callable[..., str] | None:
    """Medians over x; what a logarithmic axis cannot show is left out and named."""
    series: dict[str, list[tuple[float, float]]] = {}
    left_out = []
    for curve in figure.curves:
        points = []
        for point in curve.points:
            x, y = float(point.x), point.median
            if (figure.x_log and x <= 0) or (figure.y_log and y <= 0):
                left_out.append(f"{curve.name} at {point.x}")
            else:
                points.append((x, y))
        if points:
            series[curve.name] = points
    if not series:
        return None
    return partial(
        charts.lines,
        figure.title,
        series,
        x_label=figure.x_label,
        y_label=figure.y_label,
        x_log=figure.x_log,
        y_log=figure.y_log,
        y_percent=figure.y_percent,
        note=_note(figure.note, left_out),
    )


def _bars(result: PartResult, figure: Figure) -> Callable[..., str] | None:
    groups, unit = _groups(result, figure)
    drawn: dict[str, dict[str, float]] = {}
    left_out = []
    for heading, bars in groups.items():
        shortest = min((value for value in bars.values() if value > 0), default=math.inf)
        drawn[heading] = {}
        for name, value in bars.items():
            hidden = value <= 0 if figure.y_log else value < 0 or value > LONGEST * shortest
            if hidden:
                left_out.append(f"{name}, {heading}: {number(value)} {unit}")
            else:
                drawn[heading][name] = value
    if not any(drawn.values()):
        return None
    return partial(
        charts.bars,
        figure.title,
        drawn,
        unit=unit,
        note=_note(figure.note, left_out),
        lower_is_better=not figure.higher_is_better,
        log=figure.y_log,
    )


def _groups(result: PartResult, figure: Figure) -> tuple[dict[str, dict[str, float]], str]:
    """Medians by group and contender, of its rows and of its own points; and their unit."""
    rows = {row.key: row for row in result.rows}
    groups: dict[str, dict[str, float]] = {}
    unit = figure.y_label
    for key in figure.rows:
        # The budget may have left no time for one.
        row = rows.get(f"{result.part}/{key}")
        if row is not None and row.unit == (unit := unit or row.unit):
            groups[row.work] = {series.name: series.median for series in row.series}
    for curve in figure.curves:
        for point in curve.points:
            median = statistics.median(point.rounds)
            groups.setdefault(str(point.x), {})[curve.name] = median
    return groups, unit


def _note(note: str, left_out: Sequence[str]) -> str:
    """The figure's note, where it has one, and what the picture cannot show."""
    notes = [note] if note else []
    if left_out:
        notes.append("Not drawn: " + "; ".join(left_out) + ".")
    return " ".join(notes)
