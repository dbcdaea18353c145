"""Classes, their members and attributes, as parts of a description.

A class counts by its name and by what its body says: methods, constants, annotations, and those of
its bases; a class of Python itself, or one that was made in C, by its name and version.
"""

from __future__ import annotations

import functools
import sys
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, SimpleNamespace

from warp_cache._naming import watch
from warp_cache._naming.instances import BARE, has_only_attributes, is_frozen
from warp_cache._naming.places import NoName, is_at, is_of_python, module_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from warp_cache._naming.description import Description

__all__ = ["a_class", "attribute", "class_of", "items", "said_of_types"]

_IMMUTABLE_TYPE, _HEAP_TYPE = 1 << 8, 1 << 9
# What the interpreter and the standard library make of a class's body, or note about it.
_DERIVED = frozenset(
    [
        "abstractmethods",
        "annotate_func",
        "annotate",
        "annotations",
        "annotations_cache",
        "conditional_annotations",
        "dict",
        "doc",
        "firstlineno",
        "match_args",
        "module",
        "non_callable_proto_members",
        "orig_bases",
        "parameters",
        "protocol_attrs",
        "qualname",
        "slotnames",
        "slots",
        "static_attributes",
        "type_params",
        "weakref",
    ]  # noqa: SIM905
)
# Containers of the standard library that count by their items, by name and module.
_LIKE = {
    "OrderedDict": "collections",
    "defaultdict": "collections",
    "Counter": "collections",
    "deque": "collections",
    "array": "array",
    "bytearray": "builtins",
    "MappingProxyType": "types",
}
_IN_ORDER = ("list", "OrderedDict", "deque", "array", "bytearray")
_MEMBERS_OWN = frozenset(
    ("_name_", "__objclass__", "_sort_order_", "_inverted_", "_name", "_value")
)


def a_class(to: Description, value: type, lenient: bool = False) -> None:
    """A class that its module has under its name, with what its body and its bases' say.

    lenient: an attribute that cannot be described counts by its type alone.
    """
    name = _name_among_types(value)
    if name is not None:
        to.feed("class", "types", name)
        return
    if not to.is_new(value):
        return
    module, qualname = value.__module__, value.__qualname__
    if not is_at(value, module, qualname):
        raise NoName(f"the class {qualname} is not found under its name")
    to.feed("class", *to.place(module, needs_file=not to.as_argument), qualname)
    _bases(to, value, lenient)


def class_of(to: Description, value: type) -> None:
    """The class of something that is made by other means: its name need not lead to it."""
    to.feed("class of it")
    _bases(to, value, lenient=True)


def _bases(to: Description, value: type, lenient: bool) -> None:
    # Their names tell apart what a loop makes under one name.
    names = [f"{module_name(str(base.__module__))}.{base.__qualname__}" for base in value.__mro__]
    to.feed("bases", *names)
    for base in value.__mro__:
        _one_of_the_bases(to, base, lenient)


def _name_among_types(value: type) -> str | None:
    """Of the interpreter's types that are not found under the names they say to have."""
    if value.__module__ != "builtins":
        return None
    types: Any = sys.modules["types"]
    if getattr(sys.modules["builtins"], value.__qualname__, None) is value:
        return None
    names = [name for name, found in vars(types).items() if found is value]
    return min(names, default=None)


def _one_of_the_bases(to: Description, base: Any, lenient: bool) -> None:
    flags, module = type.__dict__["__flags__"].__get__(base), base.__module__
    if not flags & _HEAP_TYPE or flags & _IMMUTABLE_TYPE:
        to.feed("type in C", *to.version(module))
    elif is_of_python(module) and is_at(base, module, base.__qualname__):
        to.feed("class of Python")
    else:
        _body(to, base, lenient)


