"""One sentence: which strategy and size to take, and what that buys."""

from __future__ import annotations

import math
from dataclasses import dataclass

from warp_cache._strategies import Strategy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from warp_cache._cli.curves import Curves

__all__ = ["Advice", "advise", "percent"]

# The size to take has this part of the hits that the largest one would have.
_ENOUGH = 0.9
# Half a point: below it, strategies do not differ.
_MATTERS = 0.005


@dataclass(frozen=True)
class Advice:
    """What to take; neither a strategy nor a size where nothing helps."""

    strategy: Strategy | None
    size: int | None
    """None with a strategy: what is there, which has no bound, is to be kept."""
    ratio: float
    sentence: str
    goal: str = ""
    """What was looked for, in words; empty where nothing was."""


def percent(ratio: float) -> str:
    """A ratio to read; it does not say all or nothing where it is not."""
    points = ratio * 100
    decimals = 1 if 0 < points < 9.95 or 99 < points < 100 else 0
    text = f"{points:.{decimals}f}"
    if text in ("0.0", "100.0") and 0 < points < 100:
        text = "less than 0.1" if points < 50 else "more than 99.9"
    return f"{text} %"


def advise(curves: Curves, only_these: bool = False) -> Advice:
    """The least size with nine tenths of the possible hits, and the strategy that has most there.

    Where no size has as many, the one with most.

    Never one with fewer hits than the recorded function has as it is. LRU is taken where no other
    strategy is better by half a point with that size. only_these: among the sizes that were
    measured, with no others between them.
    """
    calls, unique = len(curves.workload.keys), curves.workload.unique
    most = (calls - unique) / calls
    if calls == unique:
        what = f"each of the {calls} calls has a key of its own" if calls > 1 else "of one call"
        return Advice(None, None, 0.0, f"No cache of any size helps: {what}.")
    if most < _MATTERS:
        sentence = (
            f"A cache hardly helps: {percent(most)} of the {calls} calls repeat a key, so no size "
            "brings more hits than that."
        )
        return Advice(None, None, most, sentence)

    now = _now(curves)
    least = 0.0 if now is None else now
    enough = max(most * _ENOUGH, least)
    best = [max(ratios) for ratios in zip(*curves.ratios.values(), strict=True)]
    at = _first(best, enough)
    if at == len(best):
        at = best.index(max(best))
    share = f"{percent(_ENOUGH)} of the hits that any cache could have"
    goal = f"the least {'of these sizes' if only_these else 'size'} with {share}"
    if best[at] < most * _ENOUGH:
        goal = f"the most hits of these sizes, none of which has {share}"
    size, ratios = curves.sizes[at], {of: found[at] for of, found in curves.ratios.items()}
    if not only_these and at > 0 and best[at] >= enough:
        size, ratios = _smallest(curves, at, enough) or (size, ratios)
    strategy = max(ratios, key=lambda strategy: ratios[strategy])
    lru = ratios[Strategy.LRU]
    if ratios[strategy] - lru < _MATTERS and lru >= least:
        if lru < enough <= ratios[strategy]:
            goal += ", half a point or less below that with LRU"
        strategy = Strategy.LRU
    ratio = ratios[strategy]
    if now is not None:
        goal += ", and with no fewer than now"
        if ratio < now or _is_as_good(curves, strategy, size, ratio, now, enough):
            return _keep(curves, now, most, goal, only_these)

    chosen = f"strategy=Strategy.{strategy.name}, max_size={size}"
    parts = [f"{chosen}: {percent(ratio)} of calls are hits"]
    workload = curves.workload
    if strategy is Strategy.LRU:
        verb = "keep" if workload.strategy in (None, Strategy.LRU) else "take"
        parts.append(f", of {percent(most)} at most, and no other strategy is better by half a ")
        parts.append(f"point: {verb} LRU")
    else:
        parts.append(f", {_compared(curves, size, ratio, only_these)}")
        parts.append(f"; no cache can have more than {percent(most)}")
    if now is not None:
        parts.append(f" (now {_as_it_is(curves)}: {percent(now)})")
    return Advice(strategy, size, ratio, "".join([*parts, "."]), goal)


