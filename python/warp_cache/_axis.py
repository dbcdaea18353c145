"""The axes of charts: the way from values to pixels, and the ticks along it."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Axis", "short"]


class Axis:
    """One axis: ``most`` says how many ticks there may be, about."""

    start, end = 0.0, 1.0

    def __init__(
        self, values: Sequence[float], most: int, log: bool, percent: bool, from_zero: bool
    ) -> None:
        if not all(math.isfinite(value) for value in values):
            raise ValueError("the values of a chart must be finite numbers")
        self.log, self.percent = log, percent
        low, high = min(values), max(values)
        if log:
            if low <= 0:
                raise ValueError(f"a logarithmic axis needs positive values, got {low!r}")
            self.low, self.high = (low, high) if low < high else (low / 2, high * 2)
            self.ticks = _log_ticks(self.low, self.high, most)
        else:
            if from_zero:
                low, high = min(low, 0.0), max(high, 0.0)
            if low == high:
                high = low + (1.0 if low == 0 else abs(low) * 0.1)
            step = _step((high - low) / most)
            first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
            self.ticks = [number * step for number in range(first, last + 1)]
            # An axis from zero ends with a tick; one that need not, with its last value.
            self.low, self.high = (self.ticks[0], self.ticks[-1]) if from_zero else (low, high)
            self.ticks = [t for t in self.ticks if self.low - 1e-9 <= t <= self.high + 1e-9]

    def place(self, start: float, end: float) -> None:
        """Say which pixels the lowest and the highest value have."""
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def label(self, value: float) -> str:
        if not self.percent:
            return short(value)
        decimals = 0 if len(self.ticks) < 2 or self.ticks[1] - self.ticks[0] >= 0.0099 else 1
        return f"{value * 100:.{decimals}f} %"


def _step(least: float) -> float:
    """The smallest of 1, 2, 5 and their tenfolds that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999)


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten, with multiples where there is room, else some of the powers."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks: list[float] = []
    for every, factors in [
        (1, (1, 2, 5)),
        (1, (1, 3)),
        *((every, (1,)) for every in range(1, 400)),
    ]:
        powers = range(first, last + 1, every)
        ticks = [10.0**power * factor for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= most:
            break
    return ticks or [low, high]


def short(value: float) -> str:
    """A number to read, of three digits: 0.25, 12.5, 340, 1.5k, 20M."""
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if limit * 0.9995 <= abs(value) < 1e15:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"
