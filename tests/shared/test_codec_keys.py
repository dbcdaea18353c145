"""Equal keys give equal bytes in every process; unequal ones never do."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import functools
import gc
import json
import math
import operator
import pathlib
import re
import sys
import types
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Growth, check_clean, run_python

from warp_cache._warp_cache_rs import _encode_key


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Shade(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    ONE = 1


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Letter(str, enum.Enum):
    A = "a"


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True)
class Frozen:
    x: Any
    y: Any = 0


@dataclass(frozen=True)
class Other:
    x: Any
    y: Any = 0


@dataclass(frozen=True)
class Slotted:
    __slots__ = ("x",)
    x: Any


@dataclass(frozen=True)
class Held:
    held: Any = field(hash=False)


class Number(int):
    pass


class Named(str):
    pass


class Loud(str):
    """Compares as no str does."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loud) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return 1


class Ordered:
    """Has an order, but no equality of its own."""

    def __lt__(self, other: object) -> bool:
        return True


class FrozenDict(dict):  # type: ignore[type-arg]
    def __hash__(self) -> int:  # type: ignore[override]
        return len(self)


class FrozenOrdered(collections.OrderedDict):  # type: ignore[type-arg]
    def __hash__(self) -> int:  # type: ignore[override]
        return len(self)


class FrozenList(list):  # type: ignore[type-arg]
    def __hash__(self) -> int:  # type: ignore[override]
        return len(self)


