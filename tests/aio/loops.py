"""Runs coroutines in a loop of their own and fails on every complaint that asyncio makes."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 20.0


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        # Debug mode also reports what is merely slow.
        if not (message.startswith("Executing ") and "took" in message):
            self.heard.append(message)


def run(
    main: Callable[[], Awaitable[Any]],
    *,
    debug: bool = False,
    limit: float = LIMIT,
    factory: Any = None,
) -> Any:
    """Await `main()` in a new loop; a hang, a warning or a forgotten exception is a failure."""
    complaints = _Complaints()
    logger = logging.getLogger("asyncio")
    unraisable: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    logger.addHandler(complaints)

    async def bounded() -> Any:
        loop = asyncio.get_running_loop()
        if factory is not None:
            loop.set_task_factory(factory)
        result = await asyncio.wait_for(main(), limit)
        # One more turn: whatever was scheduled at the end still belongs to the test.
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"
        return result

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = asyncio.run(bounded(), debug=debug)
            gc.collect()
    finally:
        logger.removeHandler(complaints)
        sys.unraisablehook = hook
    assert complaints.heard == []
    assert [str(event.exc_value) for event in unraisable] == []
    return result


class Slow:
    """The body of a slow coroutine function: counts its starts, ends and cancellations."""

    def __init__(
        self, result: Callable[..., Any] = lambda *args: ("value", args, object())
    ) -> None:
        self.result = result
        self.calls: list[tuple[Any, ...]] = []
        self.finished = 0
        self.cancelled = 0
        self.cleaned = 0
        self._gate: asyncio.Event | None = None

    @property
    def gate(self) -> asyncio.Event:
        if self._gate is None:
            self._gate = asyncio.Event()
        return self._gate

    async def __call__(self, *args: Any) -> Any:
        self.calls.append(args)
        try:
            await self.gate.wait()
            self.finished += 1
            return self.result(*args)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            # A `finally` block that itself takes time, as one that closes a connection does.
            for _ in range(3):
                await asyncio.sleep(0)
            self.cleaned += 1


async def turns(count: int = 5) -> None:
    """Let everything that is ready run a few times."""
    for _ in range(count):
        await asyncio.sleep(0)
