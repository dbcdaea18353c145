"""A process of a host for the part `remote`: `remote_worker serve ORDERS` as JSON.

It does what the lines on its standard input say, and answers each with one line; times are in
nanoseconds of the monotonic clock, which all processes of the machine share.

| line | answer |
|---|---|
| `once NAME KEY` | when its computation ended (0: it computed nothing) and when it had the value |
| `near KEY` | once the value is near: calls that the server answered, of which there are no more |
| `watch KEY` | when the first call began that was not answered by the value that was near |
| `invalidate KEY` | when the call began |
| `compute` | 0; a thread computes in Python from now on |
| `cpu` | nanoseconds of CPU that the process has used |
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import warp_cache
from benchmarks.model import CASHEWS, DOGPILE, WARP_CACHE
from benchmarks.peers import TTL
from benchmarks.remote_stores import Address, cashews_locked, dogpile_locked

# Seconds that a computation takes for which other processes wait.
COMPUTING = 0.05
# Calls in a row that no server was asked for: then the value is near.
_NEAR = 100


@dataclass(frozen=True)
class Orders:
    """What a process is to be; a host is a directory."""

    port: int
    host: str


class Computed:
    """A function that takes its time, and when its last computation ended."""

    def __init__(self) -> None:
        self.ended = 0

    def function(self, a: int) -> int:
        time.sleep(COMPUTING)
        self.ended = time.monotonic_ns()
        return a

    async def coroutine(self, a: int) -> int:
        await asyncio.sleep(COMPUTING)
        self.ended = time.monotonic_ns()
        return a


def _once(name: str, address: Address, computed: Computed) -> Callable[[int], int]:
    """The function behind one of the caches that compute a key once for all hosts."""
    if name == CASHEWS:
        target: Any = cashews_locked(importlib.import_module("cashews"), address)(
            computed.coroutine
        )
        loop = asyncio.new_event_loop()
        return lambda a: loop.run_until_complete(target(a))

    def work(a: int) -> int:
        return computed.function(a)

    if name == DOGPILE:
        made: Callable[[int], int] = dogpile_locked(
            importlib.import_module("dogpile.cache"), address
        )(work)
        return made
    assert name == WARP_CACHE
    # What is measured is how long the others wait, so none gives up before.
    decorated: Callable[[int], int] = warp_cache.cache(remote=address.url, ttl=TTL, name="once")(
        work
    )
    return decorated


def serve(orders: Orders) -> None:
    address, computed = Address(orders.port), Computed()
    # Of a loaded machine's server no answer is given up.
    warp_cache.configure(directory=orders.host, timeout=5.0)
    once: dict[str, Callable[[int], int]] = {}

    @warp_cache.cache(remote=address.url, ttl=TTL, name="seen")
    def seen(a: int) -> int:
        return os.getpid()

    def near(key: int) -> int:
        seen(key)
        in_a_row, answered = 0, seen.cache_info().remote_hits
        while in_a_row < _NEAR:
            seen(key)
            before, answered = answered, seen.cache_info().remote_hits
            in_a_row = in_a_row + 1 if answered == before else 0
        return answered

    def watch(key: int) -> int:
        get = seen.get
        while True:
            begun = time.monotonic_ns()
            if get(key) is None:
                return begun

    print("ready", flush=True)
    for line in sys.stdin:
        what, *words = line.rstrip("\n").split("\t")
        answer: tuple[int, ...]
        if what == "once":
            name, key = words[0], int(words[1])
            if name not in once:
                once[name] = _once(name, address, computed)
            computed.ended = 0
            once[name](key)
            answer = computed.ended, time.monotonic_ns()
        elif what == "near":
            answer = (near(int(words[0])),)
        elif what == "watch":
            answer = (watch(int(words[0])),)
        elif what == "invalidate":
            begun = time.monotonic_ns()
            seen.cache_invalidate(int(words[0]))
            answer = (begun,)
        elif what == "compute":
            threading.Thread(target=_compute, daemon=True).start()
            answer = (0,)
        elif what == "cpu":
            answer = (time.process_time_ns(),)
        else:
            raise ValueError(f"no such order: {line!r}")
        print(*answer, flush=True)


def _compute() -> None:
    number = 0
    while True:
        number = (number * 31 + 7) % 1_000_003


if __name__ == "__main__":
    serve(Orders(**json.loads(sys.argv[2])))
