"""The remote tier: near hits, hits that a server answers, and a server that is gone."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import warp_cache
from benchmarks import remote_stores
from benchmarks.contenders import Peer, load
from benchmarks.harness import Contender, Harness
from benchmarks.loops import Key, Loop
from benchmarks.model import SHARED_CACHE, WARP_CACHE, Row, Series
from benchmarks.parts import remote_processes
from benchmarks.parts.misses import KEYS, plain
from benchmarks.parts.shared import private_folder
from benchmarks.peers import TTL
from benchmarks.remote_stores import Address
from benchmarks.workloads import MAX_SIZE, one_int

TITLE = "Remote"

MEMORY = "warp_cache.cache, without remote"
THREADS = 16
COROUTINES = 50
# What these ask for: each another key.
MANY: list[Key] = [(a,) for a in range(10**9, 10**9 + COROUTINES)]
# Calls of a thread in a round of the threads' row.
CALLS = 200
QUICK_CALLS = 50
# Calls in a row that the server was not asked for: then all are near.
_NEAR = 100


def value(a: int) -> bytes:
    """What is cached: a kilobyte, which no codec makes quicker for one or the other."""
    return b"%016d" % (abs(a) % 10**16) * 64


async def value_awaited(a: int) -> bytes:
    """The same of a coroutine function."""
    return value(a)


def run(harness: Harness) -> None:
    """Near hits, far hits, processes of two hosts; and last the server ends."""
    if sys.platform == "win32":
        harness.result.notes.append("remote: there is no remote tier on this platform")
        return
    with private_folder(harness) as folder:
        with _configured(folder), remote_stores.running(harness, folder) as address:
            if address is None:
                harness.result.notes.append("remote: no server, so nothing was measured")
                return
            remote_stores.fill(address, {a: value(a) for (a,) in [*one_int(), *MANY]})
            _near(harness, address)
            _near_awaited(harness, address)
            if remote_stores.require_hiredis(harness):
                _far(harness, address)
                _far_threads(harness, address)
                _far_awaited(harness, address)
            remote_processes.run(harness, folder, address)
        with _configured(folder):
            _down(harness, folder)
    measured = {row.key.partition("/")[2] for row in harness.result.rows}
    for key, title, rows in (
        ("remote-near", "A near hit", ["near-peers", "near-async"]),
        ("remote-far", "A hit that the server answers", ["far", "far-await", "far-gather"]),
    ):
        if measured.issuperset(rows):
            harness.figure(key, title, kind="bars", y_label="ns", y_log=True, rows=rows)


@contextmanager
def _configured(folder: Path) -> Iterator[None]:
    """The coherence files lie in the run's own folder, and no answer is given up."""
    host = folder / "host"
    host.mkdir(mode=0o700, exist_ok=True)
    warp_cache.configure(directory=str(host), timeout=5.0)
    yield


def _ours(name: str, address: Address, function: Any = value, **options: Any) -> Any:
    options.setdefault("max_size", MAX_SIZE)
    return warp_cache.cache(remote=address.url, ttl=TTL, name=name, **options)(function)


def _near_now(target: Any, call: Callable[[int], Any]) -> None:
    """Call until all keys are near; whoever asks a server each time never gets there."""
    in_a_row, answered = 0, -1
    while in_a_row < _NEAR:
        for (a,) in one_int():
            if call(a) != value(a):
                raise AssertionError(f"{call(a)!r} for {a!r}")
        before, answered = answered, target.cache_info().remote_hits
        in_a_row = in_a_row + 1 if answered == before else 0


def _checked(peer: Peer, harness: Harness) -> list[Contender]:
    """The peer, if it can be had, with its near cache filled, if it has one."""
    decorator = load(harness, peer, MAX_SIZE)
    if decorator is None:
        return []
    target = decorator(value)
    for _ in range(2):
        for (a,) in one_int():
            if target(a) != value(a):
                raise AssertionError(f"{peer.name} returned {target(a)!r} for {a!r}")
    return [Contender(peer.name, target, peer.note)]


def _require_near(target: Any, before: Any) -> None:
    after = target.cache_info()
    # A machine that stands still for longer than the staleness makes a few of them far.
    asked = after.misses + after.remote_hits - before.misses - before.remote_hits
    if asked > (after.hits - before.hits) / 100:
        raise AssertionError(f"not near: {before} then {after}")


