"""How a thread that runs green threads (gevent, eventlet) waits: so that the others of them go on.

The extension module asks when a call is about to wait, and only where one of these libraries is
loaded already; nothing is imported here.
"""

from __future__ import annotations

import sys
import time
from types import BuiltinFunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["find_sleep"]


def find_sleep() -> Callable[[float], object] | None:
    """What puts the running green thread to sleep; None where there is no other that could run."""
    for name, find in (("gevent", _of_gevent), ("eventlet", _of_eventlet)):
        library = sys.modules.get(name)
        if library is not None:
            try:
                sleep = find(library)
            except (AttributeError, KeyError):
                # Another version, or it is just being imported: what it has patched is known.
                sleep = _patched()
            if sleep is not None:
                return sleep
    return None


def _of_gevent(gevent: Any) -> Callable[[float], object] | None:
    # Each thread has a hub of its own once it has a green thread. What a hub calls must not sleep.
    hub = sys.modules["gevent._hub_local"].get_hub_if_exists()
    return None if hub is None or gevent.getcurrent() is hub else gevent.sleep


def _of_eventlet(eventlet: Any) -> Callable[[float], object] | None:
    hub = getattr(sys.modules["eventlet.hubs"]._threadlocal, "hub", None)
    return None if hub is None or eventlet.getcurrent() is hub.greenlet else eventlet.sleep


def _patched() -> Callable[[float], object] | None:
    sleep = time.sleep
    return None if isinstance(sleep, BuiltinFunctionType) else sleep
