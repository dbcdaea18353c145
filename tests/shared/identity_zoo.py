"""Functions of all kinds for test_identity.py, which describes them in several processes.

``DIFFERENT``: no two have a name in common. ``ALIKE``: groups whose members have one name.
``PRIVATE``: what has no name in another process. They are one table, longer than other files: each
function in it is compared with each other one, and most with those of this very module.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

from warp_cache import cache, lru_cache
from warp_cache._naming.identity import describe

Function = Callable[..., Any]
DIFFERENT: dict[str, Function] = {}
ALIKE: list[list[Function]] = []
PRIVATE: dict[str, Function] = {}
DIFFERENT_BASES: list[tuple[str, bool]] = []


def made(*values: Any) -> Function:
    def inner(x: Any) -> Any:
        return values, x

    return inner


def over(value: Any) -> Function:
    return lambda: value


def with_default(value: Any) -> Function:
    def inner(x: Any = value) -> Any:
        return x

    return inner


def with_keyword_default(value: Any) -> Function:
    def inner(*, x: Any = value) -> Any:
        return x

    return inner


def executed(source: str, scope: dict[str, Any] | None = None, name: str = "f") -> Function:
    """What ``source`` defines, in globals that belong to no module."""
    scope = {} if scope is None else scope
    exec(source, scope)
    function: Function = scope[name]
    return function


def decorated(function: Function) -> Function:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


# --- one name for several functions, and lines shared

if DIFFERENT is not None:

    def twice(x: int) -> int:
        return x


DIFFERENT["first"] = twice

if DIFFERENT is not None:

    def twice(x: int) -> int:  # type: ignore[no-redef]  # noqa: F811
        return x


DIFFERENT["second"] = twice

for number, function in enumerate((lambda: 1, lambda: 2, lambda: 1.0, lambda: True, lambda: "1")):
    DIFFERENT[f"lambda {number}"] = function
for number, function in enumerate((lambda x: x, lambda y: y, lambda x=1: x, lambda *x: x)):
    DIFFERENT[f"parameter {number}"] = function
for number, function in enumerate((lambda x: x.a, lambda x: x.b, lambda x: [x.a for x in x])):
    DIFFERENT[f"attribute {number}"] = function

# --- code: constants, nested code, exception tables, coroutines

SOURCES = {
    "zero": "def f(): return 0.0",
    "minus zero": "def f(): return -0.0",
    "complex": "def f(): return 0j",
    "minus complex": "def f(): return -0j",
    "bytes": "def f(): return b'0'",
    "str": "def f(): return '0'",
    "int": "def f(): return 0",
    "huge": f"def f(): return {10**5000:#x}",
    "huger": f"def f(): return {10**5000 + 1:#x}",
    "surrogate": "def f(): return '\\ud800'",
    "ellipsis": "def f(): return ...",
    "set": "def f(x): return x in {'a', 'b', 'c', 'd'}",
    "other set": "def f(x): return x in {'a', 'b', 'c', 'e'}",
    "set of numbers": "def f(x): return x in {1, 2}",
    "set of floats": "def f(x): return x in {1.0, 2.0}",
    "tuples": "def f(): return ((1, 2), 3)",
    "other tuples": "def f(): return (1, (2, 3))",
    "slice": "def f(x): return x[1:2]",
    "other slice": "def f(x): return x[1:3]",
    "nested": "def f(): return lambda: 1",
    "other nested": "def f(): return lambda: 2",
    "class": "def f():\n class A: a = 1\n return A",
    "other class": "def f():\n class A: a = 2\n return A",
    "comprehension": "def f(x): return ['a' for _ in x]",
    "other comprehension": "def f(x): return ['b' for _ in x]",
    "try": "def f(x):\n try: x(); x()\n except: return 1",
    "shorter try": "def f(x):\n x()\n try: x()\n except: return 1",
    "coroutine": "async def f(): return 0",
    "generator": "def f(): yield 0",
    "async generator": "async def f(): yield 0",
    "builtin": "def f(x): return len(x)",
    "other builtin": "def f(x): return sum(x)",
    "recursive": "def f(x): return x and f(x - 1)",
    "both documented and used": "def f():\n 'a'\n return 'a'",
    "the same, edited": "def f():\n 'b'\n return 'b'",
}
for kind, source in SOURCES.items():
    DIFFERENT[f"source {kind}"] = executed(source)

ALIKE.append([executed("def f():\n 'a'\n return 1"), executed("def f():\n 'b'\n return 1")])
ALIKE.append([executed("def f(): return 1"), executed("def f():\n\n  return 1  # a comment")])

# --- globals of code that is in no file count

DIFFERENT["global 1"] = executed("def f(): return x", {"x": 1})
DIFFERENT["global 2"] = executed("def f(): return x", {"x": 2})
DIFFERENT["global function"] = executed("def f(): return g()\ndef g(): return 1")
DIFFERENT["other global function"] = executed("def f(): return g()\ndef g(): return 2")
DIFFERENT["global in nested code"] = executed("def f(): return lambda: x", {"x": 1})
DIFFERENT["other global in nested code"] = executed("def f(): return lambda: x", {"x": 2})
DIFFERENT["global function of a file"] = executed("def f(): return x", {"x": made})
ALIKE.append([executed("def f(): return x", {"x": 1, "y": []}) for _ in range(2)])
PRIVATE["mutable global"] = executed("def f(): return x", {"x": []})
PRIVATE["global to come"] = executed("def f(): return x")

# --- defaults

VALUES: dict[str, Any] = {
    "1": 1,
    "1.0": 1.0,
    "True": True,
    "None": None,
    "...": ...,
    "'1'": "1",
    "b'1'": b"1",
    "(1,)": (1,),
    "((1,),)": ((1,),),
    "()": (),
    "-0.0": -0.0,
    "0.0": 0.0,
    "nan": math.nan,
    "1j": 1j,
    "{1}": frozenset({1}),
    "{1.0}": frozenset({1.0}),
    "{str}": frozenset("abcdefgh"),
    "{function}": frozenset({made(1), made(2)}),
    "range": range(3),
    "other range": range(4),
    "itemgetter": operator.itemgetter(1),
    "other itemgetter": operator.itemgetter(1, 2),
    "attrgetter": operator.attrgetter("a.b"),
    "methodcaller": operator.methodcaller("a", 1, b=2),
    "other methodcaller": operator.methodcaller("a", 1, b=3),
    "class": Exception,
    "class of Python": SimpleNamespace,
    "class of a module": json.JSONDecoder,
    "module": json,
    "other module": math,
    "function": json.dumps,
    "other function": json.loads,
    "builtin": len,
    "builtin of a module": math.sqrt,
    "method of a constant": "a".join,
    "method of another": "b".join,
    "slot": (1).__add__,
    "other slot": (2).__add__,
    "method of a class": str.upper,
    "slot of a class": int.__add__,
    "class method of a class": dict.fromkeys,
    "static method": staticmethod(made(1)),
    "class method": classmethod(made(1)),
    "partial": functools.partial(made, 1),
    "partial of another value": functools.partial(made, 2),
    "partial with keyword": functools.partial(with_default, value=1),
    "partial with another keyword": functools.partial(with_default, value=2),
    "cached": lru_cache(made),
    "cached over 1": cache(over(1)),
    "cached over 2": cache(over(2)),
    "functools' cached over 1": functools.lru_cache(over((1,))),
    "decorated over 1": decorated(over(1)),
    "decorated over 2": decorated(over(2)),
}
for kind, value in VALUES.items():
    DIFFERENT[f"default {kind}"] = with_default(value)
    DIFFERENT[f"keyword default {kind}"] = with_keyword_default(value)
    DIFFERENT[f"closure over {kind}"] = over(value)
for value in (1, (1, "a"), 1.5, frozenset("abc"), json, len):
    ALIKE.append([over(value), over(value)])
    ALIKE.append([with_default(value), with_default(value)])
    ALIKE.append([decorated(made(value)), decorated(made(value))])

# --- callables that are no functions


class Base:
    def method(self) -> object:
        return self

    def with_super(self) -> object:
        # The cell of the class is empty when a decorator in here sees the method.
        return super().__init__()

    @classmethod
    def of_class(cls) -> object:
        return cls

    @staticmethod
    def static() -> object:
        return 1

    UNDER_CONSTRUCTION = describe(with_super)


class Derived(Base):
    pass


DIFFERENT["method"] = Base.method
DIFFERENT["class method"] = Base.of_class
DIFFERENT["class method of another"] = Derived.of_class
DIFFERENT["static method"] = Base.static
DIFFERENT["method with a class cell"] = Base.with_super
DIFFERENT["class"] = Base
DIFFERENT["other class"] = Derived
DIFFERENT["builtin"] = math.sqrt
DIFFERENT["other builtin"] = math.sin
DIFFERENT["partial"] = functools.partial(made, 1)
DIFFERENT["other partial"] = functools.partial(made, 2)
DIFFERENT["partial of partial"] = functools.partial(functools.partial(over), functools.partial)
DIFFERENT["method of a str"] = "a".join
DIFFERENT["long name"] = executed(f"def {'f' * 1000}(): pass", name="f" * 1000)
DIFFERENT["other long name"] = executed(f"def {'f' * 1000}g(): pass", name="f" * 1000 + "g")
DIFFERENT["name of other letters"] = executed("def ñ(): pass", name="ñ")
DIFFERENT["another of them"] = executed("def ü(): pass", name="ü")

# --- circles


def recursive(step: int) -> Function:
    @cache
    def walk(x: int) -> int:
        return x and walk(x - step)

    return walk


def circle(value: object) -> Function:
    def even(x: int) -> object:
        return value if x == 0 else odd(x - 1)

    def odd(x: int) -> object:
        return value if x == 0 else even(x - 1)

    return even


def circle_in_a_set(value: object) -> Function:
    def one() -> object:
        return functions

    def two() -> object:
        return functions, value

    functions = frozenset({one, two, len, sum})
    return one


def under_construction(step: int) -> tuple[str, bool]:
    """The name that a function has before the variable that it calls itself by is bound."""
    found = []

    def note(function: Function) -> Function:
        found.append(describe(function))
        return function

    @note
    def walk(x: int) -> int:
        return x and walk(x - step)

    return found[0]


def before_what_it_calls() -> tuple[str, bool]:
    """The name that a function has before a variable that it closes over is bound."""

    def first() -> object:
        return second()

    found = describe(first)

    def second() -> object:
        return first

    return found


def in_a_local_class() -> tuple[str, bool]:
    """The name that a method has while its class is made, which another call makes otherwise."""

    class Local:
        def with_super(self) -> object:
            return super().__init__()

        found = describe(with_super)

    return Local.found


def ring(back: bool) -> Function:
    """Two functions in a circle; the second refers to the first or to itself."""

    def first() -> object:
        return second

    def second() -> object:
        return target

    target = first if back else second
    return first


def shared_in_a_set() -> Function:
    """Whichever comes first in the set must not be the only one to have the shared one's hash."""
    shared = over(0)
    return over(frozenset(made(number, shared) for number in range(8)))


