"""Whether two runs differ by more than noise: Welch's test over batches, Holm's correction.

Rounds of one process are not independent: they share its addresses and hash seed. So the unit is
the *batch*: the rounds of one process, or where a part runs in one process by design a fifth of its
rounds in their order, each summed up by its median, which no single disturbed round can move. The
logarithms of both runs' batches are compared by Welch's t-test, which asks for no equal variances;
the p-values of all rows together are corrected by Holm's method, so that the chance of one wrong
"slower" among them stays below the level.

B. L. Welch, Biometrika 34 (1947); S. Holm, Scandinavian Journal of Statistics 6 (1979); for why
processes are the unit: T. Kalibera and R. Jones, Rigorous benchmarking in reasonable time (2013).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

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
    shares = [statistics.variance(side) / len(side) for side in (before, after)]
    degrees = 1.0
    if sum(shares) > 0:
        degrees = sum(shares) ** 2 / sum(
            share**2 / (len(side) - 1) for share, side in zip(shares, (before, after), strict=True)
        )
    return _difference(statistics.fmean(after) - statistics.fmean(before), sum(shares), degrees)


def exact(old: float, new: float) -> Difference | None:
    """The same for values without any noise."""
    if min(old, new) <= 0:
        return None
    return _difference(math.log(new / old), 0.0, 1.0)


def compare_pairs(old: Sequence[float], new: Sequence[float]) -> Difference | None:
    """The same for values that belong together one by one, as figures of the same sizes do."""
    if len(old) != len(new) or len(old) < FEWEST or min(*old, *new) <= 0:
        return None
    steps = [math.log(after / before) for before, after in zip(old, new, strict=True)]
    return _difference(
        statistics.fmean(steps), statistics.variance(steps) / len(steps), len(steps) - 1.0
    )


def _difference(mean: float, variance: float, degrees: float) -> Difference:
    """Of a mean of logarithms with the variance of that mean."""
    error = math.sqrt(variance)
    # Of values that never vary, any difference is one; rounding alone is none.
    if error <= 1e-12:
        p = 1.0 if abs(mean) <= 1e-12 else 0.0
        return Difference(math.exp(mean), math.exp(mean), math.exp(mean), p)
    reach = error * _critical(degrees)
    low, high = (math.exp(max(-700.0, min(700.0, mean + side))) for side in (-reach, reach))
    return Difference(math.exp(mean), low, high, two_sided(mean / error, degrees))


def holm(values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the same order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected


def two_sided(t: float, degrees: float) -> float:
    """The chance of a |t| as large as this under Student's distribution."""
    return _beta(degrees / (degrees + t * t), degrees / 2, 0.5)


def _critical(degrees: float) -> float:
    """The |t| whose chance is the level, by bisection."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        if two_sided(middle, degrees) > LEVEL:
            low = middle
        else:
            high = middle
    return high


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction and Lentz's method."""
    if x <= 0.0 or x >= 1.0:
        return min(1.0, max(0.0, x))
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta(1.0 - x, b, a)
    scale = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    for step in range(400):
        m = step // 2
        if step == 0:
            factor = 1.0
        elif step % 2 == 0:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / (1.0 + factor * d or tiny)
        c = 1.0 + factor / c or tiny
        value *= c * d
        if abs(1.0 - c * d) < 1e-14:
            break
    return scale * (value - 1.0) / a
