"""Which calls are the same key: whatever Python's own equality and hash say, and nothing else."""

from __future__ import annotations

import datetime
import enum
import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import support

from warp_cache import cache, lru_cache

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])
both_typed = pytest.mark.parametrize("typed", [False, True], ids=["untyped", "typed"])


class Text(str):
    """A str subclass that inherits equality."""


class Folded(str):
    """A str that is equal to any other case of itself."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.casefold() == other.casefold()

    def __hash__(self) -> int:
        return hash(self.casefold())


class Loner(int):
    """An int that hashes as an int and is equal to nothing but itself."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = int.__hash__


class Modular(int):
    """An int with a hash and an equality of its own."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and int(self) % 10 == int(other) % 10

    def __hash__(self) -> int:
        return hash(int(self) % 10)


class Pair(tuple):
    """A tuple subclass that is equal to no plain tuple."""

    def __eq__(self, other: object) -> bool:
        return type(other) is Pair and tuple.__eq__(self, other)

    __hash__ = tuple.__hash__


class Same:
    """Any two are equal; `bool()` of the answer is true, the answer is no bool."""

    def __eq__(self, other: object) -> Any:
        return "yes" if isinstance(other, Same) else ""

    def __hash__(self) -> int:
        return 1


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Word(str, enum.Enum):
    A = "a"


@dataclass(frozen=True)
class Point:
    x: int
    y: int


NAN = math.nan
NAN_TUPLE = (math.nan,)
UTC = datetime.timezone.utc
TWO_HOURS = datetime.timezone(datetime.timedelta(hours=2))

# Made anew for each use, so that equal values are not one object.
VALUES: list[Callable[[], Any]] = [
    *(lambda v=v: v for v in (None, ..., NotImplemented, True, False, int, str, type, len)),
    *(lambda v=v: int(str(v)) for v in (0, 1, 2, 10, 11, -1, -2, 255, 256, 257)),
    # hash(n) is n modulo 2**61 - 1, and -1 hashes as -2
    *(lambda v=v: int(str(v)) for v in (2**61 - 1, 2**61, 2 * (2**61 - 1), -(2**61) + 1)),
    *(lambda v=v: int(str(v)) for v in (2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 2**64 + 1)),
    *(lambda v=v: v * 1 for v in (-(2**63), -(2**63) - 1, 10**400, 10**400 + 1, 1 << 30, 1 << 60)),
    *(lambda v=v: float(v) for v in (0.0, -0.0, 1.0, -1.0, 2.0, 0.1, 2.0**53, 2.0**64, 1e300)),
    *(lambda v=v: float(v) for v in ("inf", "-inf", "5e-324")),
    lambda: int(1e300),
    lambda: NAN,
    lambda: float("nan"),
    lambda: NAN_TUPLE,
    lambda: (NAN,),
    lambda: (float("nan"),),
    lambda: complex(1, 0),
    lambda: complex(0, 1),
    lambda: Decimal("1.0"),
    lambda: Decimal("1.00"),
    lambda: Decimal("0.1"),
    lambda: Decimal("NaN"),
    lambda: Fraction(1, 1),
    lambda: Fraction(1, 10),
    *(lambda v=v: "".join(v) for v in ("", "a", "A", "b", "1", "é", "e\u0301", "ß", "€", "😀")),
    *(lambda v=v: "".join(v) for v in ("\x00", "a\x00", "\ud800", "\udfff", "a" * 1000, "ab")),
    *(lambda v=v: bytes(v) for v in (b"", b"a", b"ab", b"\x00", b"a" * 1000)),
    lambda: Text("a"),
    lambda: Folded("a"),
    lambda: Folded("A"),
    lambda: Loner(1),
    lambda: Modular(1),
    lambda: Modular(11),
    lambda: Color.RED,
    lambda: Color.BLUE,
    lambda: Number.ONE,
    lambda: Flags.A,
    lambda: Flags.A | Flags.B,
    lambda: Word.A,
    lambda: Point(1, 2),
    lambda: Point(2, 1),
    Same,
    object,
    *(lambda v=v: tuple(v) for v in ([], [1], [1.0], [True], [1, 2], [2, 1], ["a"], [b"a"])),
    *(lambda v=v: (tuple(v),) for v in ([], [1], [1.0], ["a"], [1, 2])),
    lambda: ((((1,),),),),
    lambda: Pair((1, 2)),
    lambda: (Loner(1),),
    lambda: (Folded("A"), 1),
    lambda: (Folded("a"), 1.0),
    *(lambda v=v: frozenset(v) for v in ([], [1], [1.0], [1, 2], ["a"])),
    lambda: range(3),
    lambda: range(0, 3, 1),
    lambda: datetime.datetime(2024, 1, 1, 12, tzinfo=UTC),
    lambda: datetime.datetime(2024, 1, 1, 14, tzinfo=TWO_HOURS),
    lambda: datetime.date(2024, 1, 1),
    lambda: memoryview(b"a"),
]


def values() -> list[Any]:
    return [make() for make in VALUES]


def is_apart(decorate: Decorate, typed: bool, value: Any) -> bool | None:
    """functools makes an exact int or str its own key, and a tuple of any other lone argument."""
    return None if typed or decorate is cache else type(value) in (int, str)


@both
@both_typed
def test_every_pair_of_values_is_one_key_exactly_if_a_dict_says_so(
    decorate: Decorate, typed: bool
) -> None:
    """Stored first, asked second; compared as a dict compares: identity, else hash and equality."""

    def function(value: Any) -> Any:
        return value

    cached = decorate(max_size=None, typed=typed)(function)
    for stored, asked in itertools.product(values(), values()):
        same = (asked,) in {(stored,): 1} and not (typed and type(stored) is not type(asked))
        same = same and is_apart(decorate, typed, stored) == is_apart(decorate, typed, asked)
        cached.cache_clear()
        assert cached(stored) is stored
        assert cached(asked) is (stored if same else asked), (stored, asked, typed)
        assert cached.cache_info() == (int(same), 2 - same, None, 2 - same), (stored, asked, typed)


@both
@both_typed
def test_all_values_in_one_cache(decorate: Decorate, typed: bool) -> None:
    """As above with everything stored at once: collisions of hashes and probes over many slots."""
    cached = decorate(max_size=None, typed=typed)(lambda value: [value])
    stored: list[tuple[Any, Any]] = []
    for value in (*values(), *values()):
        # The lone value in a tuple: a dict compares items by identity first, as a cache must.
        key = ((value,), type(value)) if typed else ((value,), is_apart(decorate, typed, value))
        # Equality need not be transitive here: of several keys that are equal to this one, as 1 and
        # Modular(11) are to Number.ONE, any may be met first.
        equal = [kept for known, kept in stored if hash(known) == hash(key) and known == key]
        result = cached(value)
        if equal:
            assert any(result is kept for kept in equal), value
        else:
            assert not any(result is kept for _, kept in stored), value
            stored.append((key, result))
    assert cached.cache_info().currsize == len(stored)


def test_one_key_across_types_unless_typed() -> None:
    ones = [1, 1.0, True, Decimal(1), Fraction(1), complex(1), Number.ONE, Text("x"), "x"]
    for decorate in (cache, lru_cache):
        untyped = decorate(lambda value: repr(value))
        if decorate is cache:
            assert [untyped(value) for value in ones] == ["1"] * 7 + ["'x'"] * 2
        else:  # functools keeps a lone int or str apart
            assert [untyped(value) for value in ones] == ["1"] + ["1.0"] * 6 + ["'x'"] * 2
            assert untyped.cache_info().currsize == 4
        typed = decorate(typed=True)(lambda value: repr(value))
        assert [typed(value) for value in ones] == [repr(value) for value in ones]


@both
def test_typed_is_not_recursive(decorate: Decorate) -> None:
    cached = decorate(typed=True)(lambda value: repr(value))
    assert cached((1,)) == cached((1.0,)) == cached((True,)) == "(1,)"
    assert cached(frozenset([1])) == cached(frozenset([1.0])) == "frozenset({1})"


@both
def test_zeros(decorate: Decorate) -> None:
    cached = decorate(lambda value: math.copysign(1, value))
    assert cached(-0.0) == -1 and cached(0.0) == -1 and cached(False) == -1
    assert cached.cache_info()[:2] == (2, 1)
    assert cached(0) == (-1 if decorate is cache else 1)  # functools keeps a lone int apart


@both
def test_nan_is_itself_only(decorate: Decorate) -> None:
    cached = decorate(lambda value: object())
    first, second = float("nan"), float("nan")
    assert cached(first) is cached(first) and cached(first) is not cached(second)
    assert cached((first, 1)) is cached((first, 1)) is not cached((second, 1))
    assert cached(((first,),)) is cached(((first,),))


def positions(*args: Any, **kwargs: Any) -> Any:
    return (args, tuple(kwargs.items()))


KWD_MARK = functools._make_key.__defaults__[0][0]  # type: ignore[attr-defined]

# No two of these calls are the same.
DISTINCT: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((None,), {}),
    (((),), {}),
    ((((),),), {}),
    ((1,), {}),
    (((1,),), {}),
    ((1, 2), {}),
    (((1, 2),), {}),
    (((1, 2), ()), {}),
    (((1,), (2,)), {}),
    ((1, (2,)), {}),
    ((), {"a": 2}),
    (("a", 2), {}),
    ((("a", 2),), {}),
    (((("a", 2),),), {}),
    (((), (("a", 2),)), {}),
    ((1,), {"a": 2}),
    ((1, "a", 2), {}),
    ((1, ("a", 2)), {}),
    (((1,), (("a", 2),)), {}),
    (((1,), {"a": 2}.__class__), {}),
    ((1, KWD_MARK, "a", 2), {}),
    ((KWD_MARK, "a", 2), {}),
    ((1, ("a",), (2,)), {}),
    ((1, ("a",), 2), {}),
    ((1, 2), {"a": 2}),
    ((2,), {"a": 1}),
    ((), {"a": 1, "b": 2}),
    ((), {"b": 2, "a": 1}),
    ((), {"a": 2, "b": 1}),
    ((), {"ab": 2}),
    ((), {"a": ("b", 2)}),
    ((), {"a": 1, "b": (2,)}),
    ((), {"a": (1, "b", 2)}),
    (("a", 1, "b", 2), {}),
    (("a",), {"b": 2}),
    (("a", "b"), {}),
    ((("a", "b"),), {}),
    (("ab",), {}),
    ((), {"": 2}),
    ((), {"args": 2}),
    ((), {"kwargs": 2}),
    ((), {"self": 2}),
    ((), {"\ud800": 2}),
    ((), {"\udc00": 2}),
    ((1, int), {}),
    ((1, int, int), {}),
    ((1, int, type), {}),
    ((int,), {}),
    (((1, int),), {}),
    (((1,), (int,)), {}),
    ((1, (int,)), {}),
    (((), (), ()), {}),
    ((None, None), {}),
    ((None, None, None), {}),
    ((None,), {"a": None}),
]


@both
@both_typed
@pytest.mark.parametrize("max_size", [None, 1000])
def test_different_calls_never_collide(
    decorate: Decorate, typed: bool, max_size: int | None
) -> None:
    cached = decorate(max_size=max_size, typed=typed)(positions)
    for round_number in range(2):
        for args, kwargs in DISTINCT:
            assert cached(*args, **kwargs) == positions(*args, **kwargs)
        assert cached.cache_info()[:2] == (round_number * len(DISTINCT), len(DISTINCT))


UNHASHABLE = [[], {}, set(), bytearray(), ([],), ((1, []),), (1, ({},)), Decimal("sNaN")]


@both
@pytest.mark.parametrize("unhashable", [*UNHASHABLE, memoryview(bytearray())], ids=support.name_of)
def test_unhashable_arguments(decorate: Decorate, unhashable: Any) -> None:
    """The error of hash() itself, nothing counted, and nothing that was there is lost."""
    cached = decorate(max_size=2)(positions)
    cached(1)
    cached(2)
    before = cached.cache_info()
    with pytest.raises((TypeError, ValueError)) as own:
        hash(unhashable)
    for args, kwargs in (((unhashable,), {}), ((1, unhashable), {}), ((1,), {"a": unhashable})):
        with pytest.raises(type(own.value)) as ours:
            cached(*args, **kwargs)
        assert str(ours.value) == str(own.value)
        assert cached.cache_info() == before
    assert cached(1) == positions(1) and cached(2) == positions(2)
    assert cached.cache_info() == (2, 2, 2, 2)


@both
@pytest.mark.parametrize("answer", [-1, -2, 0, 2**61 - 1, 2**63 - 1, -(2**63), 2**64, 10**30])
def test_any_hash_is_good(decorate: Decorate, answer: int) -> None:
    class Key:
        def __hash__(self) -> int:
            return answer

    cached = decorate(lambda *args: args)
    keys = [Key() for _ in range(50)]  # every one collides with every other
    for _ in range(2):
        assert all(cached(key)[0] is key and cached(1, key)[1] is key for key in keys)
    assert cached.cache_info() == (100, 100, 128, 100)


@both
def test_hashes_that_raise_or_are_no_integers(decorate: Decorate) -> None:
    class Raises:
        def __hash__(self) -> int:
            raise LookupError("no hash today")

    class Wrong:
        def __hash__(self) -> int:
            return "seven"  # type: ignore[return-value]

    cached = decorate(positions)
    with pytest.raises(LookupError, match="no hash today"):
        cached(Raises())
    with pytest.raises(TypeError, match="__hash__ method should return an integer"):
        cached(1, a=Wrong())
    assert cached.cache_info() == (0, 0, 128, 0)


@both
def test_a_key_that_changes_its_hash_is_lost_not_mistaken(decorate: Decorate) -> None:
    class Shifty:
        value = 1

        def __hash__(self) -> int:
            return hash(self.value)

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Shifty) and self.value == other.value

    cached = decorate(max_size=2)(lambda key: key.value)
    key = Shifty()
    assert cached(key) == 1
    key.value = 2
    assert cached(key) == 2
    for n in range(10):
        other = Shifty()
        other.value = 100 + n
        assert cached(other) == 100 + n
    assert cached.cache_info().currsize == 2