def _body(to: Description, value: Any, lenient: bool) -> None:
    to.watch(watch.of_class, value)
    to.feed("body", value.__qualname__)
    parts: list[tuple[str, Callable[[Any], None], Any]] = []
    if type(value) is not type:
        parts.append(("metaclass", to.value, type(value)))
    members: Any = ()
    if "enum" in sys.modules and isinstance(value, sys.modules["enum"].EnumMeta):
        members = type.__getattribute__(value, "__members__")
        for name, member in members.items():
            parts.append((f"member {name}", lambda found: _content_of_member(to, found), member))
    for name, found in sorted(vars(value).items()):
        if name[:2] == name[-2:] == "__" and name[2:-2] in _DERIVED or name in members:
            continue
        if name in ("_abc_impl", "_is_protocol") or name.startswith("__pydantic_"):
            continue
        if members and name.startswith("_") and name.endswith("_") and name[1] != "_":
            continue
        if name == "__hash__" and _is_of_attrs(value, found):
            # With a constant that depends on the hash seed; what it does, the fields say.
            continue
        parts.append((name, _describer(to, name), found))
    parts.append(("annotations", lambda found: said_of_types(to, found), value))
    if to.as_argument:
        said = (value.__name__, value.__doc__)
        parts.append(("documented", lambda found: to.feed(*map(repr, found)), said))
    for name, describe, found in parts:
        try:
            digest: bytes | str = to.apart(describe, found)
        except Exception as error:
            if not lenient:
                reason = f"{value.__qualname__}.{name}: {error}"
                raise NoName(reason) from None
            digest = f"{type(found).__module__}.{type(found).__qualname__}"
        to.feed("attribute", name, digest)


def _describer(to: Description, name: str) -> Callable[[Any], None]:
    if name == "__dataclass_fields__":
        return lambda fields: _fields(to, fields)
    if name in ("__dataclass_params__", "__attrs_attrs__", "__attrs_props__"):
        return lambda value: _by_repr(to, value)
    if name in ("_field_defaults", "_fields_defaults"):  # of a named tuple
        return lambda table: items(to, table)
    return lambda value: attribute(to, value)


def attribute(to: Description, value: Any) -> None:
    """Something in the body of a class."""
    kind = type(value)
    if kind in (MemberDescriptorType, GetSetDescriptorType):
        to.feed(str(kind.__name__), value.__name__)
    elif kind is property:
        to.watch(watch.of_property, value)
        to.values("property", (value.fget, value.fset, value.fdel))
        if to.as_argument and type(value.__doc__) is str:
            to.feed("documented", value.__doc__)
    elif kind is functools.cached_property:
        to.watch(watch.of_dict, value.__dict__)
        to.feed("cached property", str(value.attrname))
        to.value(value.func)
    elif kind is functools.partialmethod:
        to.watch(watch.of_dict, value.__dict__)
        to.watch(watch.of_items, value.keywords)
        to.values("partial method", (value.func, value.args, *value.keywords.values()))
        to.feed(*value.keywords)
    elif to.as_argument and (kind in (list, dict, set) or _is_like(kind)):
        items(to, value)
    elif to.as_argument and _is_of_no_account(kind):
        to.feed(kind.__name__)
    elif kind.__qualname__ == "_tuplegetter" and kind.__module__ in ("collections", "_collections"):
        to.feed("item", value.__reduce__()[1][0])
    elif to.as_argument and _is_plain(kind):
        _an_instance(to, value)
    else:
        to.value(value)


def _is_of_attrs(value: type, found: Any) -> bool:
    """Whether attrs has made this method."""
    if type(found) is not FunctionType or "__attrs_attrs__" not in vars(value):
        return False
    return found.__code__.co_filename.startswith("<attrs generated ")


def _is_of_no_account(kind: type) -> bool:
    """Locks and loggers: no result depends on them."""
    names = {"_thread": ("lock", "RLock"), "logging": ("Logger",)}
    return kind.__name__ in names.get(kind.__module__, ())


