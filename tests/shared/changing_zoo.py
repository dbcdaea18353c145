"""What a function may hold that can change after it was decorated, for test_identity_changes.py.

``CHANGING``: by kind, something that makes a function and what changes it. All functions of a kind
are made by the same lines, so that they would have one name, were they not found out.
"""

from __future__ import annotations

import array
import collections
import contextvars
import copy
import ctypes
import decimal
import enum
import functools
import io
import itertools
import mmap
import random
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from warp_cache import cache

Function = Callable[[int], Any]
Change = Callable[[int], object]
CHANGING: dict[str, Callable[[], tuple[Function, Change]]] = {}


def changing(make: Callable[[], tuple[Function, Change]]) -> Callable[[], tuple[Function, Change]]:
    CHANGING[make.__name__.strip("_").replace("_", " ")] = make
    return make


# --- objects in a closure, a default, a keyword default, a partial object, and as ``self``


def in_closure(holder: Any, read: Callable[[Any], Any]) -> Function:
    return lambda x: (x, read(holder))


def as_default(holder: Any, read: Callable[[Any], Any]) -> Function:
    def f(x: int, holder: Any = holder) -> Any:
        return x, read(holder)

    return f


def as_keyword_default(holder: Any, read: Callable[[Any], Any]) -> Function:
    def f(x: int, *, holder: Any = holder) -> Any:
        return x, read(holder)

    return f


def of_partial(holder: Any, read: Callable[[Any], Any]) -> Function:
    return functools.partial(lambda read, holder, x: (x, read(holder)), read, holder)


def in_tuple(holder: Any, read: Callable[[Any], Any]) -> Function:
    holders = (1, (holder,))
    return lambda x: (x, read(holders[1][0]))


def wrapped(holder: Any, read: Callable[[Any], Any]) -> Function:
    inner = in_closure(holder, read)

    @functools.wraps(inner)
    def wrapper(x: int) -> Any:
        return inner(x)

    return wrapper


WAYS = [in_closure, as_default, as_keyword_default, of_partial, in_tuple, wrapped]


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

READ_AT: Any = [
    # kind, made by, read by, changed by
    ("dataclass", Settings, attribute, set_attribute),
    ("hashable dataclass", Hashed, attribute, set_attribute),
    ("frozen dataclass", Frozen, attribute, force_attribute),
    ("frozen dataclass over a list", lambda: Frozen([0]), first_of_it, set_first_of_it),
    ("frozen dataclass with a dict", FrozenWithCache, lambda h: h.table.get("rate"), put_into_it),
    ("frozen dataclass with more", HalfFrozen, lambda h: h.more, force_more),
    ("frozen list", lambda: FrozenList("a"), lambda h: list(h), lambda h, v: h.append(v)),
    ("frozen dict", lambda: FrozenDict("a"), lambda h: dict(h), put),
    ("frozen bytes", lambda: FrozenArray(), lambda h: bytes(h), lambda h, v: h.append(v)),
    ("frozen file", lambda: FrozenFile(), lambda h: h.getvalue(), lambda h, v: h.write(bytes([v]))),
    ("compared by value", Compared, attribute, set_attribute),
    ("slots", Slotted, attribute, set_attribute),
    ("attrs", Attrs, attribute, set_attribute),
    ("namespace", lambda: types.SimpleNamespace(rate=0), attribute, set_attribute),
    ("int with attributes", lambda: Number(1), attribute, set_attribute),
    ("str with attributes", lambda: Text("a"), attribute, set_attribute),
    ("tuple with attributes", lambda: Row((1,)), attribute, set_attribute),
    ("frozenset with attributes", lambda: Names((1,)), attribute, set_attribute),
    ("bytes with attributes", lambda: Binary(b"1"), attribute, set_attribute),
    ("float with attributes", lambda: Real(1), attribute, set_attribute),
    ("named tuple over a list", lambda: Pair([0]), first_of_it, set_first_of_it),
    ("list", lambda: [0], first, set_first),
    ("dict", lambda: {"rate": 0}, got, put),
    ("default dict", lambda: collections.defaultdict(int, rate=0), got, put),
    ("ordered dict", lambda: collections.OrderedDict(rate=0), got, put),
    ("counter", lambda: collections.Counter(rate=0), got, put),
    ("chain of dicts", lambda: collections.ChainMap({"rate": 0}), got, put),
    ("user dict", lambda: collections.UserDict(rate=0), got, put),
    ("set", set, lambda h: sorted(h), lambda h, v: h.add(v)),
    ("deque", lambda: collections.deque([0]), first, set_first),
    ("array", lambda: array.array("i", [0]), first, set_first),
    ("bytearray", lambda: bytearray(1), first, set_first),
    ("memoryview", lambda: memoryview(bytearray(1)), first, set_first),
    ("vector", Vector, lambda h: h.data[0], lambda h, v: set_first(h.data, v)),
    ("C integer", ctypes.c_int, lambda h: h.value, lambda h, v: setattr(h, "value", v)),
    ("C structure", Struct, attribute, set_attribute),
    ("C array", lambda: (ctypes.c_int * 1)(0), first, set_first),
    ("mapped memory", lambda: mmap.mmap(-1, 1), first, set_first),
    ("file in memory", io.StringIO, lambda h: h.getvalue(), lambda h, v: h.write(str(v))),
    ("random numbers", random.Random, lambda h: copy.copy(h).random(), lambda h, v: h.seed(v)),
    ("iterator", counted, lambda h: list(copy.copy(h)), lambda h, v: None if v == 2 else next(h)),
    ("counting iterator", itertools.count, lambda h: int(repr(h)[len("count(") : -1]), advance),
    ("decimal context", decimal.Context, lambda h: h.prec, lambda h, v: setattr(h, "prec", v)),
    ("context variable", lambda: CONTEXT, lambda h: h.get(), lambda h, v: h.set(v)),
    ("local of threads", local, attribute, set_attribute),
    ("module", module, attribute, set_attribute),
    ("view of a dict", lambda: types.MappingProxyType(vars(SHARED)), got, set_shared),
    ("weak reference", lambda: weakref.ref(SHARED), lambda h: h().rate, set_shared),
    ("member with an attribute", enum_member, attribute, set_attribute),
    ("member of flags with an attribute", flag_member, attribute, set_attribute),
    ("member over a list", lambda: Level.TABLE, lambda h: h.value[0], set_first_of_value),
    ("member that is a list", lambda: Listed.ONE, first, set_first),
    ("attribute of a cached function", cached_with_attribute, attribute, set_attribute),
    ("attribute of lru_cache", cached_by_functools_with_attribute, attribute, set_attribute),
    ("attribute of a partial object", partial_with_attribute, attribute, set_attribute),
    ("attribute of a function", function_with_attribute, attribute, set_attribute),
    ("attribute of a class", class_with_attribute, lambda h: h.factor, set_factor),
]  # fmt: skip


