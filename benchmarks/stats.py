"""Robust summaries of rounds: medians, quartiles, and when a ratio says nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third quartile; the value itself, twice, where there is only one."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


@dataclass(frozen=True)
class Ratio:
    """The median of the ratios of all rounds, and their quartiles."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        return self.high - self.low

    @property
    def differs(self) -> bool:
        """Whether the distance from 1 is larger than the spread."""
        return abs(self.median - 1.0) > self.spread


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
    return Ratio(statistics.median(ratios), low, high)