def _is_as_good(
    curves: Curves, strategy: Strategy, size: int, ratio: float, now: float, enough: float
) -> bool:
    """Whether what the recorded function has is no larger than what was found, and does as well."""
    limit = curves.workload.max_size
    if limit is None or limit > size:
        return False
    if limit < size or strategy is curves.workload.strategy:
        return limit == size or now >= enough
    if ratio - now >= _MATTERS:
        return False
    smaller = [at for at, measured in enumerate(curves.sizes) if measured < size]
    return all(ratios[at] < now for ratios in curves.ratios.values() for at in smaller)


def _keep(curves: Curves, now: float, most: float, goal: str, only_these: bool) -> Advice:
    workload = curves.workload
    other = "no smaller size that was tried"
    if only_these:
        other = "none of these sizes"
        if any(ratio >= now for ratios in curves.ratios.values() for ratio in ratios):
            other += " that is smaller"
    sentence = (
        f"Keep {_as_it_is(curves)}: {percent(now)} of calls are hits, of {percent(most)} at most, "
        f"and {other} has as many hits."
    )
    return Advice(workload.strategy, workload.max_size, now, sentence, goal)


def _first(ratios: list[float], enough: float) -> int:
    """The first that is enough, or how many there are if none is."""
    return next((at for at, ratio in enumerate(ratios) if ratio >= enough), len(ratios))


def _smallest(curves: Curves, at: int, enough: float) -> tuple[int, dict[Strategy, float]] | None:
    """The least size between two that were measured, in two digits, with which a strategy has
    enough, and what all of them have with it.
    """
    candidates = _round_sizes(curves.sizes[at - 1], curves.sizes[at])
    found = _bisect(candidates, lambda size: max(curves.all_at(size).values()), enough)
    return None if found is None else (found[0], curves.all_at(found[0]))


def _bisect(
    sizes: list[int], ratio_at: Callable[[int], float], enough: float
) -> tuple[int, float] | None:
    low, high, found = 0, len(sizes), None
    while low < high:
        middle = (low + high) // 2
        ratio = ratio_at(sizes[middle])
        if ratio >= enough:
            high, found = middle, (sizes[middle], ratio)
        else:
            low = middle + 1
    return found


def _round_sizes(low: int, high: int) -> list[int]:
    """Sizes between two, of at most two digits but for zeros."""
    sizes: list[int] = []
    size = low
    while True:
        step = 10 ** max(0, math.floor(math.log10(size)) - 1)
        size = (size // step + 1) * step
        if size >= high:
            return sizes
        sizes.append(size)


def _compared(curves: Curves, size: int, ratio: float, only_these: bool) -> str:
    """How LRU stands beside it."""
    lru = curves.ratios[Strategy.LRU]
    at = _first(lru, ratio)
    if at == len(lru) or only_these:
        there = curves.at(Strategy.LRU, [size])[0]
        return f"where LRU has {percent(there)} with this size"
    candidates = _round_sizes(max(size, curves.sizes[at - 1] if at else 1), curves.sizes[at])
    found = _bisect(candidates, lambda size: curves.at(Strategy.LRU, [size])[0], ratio)
    return f"as many as LRU with {found[0] if found else curves.sizes[at]}"


def _now(curves: Curves) -> float | None:
    """The hit ratio of the recorded function as it is; None where that is not known."""
    workload = curves.workload
    if workload.strategy is None:
        return None
    limit = workload.unique if workload.max_size is None else workload.max_size
    return curves.at(workload.strategy, [limit])[0] if limit else 0.0


def _as_it_is(curves: Curves) -> str:
    workload = curves.workload
    assert workload.strategy is not None
    return f"{workload.strategy.name} with max_size={workload.max_size}"
