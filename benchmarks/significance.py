"""Whether two runs differ by more than noise: Welch's test over batches, Holm's correction.

Rounds of one process are not independent: they share its addresses and hash seed. So the unit is
the *batch*: the rounds of one process, or where a part runs in one process by design a fifth of its
rounds in their order, each summed up by its median, which no single disturbed round can move. The
logarithms of both runs' batches are compared by Welch's t-test, which asks for no equal variances;
the p-values of all rows together are corrected by Holm's method, so that the chance of one wrong
"slower" among them stays below the level.

Welch's test is scipy's. B. L. Welch, Biometrika 34 (1947); S. Holm, Scandinavian Journal of
Statistics 6 (1979); for why processes are the unit: T. Kalibera and R. Jones, Rigorous
benchmarking in reasonable time (2013).
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

LEVEL = 0.05
# The rounds of one process alone are cut into this many batches.
BATCHES = 5
# Fewer batches on one side say nothing of their spread.
FEWEST = 3


@dataclass(frozen=True)
class Difference:
    """The ratio of the second to the first, with its interval at the level, and its p-value."""

    ratio: float
    low: float
    high: float
    p: float


def batches(rounds: Sequence[float], blocks: Sequence[int]) -> list[float]:
    """The median of each process's rounds; of equal pieces, where there was one process alone."""
    if sum(blocks) != len(rounds) or len(blocks) == 1:
        pieces = min(BATCHES, len(rounds))
        cuts = [len(rounds) * piece // pieces for piece in range(pieces + 1)]
        blocks = [end - start for start, end in zip(cuts, cuts[1:], strict=False)]
    found, start = [], 0
    for size in blocks:
        if size > 0:
            found.append(statistics.median(rounds[start : start + size]))
        start += size
    return found


def compare(old: Sequence[float], new: Sequence[float]) -> Difference | None:
    """The difference of two sets of batches; None where it cannot be judged.

    That is with too few batches, or with values of 0 or less, which have no logarithm.
    """
    if min(len(old), len(new)) < FEWEST or min(*old, *new) <= 0:
        return None
    before, after = [math.log(value) for value in old], [math.log(value) for value in new]
    return _difference(
        statistics.fmean(after) - statistics.fmean(before),
        [before, after],
        lambda: stats.ttest_ind(after, before, equal_var=False),
    )


def exact(old: float, new: float) -> Difference | None:
    """The same for values without any noise."""
    if min(old, new) <= 0:
        return None
    return _certain(math.log(new / old))


def compare_pairs(old: Sequence[float], new: Sequence[float]) -> Difference | None:
    """The same for values that belong together one by one, as figures of the same sizes do."""
    if len(old) != len(new) or len(old) < FEWEST or min(*old, *new) <= 0:
        return None
    steps = [math.log(after / before) for before, after in zip(old, new, strict=True)]
    return _difference(statistics.fmean(steps), [steps], lambda: stats.ttest_1samp(steps, 0.0))


def _difference(mean: float, sides: list[list[float]], test: Callable[[], Any]) -> Difference:
    """Of a mean of logarithms, by a test of the values that it was made of."""
    # Of values that never vary, any difference is one; rounding alone is none.
    if max(max(side) - min(side) for side in sides) <= 1e-12:
        return _certain(mean)
    with warnings.catch_warnings():
        # One side may be constant, or nearly so.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = test()
        interval = found.confidence_interval(1 - LEVEL)
    low, high = (math.exp(max(-700.0, min(700.0, float(end)))) for end in interval)
    return Difference(math.exp(mean), low, high, float(found.pvalue))


def _certain(mean: float) -> Difference:
    ratio = math.exp(mean)
    return Difference(ratio, ratio, ratio, 1.0 if abs(mean) <= 1e-12 else 0.0)


def holm(values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the same order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected
