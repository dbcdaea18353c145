"""Hit ratio of each strategy against the size of the cache, on recorded and on made-up traces.

Every request goes through the decorated function, and what is counted are the calls of the function
behind it: all contenders by the same rule. The counts are the same in every run, but for theine and
moka-py, which evict a little later than they are asked to, so there is one round.
"""

from __future__ import annotations

import collections
import importlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import warp_cache
from benchmarks.contenders import load, warp_strategy
from benchmarks.harness import Harness
from benchmarks.model import WARP_CACHE, Figure
from benchmarks.peers import MOKA_TINY_LFU, SAME_AS_OURS, THEINE
from benchmarks.traces import LONG, SHORT, Trace, capacity, made_up, optimum, recorded
from benchmarks.workloads import Decorator

TITLE = "Hit ratio"
OWN_PROCESSES = True

REQUESTS = 200_000
# In a longer trace the peers are asked at the reference's sizes only, and the optimum is the
# reference's: a request takes them microseconds.
LONG_TRACE = 1_000_000
PEERS = (THEINE, MOKA_TINY_LFU)
OPTIMUM = "the optimum (Belady)"
# Of the reference's policies, those that may not be ours.
OTHERS = {"Clock": "Clock (reference)", "SIEVE": "SIEVE (reference)"}
OTHERS["S3FIFO_paper"] = "S3-FIFO as in its paper (reference)"


def run(harness: Harness) -> None:
    """The made-up traces, then the recorded ones; the long ones last."""
    for trace in made_up(REQUESTS // 10 if harness.options.quick else REQUESTS):
        _figure(harness, trace)
    for name in SHORT if harness.options.quick else (*SHORT, *LONG):
        try:
            trace = recorded(name)
        except (OSError, ImportError) as error:
            harness.result.missing.append(f"the trace {name}: {_reason(error)}")
            continue
        _figure(harness, trace)
    _tell_where_sieve_loses(harness)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return "neither in $WARP_CACHE_TRACES nor in shared/traces beside the checkout"
    return "this interpreter has no lzma"


def _figure(harness: Harness, trace: Trace) -> None:
    unique, requests = trace.unique, len(trace.keys)
    figure = harness.figure(
        f"hit-ratio-{trace.name}",
        f"Hit ratio: {trace.title}",
        x_label="size of the cache, % of the unique keys",
        y_label="hits",
        x_log=trace.fractions[-1] / trace.fractions[0] > 10,
        y_percent=True,
        lower_is_better=False,
        note=f"{requests:,} requests, {unique:,} unique keys",
    )
    fractions = trace.fractions[::2] if harness.options.quick else trace.fractions
    for fraction in fractions:
        size = capacity(fraction, unique)
        if harness.out_of_time():
            harness.skip(f"{figure.key} from {fraction:.1%} of the keys on")
            return
        harness.say(f"hit_ratio: {trace.name}, {size:,} entries")
        known = trace.reference.get(fraction, {})
        for name, decorator, note in _contenders(harness, size, requests, bool(known)):
            _point(harness, figure, name, fraction, _misses(decorator, trace.keys), requests, note)
        for policy, misses in known.items():
            if policy in OTHERS and policy not in warp_cache.Strategy.__members__:
                _point(harness, figure, OTHERS[policy], fraction, misses, requests)
        if "Belady" in known:
            _point(harness, figure, OPTIMUM, fraction, known["Belady"], requests)
        elif requests < LONG_TRACE:
            _point(harness, figure, OPTIMUM, fraction, optimum(trace.keys, size), requests)
        if requests < LONG_TRACE:
            _require_exact(harness, size, trace)


def _point(
    harness: Harness,
    figure: Figure,
    name: str,
    fraction: float,
    misses: int,
    requests: int,
    note: str = "",
) -> None:
    harness.point(figure, name, round(fraction * 100, 3), [1 - misses / requests], note)


def _contenders(
    harness: Harness, size: int, requests: int, known: bool
) -> list[tuple[str, Decorator, str]]:
    found = [
        (f"{WARP_CACHE}, {strategy.name}", warp_strategy(strategy.name, size), "")
        for strategy in warp_cache.Strategy
    ]
    if requests >= LONG_TRACE and not known:
        return found
    for peer in PEERS:
        decorator = load(harness, peer, size)
        if decorator is not None:
            found.append((peer.name, decorator, peer.note))
    return found


def _misses(decorator: Decorator, keys: Sequence[int]) -> int:
    """How many requests the function behind the cache had to answer."""
    counter = itertools.count()
    cached: Callable[[int], Any] = decorator(_answering(counter))
    # In C: nothing but the calls themselves.
    collections.deque(map(cached, keys), maxlen=0)
    return next(counter)


def _answering(counter: itertools.count[int]) -> Callable[[int], int]:
    note = counter.__next__

    def answer(a: int) -> int:
        note()
        return a

    return answer


def _require_exact(harness: Harness, size: int, trace: Trace) -> None:
    """Ours must miss as often as the reference; that the peers' equal ours saves them a curve."""
    reference = {capacity(part, trace.unique): known for part, known in trace.reference.items()}
    for strategy, peers in SAME_AS_OURS.items():
        ours = _misses(warp_strategy(strategy, size), trace.keys)
        if size in reference and reference[size][strategy] != ours:
            expected = reference[size][strategy]
            raise AssertionError(f"{trace.name}, {strategy}, {size}: {ours} misses, not {expected}")
        for peer in peers:
            try:
                decorator = peer.make(importlib.import_module(peer.module), size)
            except ImportError:
                continue
            theirs = _misses(decorator, trace.keys)
            line = f"{strategy} of {peer.distribution} misses as often as ours, so it has no curve"
            if theirs != ours:
                line = f"{trace.name}, {size} entries: {strategy} of {peer.distribution} misses "
                line += f"{theirs:,} times, ours {ours:,} times"
            if line not in harness.result.notes:
                harness.result.notes.append(line)


def _tell_where_sieve_loses(harness: Harness) -> None:
    """No strategy is best everywhere; where SIEVE is not stands in the report."""
    lost = []
    for figure in harness.result.figures:
        lru, sieve = (
            {
                point.x: point.median
                for curve in figure.curves
                if curve.name in names
                for point in curve.points
            }
            for names in ([f"{WARP_CACHE}, LRU"], [f"{WARP_CACHE}, SIEVE", OTHERS["SIEVE"]])
        )
        where = [f"{x:g} %" for x in lru if x in sieve and sieve[x] < lru[x]]
        if where:
            lost.append(f"{figure.key.removeprefix('hit-ratio-')} at {', '.join(where)}")
    if lost:
        harness.result.notes.append(f"SIEVE has fewer hits than LRU on {'; '.join(lost)}")
