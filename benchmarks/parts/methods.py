"""Hits of cached methods, called as `obj.method(k)`."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders import functools_lru, warp_cached, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU
from benchmarks.workloads import MAX_SIZE, Decorator, one_int
from warp_cache import cache

TITLE = "Methods"

PER_INSTANCE = "warp_cache.cache, per_instance"


def run(harness: Harness) -> None:
    """One instance, one int; the instance is part of the key."""
    keys = one_int()
    contenders = [
        Contender(FUNCTOOLS, _instance(functools_lru(MAX_SIZE))),
        Contender(WARP_LRU, _instance(warp_lru(MAX_SIZE))),
        Contender(WARP_CACHE, _instance(warp_cached(MAX_SIZE))),
        Contender(PER_INSTANCE, _instance(cache(max_size=MAX_SIZE, per_instance=True))),
    ]
    for contender in contenders:
        for (key,) in keys:
            contender.target.method(key)
    harness.calls("int", "hit, obj.method(1 int)", contenders, keys, call="f.method({0})")
    bound = [Contender(one.name, one.target.method, one.note) for one in contenders]
    harness.calls("bound", "hit, bound once: method(1 int)", bound, keys)
    harness.figure("methods", "A hit of a method", kind="bars", y_label="ns", rows=["int", "bound"])
    for contender in contenders:
        misses = type(contender.target).method.cache_info()[1]
        if misses != len(keys):
            raise AssertionError(f"{contender.name}: {misses} misses for {len(keys)} keys")


def _instance(decorator: Decorator) -> Any:
    """An object of a class of its own, so that no contender shares a type's method cache."""

    def method(self: object, a: int) -> int:
        return a

    return type("Holder", (), {"method": decorator(method)})()
