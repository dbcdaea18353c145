"""What a run produces: rows of contenders and figures of curves, every round of them; and as JSON.

A *row* is one piece of work and one number for each contender. A *figure* is a picture: of kind
`lines`, where a contender is a curve over x (threads, processes, entries, percentiles), or of kind
`bars`, where x is the name of a group. A part declares a figure once and then adds points to it:

    harness.figure("throughput", "Throughput of hits", x_label="threads", y_label="M calls/s")
    harness.point("throughput", "warp_cache.cache", 2, [57.8, 58.1, 57.2])

Each point keeps all its rounds; the picture and the table show their median. Points of the same
figure, contender and x that several processes measured become one point with the rounds of all.
Figures of bars that show rows of the same part name them and need no points of their own:

    harness.figure("peers", "A hit", kind="bars", rows=["int", "str"])
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from benchmarks.stats import Ratio, ratio_of

FUNCTOOLS = "functools.lru_cache"
WARP_LRU = "warp_cache.lru_cache"
WARP_CACHE = "warp_cache.cache"
SHARED_LRU = "warp_cache.lru_cache, shared"
SHARED_CACHE = "warp_cache.cache, shared"
REDIS_PY = "redis-py"
REDIS_PY_NEAR = "redis-py, client-side caching"
GLIDE_NEAR = "valkey-glide, client-side caching"
CASHEWS = "cashews"
DOGPILE = "dogpile.cache"
LISTENER = "the process that listens"
NOT_LISTENING = "another process of its host"


@dataclass
class Series:
    """One contender of a row: a value for each round."""

    name: str
    rounds: list[float]
    note: str = ""

    @property
    def minimum(self) -> float:
        return min(self.rounds)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


@dataclass
class Row:
    """One piece of work and its contenders; the others are compared with the first."""

    key: str
    work: str
    unit: str
    series: list[Series]
    # What the loop itself costs a call, for each round; None where nothing is to be subtracted.
    loop: list[float] | None = None
    # How many of the rounds each process ran, in their order. Unknown of runs of before schema 2.
    blocks: list[int] = field(default_factory=list)

    @property
    def higher_is_better(self) -> bool:
        return _higher_is_better(self.unit)

    def ratio(self, series: Series) -> Ratio | None:
        return ratio_of(series.rounds, self.series[0].rounds)

    def net_ratio(self, series: Series) -> Ratio | None:
        if self.loop is None:
            return None
        return ratio_of(series.rounds, self.series[0].rounds, self.loop)


def _higher_is_better(unit: str) -> bool:
    """Of rates and of what several threads do more than one; times and sizes are better low."""
    return unit.endswith("/s") or unit.startswith("×")


# Where a point lies: a number, or the name of a group of bars.
X = float | str


@dataclass
class Point:
    """One contender at one x: a value for each round."""

    x: X
    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


@dataclass
class Curve:
    """One contender of a figure: its points in the order in which they were measured."""

    name: str
    points: list[Point] = field(default_factory=list)
    note: str = ""

    def add(self, x: X, rounds: list[float]) -> None:
        """Another point, or more rounds of one that is there."""
        for point in self.points:
            if point.x == x:
                point.rounds.extend(rounds)
                return
        self.points.append(Point(x, rounds))


@dataclass
class Figure:
    """A picture and the measurements behind it."""

    key: str
    title: str
    kind: Literal["lines", "bars"] = "lines"
    x_label: str = ""
    # The quantity and its unit, as `M calls/s`; of bars, the unit alone.
    y_label: str = ""
    x_log: bool = False
    y_log: bool = False
    # The values are parts of 1, and shown as per cent.
    y_percent: bool = False
    # None: as is usual for the unit.
    lower_is_better: bool | None = None
    note: str = ""
    # Keys of rows of the same part (without the part's name) that are the groups of the bars.
    rows: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)

    @property
    def higher_is_better(self) -> bool:
        if self.lower_is_better is not None:
            return not self.lower_is_better
        hits = self.y_percent and "miss" not in self.y_label
        return hits or _higher_is_better(self.y_label)

    def curve(self, name: str, note: str = "") -> Curve:
        """The curve of this contender, a new one if there is none yet."""
        for curve in self.curves:
            if curve.name == name:
                curve.note = curve.note or note
                return curve
        self.curves.append(Curve(name, note=note))
        return self.curves[-1]

    def extend(self, other: Figure) -> None:
        for curve in other.curves:
            mine = self.curve(curve.name, curve.note)
            for point in curve.points:
                mine.add(point.x, point.rounds)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Figure:
        curves = [
            Curve(curve["name"], [Point(**point) for point in curve["points"]], curve["note"])
            for curve in data["curves"]
        ]
        return cls(**{**data, "curves": curves})


@dataclass
class PartResult:
    """What one part measured, and what it could not."""

    part: str
    title: str = ""
    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    conditions: dict[str, Any] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        return self.title or self.part.capitalize()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def extend(self, other: PartResult) -> None:
        """Take in the rounds that another process measured of the same part.

        A row that one of them had no time for stays as the other has it.
        """
        rows = {row.key: row for row in self.rows}
        for more in other.rows:
            row = rows.get(more.key)
            if row is None:
                self.rows.append(more)
                continue
            if [one.name for one in row.series] != [one.name for one in more.series]:
                raise ValueError(f"{row.key}: two processes measured different contenders")
            for mine, theirs in zip(row.series, more.series, strict=True):
                mine.rounds.extend(theirs.rounds)
            if row.loop is not None and more.loop is not None:
                row.loop.extend(more.loop)
            row.blocks.extend(more.blocks)
        figures = {figure.key: figure for figure in self.figures}
        for figure in other.figures:
            if figure.key in figures:
                figures[figure.key].extend(figure)
            else:
                self.figures.append(figure)
        self.missing.extend(line for line in other.missing if line not in self.missing)
        self.notes.extend(line for line in other.notes if line not in self.notes)
        for key in ("rounds", "processes", "load_before", "load_after"):
            self.conditions[key] += other.conditions[key]
        self.conditions["seconds"] = round(
            self.conditions["seconds"] + other.conditions["seconds"], 1
        )
        self.conditions["gil_enabled_after"] &= other.conditions["gil_enabled_after"]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PartResult:
        rows = [
            Row(
                key=row["key"],
                work=row["work"],
                unit=row["unit"],
                series=[Series(**series) for series in row["series"]],
                loop=row["loop"],
                blocks=row.get("blocks", []),
            )
            for row in data["rows"]
        ]
        return cls(
            part=data["part"],
            title=data.get("title", ""),
            rows=rows,
            # Runs of before there were figures have none.
            figures=[Figure.from_json(figure) for figure in data.get("figures", [])],
            missing=data["missing"],
            notes=data["notes"],
            conditions=data["conditions"],
        )
