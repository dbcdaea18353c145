"""The process whose instructions are counted: `instructions_probe TURNS KIND:CONTENDER…`.

For each pair it warms up, marks, runs the loop TURNS times, and marks again.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import warp_cache
from benchmarks.callgrind import mark
from benchmarks.contenders import functools_lru, warp_cached, warp_lru, warp_strategy
from benchmarks.loops import Key, Loop
from benchmarks.model import FUNCTOOLS, SHARED_CACHE, WARP_CACHE, WARP_LRU
from benchmarks.workloads import MAX_SIZE, Counted, Decorator, int_pairs, one_int, one_str

LOOP = "the loop itself"
# Fills the cache, and lets the interpreter specialise the loop.
WARM_UP = 16


@dataclass(frozen=True)
class Kind:
    """A way to call, and the keys to call with."""

    title: str
    call: str
    keys: Sequence[Key]


KINDS = {
    "int": Kind("1 int", "f({0})", one_int()),
    "str": Kind("1 str", "f({0})", one_str()),
    "two-ints": Kind("2 ints", "f({0}, {1})", int_pairs()),
    "keyword": Kind("keyword call", "f({0}, b={1})", int_pairs()),
}


def of_strategy(strategy: warp_cache.Strategy) -> str:
    return f"{WARP_CACHE}, {strategy.name}"


def _shared(function: Any) -> Any:
    return warp_cache.cache(max_size=MAX_SIZE, backend="shared", name="instructions")(function)


STRATEGIES: dict[str, Decorator] = {
    of_strategy(one): warp_strategy(one.name, MAX_SIZE) for one in warp_cache.Strategy
}
DECORATORS: dict[str, Decorator] = {
    FUNCTOOLS: functools_lru(MAX_SIZE),
    WARP_LRU: warp_lru(MAX_SIZE),
    WARP_CACHE: warp_cached(MAX_SIZE),
    SHARED_CACHE: _shared,
    **STRATEGIES,
}


def main(turns: int, cases: Sequence[str]) -> None:
    # A collection would count where it happens to fall.
    gc.disable()
    loops = [_prepared(*case.split(":", 1)) for case in cases]
    mark()
    for loop, target in loops:
        loop.time(target, turns)
        mark()


def _prepared(kind: str, name: str) -> tuple[Loop, Any]:
    of_kind = KINDS[kind]
    loop = Loop(of_kind.call, of_kind.keys, empty=name == LOOP)
    target: Any = None
    if name != LOOP:
        target = DECORATORS[name](Counted("a, b" if "{1}" in of_kind.call else "a").function)
    loop.time(target, WARM_UP)
    return loop, target


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
