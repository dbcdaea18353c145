"""Keys that are known to be alive, and a function of them: for a test and its children."""

from __future__ import annotations

import weakref
from typing import Any

from warp_cache import cache


class Key:
    """Equal by value, and known to be alive or not."""

    alive: weakref.WeakSet[Key] = weakref.WeakSet()

    def __init__(self, number: int) -> None:
        self.number = number
        Key.alive.add(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.number == self.number

    def __hash__(self) -> int:
        return hash(self.number)

    def __reduce__(self) -> Any:
        return Key, (self.number,)


def numbered(**options: Any) -> Any:
    """A function of such keys on one file, whoever calls this."""
    return cache(backend="shared", name="numbered", **options)(lambda key: [key.number])
