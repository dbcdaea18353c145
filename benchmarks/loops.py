"""Timing loops, compiled from source once for each contender.

A call is written as users write it (`f(k)`, `f(a, b=c)`, `obj.method(k)`), inside a function, with
the callable and the keys in local variables, UNROLL calls to a turn of the loop. Each contender
gets a code object of its own, since the interpreter specialises a call site for what it has seen
there.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

UNROLL = 16

Key = tuple[Any, ...]

# CPU time of the thread: what it waits for a core that another program has does not count.
clock = time.thread_time_ns
# For calls in which another process works: what that one does counts, and so does the wait for it.
wall_clock = time.perf_counter_ns


class Loop:
    """A compiled loop over the given keys; a key is the tuple of what the call takes.

    `call` is a template: `{0}` stands for the first element of a key, `f` for the callable.
    `empty=True` compiles the same loop without the call: the names are loaded and dropped, so its
    time is what the loop itself costs. `wall=True` takes time on the wall's clock.
    """

    def __init__(
        self,
        call: str,
        keys: Sequence[Key],
        *,
        empty: bool = False,
        awaited: bool = False,
        wall: bool = False,
    ) -> None:
        width = len(keys[0])
        unrolled = len(keys) <= UNROLL
        rows = list(itertools.islice(itertools.cycle(keys), UNROLL)) if unrolled else list(keys)
        if len(rows) % UNROLL:
            raise ValueError(f"the number of keys must be a multiple of {UNROLL}, got {len(rows)}")
        self.calls_per_turn = len(rows)
        self.awaited = awaited
        source = _source(call, width, unrolled=unrolled, empty=empty, awaited=awaited)
        namespace: dict[str, Any] = {
            "clock": wall_clock if wall else clock,
            "repeat": itertools.repeat,
        }
        exec(compile(source, "<timing loop>", "exec"), namespace)
        self._function: Callable[[Any, Any, int], Any] = namespace["loop"]
        flat = list(itertools.chain.from_iterable(rows))
        step = UNROLL * width
        self._keys: Any = (
            tuple(flat)
            if unrolled
            else [tuple(flat[i : i + step]) for i in range(0, len(flat), step)]
        )

    def time(self, target: Any, turns: int) -> int:
        """CPU nanoseconds that `turns` turns take with `target` as the callable."""
        elapsed: int = self._function(target, self._keys, turns)
        return elapsed

    def time_async(self, target: Any, turns: int) -> Awaitable[int]:
        """The same for a loop that awaits each call."""
        elapsed: Awaitable[int] = self._function(target, self._keys, turns)
        return elapsed


def _source(call: str, width: int, *, unrolled: bool, empty: bool, awaited: bool) -> str:
    names = [[f"k{row}_{column}" for column in range(width)] for row in range(UNROLL)]
    every_name = ", ".join(itertools.chain.from_iterable(names))
    statements = []
    for row in names:
        if empty:
            statements.append("; ".join(row))
        else:
            statements.append(("await " if awaited else "") + call.format(*row))
    define = "async def" if awaited else "def"
    head = f"{define} loop(f, keys, turns):\n"
    if unrolled:
        body = (
            f"    ({every_name},) = keys\n"
            "    start = clock()\n"
            "    for _ in repeat(None, turns):\n"
            + "".join(f"        {statement}\n" for statement in statements)
        )
    else:
        body = (
            "    start = clock()\n"
            "    for _ in repeat(None, turns):\n"
            f"        for ({every_name},) in keys:\n"
            + "".join(f"            {statement}\n" for statement in statements)
        )
    return head + body + "    return clock() - start\n"