def _near(harness: Harness, address: Address) -> None:
    """With and without a server, in CPU time; then beside clients that keep what they read."""
    shared = warp_cache.cache(max_size=MAX_SIZE, ttl=TTL, backend="shared", name="near")(value)
    memory, near = warp_cache.cache(max_size=MAX_SIZE, ttl=TTL)(value), _ours("near", address)
    # (What a first hit decodes, a second one finds.)
    for (a,) in [*one_int(), *one_int()]:
        shared(a), memory(a)
    _near_now(near, near)
    ours = Contender(WARP_CACHE, near, "remote")
    before = near.cache_info()
    keys = one_int()
    without = [Contender(SHARED_CACHE, shared, "with ttl"), Contender(MEMORY, memory, "with ttl")]
    harness.calls("near", "near hit, 1 kB", [*without, ours], keys)
    contenders = [ours]
    for peer in remote_stores.near_peers(address):
        contenders += _checked(peer, harness)
    work = "near hit, 1 kB, wall time"
    if len(contenders) > 1:
        harness.calls("near-peers", work, contenders, keys, wall=True)
    _require_near(near, before)


def _near_awaited(harness: Harness, address: Address) -> None:
    near = _ours("near-async", address, value_awaited)
    peer = remote_stores.near_peer_async(address)
    decorator = load(harness, peer, MAX_SIZE)
    if decorator is None:
        return
    theirs: Any = decorator(value_awaited)
    keys = one_int()
    with _event_loop() as loop:
        _near_now(near, lambda a: loop.run_until_complete(near(a)))
        for _ in range(2):
            for (a,) in keys:
                if loop.run_until_complete(theirs(a)) != value(a):
                    raise AssertionError(f"{peer.name}, {a}")
        before = near.cache_info()
        contenders = [
            Contender(WARP_CACHE, near, "remote"),
            Contender(peer.name, theirs, peer.note),
        ]
        work = "near hit, await f(1 int), 1 kB, wall time"
        _awaited(harness, loop, "near-async", work, contenders)
        _require_near(near, before)


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


def _awaited(
    harness: Harness,
    event_loop: asyncio.AbstractEventLoop,
    key: str,
    work: str,
    contenders: Sequence[Contender],
) -> None:
    """A row of one `await` after the other."""

    def awaiting(target: Any) -> Callable[[int], int]:
        loop = Loop("f({0})", one_int(), awaited=True, wall=True)

        async def run(turns: int) -> int:
            return await loop.time_async(target, turns)

        return lambda turns: event_loop.run_until_complete(run(turns))

    runs = [awaiting(one.target) for one in contenders]
    harness.runs(key, work, contenders, runs, Loop("f({0})", one_int(), empty=True, wall=True))


def _far_cache(name: str, address: Address, function: Any = value) -> Any:
    """A function of which nothing stays near: it keeps one entry, and is asked for others."""
    return _ours(name, address, function, max_size=1)


def _require_far(target: Any, before: Any) -> None:
    after = target.cache_info()
    hits, far = after.hits - before.hits, after.remote_hits - before.remote_hits
    # (Of those at once some may ask for the one that has just come.)
    if after.misses != before.misses or far < hits * 0.95:
        raise AssertionError(f"not far: {before} then {after}")


def _far(harness: Harness, address: Address) -> None:
    """A hit that the server answers: on the wall, and in CPU time of all threads of the client."""
    keys, ours = one_int(), _far_cache("far", address)
    contenders = _checked(remote_stores.far_peer(address), harness)
    contenders.append(Contender(WARP_CACHE, ours, "remote"))
    for (a,) in keys:
        ours(a)
    before = ours.cache_info()
    harness.calls("far", "far hit, 1 kB, wall time", contenders, keys, wall=True)
    runs = [_cpu(Loop("f({0})", keys, wall=True), one.target) for one in contenders]
    work = "far hit, 1 kB, CPU of the client"
    harness.runs("far-cpu", work, contenders, runs, Loop("f({0})", keys, empty=True))
    _require_far(ours, before)


def _cpu(loop: Loop, target: Any) -> Callable[[int], int]:
    def run(turns: int) -> int:
        begun = time.process_time_ns()
        loop.time(target, turns)
        return time.process_time_ns() - begun

    return run


