"""Robust summaries of rounds: medians, quartiles, and when a ratio says nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Quartiles of fewer rounds say nothing of the spread.
ENOUGH = 3


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third quartile; the value itself, twice, where there is only one."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def differs(median: float, low: float, high: float) -> bool:
    """Whether a ratio's distance from 1 is larger than the distance of its quartiles."""
    return abs(median - 1.0) > high - low


@dataclass(frozen=True)
class Ratio:
    """The median of the ratios of all rounds, and their quartiles."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def said(self) -> bool:
        """Whether there are rounds enough to have quartiles at all."""
        return self.rounds >= ENOUGH

    @property
    def spread(self) -> float:
        return self.high - self.low

    @property
    def differs(self) -> bool:
        """Whether the ratio says anything: it is further from 1 than its quartiles are apart."""
        return self.said and differs(self.median, self.low, self.high)


def ratio_of(
    values: Sequence[float], base: Sequence[float], loop: Sequence[float] | None = None
) -> Ratio | None:
    """Ratio to the base, round by round; the loop's cost in that round is subtracted if given."""
    overhead = loop if loop is not None else [0.0] * len(base)
    ratios = [
        (value - cost) / (reference - cost)
        for value, reference, cost in zip(values, base, overhead, strict=True)
        if reference - cost > 0 and math.isfinite(value)
    ]
    if not ratios:
        return None
    low, high = quartiles(ratios)
    return Ratio(statistics.median(ratios), low, high, len(ratios))
