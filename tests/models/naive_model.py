"""A cache as plain as it can be written: the truth that the engine is compared with.

Entries are held in one list of records, every question is answered by a search through all of them,
and a victim is the least record by an order that reads like the documentation of its strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from warp_cache import Strategy


@dataclass
class Record:
    key: Hashable
    value: Any
    inserted: int
    used: int
    count: int
    born: float


_VICTIM_ORDER: dict[Strategy, Callable[[Record], Any]] = {
    Strategy.LRU: lambda record: record.used,
    Strategy.MRU: lambda record: -record.used,
    Strategy.FIFO: lambda record: record.inserted,
    Strategy.LFU: lambda record: (record.count, record.used),
}


class NaiveCache:
    """What a cache of one strategy holds after any sequence of operations.

    `clock` gives the time on which lifetimes are measured; an expired record is as good as absent,
    so it can neither be found, nor counted, nor be in the way of a live one.
    """

    def __init__(
        self,
        strategy: Strategy,
        max_size: int | None,
        ttl: float | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.strategy = strategy
        self.max_size = None if max_size is None else max(0, max_size)
        self.ttl = ttl
        self.clock = clock
        self.hits = self.misses = 0
        self._moment = 0
        self._records: list[Record] = []

    def _next_moment(self) -> int:
        self._moment += 1
        return self._moment

    def _drop_expired(self) -> None:
        if self.ttl is not None:
            now = self.clock()
            self._records = [r for r in self._records if now - r.born < self.ttl]

    def _find(self, key: Hashable) -> Record | None:
        self._drop_expired()
        return next((record for record in self._records if record.key == key), None)

    def _use(self, record: Record) -> None:
        record.used = self._next_moment()
        record.count += 1

    def call(
        self,
        key: Hashable,
        compute: Callable[[], Any],
        store: Callable[[Callable[[], Any]], Any] | None = None,
    ) -> Any:
        """A call of the decorated function; what `compute` raises passes through.

        `store` computes and stores in another way than at once.
        """
        record = self._find(key)
        if record is not None:
            self.hits += 1
            self._use(record)
            return record.value
        self.misses += 1
        if store is not None:
            return store(compute)
        value = compute()
        self.set(key, value)
        return value

    def holds(self, key: Hashable) -> bool:
        return self._find(key) is not None

    def get(self, key: Hashable) -> Any:
        record = self._find(key)
        if record is None:
            return None
        self._use(record)
        return record.value

    def set(self, key: Hashable, value: Any) -> None:
        if self.max_size == 0:
            return
        record = self._find(key)
        if record is not None:
            self._use(record)
            record.value = value
            record.born = self.clock()
            return
        if self.max_size is not None and len(self._records) >= self.max_size:
            self._records.remove(min(self._records, key=_VICTIM_ORDER[self.strategy]))
        moment = self._next_moment()
        self._records.append(Record(key, value, moment, moment, 1, self.clock()))

    def clear(self) -> None:
        self._records.clear()
        self.hits = self.misses = 0

    @property
    def info(self) -> tuple[int, int, int | None, int]:
        self._drop_expired()
        return (self.hits, self.misses, self.max_size, len(self._records))

    @property
    def values(self) -> list[Any]:
        self._drop_expired()
        return [record.value for record in self._records]
