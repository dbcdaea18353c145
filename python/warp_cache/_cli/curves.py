"""Hit ratios of a workload by strategy and size, found by replaying it through the cache itself."""

from __future__ import annotations

from dataclasses import dataclass

from warp_cache._strategies import Strategy
from warp_cache._warp_cache_rs import _replay, _sample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from warp_cache._cli.traces import Workload

__all__ = ["Curves", "measure"]

_SIZES = 12
# The smallest size, as a part of the different keys.
_SMALLEST = 0.001
# Above so many calls, a part of the keys stands for all of them.
_MOST_CALLS = 20_000_000
# Different keys that a sample has at least, about.
_FEWEST_KEYS = 10_000


@dataclass(frozen=True)
class Curves:
    """What was measured of a workload, with ratios between 0 and 1 for each of the sizes."""

    workload: Workload
    sizes: list[int]
    ratios: dict[Strategy, list[float]]
    optimum: list[float]
    """Belady's: no strategy can be above it."""
    keys: array[int]
    rate: float
    """The part of the keys that were replayed: 1, or less in a workload that is very large."""

    def at(self, strategy: Strategy, sizes: Sequence[int]) -> list[float]:
        """The hit ratios of one strategy at other sizes. O(calls) for each."""
        jobs = [(int(strategy), _scaled(size, self.rate)) for size in sizes]
        return _ratios(self.keys, jobs)

    def all_at(self, size: int) -> dict[Strategy, float]:
        """The hit ratios of all strategies at another size. O(calls) for each."""
        jobs = [(int(strategy), _scaled(size, self.rate)) for strategy in Strategy]
        return dict(zip(Strategy, _ratios(self.keys, jobs), strict=True))


def measure(workload: Workload, sizes: Sequence[int] | None = None) -> Curves:
    """Replay a workload through every strategy and Belady's optimum. O(calls) for each size.

    Of more than 20 million calls a part of the keys is replayed, chosen by their hashes, with sizes
    to scale (SHARDS: Waldspurger, Park, Garthwaite and Ahmad, FAST 2015); but never of so few keys
    that their part would not stand for them.
    """
    keys = workload.keys
    rate = min(1.0, max(_MOST_CALLS / len(keys), _FEWEST_KEYS / workload.unique))
    if rate < 1:
        keys = type(keys)("I", _sample(keys, rate))
    chosen = list(sizes) if sizes else spaced(workload.unique)
    strategies: list[Strategy | None] = [*Strategy, None]
    jobs = [
        (None if strategy is None else int(strategy), _scaled(size, rate))
        for strategy in strategies
        for size in chosen
    ]
    found = _ratios(keys, jobs)
    rows = [found[at : at + len(chosen)] for at in range(0, len(found), len(chosen))]
    ratios = dict(zip(Strategy, rows, strict=False))
    return Curves(workload, chosen, ratios, rows[-1], keys, rate)


def spaced(unique: int) -> list[int]:
    """Sizes from a thousandth of the different keys up to all of them, each by the same factor."""
    low = max(1.0, unique * _SMALLEST)
    factor = (unique / low) ** (1 / (_SIZES - 1))
    return sorted({round(low * factor**step) for step in range(_SIZES)})


def _scaled(size: int, rate: float) -> int:
    return max(1, round(size * rate))


def _ratios(keys: array[int], jobs: Sequence[tuple[int | None, int]]) -> list[float]:
    return [1 - misses / len(keys) for misses in _replay(keys, jobs)]
