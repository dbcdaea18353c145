"""What a run produces: rows of contenders, each with every round it ran; and its form in JSON."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.stats import Ratio, ratio_of

FUNCTOOLS = "functools.lru_cache"
WARP_LRU = "warp_cache.lru_cache"
WARP_CACHE = "warp_cache.cache"
SHARED_LRU = "warp_cache.lru_cache, shared"
SHARED_CACHE = "warp_cache.cache, shared"


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

    def ratio(self, series: Series) -> Ratio | None:
        return ratio_of(series.rounds, self.series[0].rounds)

    def net_ratio(self, series: Series) -> Ratio | None:
        if self.loop is None:
            return None
        return ratio_of(series.rounds, self.series[0].rounds, self.loop)


@dataclass
class PartResult:
    """What one part measured, and what it could not."""

    part: str
    rows: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    conditions: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def extend(self, other: PartResult) -> None:
        """Take in the rounds that another process measured of the same part."""
        for row, more in zip(self.rows, other.rows, strict=True):
            if [one.name for one in row.series] != [one.name for one in more.series]:
                raise ValueError(f"{row.key}: two processes measured different contenders")
            for mine, theirs in zip(row.series, more.series, strict=True):
                mine.rounds.extend(theirs.rounds)
            if row.loop is not None and more.loop is not None:
                row.loop.extend(more.loop)
        self.missing.extend(line for line in other.missing if line not in self.missing)
        self.notes.extend(line for line in other.notes if line not in self.notes)
        for key in ("rounds", "processes", "load_before"):
            self.conditions[key] += other.conditions[key]
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
            )
            for row in data["rows"]
        ]
        return cls(data["part"], rows, data["missing"], data["notes"], data["conditions"])
