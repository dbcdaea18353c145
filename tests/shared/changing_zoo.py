"""What a function may hold that can change after it was decorated, for test_identity_changes.py.

``CHANGING``: by kind, something that makes a function and what changes it. All functions of a kind
are made by the same lines, so that they would have one name, were they not found out.
"""

from __future__ import annotations

import array
import collections
import copy
import ctypes
import decimal
import functools
import io
import itertools
import mmap
import random
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from changing_functions import FUNCTIONS
from changing_holders import (
    CONTEXT,
    SHARED,
    Attrs,
    Binary,
    Compared,
    Frozen,
    FrozenArray,
    FrozenDict,
    FrozenFile,
    FrozenList,
    FrozenWithCache,
    HalfFrozen,
    Hashed,
    Level,
    Listed,
    Names,
    Number,
    Pair,
    Plain,
    Reading,
    Real,
    Row,
    Settings,
    Slotted,
    Struct,
    Text,
    Vector,
    advance,
    attribute,
    cached_by_functools_with_attribute,
    cached_with_attribute,
    class_with_attribute,
    counted,
    enum_member,
    first,
    first_of_it,
    flag_member,
    force_attribute,
    force_more,
    function_with_attribute,
    got,
    local,
    module,
    partial_with_attribute,
    put,
    put_into_it,
    set_attribute,
    set_factor,
    set_first,
    set_first_of_it,
    set_first_of_value,
    set_shared,
)
from changing_kinds import Change, Function, Kinds

from warp_cache import cache

CHANGING = Kinds(FUNCTIONS)


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


@CHANGING.add
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


@CHANGING.add
def _callable_instance() -> tuple[Function, Change]:
    made = Reading()
    return made, lambda value: setattr(made, "reading", value)


@CHANGING.add
def _frozen_callable_instance() -> tuple[Function, Change]:
    made = FrozenMeter()
    return made, lambda value: force_attribute(made, value)


@CHANGING.add
def _method_of_a_list() -> tuple[Function, Change]:
    items: list[Any] = [0] * 100
    return items.__getitem__, lambda value: items.__setitem__(1, value)


del kind, new, read, write, way, number, made_by
