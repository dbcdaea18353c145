"""Functions, classes and objects that are edited in place, for test_edits_in_place.py.

``EDITS``: by kind, what makes a holder anew and what edits it, so that `read` of it gives another
result. ``SHAPES``: how the holder is passed. It is one table, so it is longer than other files.
"""

from __future__ import annotations

import abc
import datetime
import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from typing import Any, ClassVar, NamedTuple

Made = tuple[Any, Callable[[Any], Any], Callable[[int], object]]
EDITS: dict[str, Callable[[], Made]] = {}
SCOPE = globals()


def edit(make: Callable[[], Made]) -> Callable[[], Made]:
    EDITS[make.__name__.strip("_").replace("_", " ")] = make
    return make


def place(found: Any, name: str) -> Any:
    """What a module has under this name, made anew for each test."""
    found.__qualname__ = found.__name__ = name
    found.__module__ = __name__
    SCOPE[name] = found
    return found


def other(value: int) -> Any:
    """A function with this result and no closure."""
    scope: dict[str, Any] = {}
    exec(f"def priced(x, rate=0, *, tax=0): return (x, {value}, 'code')", scope)
    return scope["priced"]


# --- functions


def cost() -> Any:
    def made(x: int, rate: int = 0, *, tax: int = 0) -> Any:
        "Documented."
        return x, rate, tax, getattr(made, "extra", 0)

    return place(made, "cost_of")


def closed(rate: Any = 0) -> Any:
    return place(lambda x: (x, rate), "closed_over")


def call(holder: Any) -> Any:
    return holder(1)


@edit
def code_of_a_function() -> Made:
    made = cost()
    made = place(other(0), "priced")
    return made, call, lambda value: setattr(made, "__code__", other(value).__code__)


@edit
def defaults_of_a_function() -> Made:
    made = place(other_with_rate(), "rated")
    return made, call, lambda value: setattr(made, "__defaults__", (value,))


@edit
def keyword_defaults_of_a_function() -> Made:
    made = place(other_with_rate(), "rated")
    return made, call, lambda value: setattr(made, "__kwdefaults__", {"tax": value})


@edit
def one_keyword_default_of_a_function() -> Made:
    made = place(other_with_rate(), "rated")
    return made, call, lambda value: made.__kwdefaults__.__setitem__("tax", value)


def other_with_rate() -> Any:
    def rated(x: int, rate: int = 0, *, tax: int = 0) -> Any:
        return x, rate, tax

    return rated


@edit
def attribute_of_a_function() -> Made:
    made = place(other_with_rate(), "rated")
    made.extra = 0
    return made, lambda f: f.extra, lambda value: setattr(made, "extra", value)


@edit
def documentation_of_a_function() -> Made:
    made = place(other_with_rate(), "rated")
    return made, lambda f: f.__doc__, lambda value: setattr(made, "__doc__", f"of {value}")


@edit
def annotation_of_a_function() -> Made:
    made = place(other_with_rate(), "rated")
    made.__annotations__["x"] = "0"
    return (
        made,
        lambda f: f.__annotations__["x"],
        lambda value: made.__annotations__.__setitem__("x", str(value)),
    )


@edit
def name_of_a_function() -> Made:
    made = place(other_with_rate(), "rated")
    return made, lambda f: f.__name__, lambda value: setattr(made, "__name__", f"name{value}")


@edit
def content_of_a_cell() -> Made:
    made = closed()
    return made, call, lambda value: setattr(made.__closure__[0], "cell_contents", value)


@edit
def code_of_a_function_in_a_cell() -> Made:
    inner = place(other(0), "priced")
    made = place((lambda inner: lambda x: inner(x))(inner), "around")
    return made, call, lambda value: setattr(inner, "__code__", other(value).__code__)


@edit
def code_of_a_decorated_function() -> Made:
    inner = other(0)
    made = place(functools.wraps(inner)((lambda inner: lambda *a: inner(*a))(inner)), "wrapper")
    return made, call, lambda value: setattr(inner, "__code__", other(value).__code__)


@edit
def code_of_a_function_cached_by_functools() -> Made:
    inner = place(other(0), "cached_one")
    made: Any = functools.lru_cache(inner)
    SCOPE["cached_one"] = made

    def change(value: int) -> None:
        inner.__code__ = other(value).__code__
        made.cache_clear()

    return made, call, change


