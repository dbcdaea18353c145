"""Keys that are known to be alive, and a function of them: for a test and its children."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from warp_cache import cache

if TYPE_CHECKING:
    from typing import TypeAlias

# Of a type in C: it is known by itself, and kept. An instance of a class is known by its bytes.
Key: TypeAlias = "frozenset[object]"

_alive: dict[int, weakref.ref[Key]] = {}


def key(number: int, gone: Callable[[Any], object] | None = None) -> Key:
    """A new one; equal by value. gone: what is called at its end."""
    made = frozenset((number, "key"))
    _alive[id(made)] = weakref.ref(made, gone)
    return made


def number_of(key: Key) -> int:
    return next(part for part in key if isinstance(part, int))


def alive() -> set[int]:
    """The numbers of those that are."""
    found = [made() for made in list(_alive.values())]
    return {number_of(made) for made in found if made is not None}


def forget() -> None:
    _alive.clear()


def numbered(**options: Any) -> Any:
    """A function of such keys on one file, whoever calls this."""
    return cache(backend="shared", name="numbered", **options)(lambda key: [number_of(key)])