def _far_threads(harness: Harness, address: Address) -> None:
    work = f"far hits of {THREADS} threads, 1 kB"
    if harness.out_of_time():
        harness.skip(work)
        return
    harness.say(f"remote: {work}")
    ours = _far_cache("far-threads", address)
    contenders = _checked(remote_stores.far_peer(address), harness)
    contenders.append(Contender(WARP_CACHE, ours, "remote"))
    calls = QUICK_CALLS if harness.options.quick else CALLS
    keys = [a for (a,) in one_int()]
    for a in keys:
        ours(a)
    rounds: list[list[float]] = [[] for _ in contenders]
    for number in range(-1, harness.options.rounds):
        for index, contender in enumerate(contenders):
            rate = _throughput(contender.target, keys, calls)
            if number >= 0:
                rounds[index].append(rate)
    series = [
        Series(one.name, values, one.note) for one, values in zip(contenders, rounds, strict=True)
    ]
    harness.add(Row("remote/far-threads", work, "k calls/s", series))


def _throughput(target: Callable[[int], Any], keys: Sequence[int], calls: int) -> float:
    """Thousand calls a second of all threads, each with the keys in another order."""
    barrier = threading.Barrier(THREADS + 1)

    def work(first: int) -> None:
        mine = [keys[(first + number * 7) % len(keys)] for number in range(len(keys))]
        barrier.wait()
        for number in range(calls):
            target(mine[number % len(mine)])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    return THREADS * calls / (time.perf_counter() - begun) / 1e3


def _far_awaited(harness: Harness, address: Address) -> None:
    """A lone `await`, and many coroutines at once; wall time."""
    ours = _far_cache("far-async", address, value_awaited)
    peer = remote_stores.far_peer_async(address)
    decorator = load(harness, peer, MAX_SIZE)
    if decorator is None:
        return
    theirs: Any = decorator(value_awaited)
    contenders = [Contender(peer.name, theirs, peer.note), Contender(WARP_CACHE, ours, "remote")]
    with _event_loop() as loop:
        for (a,) in [*one_int(), *MANY]:
            loop.run_until_complete(ours(a))
        before = ours.cache_info()
        work = "far hit, a lone await, 1 kB, wall time"
        _awaited(harness, loop, "far-await", work, contenders)
        together = [_gathered(loop, each.target, MANY) for each in contenders]
        work = f"far hits of {COROUTINES} coroutines at once, 1 kB, wall time, each"
        harness.runs("far-gather", work, contenders, together, _Together())
        _require_far(ours, before)


class _Together(Loop):
    """The empty loop beside `gather`, which has no calls of its own to subtract."""

    def __init__(self) -> None:
        super().__init__("f({0})", one_int(), empty=True, wall=True)
        self.calls_per_turn = COROUTINES


def _gathered(
    event_loop: asyncio.AbstractEventLoop, target: Any, keys: Sequence[Key]
) -> Callable[[int], int]:
    async def run(turns: int) -> int:
        begun = time.perf_counter_ns()
        for _ in range(turns):
            await asyncio.gather(*[target(a) for (a,) in keys])
        return time.perf_counter_ns() - begun

    return lambda turns: event_loop.run_until_complete(run(turns))


def _down(harness: Harness, folder: Path) -> None:
    """Misses of a function that computes nothing, while there is no server."""
    with remote_stores.running(harness, folder) as address:
        if address is None:
            return
        ours = warp_cache.cache(max_size=MAX_SIZE, ttl=TTL, remote=address.url, name="down")(plain)
        ours(-1)
    memory = warp_cache.cache(max_size=MAX_SIZE, ttl=TTL)(plain)
    # The first calls find out; then the breaker is open.
    for number in range(100):
        ours(-2 - number)
    contenders = [
        Contender(MEMORY, memory, "with ttl"),
        Contender(WARP_CACHE, ours, "remote, the breaker is open"),
    ]
    work = "miss while the server is down, wall time"
    if harness.calls("down", work, contenders, KEYS, wall=True) is not None:
        hits = ours.cache_info().hits
        if hits:
            raise AssertionError(f"{hits} hits without a server: {ours.cache_info()}")
