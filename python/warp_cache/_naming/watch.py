"""Whether a function still is what it was when its name, or a key with it, was made.

Nobody expects a function's code, a variable that it closes over or an attribute of a class to be
exchanged, but it can be. What was found in each such place is kept, and compared by identity: what
was found was immutable, or is watched itself.
"""

from __future__ import annotations

from itertools import chain
from types import CellType, MemberDescriptorType

from warp_cache._warp_cache_rs import _is_unchanged as is_unchanged
from warp_cache._warp_cache_rs import _seen_in_class as of_class
from warp_cache._warp_cache_rs import _seen_in_dict as of_dict
from warp_cache._warp_cache_rs import _seen_in_function as of_function
from warp_cache._warp_cache_rs import _seen_in_instance as of_attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    # A function that looks, where it looks, and what it saw.
    _Watch: TypeAlias = tuple[Callable[[Any], tuple[Any, ...]], Any, tuple[Any, ...]]

__all__ = [
    "EMPTY",
    "content",
    "is_unchanged",
    "of_attributes",
    "of_class",
    "of_dict",
    "of_function",
    "of_items",
    "of_partial",
    "of_property",
    "of_scope",
    "slots",
]

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


def _flat(table: Any) -> tuple[Any, ...]:
    # A copy first, at once: other threads may change the table.
    return tuple(chain.from_iterable(list(table.items())))


def of_scope(place: tuple[dict[str, Any], tuple[str, ...]]) -> tuple[Any, ...]:
    scope, names = place
    return tuple(scope.get(name, EMPTY) for name in names)


def of_partial(value: Any) -> tuple[Any, ...]:
    return (value.func, value.args, *of_dict(value.keywords))


def of_property(value: property) -> tuple[Any, ...]:
    return (value.fget, value.fset, value.fdel, value.__doc__)


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
    if type(value) is dict:
        return of_dict(value)
    return _flat(value) if hasattr(value, "items") else tuple(value)