class Constant:
    """A singleton with an equality, pickled by its name."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 1

    def __reduce__(self) -> str:
        return "CONSTANT"


CONSTANT = Constant()


class Methods:
    @staticmethod
    def static() -> None: ...
    @classmethod
    def made(cls) -> None: ...


UTC = dt.timezone.utc
ZOO: list[Any] = [
    None, ..., NotImplemented, True, False, 0, 1, -1, 63, 64, 2**31, 2**63 - 1, 2**63, -(2**63),
    -(2**63) - 1, 2**64, 10**40, -(10**40), 0.0, -0.0, 1.0, -1.0, 0.5, 0.1, 1e300, int(1e300),
    2.0**63, -(2.0**63), 2.0**70, 5e-324, math.inf, -math.inf, 1j, 0j, complex(-0.0, 1), complex(0,
    1), complex(1, 0), complex(1, -0.0), complex(0.5, 0), complex(math.inf, 1), Decimal("1.0"),
    Decimal("0.5"), Decimal("0.1"), Decimal("-0"), Decimal("1e40"), Decimal("Infinity"),
    Decimal(0.1), Decimal(2) ** 64, Fraction(1, 2), Fraction(1, 10), Fraction(0.1), Fraction(1, 3),
    Fraction(3), Fraction(10**400, 3), Fraction(1, 10**400), "", "a", "1", "é", "\u20ac",
    "\U0001f600", "\ud800", "a" * 63, "a" * 64, "None", Named("a"), Letter.A, b"", b"a", b"1", (),
    (1,), (1.0,), ((1,),), (1, 2), ("a", "b"), ("ab",), (None,), Point(1, 2), (1, (2,)), ((1, 2),),
    ((), ()), frozenset(), frozenset([1]), frozenset([1, 2]), frozenset(["a", "b"]),
    frozenset([frozenset()]), frozenset([(1, 2), "a"]), range(0), range(5, 5), range(1), range(0,
    1, 5), range(3), range(0, 3, 2), range(0, 4, 2), range(1, 3), range(0, 10**30), Color.RED,
    Color.BLUE, Shade.RED, Level.ONE, Number(7), 7, Mode.READ, Mode.WRITE, Mode.READ | Mode.WRITE,
    Mode(0), int, str, bool, Color, Frozen, dict, len, max, math.sin, json.dumps, operator.add,
    json, math, Methods.static, Methods, Frozen(1), Frozen(1.0), Frozen(2), Other(1), Frozen(1,
    Other(1)), Frozen("1"), Frozen((1, None)), Slotted(1), Slotted(2), dt.date(2020, 1, 1),
    dt.date(2020, 1, 2), dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=UTC), dt.time(1),
    dt.timedelta(1), dt.timedelta(0, 86400), UTC, uuid.UUID(int=1), uuid.UUID(int=2),
    pathlib.PurePosixPath("a/b"), pathlib.PurePosixPath("b"), pathlib.PurePosixPath("a"),
    FrozenDict(a=1, b=2), FrozenDict(b=2, a=1), FrozenDict(a=1), FrozenOrdered(a=1, b=2),
    FrozenOrdered(b=2, a=1), FrozenList([1, 2]), FrozenList([2, 1]), CONSTANT, Methods.made,
    list[int], list[str], re.compile("a"), re.compile("a", re.I), re.compile(b"a"), Held([1, 2]),
    Held([2, 1]), Held({"a": 1, "b": 2}), Held({"b": 2, "a": 1}), Held({1, 2}), Held(b"x"),
    Held(bytearray(b"x")), Held({1: []}), Held([]), Held({}), Held(set()), Held(()),
]  # fmt: skip


def key(*args: object, typed: bool = False) -> bytes | None:
    return _encode_key(args, (), typed)


def stored(*args: object, typed: bool = False) -> bytes:
    made = key(*args, typed=typed)
    assert made is not None, args
    return made


def test_pairs_of_a_zoo() -> None:
    spelled = [stored(value) for value in ZOO]
    for a, of_a in zip(ZOO, spelled, strict=True):
        for b, of_b in zip(ZOO, spelled, strict=True):
            if {type(a), type(b)} == {FrozenDict, FrozenOrdered}:
                assert of_a != of_b  # equal, some of them, but not transitively: a miss
                continue
            assert (of_a == of_b) is (a is b or bool(a == b)), (a, b)
    # The same within a tuple, and no end of one is the beginning of another.
    for a, b, of_a, of_b in zip(ZOO, ZOO[1:], spelled, spelled[1:], strict=False):
        assert (stored((a, b), 1) == stored((b, a), 1)) is (of_a == of_b)


def test_a_derived_class_with_an_equality_of_its_own() -> None:
    assert stored(Loud("a")) == stored(Loud("a"))
    assert stored(Loud("a")) != stored("a")
    assert stored(Loud("a")) != stored(Loud("A"))  # equal: what its state can't tell costs a miss


UNSTORABLE: list[Any] = [
    object(), Ordered(), math.nan, Decimal("NaN"), complex(math.nan, 1), complex(1, math.nan),
    lambda: 1, Decimal("1e1000000000"), Frozen(object()), Frozen([object()]), Frozen(math.nan), (1,
    (object(),)), frozenset([object()]), Held({"a": object()}), functools.partial(int), iter([]),
    memoryview(b"x"), types.ModuleType("json"), type("Local", (), {}), [].append,
    Frozen.__dict__["__init__"].__get__(object()), sys._getframe(),
    types.SimpleNamespace().__init__, Frozen(1).__repr__, (1).bit_length,
]  # fmt: skip


@pytest.mark.parametrize("value", UNSTORABLE, ids=lambda value: type(value).__name__)
def test_what_has_no_bytes(value: Any) -> None:
    assert key(value) is None
    assert key(1, value) is None
    assert key((1, value)) is None
    assert key(Frozen(value)) is None


def test_cycles_and_depth() -> None:
    cycle: list[Any] = []
    cycle.append(Held(cycle))
    assert key(cycle[0]) is None
    deep: Any = ()
    for _ in range(1000):
        deep = (deep,)
    assert key(deep) is None
    deep = Frozen(1)
    for _ in range(1000):
        deep = Held(deep)
    assert key(deep) is None


def test_a_global_that_is_another_object_by_now() -> None:
    class Color(enum.Enum):
        RED = 1

    Color.__qualname__ = "Color"
    assert key(Color.RED) is None and key(Color) is None
    assert key(sys.modules[__name__].Color.RED) is not None


def test_nothing_is_imported() -> None:
    class Away:
        pass

    Away.__module__, Away.__qualname__ = "this", "Away"
    assert key(Away) is None
    assert "this" not in sys.modules


def test_typed() -> None:
    for a, b in (
        (1, 1.0),
        (1, True),
        (1, Number(1)),
        ("a", Named("a")),
        ("a", Letter.A),
        (0, Decimal(0)),
    ):
        assert stored(a) == stored(b)
        assert stored(a, typed=True) != stored(b, typed=True)
        # The type of an argument counts, not that of what is in it.
        assert stored((a,), typed=True) == stored((b,), typed=True)
    assert stored((1, 2), typed=True) != stored(Point(1, 2), typed=True)

    assert len({stored(value, typed=True) for value in (1, len, key, json, ..., Methods.made)}) == 6

    class Local(int):
        pass

    assert stored(Local(1)) == stored(1)
    assert key(Local(1), typed=True) is None


def test_the_shape_of_a_call() -> None:
    calls: list[tuple[tuple[Any, ...], tuple[str, ...]]] = [
        ((), ()), ((1,), ()), ((1,), ("a",)), ((1,), ("b",)), ((1, 2), ()), (((1, 2),), ()), ((1,
        2), ("a",)), ((1, 2), ("a", "b")), ((1, 2), ("b", "a")), ((2, 1), ("b", "a")), (((1,),
        (("a", 2),)), ()), ((1, "a", 2), ()), ((1, 2, "a"), ()), ((1, 2, ("a",)), ()), (((),), ()),
        ((1, "a"), ("a",)),
    ]  # fmt: skip
    for typed in (False, True):
        spelled = [_encode_key(*call, typed) for call in calls]
        assert None not in spelled
        assert len(set(spelled)) == len(calls)


keys = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() |
    st.binary() | st.fractions() | st.decimals(allow_nan=False) |
    st.complex_numbers(allow_nan=False) | st.integers(0, len(ZOO) - 1).map(lambda at: ZOO[at]),
    lambda parts: st.lists(parts, max_size=4).map(tuple) | st.frozensets(parts, max_size=4) |
    st.builds(Frozen, parts, parts), max_leaves=6,
)  # fmt: skip


@given(keys, keys)
def test_bytes_are_equal_where_keys_are(a: Any, b: Any) -> None:
    of_a, of_b = key(a), key(b)
    if of_a is not None and of_b is not None:
        assert (of_a == of_b) is (a == b)


@given(st.floats(allow_nan=False))
def test_numbers_of_one_value(value: float) -> None:
    same: list[Any] = [value, complex(value), Decimal(value)]
    if math.isfinite(value):
        same.append(Fraction(value))
        if value == int(value):
            same.append(int(value))
    assert len({stored(number) for number in same}) == 1


SCRIPT = """
import sys
sys.path[:0] = {path!r}
import test_codec_keys as zoo
sys.stdout.write(" ".join(zoo.stored(value).hex() for value in zoo.ZOO))
"""


def test_processes_agree() -> None:
    folder = pathlib.Path(__file__).resolve().parent
    path = [str(folder), str(folder.parent), str(folder.parents[1])]
    outputs = []
    for seed in ("1", "2"):
        done = run_python(SCRIPT.format(path=path), environment={"PYTHONHASHSEED": seed})
        check_clean(done)
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0].split()) == len(ZOO)


def test_the_main_module_is_named_by_its_file() -> None:
    source = """
