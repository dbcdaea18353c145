"""Functions, classes and whatever else is known by a name, as parts of keys in the shared tier.

A name alone would not do: what it stands for can be edited, or loaded anew, and then it is another
argument. So its code counts, as for a cached function itself.
"""

from __future__ import annotations

import sys
from copyreg import dispatch_table
from functools import reduce
from operator import or_
from types import (
    ClassMethodDescriptorType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)

from warp_cache._naming import classes, functions, instances, watch
from warp_cache._naming.description import Description
from warp_cache._naming.places import NoName, is_at, is_of_python, module_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from warp_cache._naming.watch import _Watch

__all__ = [
    "is_same",
    "items",
    "member",
    "named",
    "one_of_a_kind",
    "parts_of_reference",
    "ratio",
    "rebuilt",
]

_DESCRIPTORS: tuple[type[Any], ...] = (
    ClassMethodDescriptorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)
_HEAP_TYPE = 1 << 9

# By address: what the hashes are of, on what they depend, and the hashes by role. Few programs
# have as many classes in their keys; a class that was loaded anew is kept until others have come.
_known: dict[int, tuple[Any, list[_Watch], dict[int, bytes]]] = {}
_MOST = 512


def named(value: Any, role: int) -> bytes | str:
    """The hash of a function, a class, a module; or why there is none.

    role: 0, it is the class of an argument that is made by other means; 1, it is what pickle makes
    one with; 2, it is an argument itself. Only there does all of it have to be described; else an
    attribute that cannot be counts by its type, as too much would be no key. 4 more: a moment ago,
    for the same key, it was asked for in another role, so nothing is looked at again.
    """
    role, again = role & 3, role & 4
    try:
        known = _known.get(id(value))
        if known is not None and known[0] is value and (again or watch.is_unchanged(known[1])):
            if role in known[2]:
                return known[2][role]
        else:
            known = None
        description = _described(value, role)
    except MemoryError:
        raise
    except Exception as error:
        return str(error) if isinstance(error, NoName) else "it cannot be looked into"
    digest = description.digest()
    if known is not None:
        # All of it must be as it was for each of the hashes.
        watched = {(look, id(holder)) for look, holder, _ in known[1]}
        more = [new for new in description.watches if (new[0], id(new[1])) not in watched]
        watches = known[1] + more
        _known[id(value)] = (value, watches, {**known[2], role: digest})
        return digest
    while len(_known) >= _MOST:
        # Another thread may be at the same.
        _known.pop(next(iter(list(_known))), None)
    _known[id(value)] = (value, description.watches, {role: digest})
    return digest


def _described(value: Any, role: int) -> Description:
    description = Description(as_argument=True, with_items=role != 2)
    if isinstance(value, type):
        if role == 0:
            classes.class_of(description, value)
        else:
            classes.a_class(description, value, lenient=role == 1)
        return description
    if type(value) is FunctionType:
        if not is_at(value, value.__module__, value.__qualname__):
            raise NoName(f"the function {value.__qualname__} is not found under its name")
        try:
            description.value(value)
        except NoName:
            if role == 2:
                raise
            description = Description(as_argument=True, with_items=True)
            description.feed("function", module_name(value.__module__), value.__qualname__)
            description.code(value.__code__)
        return description
    description.value(value)
    return description


def one_of_a_kind(value: Any) -> bytes | str | None:
    """The hash of an object that is compared by identity, or is pickled by a name.

    It is one if every process has one and the same. Else why not, or None: it is nothing but its
    attributes, and may be spelled by them as a part of something that compares them.
    """
    try:
        description = Description(as_argument=True)
        if not _one_of_a_kind(description, value):
            return None
        return description.digest()
    except MemoryError:
        raise
    except Exception as error:
        return str(error) if isinstance(error, NoName) else "it cannot be looked into"


def _one_of_a_kind(to: Description, value: Any) -> bool:
    kind = type(value)
    if kind in _DESCRIPTORS:
        if vars(value.__objclass__).get(value.__name__) is not value:
            raise NoName(f"{value.__name__} is not found under its name")
        to.feed("descriptor")
        functions.a_descriptor(to, value)
    elif kind in functions.CACHED:
        if not is_at(value, value.__module__, value.__qualname__):
            raise NoName(f"the function {value.__qualname__} is not found under its name")
        to.value(value)
    elif "datetime" in sys.modules and issubclass(kind, sys.modules["datetime"].tzinfo):
        _zone(to, value)
    elif _has_own_reduction(kind):
        _global(to, value)
    elif kind.__flags__ & _HEAP_TYPE and not hasattr(kind, "__setstate__"):
        return False
    else:
        raise NoName("it is compared by identity")
    return True


def _has_own_reduction(kind: Any) -> bool:
    plain = (
        kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind not in dispatch_table
    )
    return not plain


def _reduction(value: Any) -> Any:
    own = dispatch_table.get(type(value))
    return own(value) if own else value.__reduce_ex__(4)


