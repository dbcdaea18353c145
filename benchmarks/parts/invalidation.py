"""Entries that are dropped: one by its arguments, ten by their tag; and what tags cost a hit."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.contenders import Peer, load, warp_cached, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.loops import UNROLL, Loop
from benchmarks.model import WARP_CACHE, WARP_LRU
from benchmarks.parts.misses import plain
from benchmarks.parts.shared import private_folder
from benchmarks.peers import (
    AIOCACHE,
    ASYNC_LRU,
    CACHETOOLS,
    CACHETOOLS_BARE,
    DOGPILE_TTL,
    TTL,
)
from benchmarks.workloads import (
    MAX_SIZE,
    Counted,
    Decorator,
    Function,
    cached,
    one_int,
    require_computed,
)
from warp_cache import cache

TITLE = "Invalidation and tags"

FEW = 10**3
MANY = 10**6
QUICK_MANY = 10**5
# Entries of a tag.
GROUP = 10
# Tags that are dropped, one after the other, before their entries are stored again.
DROPPED = 6 * UNROLL
# Of invalidations alone: to store the entries again takes a hundred times as long.
SAMPLE_MS = 0.5
# Sets of them, so that they do not stay in the processor's caches.
BATCHES = 32
SEED = 13


def run(harness: Harness) -> None:
    """Hits with tags, then invalidations of one entry, then of all that have a tag."""
    _hits(harness, "hit", {})
    _misses(harness)
    _misses_awaited(harness)
    _by_tag(harness, "memory", {})
    if sys.platform != "win32":
        with private_folder(harness):
            _hits(harness, "hit-shared", {"backend": "shared"})
            _by_tag(harness, "shared", {"backend": "shared"})
    measured = {row.key.partition("/")[2] for row in harness.result.rows}
    for key, title, rows in (
        ("invalidation", "An invalidation and a miss", ["miss", "async"]),
        ("invalidation-tags", "Ten entries dropped by their tag", ["tags-memory", "tags-shared"]),
    ):
        if measured.issuperset(rows):
            harness.figure(key, title, kind="bars", y_label="ns", y_log=True, rows=rows)


def _hits(harness: Harness, key: str, options: dict[str, Any]) -> None:
    keys = one_int()
    decorators: dict[str, Decorator] = {
        "without tags": cache(max_size=MAX_SIZE, name="untagged", **options),
        "with tags": cache(max_size=MAX_SIZE, tags=("all", "one:{a}"), name="tagged", **options),
    }
    counted = {name: Counted("a") for name in decorators}
    contenders = [cached(name, made, counted[name], keys) for name, made in decorators.items()]
    where = options.get("backend", "memory")
    harness.calls(key, f"hit, 1 int, without and with two tags, {where}", contenders, keys)
    for name, one in counted.items():
        require_computed(name, one, len(keys))


def _misses(harness: Harness) -> None:
    """Each call misses, since what was stored has been dropped just before."""
    drop = "f.cache_invalidate({0}); f({0})"
    contenders = []
    for peer, call in (
        (CACHETOOLS_BARE, "f.cache.pop(f.cache_key({0})); f({0})"),
        (CACHETOOLS, "with f.cache_lock: f.cache.pop(f.cache_key({0}))\n        f({0})"),
        (DOGPILE_TTL, "f.invalidate({0}); f({0})"),
    ):
        decorator = load(harness, peer, MAX_SIZE)
        if decorator is not None:
            contenders.append(Contender(peer.name, decorator(plain), peer.note, call))
    ours = [
        Contender(WARP_LRU, warp_lru(MAX_SIZE)(plain), "without single-flight", drop),
        Contender(WARP_CACHE, warp_cached(MAX_SIZE)(plain), "with single-flight", drop),
    ]
    # Without the first one the row's ratios would be to another.
    first = any(one.name == CACHETOOLS_BARE.name for one in contenders)
    contenders += ours
    keys = one_int()
    for contender in contenders:
        for (key,) in keys:
            contender.target(key)
    work = "invalidation + miss, 1 int"
    if harness.calls("miss" if first else "miss-without-first", work, contenders, keys) is not None:
        _require_misses(ours)


def _cashews(module: Any, size: int | None) -> Decorator:
    store = module.Cache()
    store.setup("mem://", size=size, check_interval=0)

    def decorator(function: Function) -> Any:
        target = store(ttl=TTL, key="{a}", protected=False)(function)
        target.drop = lambda a: store.delete(str(a))
        return target

    return decorator


def _misses_awaited(harness: Harness) -> None:
    """The miss first, and what it stored is dropped after it."""
    drop = "f({0}); f.cache_invalidate({0})"
    cashews = Peer(
        "cashews", "cashews", "cashews", _cashews, "no single-flight: does less; keys as text"
    )
    contenders = []
    for peer, call in (
        (ASYNC_LRU, drop),
        (AIOCACHE, "f({0}); await f.cache.delete(str({0}))"),
        (cashews, "f({0}); await f.drop({0})"),
    ):
        decorator = load(harness, peer, MAX_SIZE)
        if decorator is not None:
            function = Counted("a", awaited=True).function
            contenders.append(Contender(peer.name, decorator(function), peer.note, call))
    ours = []
    for name, make in ((WARP_LRU, warp_lru), (WARP_CACHE, warp_cached)):
        function = Counted("a", awaited=True).function
        ours.append(Contender(name, make(MAX_SIZE)(function), "", drop))
    work = "miss + invalidation, await f(1 int)"
    if harness.awaits("async", work, [*contenders, *ours], one_int()) is not None:
        _require_misses(ours)


def _require_misses(ours: list[Contender]) -> None:
    for contender in ours:
        if contender.target.cache_info()[0]:
            raise AssertionError(f"{contender.name}: {contender.target.cache_info()}")


def grouped(group: int, number: int) -> int:
    """The function behind the caches with tags."""
    return number


def _by_tag(harness: Harness, where: str, options: dict[str, Any]) -> None:
    many = QUICK_MANY if harness.options.quick else MANY
    work = f"{GROUP} entries dropped by their tag, {where}"
    if harness.out_of_time():
        harness.skip(work)
        return
    contenders, runs = [], []
    for entries in (FEW, many):
        harness.say(f"invalidation: filling, {entries:,} entries, {where}")
        name = f"among {entries:,} entries"
        # In the file an entry whose tag was dropped takes room until a sweep meets it.
        decorator = cache(
            max_size=2 * entries,
            tags="{group}",
            name=f"tags-{entries}",
            max_bytes=1 << 30,
            **options,
        )
        target = decorator(grouped)
        for group in range(entries // GROUP):
            _store(target, group)
        if target.cache_info().currsize != entries:
            raise AssertionError(f"{name}: {target.cache_info()}")
        contenders.append(Contender(name, target))
        runs.append(_dropping(target, entries // GROUP))
    empty = Loop("f({0})", [("0",)] * DROPPED, empty=True)
    key = f"tags-{where}-quick" if harness.options.quick else f"tags-{where}"
    harness.runs(key, work, contenders, runs, empty, sample_ms=SAMPLE_MS)


def _store(target: Any, group: int) -> None:
    for number in range(GROUP):
        target(group, group * GROUP + number)


def _dropping(target: Any, groups: int) -> Callable[[int], int]:
    """Times invalidations alone; their entries are stored again while the clock stands."""
    draw = random.Random(SEED)
    batches = [draw.sample(range(groups), DROPPED) for _ in range(BATCHES)]
    loops = [Loop("f({0})", [(str(group),) for group in batch]) for batch in batches]
    number = 0

    def run(turns: int) -> int:
        nonlocal number
        elapsed = 0
        for _ in range(turns):
            batch, loop = batches[number % BATCHES], loops[number % BATCHES]
            number += 1
            elapsed += loop.time(target.cache_invalidate_tags, 1)
            before = target.cache_info().misses
            for group in batch:
                _store(target, group)
            # All of them were gone, so all of them are computed.
            if target.cache_info().misses - before != DROPPED * GROUP:
                raise AssertionError(f"{target.cache_info().misses - before} entries were gone")
        return elapsed

    return run
