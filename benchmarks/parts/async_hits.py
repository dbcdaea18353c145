"""Hits of async functions, against awaiting a coroutine that does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.contenders import Peer, load, warp_cached, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.model import WARP_CACHE, WARP_LRU
from benchmarks.peers import ASYNC_PEERS
from benchmarks.workloads import MAX_SIZE, Counted, Decorator, one_int, require_computed

TITLE = "Async"


async def empty(a: int) -> int:
    """What any `await` of a call costs at least."""
    return a


def run(harness: Harness) -> None:
    """One int; the first round fills the caches, and is not counted."""
    ours = {WARP_LRU: warp_lru(MAX_SIZE), WARP_CACHE: warp_cached(MAX_SIZE)}
    first = Contender("an empty coroutine function", empty)
    awaited(harness, "hit", "hit, await f(1 int)", ours, ASYNC_PEERS, first)
    harness.figure("async", "A hit of an async function", kind="bars", y_label="ns", rows=["hit"])


def awaited(
    harness: Harness,
    key: str,
    work: str,
    ours: Mapping[str, Decorator],
    peers: Sequence[Peer],
    first: Contender | None = None,
) -> None:
    """A row of awaited hits: ours, then the peers; `first` is what they are compared with."""
    keys = one_int()
    counted: dict[str, Counted] = {}
    contenders = [] if first is None else [first]
    decorators = {name: (decorator, "") for name, decorator in ours.items()}
    for peer in peers:
        decorator = load(harness, peer, MAX_SIZE)
        if decorator is not None:
            decorators[peer.name] = (decorator, peer.note)
    for name, (decorator, note) in decorators.items():
        counted[name] = Counted("a", awaited=True)
        contenders.append(Contender(name, decorator(counted[name].function), note))
    if harness.awaits(key, work, contenders, keys) is not None:
        for name, one in counted.items():
            require_computed(name, one, len(keys))
