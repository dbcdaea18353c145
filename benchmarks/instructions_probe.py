"""The process whose instructions are counted: `instructions_probe KIND {"CONTENDER": TURNS, …}`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import functools_lru, warp_cached, warp_lru, warp_strategy
from benchmarks.loops import Key, Loop
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU
from benchmarks.workloads import MAX_SIZE, Counted, Decorator, int_pairs, one_int, one_str

LOOP = "the loop itself"
WARM_UP = 4


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

DECORATORS: dict[str, Decorator] = {
    FUNCTOOLS: functools_lru(MAX_SIZE),
    WARP_LRU: warp_lru(MAX_SIZE),
    WARP_CACHE: warp_cached(MAX_SIZE),
    f"{WARP_CACHE}, MRU": warp_strategy("MRU", MAX_SIZE),
    f"{WARP_CACHE}, FIFO": warp_strategy("FIFO", MAX_SIZE),
    f"{WARP_CACHE}, LFU": warp_strategy("LFU", MAX_SIZE),
}


def main(kind: str, turns: dict[str, int]) -> None:
    of_kind = KINDS[kind]
    parameters = "a, b" if "{1}" in of_kind.call else "a"
    for name, number in turns.items():
        loop = Loop(of_kind.call, of_kind.keys, empty=name == LOOP)
        target: Any = None
        if name != LOOP:
            target = DECORATORS[name](Counted(parameters).function)
        # Fills the cache, and lets the interpreter specialise the loop.
        loop.time(target, WARM_UP)
        loop.time(target, number)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
