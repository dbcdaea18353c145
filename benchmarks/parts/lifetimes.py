"""What each kind of lifetime costs: a hit, a stale hit, and a store among a million entries."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.contenders import Peer, load
from benchmarks.harness import Contender, Harness
from benchmarks.loops import UNROLL
from benchmarks.parts.misses import plain
from benchmarks.peers import DOGPILE_TTL, TTL
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

TITLE = "Lifetimes"

MANY = 10**6
QUICK_MANY = 10**5
# So short that filling the cache takes about as long.
SHORT_S = 0.02
SEED = 11


def run(harness: Harness) -> None:
    """Hits of fresh entries, hits of stale ones, misses that evict."""
    _hits(harness)
    _stale_hits(harness)
    _stores(harness)
    measured = {row.key.partition("/")[2] for row in harness.result.rows}
    for key, title, rows in (
        ("lifetimes", "A hit by kind of lifetime", ["hit", "stale"]),
        ("lifetimes-store", "A store among a million lifetimes", ["store"]),
    ):
        if measured.issuperset(rows):
            harness.figure(key, title, kind="bars", y_label="ns", y_log=True, rows=rows)


def _moka_tti(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(maxsize=size, policy="lru", tti=TTL)
    return decorator


MOKA_TTI = Peer("moka-py, tti", "moka-py", "moka_py", _moka_tti, 'policy="lru"')


def _hits(harness: Harness) -> None:
    keys = one_int()
    decorators: dict[str, tuple[Decorator, str]] = {
        "with ttl": (cache(max_size=MAX_SIZE, ttl=TTL), ""),
        "with tti": (cache(max_size=MAX_SIZE, tti=TTL), ""),
        "with ttl and tti": (cache(max_size=MAX_SIZE, ttl=TTL, tti=TTL), ""),
        "with stale_while_revalidate, fresh": (
            cache(max_size=MAX_SIZE, ttl=TTL, stale_while_revalidate=TTL),
            "",
        ),
    }
    for peer in (MOKA_TTI, DOGPILE_TTL):
        decorator = load(harness, peer, MAX_SIZE)
        if decorator is not None:
            decorators[peer.name] = (decorator, peer.note)
    counted = {name: Counted("a") for name in decorators}
    contenders = [
        cached(name, decorator, counted[name], keys, note)
        for name, (decorator, note) in decorators.items()
    ]
    harness.calls("hit", "hit, 1 int, by kind of lifetime", contenders, keys)
    for name, one in counted.items():
        require_computed(name, one, len(keys))


def _dogpile_stale(module: Any, size: int | None) -> Decorator:
    def never(region: object, key: object, create: object, mutex: object) -> None:
        """Refreshes that begin and do not end: they hold the key's mutex, and compute nothing."""

    region = module.make_region(async_creation_runner=never)
    region.configure("dogpile.cache.memory", expiration_time=SHORT_S)
    decorator: Decorator = region.cache_on_arguments()
    return decorator


DOGPILE_STALE = Peer(
    "dogpile.cache, stale", "dogpile.cache", "dogpile.cache", _dogpile_stale, DOGPILE_TTL.note
)


def _stale_hits(harness: Harness) -> None:
    """No refresh ends while the clock runs: all wait for an event, or for a thread."""
    keys, may_end = one_int(), threading.Event()
    computed: list[int] = []

    def work(a: int) -> int:
        computed.append(a)
        if len(computed) > len(keys):
            may_end.wait()
        return a

    stale = cache(max_size=MAX_SIZE, ttl=SHORT_S, stale_while_revalidate=TTL)(work)
    fresh = cache(max_size=MAX_SIZE, ttl=TTL, stale_while_revalidate=TTL)(plain)
    contenders = [Contender("fresh", fresh), Contender("stale, its refresh under way", stale)]
    decorator = load(harness, DOGPILE_STALE, MAX_SIZE)
    if decorator is not None:
        contenders.append(Contender(DOGPILE_STALE.name, decorator(plain), DOGPILE_STALE.note))
    try:
        for contender in contenders:
            for (key,) in keys:
                contender.target(key)
        while any(stale.cache_ttl(key) > 0 for (key,) in keys):
            time.sleep(SHORT_S)
        for (key,) in keys:
            stale(key)
        if harness.calls("stale", "hit, 1 int, by age", contenders, keys) is not None:
            info = stale.cache_info()
            if info.stale_hits != info.hits or info.misses != len(keys):
                raise AssertionError(f"not all were stale hits: {info}")
    finally:
        may_end.set()


def _lifetimes(seconds: Iterator[float]) -> Callable[[int], float]:
    """How long a value is to live; a look into a table takes the same whatever it holds."""
    table = [next(seconds) for _ in range(1 << 16)]
    return lambda value: table[value & 0xFFFF]


def _stores(harness: Harness) -> None:
    """Random keys in a full cache, so that each one is stored and evicts; none ends meanwhile."""
    entries = QUICK_MANY if harness.options.quick else MANY
    work = f"miss + store + evict, {entries:,} entries"
    if harness.out_of_time():
        harness.skip(work)
        return
    draw = random.Random(SEED)
    constant = _lifetimes(iter(lambda: 24.0 * TTL, None))
    chance = _lifetimes(iter(lambda: draw.uniform(TTL, 24 * TTL), None))

    def tlru(module: Any, size: int | None) -> Decorator:
        def ends(key: object, value: int, now: float) -> float:
            return now + chance(value)

        decorator: Decorator = module.cached(module.TLRUCache(size or 0, ttu=ends))
        return decorator

    targets: dict[str, tuple[Function, str]] = {
        "one lifetime": (cache(max_size=entries, ttl=constant)(plain), ""),
        "random lifetimes": (cache(max_size=entries, ttl=chance)(plain), ""),
    }
    peer = Peer("cachetools, TLRUCache", "cachetools", "cachetools", tlru, "not thread-safe")
    decorator = load(harness, peer, entries)
    if decorator is not None:
        targets[f"{peer.name}, random lifetimes"] = (decorator(plain), peer.note)
    bits = draw.getrandbits
    contenders = []
    for name, (target, note) in targets.items():
        harness.say(f"lifetimes: filling, {name}")
        for _ in range(entries):
            target(bits(60))
        contenders.append(Contender(name, target, note))
    key = "store-quick" if harness.options.quick else "store"
    if harness.calls(key, work, contenders, [(bits,)] * UNROLL, call="f({0}(60))") is None:
        return
    for name in ("one lifetime", "random lifetimes"):
        info = targets[name][0].cache_info()  # type: ignore[attr-defined]
        if info.hits or info.currsize != entries or info.expirations:
            raise AssertionError(f"{name}: {info}")
