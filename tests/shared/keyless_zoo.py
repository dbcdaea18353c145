"""Arguments that are no keys, for test_codec_objects.py.

``NO_KEYS``: what has no bytes. ``LEAVING_OUT``: classes whose pickled form leaves out what they
compare.
"""

from __future__ import annotations

import datetime as dt
import functools
import types
from typing import Any, TypeVar

from object_zoo import Frozen, Plain, Registered, Sentinel, plain
from own_zones import Lone


class Document:
    """Leaves out of its pickled form what it compares."""

    reader: Any = None

    def __init__(self, title: str, reader: Any = None) -> None:
        self.title = title
        if reader is not None:
            self.reader = reader

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self)
            and self.title == other.title  # type: ignore[attr-defined]
            and self.reader == other.reader  # type: ignore[attr-defined]
        )

    def __hash__(self) -> int:
        return hash(self.title)


class ByState(Document):
    def __getstate__(self) -> Any:
        return {"title": self.title}


class ByReduce(Document):
    def __reduce__(self) -> Any:
        return ByReduce, (self.title,)


class ByReduceEx(Document):
    def __reduce_ex__(self, protocol: Any) -> Any:
        return ByReduceEx, (self.title,)


class ByNewArguments(Document):
    def __new__(cls, title: str = "", reader: Any = None) -> ByNewArguments:
        made = super().__new__(cls)
        made.title = title
        return made

    def __getnewargs__(self) -> Any:
        return (self.title,)

    def __getstate__(self) -> Any:
        return None


class BySetState(Document):
    def __setstate__(self, state: Any) -> None:
        self.title = state["title"]


class ByCopyreg(Document):
    pass


class ByName(Document):
    """All say to be one object of the module."""

    def __reduce__(self) -> Any:
        return "BY_NAME"


BY_NAME = ByName("Plan")


class ByReduceInList(Document, list):  # type: ignore[type-arg]
    """A derived list whose items are left out."""

    def __reduce__(self) -> Any:
        return ByReduceInList, (self.title,), {"title": self.title}


class ByWeakState(Document):
    """Rounds what it compares."""

    def __getstate__(self) -> Any:
        return {"title": self.title, "reader": str(self.reader)[:1]}


def _register() -> None:
    import copyreg

    copyreg.pickle(ByCopyreg, lambda one: (by_copyreg, (one.title,)))  # type: ignore[return-value]


def by_copyreg(title: str) -> ByCopyreg:
    return ByCopyreg(title)


_register()

LEAVING_OUT: list[type[Document]] = [
    *(ByState, ByReduce, ByReduceEx, ByNewArguments, BySetState, ByCopyreg, ByName, ByReduceInList),
    ByWeakState,
]


class Counted:
    """Each is another, whatever is in it."""

    made = 0

    def __init__(self) -> None:
        Counted.made += 1
        self.number = Counted.made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counted) and self.number == other.number

    def __hash__(self) -> int:
        return 1

    def __reduce__(self) -> Any:
        return Counted, ()


class HashedByIdentity:
    """Equal, but not to a dictionary."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HashedByIdentity)

    __hash__ = object.__hash__


class Unequal:
    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 1


class Raising(Unequal):
    def __eq__(self, other: object) -> bool:
        raise ValueError("not today")

    __hash__ = Unequal.__hash__


class OneSided:
    """The one that was made by hand takes all for equal, the loaded one none."""

    def __init__(self) -> None:
        self.by_hand = True

    def __eq__(self, other: object) -> bool:
        return self.by_hand

    def __hash__(self) -> int:
        return 1

    def __setstate__(self, state: Any) -> None:
        self.by_hand = False


class Connection:
    """What is compared by identity is never made again to look at it."""

    opened = 0

    def __init__(self, place: str) -> None:
        Connection.opened += 1
        self.place = place

    def __reduce__(self) -> Any:
        return Connection, (self.place,)


class Reopened:
    """A file that opens itself again: no equality either."""

    def __init__(self) -> None:
        self.path = "a"

    def __setstate__(self, state: Any) -> None:
        Connection.opened += 1


def local_function() -> Any:
    return lambda: None


NO_KEYS: list[Any] = [
    *(Counted(), HashedByIdentity(), Unequal(), Raising(), OneSided(), Lone(1), Connection("a")),
    *(dt.datetime(2024, 7, 1, tzinfo=Lone(1)), Frozen(Connection("a")), Frozen(Reopened())),
    *(Frozen(object()), Frozen(float("nan")), local_function(), Frozen(local_function())),
    *(functools.partial(plain, 1), Plain().method, types.ModuleType("json"), (1, Counted())),
    *(frozenset({Unequal()}), Frozen(Frozen(Counted())), [].append),
    *(Registered("c", "more"), Frozen([float("nan")])),
    *(memoryview(b"a"), Sentinel("NOWHERE"), TypeVar("Unknown"), functools.lru_cache(lambda: 1)),
]  # fmt: skip
