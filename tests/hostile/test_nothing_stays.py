"""What is made, or done, many times leaves no block of memory behind."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import pytest
import support
from support import Growth

from warp_cache import Cache, cache, lru_cache
from warp_cache._warp_cache_rs import CachedFunction, SharedCachedFunction

ROUNDS = 2000
# A leak is a block a round. (Without a GIL, CPython frees what dictionaries were made of in lots.)
STAYING = 1500 if support.FREE_THREADED else 300


def plain(x: int) -> int:
    return x


async def coroutine(x: int) -> int:
    return x


class Derived(CachedFunction):  # type: ignore[type-arg]
    """Made by `__new__` of its base."""


OBJECT: Any = Cache()

MADE: dict[str, Callable[[], Any]] = {
    "cache": lambda: cache(plain),
    "lru_cache": lambda: lru_cache(plain),
    "cache of a coroutine function": lambda: cache(coroutine),
    "lru_cache of a coroutine function": lambda: lru_cache(coroutine),
    "shared": lambda: cache(backend="shared", name="made")(plain),
    "shared of a coroutine function": lambda: cache(backend="shared", name="made2")(coroutine),
    "per_instance": lambda: cache(per_instance=True)(plain),
    "Cache": Cache,
    "memoize": lambda: OBJECT.memoize(plain),
    "memoize of a coroutine function": lambda: OBJECT.memoize(coroutine),
    "the class": lambda: CachedFunction(plain, 0, 10),
    "the shared class": lambda: SharedCachedFunction(plain, 0, 10),
    "a derived class": lambda: Derived(plain, 0, 10),
    "with attributes": lambda: setattr(cache(plain), "mark", 1),
}


def check(turn: Callable[[], object]) -> None:
    """Many rounds of `turn` leave fewer blocks than there are rounds."""
    for _ in range(100):
        turn()
    growth = Growth(blocks=STAYING)
    for _ in growth:
        for _ in range(ROUNDS):
            turn()
    growth.check()


@pytest.mark.parametrize("made", MADE)
def test_what_is_made_and_dropped(made: str) -> None:
    check(MADE[made])


def test_new_makes_instances_of_its_class_alone() -> None:
    for kind in (int, dict, type(plain)):
        with pytest.raises(TypeError):
            CachedFunction.__new__(kind, plain, 0, 10)  # type: ignore[type-var]
    derived: Any = CachedFunction.__new__(Derived, plain, 0, 10)
    assert type(derived) is Derived
    derived.mark = 1
    assert (derived.__dict__, derived(3)) == ({"mark": 1}, 3)


def test_a_class_with_an_abstract_method_has_no_instances() -> None:
    class Unfinished(CachedFunction, metaclass=abc.ABCMeta):  # type: ignore[type-arg]
        @abc.abstractmethod
        def missing(self) -> None: ...

    class Finished(Unfinished):
        def missing(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Unfinished(plain, 0, 10)
    finished: Any = Finished(plain, 0, 10)
    finished.mark = 1
    assert (finished.__dict__, finished(3)) == ({"mark": 1}, 3)