from dataclasses import dataclass
from warp_cache._warp_cache_rs import _encode_key
@dataclass(frozen=True)
class Point:
    x: int
print(_encode_key((Point(1),)).hex())
"""
    first, second = (run_python(source).stdout for _ in range(2))  # in folders of their own
    assert first and second and first != second


# --- leaks -----------------------------------------------------------------------------------


def test_nothing_leaks() -> None:
    class Refusing:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

        def __reduce__(self) -> Any:
            raise ValueError("no")

    leaf, refusing, bare = "".join(["not ", "interned"]), Refusing(), object()
    counted = [
        leaf,
        refusing,
        bare,
        Frozen,
        Color,
        Color.RED,
        Point,
        decimal.Decimal,
        operator.add,
        None,
    ]
    good = [
        (leaf, (leaf, frozenset([leaf]))), (Frozen(leaf), Color.RED), (Frozen(Held([leaf, {leaf:
        leaf}])),), (Decimal("0.1"), Fraction(1, 3), range(3)), (operator.add, Point, Mode(3)),
        (FrozenDict(a=leaf),),
    ]  # fmt: skip
    bad = [
        (refusing,),
        (Frozen(refusing),),
        (Held([leaf, bare]),),
        ((leaf, bare),),
        (lambda: leaf,),
    ]

    def rounds(count: int) -> None:
        for number in range(count):
            assert _encode_key(good[number % len(good)], (), number % 4 == 0) is not None
            assert _encode_key(bad[number % len(bad)]) is None

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(thing) for thing in counted]

    rounds(1000)
    before = counts()
    growth = Growth(blocks=800)  # a leak would be 1,600 at least
    for _ in growth:
        rounds(10_000)
    after = counts()
    assert [b - a for a, b in zip(before[:-1], after[:-1], strict=True)] == [0] * (len(counted) - 1)
    assert abs(after[-1] - before[-1]) < 100  # None is everybody's
    growth.check()
