"""Counts that never fall, made from those of caches that may be cleared or die.

Whoever collects counters takes a smaller number for a restart of the process, and counts all of it
once more. A cache's own counters get smaller with a clear; the sum of several caches of one name
gets smaller when one of them dies, and so does that of a method with ``per_instance``.
"""

from __future__ import annotations

from weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any

__all__ = ["Growing", "Steady"]


class Growing:
    """Totals of what the caches of this process count by themselves."""

    def __init__(self) -> None:
        self._totals: dict[Hashable, float] = {}
        # By series and identity: the cache, and what it said last.
        self._seen: dict[Hashable, dict[int, tuple[ref[Any], float]]] = {}

    def total(self, series: Hashable, cache: Any, value: float) -> float:
        """What all caches of a series have counted, now that one of them says so much."""
        seen = self._seen.setdefault(series, {})
        known = seen.get(id(cache))
        before = known[1] if known is not None and known[0]() is cache else 0
        seen[id(cache)] = ref(cache), value
        total = self._totals.get(series, 0) + max(0, value - before)
        self._totals[series] = total
        return total

    def forget(self) -> None:
        """Forget caches that are dead, and series that have none. O(caches)."""
        for series, seen in list(self._seen.items()):
            for at, (cache, _) in list(seen.items()):
                if cache() is None:
                    del seen[at]
            if not seen:
                del self._seen[series], self._totals[series]


class Steady:
    """Differences of what all processes of a host count, as it was read while they counted.

    Each of two counters only grows, but one is read a moment later than the other. What all
    processes give must be the same, so nothing is added up here: where no counter has fallen, the
    difference has not either; and where one has, there was a clear.
    """

    def __init__(self) -> None:
        # By file and series: the counters, and what was made of them.
        self._last: dict[str | None, dict[Hashable, tuple[tuple[float, ...], float]]] = {}

    def value(
        self, file: str | None, series: Hashable, counters: tuple[float, ...], value: float
    ) -> float:
        """What a series of a file is at, now that the file's counters say this."""
        last = self._last.setdefault(file, {})
        before = last.get(series)
        if before is not None and all(
            new >= old for new, old in zip(counters, before[0], strict=True)
        ):
            value = max(value, before[1])
        last[series] = counters, value
        return value

    def forget_others(self, files: set[str]) -> None:
        """Forget all but these files. O(files)."""
        for file in self._last.keys() - files:
            del self._last[file]
