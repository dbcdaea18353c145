"""Whether a function still is what it was when its name, or a key with it, was made.

Nobody expects a function's code, a variable that it closes over or an attribute of a class to be
exchanged, but it can be. What was found in each such place is kept, and compared by identity: what
was found was immutable, or is watched itself.
"""

from __future__ import annotations

import operator
from itertools import chain
from types import CellType, FunctionType, MemberDescriptorType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    # A function that looks, where it looks, and what it saw.
    _Watch: TypeAlias = tuple[Callable[[Any], tuple[Any, ...]], Any, tuple[Any, ...]]

__all__ = ["EMPTY", "content", "is_unchanged"]


# What types in C say of their own layout.
_OFFSETS = ("__vectorcalloffset__", "__dictoffset__", "__weaklistoffset__")


class _Empty:
    """Stands for the value of a variable that has none."""


EMPTY: Any = _Empty()


def content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY


def is_unchanged(watches: Iterable[_Watch]) -> bool:
    for look, holder, seen in watches:
        now = look(holder)
        if len(now) != len(seen) or not all(map(operator.is_, now, seen)):
            return False
    return True


def _flat(table: Any) -> tuple[Any, ...]:
    # A copy first, at once: other threads may change the table.
    return tuple(chain.from_iterable(list(table.items())))


def of_function(function: FunctionType) -> tuple[Any, ...]:
    seen: tuple[Any, ...] = (
        function.__code__,
        function.__defaults__,
        function.__name__,
        function.__qualname__,
        function.__module__,
        function.__doc__,
    )
    if function.__closure__:
        seen += tuple(map(content, function.__closure__))
    # None and an empty dict are the same here.
    keywords, attributes = function.__kwdefaults__, function.__dict__
    return seen + (_flat(keywords) if keywords else ()) + (_flat(attributes) if attributes else ())


def of_scope(place: tuple[dict[str, Any], tuple[str, ...]]) -> tuple[Any, ...]:
    scope, names = place
    return tuple(scope.get(name, EMPTY) for name in names)


def of_partial(value: Any) -> tuple[Any, ...]:
    return (value.func, value.args, *_flat(value.keywords))


def of_dict(value: Any) -> tuple[Any, ...]:
    return _flat(value.__dict__)


def of_class(value: type) -> tuple[Any, ...]:
    names = (type(value), value.__name__, value.__qualname__)
    # The order of bases may have a new tuple that says the same.
    return (*names, *value.__mro__, *_flat(vars(value)))


def of_annotations(function: FunctionType) -> tuple[Any, ...]:
    # Since 3.14 it is made when somebody asks, by this.
    annotate = getattr(function, "__annotate__", None)
    return (annotate,) if annotate is not None else _flat(function.__annotations__)


def of_property(value: property) -> tuple[Any, ...]:
    return (value.fget, value.fset, value.fdel, value.__doc__)


def of_attributes(value: Any) -> tuple[Any, ...]:
    """An instance's own attributes, in slots and in a dict."""
    attributes = getattr(value, "__dict__", None)
    return (type(value), *slots(value).values(), *(_flat(attributes) if type(attributes) is dict else ()))


def slots(value: Any) -> dict[str, Any]:
    """What an instance has in slots, by class and name."""
    found: dict[str, Any] = {}
    for base in type(value).__mro__:
        for name, slot in list(vars(base).items()):
            if type(slot) is MemberDescriptorType and name not in _OFFSETS:
                try:
                    found[f"{base.__qualname__}.{name}"] = slot.__get__(value)
                except AttributeError:
                    found[f"{base.__qualname__}.{name}"] = EMPTY
    return found


def of_items(value: Any) -> tuple[Any, ...]:
    """A list, dict or set, or what is like one."""
    return _flat(value) if hasattr(value, "items") else tuple(value)
