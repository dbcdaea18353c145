"""What the demo's workers cache: slow prices, and a coroutine function beside them.

Each line on stdin is an expression; its value is answered as a line. The demo names the server, the
namespace and the directory of the host in the environment, as a deployment would.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import warp_cache
from warp_cache import cache

warp_cache.configure(staleness=1.0, timeout=0.25)
computed = 0


@cache(remote=True, ttl=600, name="price", tags=("product:{product}",))
def price(product: int) -> tuple[str, int, float]:
    """A price that takes half a second to find out."""
    global computed
    computed += 1
    time.sleep(0.5)
    return f"product {product}", os.getpid(), time.monotonic()


@cache(remote=True, ttl=600, name="stock")
async def stock(product: int) -> int:
    """The same for coroutines."""
    await asyncio.sleep(0.1)
    return 10 * product


def nanoseconds(product: int) -> float:
    """What a hit takes here."""
    price(product)
    began = time.perf_counter_ns()
    for _ in range(10_000):
        price(product)
    return (time.perf_counter_ns() - began) / 10_000


def sees(product: int, other: tuple[str, int, float]) -> float:
    """The moment from which on another price is returned than this."""
    while price.get(product) == other:
        pass
    return time.monotonic()


def main() -> None:
    """Answer what is asked."""
    for line in sys.stdin:
        try:
            answer = repr(eval(line))
        except Exception as error:
            answer = f"{type(error).__name__}"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
