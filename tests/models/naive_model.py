"""A cache as plain as it can be written: the truth that the engine is compared with.

Entries are held in one list of records, every question is answered by a search through all of them,
and who gives way is asked of a policy that reads like the documentation of its strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from naive_policies import Gone, Policy, Record, make_policy

from warp_cache import Strategy


class NaiveCache:
    """What a cache of one strategy holds after any sequence of operations.

    `clock` gives the time on which lifetimes are measured; an expired record is as good as absent,
    so it can neither be found, nor counted, nor be in the way of a live one. `gone` tells, for
    strategies whose victims do not follow from the calls alone, which records the cache that is
    compared with has let go of.
    """

    def __init__(
        self,
        strategy: Strategy,
        max_size: int | None,
        ttl: float | None = None,
        clock: Callable[[], float] = lambda: 0.0,
        gone: Gone | None = None,
    ) -> None:
        self.strategy = strategy
        self.max_size = None if max_size is None else max(0, max_size)
        self.ttl = ttl
        self.clock = clock
        self.gone = gone
        self.hits = self.misses = 0
        self._moment = 0
        self._forget()

    def _forget(self) -> None:
        self._records: list[Record] = []
        self._policy: Policy = make_policy(self.strategy, self.max_size, self.gone)

    def _next_moment(self) -> int:
        self._moment += 1
        return self._moment

    def _drop_expired(self) -> None:
        if self.ttl is not None:
            now = self.clock()
            for record in [r for r in self._records if now - r.born >= self.ttl]:
                self._leave(record)

    def _leave(self, record: Record) -> None:
        self._records.remove(record)
        self._policy.leave(record)

    def _find(self, key: Hashable) -> Record | None:
        self._drop_expired()
        return next((record for record in self._records if record.key == key), None)

    def _use(self, record: Record) -> None:
        record.used = self._next_moment()
        record.count += 1
        self._policy.use(record)

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
            self._leave(self._policy.victim())
        moment = self._next_moment()
        record = Record(key, value, moment, moment, self.clock())
        self._records.append(record)
        self._policy.enter(record)

    def clear(self) -> None:
        self._forget()
        self.hits = self.misses = 0

    @property
    def info(self) -> tuple[int, int, int | None, int]:
        self._drop_expired()
        return (self.hits, self.misses, self.max_size, len(self._records))

    @property
    def values(self) -> list[Any]:
        self._drop_expired()
        return [record.value for record in self._records]
