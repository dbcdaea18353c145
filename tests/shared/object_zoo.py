"""Arguments of many kinds, for test_codec_objects.py.

``KEYS``: all have bytes, which are equal where the values are. ``FOUND_APART``: equal, in two
states. What has no bytes is in `keyless_zoo`.
"""

# ruff: noqa: UP006, UP007, UP035, UP045

from __future__ import annotations

import datetime as dt
import enum
import functools
import operator
import pathlib
import re
import types
import typing
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypeVar, Union

from own_zones import UTC, Interned, Zone, fixed

from warp_cache import cache

# --- classes with a pickled form of their own


class State:
    """As an object-relational mapper notes about a row; no equality."""

    def __init__(self) -> None:
        self.adding, self.db = True, None


def model_unpickle(of: str) -> Any:
    model = globals()[of]
    return model.__new__(model)


class Model:
    """As Django has them: equal by primary key, pickled by a function, with a state beside."""

    def __init__(self, pk: int | None, name: str = "") -> None:
        self._state = State()
        self.pk = pk
        self.name = name

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
            return NotImplemented
        return self is other if self.pk is None else self.pk == other.pk

    def __hash__(self) -> int:
        if self.pk is None:
            raise TypeError("model instances without primary key value are unhashable")
        return hash(self.pk)

    def __reduce__(self) -> Any:
        return model_unpickle, (type(self).__name__,), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_state"] = State()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class Attrs:
    """As the package of this name makes classes."""

    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any = None) -> None:
        self.a, self.b = a, b

    def __eq__(self, other: Any) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return bool((self.a, self.b) == (other.a, other.b))

    def __hash__(self) -> int:
        return hash((self.a, self.b))

    def __getstate__(self) -> Any:
        return {"a": self.a, "b": self.b}

    def __setstate__(self, state: Any) -> None:
        self.a, self.b = state["a"], state["b"]


class Strict:
    """Tells apart what is equal in another type."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Strict)
            and type(self.value) is type(other.value)
            and self.value == other.value
            and repr(self.value) == repr(other.value)
        )

    def __hash__(self) -> int:
        return hash(self.value) if not isinstance(self.value, (dict, set, list)) else 1


class Money:
    """Made anew by its constructor, which is particular."""

    def __init__(self, amount: Decimal, currency: str) -> None:
        if not isinstance(amount, Decimal):
            raise TypeError("amount must be a Decimal")
        self.amount, self.currency = amount, currency

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.amount, self.currency))

    def __reduce__(self) -> Any:
        return Money, (self.amount, self.currency)


class Keywords:
    """Made with keywords alone."""

    def __new__(cls, *, value: Any) -> Keywords:
        made = super().__new__(cls)
        made.value = value
        return made

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keywords) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __getnewargs_ex__(self) -> Any:
        return (), {"value": self.value}


def set_bag(bag: Bag, state: Any) -> None:
    bag.label = state


class Bag(list):  # type: ignore[type-arg]
    """A list with a label, which a function of its own sets."""

    label = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bag) and list(self) == list(other) and self.label == other.label

    def __hash__(self) -> int:  # type: ignore[override]
        return hash((tuple(self), self.label))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Bag, (), self.label, iter(self), None, set_bag


class OwnSet(set):  # type: ignore[type-arg]
    def __eq__(self, other: object) -> bool:
        return type(other) is OwnSet and set.__eq__(self, other)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))


class OwnFrozenSet(frozenset):  # type: ignore[type-arg]
    def __eq__(self, other: object) -> bool:
        return type(other) is OwnFrozenSet and frozenset.__eq__(self, other)

    def __hash__(self) -> int:
        return hash(frozenset(self))


REGISTRY: dict[str, Registered] = {}


def find(name: str) -> Registered:
    return REGISTRY[name]


class Registered:
    """Is pickled by what it is registered by."""

    def __init__(self, name: str, more: Any = None) -> None:
        self.name = name
        if more is not None:
            self.more = more
        REGISTRY[name] = self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registered) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> Any:
        return find, (self.name,)


class Unknown:
    """Has a NaN that its comparison does not look at."""

    def __init__(self, name: str) -> None:
        self.name, self.missing = name, float("nan")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Sentinel:
    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> str:
        return self.name


MISSING, UNSET = Sentinel("MISSING"), Sentinel("UNSET")


class Everything:
    """Equal to all of its kind, whatever is in them."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Everything)

    def __hash__(self) -> int:
        return 7


@dataclass(frozen=True)
class Frozen:
    x: Any
    y: Any = None


@dataclass(frozen=True)
class Partly:
    """What is not compared is kept all the same."""

    x: Any
    note: Any = field(default=None, compare=False)


@dataclass(frozen=True)
class Doubler:
    def __call__(self, x: int) -> int:
        return 2 * x


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    y: int


class Plain:
    def method(self) -> None: ...

    @classmethod
    def made(cls) -> None: ...


def plain(x: int) -> int:
    return x


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@decorated
def wrapped(x: int) -> int:
    return x


@cache
def cached(x: int) -> int:
    return x


@functools.lru_cache
def cached_by_functools(x: int) -> int:
    return x


T = TypeVar("T")
S = TypeVar("S", bound=int)
UserId = NewType("UserId", int)

NOON = dt.datetime(2024, 7, 1, 12)