def _add(kind: str, way: Callable[[Any, Any], Function], new: Any, read: Any, write: Any) -> None:
    def make() -> tuple[Function, Change]:
        holder = new()
        return way(holder, read), lambda value: write(holder, value)

    CHANGING[f"{kind}, {way.__name__.replace('_', ' ')}"] = make


for number, (kind, new, read, write) in enumerate(READ_AT):
    # Each kind in two ways, all ways for some kind.
    for way in dict.fromkeys([WAYS[0], WAYS[number % len(WAYS)]]):
        _add(kind, way, new, read, write)


@changing
def attribute_of_the_cached_function_itself() -> tuple[Function, Change]:
    """Where a function is cached by a decorator, it finds the cached one under its own name."""

    def price(x: int) -> Any:
        return x, getattr(price, "rate", 0)

    plain: Any = price
    price = cache(price)  # type: ignore[assignment]
    return plain, lambda value: setattr(price, "rate", value)


# --- methods bound to what can change


class Meter(Compared):
    def read(self, x: int) -> Any:
        return x, self.rate


class Plain:
    rate = 0

    def read(self, x: int) -> Any:
        return x, self.rate


@dataclass(frozen=True)
class FrozenMeter:
    rate: int = 0

    def read(self, x: int) -> Any:
        return x, self.rate

    def __call__(self, x: int) -> Any:
        return x, self.rate


for made_by in (Meter, Plain, FrozenMeter):

    def bound(made_by: Any = made_by) -> tuple[Function, Change]:
        meter = made_by()
        return meter.read, lambda value: force_attribute(meter, value)

    CHANGING[f"method of a {made_by.__name__}"] = bound


@changing
def _callable_instance() -> tuple[Function, Change]:
    made = Reading()
    return made, lambda value: setattr(made, "reading", value)


@changing
def _frozen_callable_instance() -> tuple[Function, Change]:
    made = FrozenMeter()
    return made, lambda value: force_attribute(made, value)


@changing
def _method_of_a_list() -> tuple[Function, Change]:
    items: list[Any] = [0] * 100
    return items.__getitem__, lambda value: items.__setitem__(1, value)


# --- functions themselves


@changing
def _variable_bound_again() -> tuple[Function, Change]:
    rate = 0

    def f(x: int) -> Any:
        return x, rate

    def change(value: int) -> None:
        nonlocal rate
        rate = value

    return f, change


