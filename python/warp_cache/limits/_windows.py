"""Moving and sliding windows: what one request does to the state of a window, without a cache or a
clock.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from math import floor
from typing import NamedTuple

__all__ = ["Moving", "Sliding", "moving", "slid", "sliding"]


class Moving:
    """The moments of the requests in a window, oldest first, as packed doubles: a hit of a large
    limit copies bytes alone.
    """

    __slots__ = ("moments",)

    def __init__(self, packed: bytes | None, now: float, expiry: float) -> None:
        self.moments = array("d")
        self.moments.frombytes(packed or b"")
        del self.moments[: bisect_left(self.moments, now - expiry)]

    def takes(self, amount: int, limit: int) -> bool:
        return len(self.moments) + amount <= limit


def moving(
    packed: bytes | None, now: float, expiry: float, limit: int, amount: int
) -> bytes | None:
    """The window with so many requests more; None if they are too many."""
    window = Moving(packed, now, expiry)
    if not window.takes(amount, limit):
        return None
    # The clock may have been set back; the moments stay in their order.
    newest = window.moments[-1] if window.moments else now
    window.moments.extend([max(now, newest)] * amount)
    return window.moments.tobytes()


class Sliding(NamedTuple):
    """How many requests there were in the window before and in this one; how long each counts."""

    previous: int
    previous_ttl: float
    current: int
    current_ttl: float


def sliding(state: tuple[int, int, int] | None, now: float, expiry: float) -> Sliding:
    """What of a state (number of its window, requests before it, requests in it) counts now."""
    window = int(now / expiry)
    number, before, during = state or (window, 0, 0)
    if number == window - 1:
        before, during = during, 0
    elif number != window:
        before = during = 0
    left = (1 - (now / expiry) % 1) * expiry
    return Sliding(before, left if before else 0.0, during, left + expiry)


def slid(
    state: tuple[int, int, int] | None, now: float, expiry: float, limit: int, amount: int
) -> tuple[int, int, int] | None:
    """The state with so many requests more; None if they are too many."""
    at = sliding(state, now, expiry)
    if floor(at.previous * at.previous_ttl / expiry + at.current) + amount > limit:
        return None
    return int(now / expiry), at.previous, at.current + amount
