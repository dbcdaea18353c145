"""What became of each contender of each row from one run to another.

Each contender's rounds are divided by those of a yardstick in the same row: `functools.lru_cache`,
else a contender that is not this package's, else the empty loop. So what the machine did to all
alike cancels. What is left is judged by `benchmarks.significance`. Ratios of several threads to
one, sizes and hit ratios do not depend on the machine's pace, and are compared as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.files import Run
from benchmarks.model import FUNCTOOLS, PartResult, Row, Series
from benchmarks.numbers import NO_DIFFERENCE, TIMES
from benchmarks.significance import LEVEL, Difference, batches, compare, compare_pairs, exact, holm
from benchmarks.stats import ENOUGH

LOOP = "the loop"
UNJUDGED = "cannot be judged"
# Less than this is not worth anybody's time, be it ever so certain.
LEAST = 0.01
# Parts whose contenders are all this package's, whatever they are called.
_OURS = ("strategies", "ttl")


@dataclass(frozen=True)
class Change:
    """What became of one contender of one row."""

    part: str
    work: str
    contender: str
    yardstick: str
    unit: str
    higher_is_better: bool
    # Medians, in the unit.
    old: float
    new: float
    difference: Difference | None
    p: float = 1.0

    @property
    def ours(self) -> bool:
        return self.contender.startswith("warp_cache") or self.part in _OURS

    @property
    def verdict(self) -> str:
        if self.difference is None:
            return UNJUDGED
        if self.p >= LEVEL or abs(self.difference.ratio - 1.0) < LEAST:
            return NO_DIFFERENCE
        good, bad = ("faster", "slower") if self._timed else ("better", "worse")
        return good if (self.difference.ratio > 1.0) == self.higher_is_better else bad

    @property
    def regressed(self) -> bool:
        """A peer that became slower is no fault of this package's."""
        return self.ours and self.verdict in ("slower", "worse")

    @property
    def _timed(self) -> bool:
        return self.unit in ("ns", "µs", "ms", "s") or self.unit.endswith("/s")


def changes(old: Run, new: Run) -> list[Change]:
    """All contenders that both runs have, in the order of the new one."""
    found: list[Change] = []
    before = {(row.key, row.unit): (part, row) for part, row in rows_of(old)}
    for part, row in rows_of(new):
        if (row.key, row.unit) in before:
            found.extend(_row_changes(*before[row.key, row.unit], part, row))
    judged = [one for one in found if one.difference is not None]
    corrected = iter(holm([one.difference.p for one in judged if one.difference is not None]))
    return [one if one.difference is None else replace(one, p=next(corrected)) for one in found]


def only_in(one: Run, other: Run) -> list[str]:
    """Rows and contenders that the other run has not."""
    known = {
        (row.key, row.unit): {series.name for series in row.series} for _, row in rows_of(other)
    }
    lines = []
    for _, row in rows_of(one):
        names = known.get((row.key, row.unit))
        if names is None:
            lines.append(f"{row.key} ({row.work}, {row.unit})")
        else:
            missing = [each.name for each in row.series if each.name not in names]
            lines.extend(f"{row.key}, {name}" for name in missing)
    return lines


def rows_of(run: Run) -> Iterator[tuple[PartResult, Row]]:
    """The rows of a run; a place on the x axis of a figure is one too."""
    for result in run.results:
        for row in result.rows:
            yield result, row
        for figure in result.figures:
            places = list(dict.fromkeys(p.x for curve in figure.curves for p in curve.points))
            for place in places:
                series = [
                    Series(curve.name, point.rounds, curve.note)
                    for curve in figure.curves
                    for point in curve.points
                    if point.x == place
                ]
                shown = place if isinstance(place, str) else f"{place:.10g}"
                key = f"{result.part}/{figure.key}@{shown}"
                work = f"{figure.title}, {figure.x_label} {shown}".replace(",  ", ", ")
                unit = "%" if figure.y_percent else figure.y_label
                yield result, _Place(key, work, unit, series, higher=figure.higher_is_better)


class _Place(Row):
    """A row made of a figure, which may say itself what is better."""

    def __init__(
        self, key: str, work: str, unit: str, series: list[Series], *, higher: bool
    ) -> None:
        super().__init__(key, work, unit, series)
        self._higher = higher

    @property
    def higher_is_better(self) -> bool:
        return self._higher


def _row_changes(
    old_part: PartResult, old: Row, new_part: PartResult, new: Row
) -> Iterator[Change]:
    yardstick = _yardstick(old, new)
    before_of = {series.name: series for series in old.series}
    for after in new.series:
        before = before_of.get(after.name)
        if before is None or after.name == yardstick:
            continue
        measured = [_measure(old, before, yardstick), _measure(new, after, yardstick)]
        over = yardstick if all(measured) else None
        sides = [_over(row, series, over) for row, series in ((old, before), (new, after))]
        difference = _difference(old_part, old, new_part, new, *sides)
        yield Change(
            part=new_part.part,
            work=new.work,
            contender=after.name,
            yardstick=over or "–",
            unit=new.unit,
            higher_is_better=new.higher_is_better,
            old=before.median,
            new=after.median,
            difference=difference,
        )


def _difference(
    old_part: PartResult,
    old: Row,
    new_part: PartResult,
    new: Row,
    before: list[float],
    after: list[float],
) -> Difference | None:
    # The rounds of a row of bytes are sizes, the same in both runs: what differs among them is
    # no noise.
    if new.unit == "bytes" and old.work == new.work:
        return compare_pairs(before, after)
    # Which calls of a trace hit is no matter of time: one round tells it exactly.
    if new.unit == "%" and len(before) == len(after) == 1:
        return exact(before[0], after[0])
    if min(len(before), len(after)) < ENOUGH:
        return None
    return compare(batches(before, _blocks(old_part, old)), batches(after, _blocks(new_part, new)))


def _blocks(part: PartResult, row: Row) -> list[int]:
    """How many rounds each process ran; reckoned, for runs that do not say."""
    processes = part.conditions.get("processes", 1)
    rounds = len(row.series[0].rounds)
    if row.blocks or processes == 1 or part.conditions.get("rounds") != rounds:
        return row.blocks
    return [rounds // processes + (number < rounds % processes) for number in range(processes)]


def _yardstick(old: Row, new: Row) -> str | None:
    """The name of what both rows' rounds are divided by; None: nothing."""
    if new.unit in (TIMES, "bytes", "%") or new.unit.startswith(TIMES):
        return None
    common = [
        series.name for series in new.series if any(series.name == o.name for o in old.series)
    ]
    if FUNCTOOLS in common:
        return FUNCTOOLS
    part = new.key.partition("/")[0]
    foreign = [one for one in common if not one.startswith("warp_cache") and part not in _OURS]
    if foreign:
        return foreign[0]
    # The last choice: a few nanoseconds that differ from process to process by some per cent.
    return LOOP if old.loop is not None and new.loop is not None else None


def _measure(row: Row, series: Series, yardstick: str | None) -> list[float]:
    """The yardstick's rounds, where there is one for each round of this contender; else none."""
    if yardstick is None:
        return []
    if yardstick == LOOP:
        against = row.loop or []
    else:
        against = next(one.rounds for one in row.series if one.name == yardstick)
    usable = len(against) == len(series.rounds) and min(against) > 0
    return against if usable else []


def _over(row: Row, series: Series, yardstick: str | None) -> list[float]:
    """A contender's rounds, each over the yardstick's of the same round."""
    if yardstick is None:
        return series.rounds
    against = _measure(row, series, yardstick)
    return [value / measure for value, measure in zip(series.rounds, against, strict=True)]