@changing
def _variable_bound_again_to_another_function() -> tuple[Function, Change]:
    def helper() -> int:
        return 0

    def f(x: int) -> Any:
        return x, helper()

    def change(value: int) -> None:
        nonlocal helper
        helper = (lambda: 1) if value == 1 else lambda: 2

    return f, change


@changing
def _variable_of_a_helper_bound_again() -> tuple[Function, Change]:
    rate = 0

    def helper() -> int:
        return rate

    def change(value: int) -> None:
        nonlocal rate
        rate = value

    return (lambda x: (x, helper())), change


@changing
def _variable_named_as_the_function() -> tuple[Function, Change]:
    def f(x: int) -> Any:
        return x, f if isinstance(f, int) else 0

    def change(value: int) -> None:
        nonlocal f
        f = value  # type: ignore[assignment]

    return f, change


@changing
def _variable_with_no_value_yet() -> tuple[Function, Change]:
    def f(x: int) -> Any:
        return x, rate

    def change(value: int) -> None:
        nonlocal rate
        rate = value

    rate: int
    if x_is_never:
        rate = 0
    return f, change


x_is_never = False


@changing
def _defaults_exchanged() -> tuple[Function, Change]:
    def f(x: int, rate: int = 0) -> Any:
        return x, rate

    return f, lambda value: setattr(f, "__defaults__", (value,))


@changing
def _keyword_defaults_exchanged() -> tuple[Function, Change]:
    def f(x: int, *, rate: int = 0) -> Any:
        return x, rate

    def change(value: int) -> None:
        assert f.__kwdefaults__ is not None
        f.__kwdefaults__["rate"] = value

    return f, change


@changing
def _code_exchanged() -> tuple[Function, Change]:
    def f(x: int) -> Any:
        return x, 0

    def change(value: int) -> None:
        f.__code__ = (lambda x: (x, 1)).__code__ if value == 1 else (lambda x: (x, 2)).__code__

    return f, change


@changing
def _code_of_a_helper_exchanged() -> tuple[Function, Change]:
    def helper() -> int:
        return 0

    def change(value: int) -> None:
        helper.__code__ = (lambda: 1).__code__ if value == 1 else (lambda: 2).__code__

    return (lambda x: (x, helper())), change


@changing
def _keywords_of_a_partial_object() -> tuple[Function, Change]:
    made = functools.partial(lambda x, rate: (x, rate), rate=0)
    return made, lambda value: made.keywords.__setitem__("rate", value)


@changing
def _wrapped_says_another_function() -> tuple[Function, Change]:
    """What is called is in a cached function; what ``__wrapped__`` says is somebody's word."""

    def shown(x: int) -> Any:
        return x

    rates = [0]
    hidden = functools.lru_cache(maxsize=0)(lambda x: (x, rates[0]))
    functools.update_wrapper(hidden, shown)
    return hidden, lambda value: set_first(rates, value)


@changing
def _method_of_a_class_exchanged() -> tuple[Function, Change]:
    plain = Plain

    def change(value: int) -> None:
        Plain.extra = (lambda: 1) if value == 1 else (lambda: 2)  # type: ignore[attr-defined]

    Plain.extra = lambda: 0  # type: ignore[attr-defined]
    return (lambda x: (x, plain.extra())), change  # type: ignore[attr-defined]


@changing
def _code_of_a_method_exchanged() -> tuple[Function, Change]:
    compared = Replaced
    Replaced.rate.__code__ = (lambda: 0).__code__

    def change(value: int) -> None:
        Replaced.rate.__code__ = (lambda: 1).__code__ if value == 1 else (lambda: 2).__code__

    return (lambda x: (x, compared.rate())), change


class Replaced:
    @staticmethod
    def rate() -> int:
        return 0


class Base:
    rate = 0


class Derived(Base):
    pass


@changing
def _attribute_of_a_base() -> tuple[Function, Change]:
    Base.rate = 0
    derived = Derived
    return (lambda x: (x, derived.rate)), lambda value: setattr(Base, "rate", value)


@changing
def _global_of_code_in_no_file() -> tuple[Function, Change]:
    scope: dict[str, Any] = {"rate": 0}
    exec("def f(x): return x, rate", scope)
    return scope["f"], lambda value: scope.__setitem__("rate", value)


@changing
def _function_that_dispatches() -> tuple[Function, Change]:
    @functools.singledispatch
    def f(x: Any) -> Any:
        return x, 0

    f.register(int)(lambda x: (x, 0))
    return f, lambda value: f.register(int)((lambda x: (x, 1)) if value == 1 else lambda x: (x, 2))


del kind, new, read, write, way, number, made_by
