"""What takes effect on an entry, and fences the computation of it that is under way.

For the histories of threads, the reader who must never see what is older.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from control import warp

# What takes effect on key 1, and the value that a later call then finds without computing.
OPERATIONS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "invalidate": (lambda f: f.cache_invalidate(1), None),
    "invalidate_tags": (lambda f: f.cache_invalidate_tags("all"), None),
    "module_invalidate_tags": (lambda f: warp.invalidate_tags("all"), None),
    "clear": (lambda f: f.cache_clear(), None),
    "clear_all": (lambda f: warp.clear_all(), None),
    "set": (lambda f: f.set("set", 1), "set"),
    "put": (lambda f: f.cache_put("put", (1,)), "put"),
    "put_without_life": (lambda f: f.cache_put("put", (1,), ttl=0), None),
}
each_operation = pytest.mark.parametrize("operation", list(OPERATIONS))


def reader(
    f: Any, published: list[int], wrong: list[tuple[int, int]], end: float
) -> Callable[[], None]:
    """Calls `f` on key 1 until the end, and notes each version older than what was published."""

    def read() -> None:
        while time.monotonic() < end and not wrong:
            least = published[0]
            got = f(1)
            if got < least:
                wrong.append((got, least))

    return read