DIFFERENT["ring"] = ring(True)
DIFFERENT["other ring"] = ring(False)
DIFFERENT["shared in a set"] = shared_in_a_set()
ALIKE.append([shared_in_a_set() for _ in range(8)])

for value in (1, 2):
    DIFFERENT[f"recursive {value}"] = recursive(value)
    DIFFERENT[f"circle {value}"] = circle(value)
    DIFFERENT[f"circle in a set {value}"] = circle_in_a_set(value)
ALIKE.append([recursive(1), recursive(1)])
ALIKE.append([circle(1), circle(1)])
ALIKE.append([circle_in_a_set(1), circle_in_a_set(1)])

# --- values of other types


class Color(enum.Enum):
    RED = (1,)
    BLUE = (2,)


class Mutable(enum.Enum):
    LIST = [1]


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Pair(NamedTuple):
    one: object
    two: object


@dataclass(frozen=True)
class Frozen:
    value: object


@dataclass(frozen=True)
class Slotted:
    __slots__ = ("value",)
    value: object


class Text(str):
    __slots__ = ()


VALUES_FOR_THE_CODEC: list[Any] = [
    *(date(2020, 1, 2), date(2020, 1, 3), datetime(2020, 1, 2)),
    *(datetime(2020, 1, 2, tzinfo=timezone.utc), datetime(2020, 1, 2, tzinfo=timezone.min)),
    *(Decimal(1), Decimal("1.0"), Fraction(1), Fraction(1, 3), UUID(int=1), UUID(int=2)),
    *(PurePosixPath("a/b"), PurePosixPath("a/c"), re.compile("a"), re.compile("a", re.I)),
    *(Pair(1, 2), Pair(1.0, 2), Pair(True, 2), Pair(1, "2"), Pair(0.0, 0), Pair(-0.0, 0)),
    *(Frozen(1), Frozen(1.0), Frozen(True), Frozen(frozenset("abcdef")), Frozen((1,))),
    *(Slotted(1), Slotted(1.0), Slotted("a"), Text("a"), Text("b"), "a"),
]
for member in (*Color, *Number, *Right, Right.READ | Right.WRITE, Right.READ | Right.RUN):
    DIFFERENT[f"over {member!r}"] = over(member)