def items(to: Description, value: Any) -> None:
    """A list, dict or set, or what is like one, as it is now."""
    to.steps += 1
    to.watch(watch.of_items, value)
    kind: Any = type(value)
    items = list(value.items()) if hasattr(kind, "items") else list(value)
    # Lists may hold each other many times over, and themselves.
    if len(to.around) > 20 or to.steps > 10_000 or any(value is whole for whole in to.around):
        raise NoName("it holds too much, or itself")
    to.around.append(value)
    try:
        digests = [to.apart(lambda part: _parts(to, part), item) for item in items]
    finally:
        to.around.pop()
    to.feed(kind.__name__, *(digests if kind.__name__ in _IN_ORDER else sorted(digests)))
    if kind.__name__ == "defaultdict":
        to.value(value.default_factory)


def _is_like(kind: type) -> bool:
    return any(getattr(sys.modules.get(m), n, None) is kind for n, m in _LIKE.items())


def _is_plain(kind: type) -> bool:
    """Whether instances of a class in Python are nothing but their attributes, and may change."""
    if kind is SimpleNamespace:
        return True
    if is_of_python(kind.__module__) or not has_only_attributes(kind) or is_frozen(kind):
        return False
    return "enum" not in sys.modules or not issubclass(kind, sys.modules["enum"].Enum)


def _an_instance(to: Description, value: Any) -> None:
    """An instance of a class of one's own, as it is now; what has further ones in it is refused."""
    if to.within_instance:
        raise NoName("it is within an instance that can change")
    to.within_instance = True
    try:
        to.watch(watch.of_attributes, value)
        to.feed("instance")
        to.value(type(value))
        attributes: dict[str, Any] = getattr(value, "__dict__", {})
        for name, part in (*watch.slots(value).items(), *sorted(attributes.items())):
            to.feed("attribute", name)
            if part is not watch.EMPTY:
                attribute(to, part)
    finally:
        to.within_instance = False


def _parts(to: Description, value: Any) -> None:
    if type(value) is tuple:
        to.feed("parts", len(value))
        for part in value:
            attribute(to, part)
    else:
        attribute(to, value)


def _fields(to: Description, fields: Any) -> None:
    """The fields of a dataclass, but for their types, which the annotations tell."""
    for name, field in fields.items():
        to.feed("field", name)
        flags = (field.init, field.repr, field.hash, field.compare, getattr(field, "kw_only", None))
        to.feed(repr(flags), repr(field._field_type))
        for default in (field.default, field.default_factory):
            if default is sys.modules["dataclasses"].MISSING:
                to.feed("missing")
            else:
                attribute(to, default)
        if field.metadata:
            items(to, field.metadata)


def said_of_types(to: Description, value: Any) -> None:
    """What a function's or class's annotations say, not what the names in them stand for."""
    annotate = vars(value).get("__annotate_func__") if isinstance(value, type) else None
    if annotate is None and not isinstance(value, type):
        annotate = getattr(value, "__annotate__", None)
    if isinstance(annotate, FunctionType):
        to.code(annotate.__code__)
        return
    found = vars(value).get("__annotations__", {}) if isinstance(value, type) else None
    if type(found) is dict:
        to.watch(watch.of_items, found)
    for name, annotation in (value.__annotations__ if found is None else found).items():
        to.feed("annotation", name)
        _by_repr(to, annotation)


def _by_repr(to: Description, value: Any) -> None:
    shown = repr(value)
    if " at 0x" in shown:
        raise NoName(f"{shown} shows an address")
    to.feed("shown", shown)


def _content_of_member(to: Description, member: Any) -> None:
    to.watch(watch.of_attributes, member)
    if not has_only_attributes(type(member)):
        base = next((base for base in type(member).__mro__ if base in BARE), None)
        if base is not None:
            to.value(BARE[base](member))
        elif not to.as_argument and type(member._value_) not in type(member).__mro__:
            raise NoName("a member holds more than its value")
    for name, value in sorted(vars(member).items()):
        if name not in _MEMBERS_OWN:
            to.feed("attribute", name)
            attribute(to, value)
