"""Hits of async functions, against awaiting a coroutine that does nothing."""

from __future__ import annotations

from benchmarks.contenders import ASYNC_LRU, load, warp_cached, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.model import WARP_CACHE, WARP_LRU
from benchmarks.workloads import MAX_SIZE, Counted, Decorator, one_int

TITLE = "Async"


async def empty(a: int) -> int:
    """What any `await` of a call costs at least."""
    return a


def run(harness: Harness) -> None:
    """One int; the first round fills the caches, and is not counted."""
    contenders = [
        Contender("an empty coroutine function", empty),
        async_contender(WARP_LRU, warp_lru(MAX_SIZE)),
        async_contender(WARP_CACHE, warp_cached(MAX_SIZE)),
    ]
    alru = load(harness, ASYNC_LRU, MAX_SIZE)
    if alru is not None:
        contenders.append(async_contender(ASYNC_LRU.name, alru))
    harness.awaits("hit", "hit, await f(1 int)", contenders, one_int())


def async_contender(name: str, decorator: Decorator) -> Contender:
    """A contender around an async function; the warm-up fills it, inside the event loop."""
    return Contender(name, decorator(Counted("a", awaited=True).function))
