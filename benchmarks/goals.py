"""The goals that the figures are held against; each as the issue that set them states it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.model import (
    CASHEWS,
    DOGPILE,
    GLIDE_NEAR,
    LISTENER,
    NOT_LISTENING,
    REDIS_PY_NEAR,
    SHARED_CACHE,
    SHARED_LRU,
    WARP_CACHE,
    WARP_LRU,
    Row,
    Series,
)
from benchmarks.numbers import median_text, number, ratio_text
from benchmarks.stats import quartiles

# Where the limit lies between quartiles that are further apart than this part of the median,
# nothing is decided.
UNCLEAR = 0.2


@dataclass(frozen=True)
class Interpreter:
    """What a goal may depend on."""

    minor: tuple[int, int]
    pgo: bool
    free_threaded: bool

    @classmethod
    def of(cls, machine: dict[str, Any]) -> Interpreter:
        python = machine["python"]
        major, minor = python["version"].split(".")[:2]
        return cls((int(major), int(minor)), python["pgo"], python["free_threaded"])


@dataclass(frozen=True)
class Goal:
    """A bound for one quantity of a contender.

    `ratio` is the ratio to the row's first contender with the loop's cost left in, `median` and
    `worst` are the contender's own value in the row's unit.
    """

    limit: float
    sense: Literal["<=", ">="] = "<="
    of: Literal["ratio", "median", "worst"] = "ratio"

    def value(self, row: Row, series: Series) -> float | None:
        if self.of == "median":
            return series.median
        if self.of == "worst":
            return max(series.rounds) if self.sense == "<=" else min(series.rounds)
        ratio = row.ratio(series)
        return None if ratio is None else ratio.median

    def verdict(self, row: Row, series: Series) -> str:
        """Met, missed, or unclear: where the rounds differ too much to say."""
        value, ratio = self.value(row, series), row.ratio(series)
        if value is None or ratio is None or not ratio.said:
            return "unclear"
        if self.of == "ratio":
            low, high = ratio.low, ratio.high
            if self.limit == 1.0 and not ratio.differs:
                return "met"
        else:
            low, high = quartiles(series.rounds)
        if self.of != "worst" and high - low > UNCLEAR * value and low <= self.limit <= high:
            return "unclear"
        fulfilled = value <= self.limit if self.sense == "<=" else value >= self.limit
        return "met" if fulfilled else "missed"

    def measured(self, row: Row, series: Series) -> str:
        """What the limit is held against, as a reader sees it."""
        if self.of == "ratio":
            return ratio_text(row.ratio(series))
        if self.of == "median":
            return median_text(series.rounds, row.unit, 3)
        value = self.value(row, series)
        return "–" if value is None else number(value, 3)

    def __str__(self) -> str:
        of_what = " at worst" if self.of == "worst" else ""
        return f"{'≤' if self.sense == '<=' else '≥'} {self.limit:g}{of_what}"


def _by_build(pgo_311: float, pgo_314: float, others: float) -> Callable[[Interpreter], Goal]:
    def goal(interpreter: Interpreter) -> Goal:
        if interpreter.free_threaded:
            return Goal(0.7)
        if interpreter.pgo and interpreter.minor == (3, 11):
            return Goal(pgo_311)
        if interpreter.pgo and interpreter.minor == (3, 14):
            return Goal(pgo_314)
        return Goal(others)

    return goal


def _always(goal: Goal) -> Callable[[Interpreter], Goal | None]:
    return lambda interpreter: goal


def _on_pgo_311(goal: Goal) -> Callable[[Interpreter], Goal | None]:
    return lambda interpreter: goal if interpreter.pgo and interpreter.minor == (3, 11) else None


def _async(interpreter: Interpreter) -> Goal:
    return Goal(1.2 if interpreter.minor <= (3, 11) else 1.4)


OURS = (WARP_LRU, WARP_CACHE)
SHARED = (SHARED_LRU, SHARED_CACHE)
AMONG_MANY = "among 1,000,000 entries"

# Row, then the contenders that the goal is set for, then the goal itself.
_GOALS: list[tuple[str, tuple[str, ...], Callable[[Interpreter], Goal | None]]] = [
    ("hits/int", OURS, _by_build(0.70, 0.78, 0.50)),
    ("hits/str", OURS, _by_build(0.65, 0.68, 0.42)),
    ("hits/two-ints", OURS, _always(Goal(0.62))),
    ("hits/keyword", OURS, _always(Goal(0.40))),
    ("strategies/int", ("MRU", "FIFO"), _always(Goal(1.0))),
    ("strategies/int", ("LFU",), _always(Goal(1.2))),
    ("methods/int", OURS, _always(Goal(0.70))),
    ("methods/int", ("warp_cache.cache, per_instance",), _always(Goal(0.75))),
    ("methods/bound", (*OURS, "warp_cache.cache, per_instance"), _always(Goal(0.75))),
    # Those that are told as multiples of ours: 0.4 and 1.1 from the other side.
    ("keys/key", ("cachetools",), _always(Goal(2.5, ">="))),
    ("keys/async", ("async-lru",), _always(Goal(2.5, ">="))),
    ("keys/cost", ("a hit, and the key function",), _always(Goal(0.91, ">="))),
    ("peers/int", ("cachebox", "moka-py", "cachetools"), _always(Goal(12, ">="))),
    ("async/hit", OURS, _async),
    ("ttl/int", ("with ttl",), _always(Goal(1.08))),
    ("lifetimes/hit", ("with tti",), _always(Goal(1.15))),
    ("lifetimes/hit", ("with stale_while_revalidate, fresh",), _always(Goal(1.0))),
    ("lifetimes/stale", ("stale, its refresh under way",), _always(Goal(2))),
    ("lifetimes/store", ("random lifetimes",), _always(Goal(1.3))),
    ("invalidation/hit", ("with tags",), _always(Goal(1.15))),
    ("invalidation/hit-shared", ("with tags",), _always(Goal(1.15))),
    ("invalidation/miss", OURS, _always(Goal(0.3))),
    ("invalidation/tags-memory", (AMONG_MANY,), _always(Goal(6))),
    ("invalidation/tags-shared", (AMONG_MANY,), _always(Goal(2))),
    ("misses/function", (WARP_LRU,), _on_pgo_311(Goal(0.74))),
    ("misses/function", (WARP_CACHE,), _on_pgo_311(Goal(0.85))),
    ("memory/entry", OURS, _always(Goal(56, of="worst"))),
    ("imports/wall", ("warp_cache",), _always(Goal(6, of="median"))),
    ("imports/before", ("warp_cache",), _always(Goal(1.0))),
    ("imports/before-statement", ("warp_cache",), _always(Goal(1.0))),
    ("threads/different-scaling", OURS, _always(Goal(0.95, ">="))),
    ("threads/hot-scaling", OURS, _always(Goal(1.8, ">=", "median"))),
    ("shared/int", SHARED, _always(Goal(0.40))),
    ("shared/dict", SHARED, _always(Goal(0.30))),
    ("shared/bytes", SHARED, _always(Goal(0.30))),
    ("shared/memory", SHARED, _always(Goal(1.8))),
    ("shared/first", SHARED, _always(Goal(1.5))),
    ("shared/dataclass", (f"{SHARED_CACHE}, copy=False",), _always(Goal(1.8))),
    ("shared/miss", SHARED, _always(Goal(1.3))),
    ("shared/write", SHARED, _always(Goal(0.05))),
    # The peers as multiples of ours: 0.5, 0.15, 0.3, 0.1, 0.03 and 0.05 from the other side.
    ("object/item", ("warp_cache.Cache",), _always(Goal(1.6))),
    ("object/get", ("warp_cache.Cache",), _always(Goal(1.6))),
    ("object/item-peers", ("cachebox",), _always(Goal(2, ">="))),
    ("object/item-peers", ("cachetools",), _always(Goal(6.7, ">="))),
    ("object/get-peers", ("cachebox",), _always(Goal(2, ">="))),
    ("object/get-peers", ("cachetools",), _always(Goal(6.7, ">="))),
    ("object/django-get", ("LocMemCache",), _always(Goal(3.3, ">="))),
    ("object/django-get", ("FileBasedCache",), _always(Goal(10, ">="))),
    ("object/django-redis", ("RedisCache",), _always(Goal(33, ">="))),
    ("object/django-aget", ("LocMemCache",), _always(Goal(20, ">="))),
    ("object/limits", ("WarpStorage",), _always(Goal(1.0))),
    ("shared/processes-scaling", SHARED, _always(Goal(1.7, ">=", "median"))),
    ("remote/near", (WARP_CACHE,), _always(Goal(1.15))),
    # Those that are told as multiples of ours: 1/500, 1/300 and 1/400 from the other side.
    ("remote/near-peers", (REDIS_PY_NEAR,), _always(Goal(500, ">="))),
    ("remote/near-peers", (GLIDE_NEAR,), _always(Goal(300, ">="))),
    ("remote/near-async", (CASHEWS,), _always(Goal(400, ">="))),
    ("remote/far", (WARP_CACHE,), _always(Goal(0.7))),
    ("remote/far-cpu", (WARP_CACHE,), _always(Goal(0.5))),
    ("remote/far-threads", (WARP_CACHE,), _always(Goal(2.5, ">="))),
    ("remote/far-gather", (WARP_CACHE,), _always(Goal(0.25))),
    ("remote/far-await", (WARP_CACHE,), _always(Goal(1.0))),
    # 1/50 and 1/3 from the other side.
    ("remote/once", (DOGPILE,), _always(Goal(50, ">="))),
    ("remote/once", (CASHEWS,), _always(Goal(3, ">="))),
    ("remote/seen", (WARP_CACHE,), _always(Goal(1, of="median"))),
    # At least 0.9 of the calls a second.
    ("remote/down", (WARP_CACHE,), _always(Goal(1.11))),
    ("remote/idle", (LISTENER, NOT_LISTENING), _always(Goal(0.1, of="median"))),
]


def goal_for(row: Row, series: Series, interpreter: Interpreter) -> Goal | None:
    """The goal of this contender in this row, if one was set for this interpreter."""
    for key, contenders, make in _GOALS:
        if key == row.key and series.name in contenders:
            return make(interpreter)
    return None