def _zone(to: Description, value: Any) -> None:
    """A time zone that is made but once: who makes it again gets this very object."""
    kind = type(value)
    if kind.__module__ == "zoneinfo":
        to.value(value)
        return
    parts: Any = _reduction(value) if _has_own_reduction(kind) else None
    if type(parts) is not tuple or len(parts) != 2 or parts[0](*parts[1]) is not value:
        raise NoName("a time zone of this class is compared by identity")
    to.feed("zone", *to.version(kind.__module__))
    made_by = named(parts[0], 1)
    if type(made_by) is str:
        raise NoName(made_by)
    to.feed("made by", made_by)
    to.value(parts[1])
    classes.class_of(to, kind)


def _global(to: Description, value: Any) -> None:
    """An object that is pickled by its name."""
    kind = type(value)
    name = _reduction(value)
    if type(name) is not str:
        raise NoName("it is compared by identity")
    module = getattr(value, "__module__", None)
    if not is_at(value, module, name):
        module = _home(value, name)
    to.feed("global", *to.place(module), name, *to.version(module))
    if kind.__module__ == "typing" and is_of_python("typing"):
        instances.of_typing(to, value)
        return
    classes.class_of(to, kind)
    attributes = getattr(value, "__dict__", {})
    for where, part in (*watch.slots(value).items(), *sorted(attributes.items())):
        to.feed("attribute", where)
        if part is not watch.EMPTY:
            classes.attribute(to, part)


def _home(value: Any, name: str) -> str:
    """The module of a package with a version that has this object, which does not know it."""
    own = type(value).__module__.partition(".")[0]
    homes = [
        module
        for module, found in list(sys.modules.items())
        if is_at(value, module, name)
        and getattr(sys.modules.get(module.partition(".")[0]), "__version__", None)
        and type(found).__name__ == "module"
    ]
    if not homes:
        raise NoName(f"{name} is not found under its name")
    # The nearest to its class, and the shortest name: in every process, as far as can be.
    return min(homes, key=lambda home: (home.partition(".")[0] != own, len(home), home))


def parts_of_reference(value: Any) -> Any:
    """What makes a forward reference anew: pickle would take its compiled code, and fails."""
    kind = type(value)
    if not is_of_python(kind.__module__):
        return value.__reduce_ex__(4)
    is_class = getattr(value, "__forward_is_class__", False)
    told = (value.__forward_arg__, value.__forward_module__, value.__forward_is_argument__)
    return reference, (kind, *told, is_class)


# --- what a key's bytes load to


def reference(kind: Any, text: str, module: Any, is_argument: bool, is_class: bool) -> Any:
    more = {"is_class": True} if is_class else {}
    return kind(text, is_argument=is_argument, module=module, **more)


def rebuilt(
    make: Any, arguments: Any, state: Any = None, items: Any = None, pairs: Any = None,
    set_state: Any = None,
) -> Any:  # fmt: skip
    """An object from what ``__reduce_ex__`` said of another, as pickle makes it."""
    made = make(*arguments)
    if items is not None:
        for item in items:
            made.append(item)
    if pairs is not None:
        for key, value in pairs:
            made[key] = value
    if state is not None:
        if set_state is not None:
            set_state(made, state)
        elif hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            slots = None
            if type(state) is tuple and len(state) == 2:
                state, slots = state
            if state:
                made.__dict__.update(state)
            for name, value in (slots or {}).items():
                # Not by a ``__setattr__`` that refuses: a frozen dataclass with slots has one.
                object.__setattr__(made, name, value)
    return made


def is_same(one: Any, two: Any) -> bool:
    """Whether a dictionary takes them for one key, whichever of them it has.

    one: the original; two: what its bytes load to. If that is the original itself, it was looked
    up, and elsewhere there may be another in its place: then its attributes must be what it is
    looked up by.
    """
    if one is two:
        return _is_told_by_its_arguments(one)
    return bool(one == two and two == one and hash(one) == hash(two))


def _is_told_by_its_arguments(value: Any) -> bool:
    kind = type(value)
    if is_of_python(kind.__module__) or not instances.has_only_attributes(kind):
        # Types as typing spells them, and other constants.
        return True
    held = (*watch.slots(value).values(), *getattr(value, "__dict__", {}).values())
    if not held:
        return True
    make, arguments, *_ = _reduction(value)
    if isinstance(make, type) or getattr(make, "__module__", None) == "copyreg":
        return True
    return all(any(part is one or part == one for one in arguments) for part in held)


def ratio(numerator: int, denominator: int) -> Any:
    from fractions import Fraction

    return Fraction(numerator, denominator)


def items(first: int = 0, last: int = -1, step: int = 1) -> range:
    """The range with these first and last items."""
    return range(first, last + (1 if step > 0 else -1), step)


def member(of: Any, name: str) -> Any:
    """A member of an enum; of flags, several have their names in one."""
    members = of.__members__
    return members[name] if name in members else reduce(or_, map(members.get, name.split("|")))
