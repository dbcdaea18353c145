"""Objects that can change though a function holds them, and what reads and changes them.

Used by changing_zoo.py."""

from __future__ import annotations

import contextvars
import ctypes
import enum
import functools
import io
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from warp_cache import cache


@dataclass
class Settings:
    rate: int = 0


@dataclass(unsafe_hash=True)
class Hashed:
    rate: int = 0


@dataclass(frozen=True)
class Frozen:
    rate: Any = 0


@dataclass(frozen=True)
class FrozenWithCache:
    rate: int = 0
    table: dict[str, int] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True)
class HalfFrozen(Frozen):
    """Whatever is frozen in it, its base has room for more."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "more", 0)


@dataclass(frozen=True)
class FrozenList(list):  # type: ignore[type-arg]
    name: str = ""


@dataclass(frozen=True)
class FrozenDict(dict):  # type: ignore[type-arg]
    name: str = ""


@dataclass(frozen=True)
class FrozenArray(bytearray):
    name: str = ""


@dataclass(frozen=True)
class FrozenFile(io.BytesIO):
    name: str = ""


@dataclass(frozen=True)
class FrozenText(str):
    name: str = ""


class Compared:
    def __init__(self, rate: int = 0) -> None:
        self.rate = rate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compared) and self.rate == other.rate

    def __hash__(self) -> int:
        return hash(self.rate)


class Plain:
    rate = 0

    def read(self, x: int) -> Any:
        return x, self.rate


class Slotted:
    __slots__ = ("rate",)

    def __init__(self, rate: int = 0) -> None:
        self.rate = rate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and self.rate == other.rate

    def __hash__(self) -> int:
        return hash(self.rate)


class Attrs:
    """As the package of this name makes classes."""

    __slots__ = ("__weakref__", "rate")
    __attrs_attrs__ = ("rate",)

    def __init__(self, rate: int = 0) -> None:
        self.rate = rate

    def __eq__(self, other: object) -> bool:
        return self.rate == other.rate if other.__class__ is self.__class__ else NotImplemented  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((7, self.rate))

    def __getstate__(self) -> dict[str, int]:
        return {"rate": self.rate}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.rate = state["rate"]


class Number(int):
    rate = 0


class Text(str):
    rate = 0


class Row(tuple):  # type: ignore[type-arg]
    rate = 0


class Names(frozenset):  # type: ignore[type-arg]
    rate = 0


class Binary(bytes):
    rate = 0


class Real(float):
    rate = 0


class Pair(NamedTuple):
    rate: Any
    more: Any = None


class Vector:
    """As an array of another package: hashable by identity, pickled by value."""

    def __init__(self, rate: int = 0) -> None:
        self.data = bytearray([rate])

    def __reduce__(self) -> Any:
        return Vector, (self.data[0],)


class Level(enum.Enum):
    LOW = 1
    TABLE = [0]


class Listed(list, enum.Enum):  # type: ignore[type-arg]
    ONE = 1

    def __new__(cls, value: int) -> Any:
        made = list.__new__(cls)
        made._value_ = value
        return made

    def __init__(self, value: int) -> None:
        list.__init__(self, [0])


class Flagged(enum.IntFlag):
    ONE = 1


class Reading:
    def __init__(self) -> None:
        self.reading = 0

    def __call__(self, x: int) -> Any:
        return x, self.reading


class Struct(ctypes.Structure):
    _fields_ = [("rate", ctypes.c_int)]


def attribute(holder: Any) -> Any:
    return holder.rate


def set_attribute(holder: Any, value: int) -> None:
    holder.rate = value


def force_attribute(holder: Any, value: int) -> None:
    object.__setattr__(holder, "rate", value)


def first(holder: Any) -> Any:
    return holder[0]


def set_first(holder: Any, value: int) -> None:
    holder[0] = value


def put(holder: Any, value: int) -> None:
    holder["rate"] = value


def got(holder: Any) -> Any:
    return holder["rate"]


def module() -> types.ModuleType:
    made = types.ModuleType("settings_of_a_test")
    made.__file__ = __file__
    made.rate = 0  # type: ignore[attr-defined]
    sys.modules[made.__name__] = made
    return made


def local(value: int = 0) -> threading.local:
    made = threading.local()
    made.rate = value
    return made


def enum_member() -> Level:
    Level.LOW.rate = 0  # type: ignore[attr-defined]
    return Level.LOW


def flag_member() -> Flagged:
    Flagged.ONE.rate = 0  # type: ignore[attr-defined]
    return Flagged.ONE


def function_with_attribute() -> Any:
    def helper() -> None: ...

    helper.rate = 0  # type: ignore[attr-defined]
    return helper


def cached_with_attribute() -> Any:
    @cache
    def helper() -> None: ...

    helper.rate = 0  # type: ignore[attr-defined]
    return helper


def cached_by_functools_with_attribute() -> Any:
    helper: Any = functools.lru_cache(function_with_attribute)
    helper.rate = 0
    return helper


def partial_with_attribute() -> Any:
    made: Any = functools.partial(len, ())
    made.rate = 0
    return made


def class_with_attribute() -> type:
    Compared.factor = 0  # type: ignore[attr-defined]
    return Compared


def counted() -> Iterator[int]:
    return iter([0])


def first_of_it(holder: Any) -> Any:
    return holder.rate[0]


def set_first_of_it(holder: Any, value: int) -> None:
    holder.rate[0] = value


def put_into_it(holder: Any, value: int) -> None:
    holder.table["rate"] = value


def force_more(holder: Any, value: int) -> None:
    object.__setattr__(holder, "more", value)


def set_first_of_value(holder: Any, value: int) -> None:
    holder.value[0] = value


def set_factor(holder: Any, value: int) -> None:
    holder.factor = value


def set_shared(holder: Any, value: int) -> None:
    SHARED.rate = value


def advance(holder: Any, value: int) -> None:
    for _ in range(value):
        next(holder)


SHARED = Compared()
CONTEXT: contextvars.ContextVar[int] = contextvars.ContextVar("rate", default=0)
