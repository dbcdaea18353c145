"""Hits by kind of key, against `functools.lru_cache`."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.contenders import functools_lru, warp_cached, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.loops import Key
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU
from benchmarks.workloads import (
    MAX_SIZE,
    Counted,
    again,
    cached,
    int_pairs,
    one_int,
    one_str,
    require_computed,
    str_int_pairs,
)

TITLE = "Hits"

FACTORIES = {FUNCTOOLS: functools_lru, WARP_LRU: warp_lru, WARP_CACHE: warp_cached}


def run(harness: Harness) -> None:
    """By kind of key; then one key alone, and keys that are equal but made anew."""
    ints, strings = one_int(), one_str()
    _row(harness, "int", "1 int, 16 keys in turn", ints)
    _row(harness, "str", "1 str, 16 keys in turn", strings)
    _row(harness, "two-ints", "2 ints", int_pairs(), "f({0}, {1})")
    _row(harness, "str-int", "str + int", str_int_pairs(), "f({0}, {1})")
    _row(harness, "keyword", "keyword call, f(a, b=c)", int_pairs(), "f({0}, b={1})")
    _row(harness, "int-one", "1 int, always the same", [(1000,)])
    _row(harness, "str-one", "1 str, always the same", [("name",)])
    _row(harness, "int-equal", "1 int, equal but another object", ints, asked=again(ints))
    _row(harness, "str-equal", "1 str, equal but another object", strings, asked=again(strings))
    harness.figure(
        "hits",
        "Hits by kind of key",
        kind="bars",
        y_label="ns",
        rows=["int", "str", "two-ints", "str-int", "keyword"],
    )


def _row(
    harness: Harness,
    key: str,
    work: str,
    keys: Sequence[Key],
    call: str = "f({0})",
    asked: Sequence[Key] | None = None,
) -> None:
    counted = {name: Counted("a" if len(keys[0]) == 1 else "a, b") for name in FACTORIES}
    contenders = [
        cached(name, make(MAX_SIZE), counted[name], keys) for name, make in FACTORIES.items()
    ]
    if "=" in call:
        _fill_by_keyword(contenders, keys)
    expected = {name: len(one.computed) for name, one in counted.items()}
    harness.calls(key, work, contenders, asked or keys, call=call)
    for name, one in counted.items():
        require_computed(name, one, expected[name])


def _fill_by_keyword(contenders: Sequence[Contender], keys: Sequence[Key]) -> None:
    """`lru_cache` keeps `f(a, c)` and `f(a, b=c)` apart, so it needs the timed spelling too."""
    for contender in contenders:
        for a, b in keys:
            contender.target(a, b=b)