# --- classes, and their instances


def a_class(*bases: type, **attributes: Any) -> Any:
    def price(self: Any) -> Any:
        return 0

    body = {"price": price, "factor": 0, "table": {"a": [0]}, "__module__": __name__}
    return place(
        type(bases[0] if bases else object)("Model", bases, {**body, **attributes}), "Model"
    )


def by_value(**attributes: Any) -> Any:
    """A class whose instances are all equal."""
    return a_class(
        __eq__=lambda self, other: type(self) is type(other),
        __hash__=lambda self: 7,
        **attributes,
    )


def priced(value: int) -> Any:
    return lambda self: value


@edit
def method_of_a_class() -> Made:
    made = a_class()
    return made, lambda c: c.price(None), lambda value: setattr(made, "price", priced(value))


@edit
def code_of_a_method_of_a_class() -> Made:
    made = a_class()
    return (
        made,
        lambda c: c.price(None),
        lambda value: setattr(made.price, "__code__", _method(value).__code__),
    )


def _method(value: int) -> Any:
    scope: dict[str, Any] = {}
    exec(f"def price(self): return {value}", scope)
    return scope["price"]


@edit
def attribute_of_a_class() -> Made:
    made = a_class()
    return made, lambda c: c.factor, lambda value: setattr(made, "factor", value)


@edit
def list_of_a_class() -> Made:
    made = a_class()
    return made, lambda c: c.table["a"][-1], lambda value: made.table["a"].append(value)


@edit
def annotation_of_a_class() -> Made:
    made = a_class(__annotations__={"x": "0"})
    return (
        made,
        lambda c: c.__annotations__["x"],
        lambda value: made.__annotations__.__setitem__("x", str(value)),
    )


@edit
def name_of_a_class() -> Made:
    made = a_class()
    return made, lambda c: c.__name__, lambda value: setattr(made, "__name__", f"Model{value}")


@edit
def attribute_of_a_base() -> Made:
    base = place(a_class(), "Base")
    made = place(type("Derived", (base,), {"__module__": __name__}), "Derived")
    return made, lambda c: c.factor, lambda value: setattr(base, "factor", value)


@edit
def bases_of_a_class() -> Made:
    bases = [
        place(type(f"B{n}", (), {"factor": n, "__module__": __name__}), f"B{n}") for n in range(3)
    ]
    made = place(type("Derived", (bases[0],), {"__module__": __name__}), "Derived")
    return made, lambda c: c.factor, lambda value: setattr(made, "__bases__", (bases[value],))


@edit
def attribute_of_a_metaclass() -> Made:
    meta = place(type("Meta", (type,), {"factor": 0, "__module__": __name__}), "Meta")
    made = place(meta("OfMeta", (), {"__module__": __name__}), "OfMeta")
    return made, lambda c: c.factor, lambda value: setattr(meta, "factor", value)


@edit
def function_of_a_partial_method() -> Made:
    method: Any = functools.partialmethod(priced(0))
    made = a_class(of=method)
    return made, lambda c: c().of(), lambda value: setattr(method, "func", priced(value))


@edit
def function_of_a_cached_property() -> Made:
    method: Any = functools.cached_property(priced(0))
    made = a_class(of=method)
    return made, lambda c: c().of, lambda value: setattr(method, "func", priced(value))


@edit
def method_of_an_instance() -> Made:
    made = by_value()
    return made(), lambda o: o.price(), lambda value: setattr(made, "price", priced(value))


@edit
def attribute_of_the_class_of_an_instance() -> Made:
    made = by_value()
    return made(), lambda o: o.factor, lambda value: setattr(made, "factor", value)


@edit
def class_of_an_instance() -> Made:
    kinds = [
        place(type(f"K{n}", (Same,), {"n": n, "__module__": __name__}), f"K{n}") for n in range(3)
    ]
    made = kinds[0]()
    return made, lambda o: o.n, lambda value: setattr(made, "__class__", kinds[value])


class Same:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same)

    def __hash__(self) -> int:
        return 3


@edit
def state_of_an_instance() -> Made:
    made = Same()
    made.rate = 0  # type: ignore[attr-defined]
    return made, lambda o: o.rate, lambda value: setattr(made, "rate", value)


