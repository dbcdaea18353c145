"""Instances, as parts of a description: those of classes that are known to have none that change.

An instance counts by its class and what it consists of: what pickle would make it from, its base's
own items, its fields.
"""

from __future__ import annotations

import sys
from copyreg import dispatch_table
from types import MemberDescriptorType

from warp_cache._naming import watch
from warp_cache._naming.places import NoName, is_at, is_of_python

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from warp_cache._naming.description import Description

__all__ = [
    "BARE",
    "a_member",
    "a_reduced",
    "anything_else",
    "has_only_attributes",
    "is_frozen",
    "of_typing",
]

# What derives from these without attributes stays as it is: the base's own items.
BARE: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}
# Classes of Python itself whose instances stay as they are, and are made again from what pickle
# takes: by module, as they may not be imported.
_REDUCED = {
    "datetime": ("date", "time", "datetime", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID",),
    "re": ("Pattern",),
    "pathlib": ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath"),
    "ipaddress": ("IPv4Address", "IPv6Address"),
}


def a_reduced(to: Description, value: Any) -> None:
    """What pickle would make it from, and that exactly in type and value."""
    kind = type(value)
    try:
        reduce = dispatch_table.get(kind)
        parts: Any = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception:
        raise NoName(f"{_name_of(kind)} is not pickled") from None
    if isinstance(parts, str):
        # One of a kind, which its module has under this name.
        module = getattr(value, "__module__", None)
        if not is_at(value, module, parts):
            raise NoName(f"{parts} is not found under its name")
        to.feed("global", *to.place(module), parts, *to.version(module))
        to.value(kind)
        return
    made: list[Any] = [*parts, None]
    make, arguments, state, *items = made
    if any(item is not None for item in items):
        # It holds items as a list or dict does, or sets its state in a way of its own.
        raise NoName(f"{_name_of(kind)} can change")
    to.feed("reduced")
    to.value(make)
    to.value(arguments)
    # Attributes; with slots, two dicts of them.
    to.feed("states", len(state) if type(state) is tuple else -1)
    for part in state if type(state) is tuple else (state,):
        if type(part) is dict:
            to.feed("state", *map(str, part))
            to.values("attributes", tuple(part.values()))
        else:
            to.value(part)


def anything_else(to: Description, value: Any) -> None:
    """An instance of a class that is known to have none that change, or that has none.

    Whether a class is immutable is not asked of it: `__hash__`, `__eq__` and `__slots__` say
    nothing about that.
    """
    kind = type(value)
    if _is_reduced(kind):
        a_reduced(to, value)
    elif is_of_python(kind.__module__) and kind.__module__ == "typing":
        of_typing(to, value)
    elif _is_zone(kind):
        # By its key, if everybody gets this very object for it.
        if value.key is None or kind(value.key) is not value:
            raise NoName("the time zone was not made by its key")
        to.feed("zone", str(value.key))
    elif _is_bare(kind):
        to.feed("derived")
        to.value(kind)
        base = next(base for base in kind.__mro__ if base in BARE)
        # Its own items, whatever the class makes of iteration.
        to.value(BARE[base](value))
    elif is_frozen(kind):
        _frozen(to, value)
    else:
        raise NoName(f"{_name_of(kind)} can change")


def a_member(to: Description, value: Any) -> None:
    """A member of an Enum, or several of a Flag in one."""
    to.feed("member")
    to.value(type(value))
    to.value(value._name_)
    if value._name_ is None:
        to.value(value._value_)


def _is_bare(kind: Any) -> bool:
    """Whether it derives from an immutable type and gives its instances no attributes."""
    for base in BARE:
        if issubclass(kind, base):
            sizes = (kind.__basicsize__, kind.__itemsize__, kind.__dictoffset__)
            return sizes == (base.__basicsize__, base.__itemsize__, 0)
    return False


def has_only_attributes(kind: Any) -> bool:
    """Whether its instances hold nothing but what is in their dict and slots."""
    slots = sum(
        type(part) is MemberDescriptorType for base in kind.__mro__ for part in vars(base).values()
    )
    # A dict or weak references may lie before the object, at no cost.
    pointers = slots + (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
    size = object.__basicsize__ + pointers * tuple.__itemsize__
    return bool((kind.__basicsize__, kind.__itemsize__) == (size, 0))


def is_frozen(kind: Any) -> bool:
    """Whether it is a frozen dataclass, as are its bases (or of Python itself, with no state)."""
    if "__dataclass_params__" not in vars(kind) or not has_only_attributes(kind):
        return False
    for base in kind.__mro__:
        if base is object or is_of_python(base.__module__):
            continue
        parameters = vars(base).get("__dataclass_params__")
        if parameters is None or not parameters.frozen:
            return False
    return True


def _frozen(to: Description, value: Any) -> None:
    """An instance of a frozen dataclass: all its fields, and nothing else."""
    kind: Any = type(value)
    to.watch(watch.of_attributes, value)
    to.feed("frozen")
    to.value(kind)
    names = [name for name, field in kind.__dataclass_fields__.items() if _is_kept(field)]
    has = {name.rpartition(".")[2]: part for name, part in watch.slots(value).items()}
    has.update(getattr(value, "__dict__", {}))
    if sorted(has) != sorted(names):
        raise NoName(f"an instance of {kind.__qualname__} has other attributes than its fields")
    for name in names:
        to.feed("field", name)
        to.value(has[name])


def _is_kept(field: Any) -> bool:
    return field._field_type is sys.modules["dataclasses"]._FIELD


def of_typing(to: Description, value: Any) -> None:
    """A type as ``typing`` spells it."""
    name = type(value).__name__
    if name in ("TypeVar", "ParamSpec", "TypeVarTuple"):
        a_reduced(to, value)
        for part in ("__bound__", "__constraints__", "__default__"):
            found = getattr(value, part, None)
            # NoDefault is one of a kind.
            to.feed(part)
            to.feed(repr(found)) if type(found).__name__ == "NoDefaultType" else to.value(found)
        flags = [getattr(value, f"__{flag}__", None) for flag in ("covariant", "contravariant")]
        to.feed(*map(repr, flags))
    elif name == "NewType":
        a_reduced(to, value)
        to.value(value.__supertype__)
    elif name == "TypeAliasType":
        a_reduced(to, value)
        to.value(value.__value__)
        to.value(value.__type_params__)
    elif name == "ForwardRef":
        to.feed("forward", repr(value.__forward_arg__), repr(value.__forward_is_class__))
    else:
        a_reduced(to, value)


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_of(kind: type, module: str, name: str) -> bool:
    return kind.__name__ == name and getattr(sys.modules.get(module), name, None) is kind


def _is_reduced(kind: type) -> bool:
    return any(
        _is_of(kind, module, kind.__name__)
        for module, names in _REDUCED.items()
        if kind.__name__ in names
    )


def _is_zone(kind: type) -> bool:
    return _is_of(kind, "zoneinfo", "ZoneInfo")