KEYS: list[Any] = [
    # moments: naive, in zones, in hours that come twice, of other types
    *(NOON, NOON.replace(fold=1), dt.datetime(2024, 7, 1, 13)),
    *(dt.datetime(2024, 7, 1, 12, tzinfo=UTC), dt.datetime(2024, 7, 1, 14, tzinfo=fixed(2))),
    *(dt.datetime(2024, 7, 1, 12, tzinfo=fixed(2)), dt.datetime(1, 1, 1, tzinfo=fixed(14))),
    *(dt.datetime(9999, 12, 31, 23, tzinfo=fixed(-12)), dt.datetime.max, dt.datetime.min),
    *(dt.datetime(2024, 7, 1, 12, 0, 0, 1), dt.date(2024, 7, 1), dt.timedelta(1)),
    *(NOON.replace(tzinfo=Interned.of(1)), NOON.replace(tzinfo=Interned.of(7))),
    *(dt.time(12), dt.time(12, fold=1), dt.time(12, tzinfo=UTC), dt.time(13, tzinfo=fixed(1))),
    *(dt.time(0, tzinfo=fixed(1)), dt.time(23, tzinfo=UTC), dt.time(12, tzinfo=fixed(0.5))),
    *(dt.time(12, tzinfo=fixed(0.5 / 3600)), dt.time(12, 0, 0, 500_000, UTC)),
    *(UTC, fixed(1), fixed(2), Interned.of(1), Interned.of(2), Zone(1), Zone(2)),
    # types, as typing spells them
    *(Optional[int], Union[int, None], Union[int, str], Union[str, int], Optional[str], int | str),
    *(typing.List[int], typing.List[str], typing.List, typing.Any, typing.Union, typing.Optional),
    *(typing.Dict[str, int], list[int], dict[str, int], typing.Callable[[int], str], type(None)),
    *(typing.Callable[..., str], Annotated[int, 1], Annotated[int, 2], Annotated[str, 1]),
    *(Literal["a"], Literal["b"], Literal[1], Literal[True], Literal[1, "a"], Literal["a", 1]),
    *(typing.List["Plain"], typing.List["Level"], Optional["Plain"], typing.ForwardRef("Plain")),
    *(T, S, typing.ClassVar[int], typing.Type[int], tuple[int, ...], UserId),
    *(typing.List[T], typing.Optional[Plain], types.FunctionType, types.MethodType, types.NoneType),
    # functions and descriptors
    *(plain, wrapped, cached, cached_by_functools, len, operator.itemgetter, str.upper, str.lower),
    *(int.__add__, dict.fromkeys, dict.__dict__["fromkeys"], Plain.made, Plain.method, Plain),
    *(types.FunctionType.__dict__["__code__"], Doubler(), operator.getitem, typing, operator),
    # objects
    *(Model(1), Model(2), Attrs(1), Attrs(1.0), Attrs(2), Attrs(1, Attrs(2))),
    *(Strict(1), Strict(1.0), Strict(True), Strict("a"), Strict(b"a"), Strict((1,)), Strict(0.0)),
    *(Strict(Point(1, 2)), Strict((1, 2)), Strict(Level.LOW), Strict(-0.0)),
    *(Strict(Decimal("1.0")), Strict(Decimal("1.00")), Strict(Fraction(1)), Strict(range(0))),
    *(Money(Decimal("0.1"), "EUR"), Money(Decimal("0.1"), "USD")),
    *(Keywords(value=1), Keywords(value=2), Keywords(value=Keywords(value=1)), MISSING, UNSET),
    *(Frozen(MISSING), Frozen(UNSET), Frozen(1), Frozen(1.0), Partly(1, {"a": [1]}), Partly(2)),
    *(Frozen(dt.datetime(2024, 7, 1)), Frozen(UTC), Frozen(Color.RED), Frozen(Right.READ)),
    *(Frozen(Right.READ | Right.WRITE), Frozen(Point(1, 2)), Frozen((1, 2)), Frozen(range(3))),
    *(Frozen(Fraction(1, 3)), Frozen(Decimal("0.1")), Frozen(Fraction(1, 10))),
    *(Frozen(Optional[int]), Strict(frozenset((1,))), Frozen(b"a"), Frozen(frozenset({1}))),
    *(Frozen(plain), Frozen(Plain), Frozen(len), Frozen(NotImplemented), Frozen(...), Frozen(2j)),
    *(Frozen(uuid.UUID(int=1)), Frozen(pathlib.PurePosixPath("a")), Frozen(re.compile("a"))),
    *(Color.RED, Color.BLUE, Right.READ, Right.READ | Right.WRITE),
    *(OwnSet("abcdefgh"), OwnFrozenSet("abcdefgh"), OwnSet("abcdefgi"), Unknown("a"), Unknown("b")),
    *(Registered("a"), Registered("b")),
    *((Model(1), "a"), ("a", Model(1)), Frozen(10**30), frozenset({Attrs(1)})),
    frozenset({Attrs(1), Attrs(2)}),
]  # fmt: skip


def bag(label: str, *items: Any) -> Bag:
    made = Bag(items)
    made.label = label
    return made


KEYS += [bag("a", 1), bag("b", 1), bag("a", 2), bag("a", 1.0)]

# Equal, and found apart: a miss, never a wrong hit.
FOUND_APART: list[tuple[Any, Any]] = [
    (Model(1, "a"), Model(1, "b")),
    (Everything(1), Everything(2)),
    (Money(Decimal("0.1"), "EUR"), Money(Decimal("0.10"), "EUR")),
    (Partly(2, "a"), Partly(2, "b")),
    (
        Frozen(dt.datetime(2024, 7, 1, 12, tzinfo=UTC)),
        Frozen(dt.datetime(2024, 7, 1, 14, tzinfo=fixed(2))),
    ),
    (Frozen(dt.datetime(2024, 7, 1)), Frozen(dt.datetime(2024, 7, 1, fold=1))),
]