@edit
def attribute_of_the_base_of_an_instance() -> Made:
    base = by_value()
    place(base, "Base")
    made = place(type("Derived", (base,), {"__module__": __name__}), "Derived")
    return made(), lambda o: o.factor, lambda value: setattr(base, "factor", value)


@dataclass(frozen=True)
class Holding:
    function: Any
    by: ClassVar[int] = 0

    def __call__(self, x: int) -> Any:
        return self.function(x), self.by


@edit
def function_in_a_frozen_dataclass() -> Made:
    inner = place(other(0), "priced")
    return Holding(inner), call, lambda value: setattr(inner, "__code__", other(value).__code__)


@edit
def cell_of_a_function_in_a_frozen_dataclass() -> Made:
    inner = closed()
    change = lambda value: setattr(inner.__closure__[0], "cell_contents", value)  # noqa: E731
    return Holding(inner), call, change


@edit
def field_of_a_frozen_dataclass() -> Made:
    made = Holding(place(other(0), "priced"))
    others = [place(other(n), f"priced{n}") for n in range(3)]
    return made, call, lambda value: object.__setattr__(made, "function", others[value])


@edit
def method_of_a_frozen_dataclass() -> Made:
    kind = place(make_dataclass("Frozen", [("a", int, field(default=1))], frozen=True), "Frozen")
    kind.__module__ = __name__
    kind.price = priced(0)
    return kind(), lambda o: o.price(), lambda value: setattr(kind, "price", priced(value))


# --- what compares as a built-in type


class Named(NamedTuple):
    function: Any


@edit
def function_in_a_named_tuple() -> Made:
    inner = place(other(0), "priced")
    change = lambda value: setattr(inner, "__code__", other(value).__code__)  # noqa: E731
    return Named(inner), lambda o: o.function(1), change


def level() -> Any:
    return place(enum.Enum("Level", {"LOW": 1, "HIGH": 2}, module=__name__), "Level")


@edit
def attribute_of_a_member() -> Made:
    made = level()
    made.LOW.rate = 0
    return made.LOW, lambda o: o.rate, lambda value: setattr(made.LOW, "rate", value)


@edit
def method_of_an_enum() -> Made:
    made = level()
    made.price = priced(0)
    return made.LOW, lambda o: o.price(), lambda value: setattr(made, "price", priced(value))


@edit
def attribute_of_an_enum() -> Made:
    made = level()
    made.factor = 0
    return made, lambda o: o.factor, lambda value: setattr(made, "factor", value)


@edit
def attribute_of_an_abstract_class() -> Made:
    made = place(abc.ABCMeta("Abstract", (), {"__module__": __name__, "factor": 0}), "Abstract")
    return made, lambda o: o.factor, lambda value: setattr(made, "factor", value)


def found_by_name(cls: Any) -> Any:
    return cls.factor


@edit
def class_method() -> Made:
    made = a_class(found_by_name=classmethod(found_by_name))
    return made.found_by_name, lambda o: o(), lambda value: setattr(made, "factor", value)


class Zone(datetime.tzinfo):
    """A zone that is compared by value."""

    hours = 1

    def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(hours=self.hours)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Zone) and self.hours == other.hours

    def __hash__(self) -> int:
        return 5


# --- how it is passed: its place in a tuple of arguments, and how to find it there

SHAPES: dict[str, tuple[Callable[[Any], tuple[Any, ...]], Callable[..., Any]]] = {
    "alone": (lambda h: (h,), lambda h: h),
    "with another": (lambda h: (1, h), lambda one, h: h),
    "in a tuple": (lambda h: ((1, h),), lambda t: t[1]),
    "in nested tuples": (lambda h: ((1, ((h,), 2)),), lambda t: t[1][0][0]),
    "in a frozenset": (lambda h: (frozenset((h,)),), lambda s: next(iter(s))),
    "in a frozenset in a tuple": (
        lambda h: ((frozenset((h,)), 1), 1),
        lambda t, _: next(iter(t[0])),
    ),
    "in a named tuple": (lambda h: (Named(h),), lambda t: t.function),
    "in a frozen dataclass": (lambda h: (Holding(h),), lambda o: o.function),
    "in a dataclass in a tuple": (lambda h: ((Holding((h, h)),),), lambda t: t[0].function[0]),
}
