"""Figures as a reader sees them: few digits, and no ratio that the rounds do not bear out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.stats import ENOUGH, Ratio, differs, quartiles

NO_DIFFERENCE = "no difference"
TOO_FEW = "too few rounds"
# The unit of rows whose values are ratios themselves.
TIMES = "×"


def number(value: float, digits: int = 2) -> str:
    """Three significant figures or so, without exponents."""
    magnitude = abs(value)
    if magnitude >= 1000:
        return f"{value:,.0f}"
    if magnitude >= 100:
        return f"{value:.0f}"
    if magnitude >= 10:
        return f"{value:.1f}"
    return f"{value:.{digits}f}"


def span(low: float, high: float, digits: int = 2) -> str:
    return f"{number(low, digits)}–{number(high, digits)}"


def ratio_text(ratio: Ratio | None, digits: int = 3) -> str:
    """A ratio, unless its quartiles are further apart than it is from 1."""
    if ratio is None:
        return "–"
    if not ratio.said:
        return TOO_FEW
    return number(ratio.median, digits) if ratio.differs else NO_DIFFERENCE


def ratio_span(ratio: Ratio | None) -> str:
    return "" if ratio is None else span(ratio.low, ratio.high, 3)


def median_text(rounds: Sequence[float], unit: str, digits: int = 2) -> str:
    """The median of the rounds; where they are ratios, under the rule for ratios."""
    median = statistics.median(rounds)
    if unit == TIMES:
        if len(rounds) < ENOUGH:
            return TOO_FEW
        if not differs(median, *quartiles(rounds)):
            return NO_DIFFERENCE
    return number(median, digits)
