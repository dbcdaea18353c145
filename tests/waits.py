"""Tells when a call begins to wait for another's computation, and knows by then whose.

Children have this as a part of their source: see ``tests/shared/children.py``.
"""

import asyncio
import sys
import types
from collections.abc import Callable
from typing import Any

from warp_cache import _bringing, _green


class _Asyncio(types.ModuleType):
    """asyncio, as it is for one module."""

    def __init__(self, tell: Callable[[None], object]) -> None:
        super().__init__("asyncio")
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def sleep(self, pause: float) -> Any:
        if pause <= _bringing._FIRST_PAUSE:
            self._tell(None)
        return asyncio.sleep(pause)


def tell_waits(tell: Callable[[None], object]) -> None:
    """Have `tell(None)` called at the beginning of each wait of a thread, or for another process.

    A thread asks first whether there are green threads, where their library seems to be loaded; a
    coroutine makes its shortest pause once it was told to wait.
    """

    def find_sleep() -> None:
        tell(None)

    _green.find_sleep = find_sleep
    sys.modules["gevent"] = types.ModuleType("gevent")
    setattr(_bringing, "asyncio", _Asyncio(tell))  # noqa: B010 - a name that is imported there
