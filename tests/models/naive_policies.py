"""Who gives way: the victim rule of each strategy over lists of records, as its paper tells it.

A policy is told when a record enters, is used and leaves for whatever reason, and names the victim
of a full cache. Each searches and counts from scratch: none has links or indices to get wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from warp_cache import Strategy


@dataclass(eq=False)
class Record:
    """One entry; `visited` is for SIEVE, `frequency` for S3-FIFO."""

    key: Hashable
    value: Any
    inserted: int
    used: int
    born: float
    count: int = 1
    visited: bool = False
    frequency: int = 0


class ByOrder:
    """The victim is the least record by an order: LRU, MRU, FIFO and LFU."""

    def __init__(self, order: Callable[[Record], Any]) -> None:
        self.order = order
        self.records: list[Record] = []

    def enter(self, record: Record) -> None:
        self.records.append(record)

    def use(self, record: Record) -> None:
        pass

    def victim(self) -> Record:
        return min(self.records, key=self.order)

    def leave(self, record: Record) -> None:
        self.records.remove(record)


class Sieve:
    """SIEVE: Zhang, Yang, Yue, Vigfusson, Rashmi, NSDI '24, algorithm 1.

    The hand goes from the oldest to the newest and round again, and spares once whom it finds
    visited. It rests on the record after the one that left; after the newest it starts anew.
    """

    def __init__(self) -> None:
        self.queue: list[Record] = []  # the oldest first
        self.hand: Record | None = None

    def enter(self, record: Record) -> None:
        self.queue.append(record)

    def use(self, record: Record) -> None:
        record.visited = True

    def victim(self) -> Record:
        at = 0 if self.hand is None else self.queue.index(self.hand)
        while self.queue[at].visited:
            self.queue[at].visited = False
            at = (at + 1) % len(self.queue)
        self.hand = self.queue[at]
        return self.hand

    def leave(self, record: Record) -> None:
        if record is self.hand:
            newer = self.queue[self.queue.index(record) + 1 :]
            self.hand = newer[0] if newer else None
        self.queue.remove(record)


class S3Fifo:
    """S3-FIFO: Yang, Zhang, Qiu, Yue, Rashmi, SOSP '23, algorithm 1, with a small queue of 10 %.

    A ghost that is asked for again is used up, but keeps its slot until it is the oldest. Only
    those that the small queue turns away become ghosts: who expires does not.
    """

    USED_UP = object()

    def __init__(self, capacity: int) -> None:
        self.small_size = max(1, capacity // 10)
        self.ghost_size = capacity - self.small_size
        self.small: list[Record] = []  # the oldest first, like the others
        self.main: list[Record] = []
        self.ghost: list[Hashable] = []

    def enter(self, record: Record) -> None:
        if record.key in self.ghost:
            self.ghost[self.ghost.index(record.key)] = self.USED_UP
            self.main.append(record)
        else:
            self.small.append(record)

    def use(self, record: Record) -> None:
        record.frequency = min(3, record.frequency + 1)

    def victim(self) -> Record:
        while True:
            if len(self.small) >= self.small_size or not self.main:
                record = self.small[0]
                if record.frequency <= 1:
                    self._remember(record.key)
                    return record
                self.small.remove(record)
                record.frequency = 0
            else:
                record = self.main[0]
                if record.frequency == 0:
                    return record
                self.main.remove(record)
                record.frequency -= 1
            self.main.append(record)

    def _remember(self, key: Hashable) -> None:
        self.ghost.append(key)
        if len(self.ghost) > self.ghost_size:
            del self.ghost[0]

    def leave(self, record: Record) -> None:
        (self.small if record in self.small else self.main).remove(record)


# Which of the records a cache that is compared with has let go of.
Gone = Callable[[list[Record]], list[Record]]


class Observed:
    """TinyLFU, whose sketch counts approximately: the victim is whoever is seen to have left.

    What is left to check: one leaves for each that comes into a full cache, never the newcomer,
    and none before it is full.
    """

    def __init__(self, gone: Gone) -> None:
        self.gone = gone
        self.records: list[Record] = []

    def enter(self, record: Record) -> None:
        self.records.append(record)

    def use(self, record: Record) -> None:
        pass

    def victim(self) -> Record:
        gone = self.gone(self.records)
        assert len(gone) == 1, f"{len(gone)} of {len(self.records)} left to make room for one"
        return gone[0]

    def leave(self, record: Record) -> None:
        self.records.remove(record)


Policy = ByOrder | Sieve | S3Fifo | Observed

_ORDERS: dict[Strategy, Callable[[Record], Any]] = {
    Strategy.LRU: lambda record: record.used,
    Strategy.MRU: lambda record: -record.used,
    Strategy.FIFO: lambda record: record.inserted,
    Strategy.LFU: lambda record: (record.count, record.used),
}
# Those whose victim follows from the calls alone; of the others the model has to be told who left.
EXACT = [*_ORDERS, Strategy.SIEVE, Strategy.S3FIFO]


def make_policy(strategy: Strategy, capacity: int | None, gone: Gone | None) -> Policy:
    """The policy of a cache of `capacity`; for one that never fills any will do."""
    if strategy in _ORDERS:
        return ByOrder(_ORDERS[strategy])
    if not capacity:
        return ByOrder(_ORDERS[Strategy.FIFO])
    if strategy is Strategy.SIEVE:
        return Sieve()
    if strategy is Strategy.S3FIFO:
        return S3Fifo(capacity)
    if capacity == 1:  # there is no choice
        return ByOrder(_ORDERS[Strategy.FIFO])
    assert gone is not None, f"the victims of {strategy.name} have to be observed"
    return Observed(gone)