# --- what one name stood for before

for base in (int, str):

    class Again(base):  # type: ignore[valid-type, misc]
        pass

    DIFFERENT_BASES.append(describe(over(Again)))

# --- what has no name elsewhere


def local_class() -> type:
    class Local:
        def method(self) -> object:
            return __class__  # type: ignore[name-defined]  # noqa: F821

    return Local


def deep(levels: int) -> object:
    value: object = ()
    for _ in range(levels):
        value = (value, value)
    return value


def deeply_decorated() -> Function:
    function = made()
    for _ in range(2000):
        function = decorated(function)
    return function


class Opaque:
    def __call__(self) -> None:
        pass


class Proxy:
    """As web frameworks have them for the request: outside of one, all of it fails."""

    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError("nothing to stand for")

    def __hash__(self) -> int:
        raise RuntimeError("nothing to stand for")


class Failing:
    def __hash__(self) -> int:
        raise RuntimeError("not hashable today")

    def __reduce__(self) -> str:
        raise RuntimeError("not picklable either")


PRIVATE["over a list"] = over([])
PRIVATE["over a dict"] = over({})
PRIVATE["over an object"] = over(object())
PRIVATE["over a failing object"] = over(Failing())
PRIVATE["over a proxy"] = over(Proxy())
PRIVATE["over a list in a tuple"] = over((1, [2]))
PRIVATE["list as a default"] = with_default([])
PRIVATE["list as a keyword default"] = with_keyword_default([])
PRIVATE["decorated, over a list"] = decorated(over([]))
PRIVATE["method of a list"] = [].append
PRIVATE["method of an object"] = Opaque().__call__
PRIVATE["callable instance"] = Opaque()
PRIVATE["partial of a list"] = functools.partial(made, [])
PRIVATE["local class"] = local_class()
PRIVATE["method of a local class"] = local_class().method  # type: ignore[attr-defined]
PRIVATE["more tuples than there is memory"] = over(deep(200))
PRIVATE["decorated 2000 times"] = deeply_decorated()
PRIVATE["context manager"] = over(contextlib.nullcontext())
