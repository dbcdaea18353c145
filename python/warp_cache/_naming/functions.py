"""Functions and callables around them, as parts of a description.

A function counts by where it stands, its code, its defaults and what it closes over; modules,
builtins and descriptors by name and version.
"""

from __future__ import annotations

import builtins
import functools
import sys
from gc import get_referents
from types import FunctionType, ModuleType

from warp_cache import _warp_cache_rs
from warp_cache._naming import classes, watch
from warp_cache._naming.bytecode import global_names
from warp_cache._naming.places import (
    NoName,
    is_at,
    is_of_python,
    is_placed,
    module_name,
    real_path,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from warp_cache._naming.description import Description

__all__ = [
    "CACHED",
    "a_builtin",
    "a_descriptor",
    "a_function",
    "a_method",
    "a_module",
    "a_partial",
    "a_wrapper",
    "attributes",
    "unwrapped",
]

CACHED: tuple[type[Any], ...] = (
    _warp_cache_rs.CachedFunction,
    _warp_cache_rs.AsyncCachedFunction,
    _warp_cache_rs.SharedCachedFunction,
    type(functools.lru_cache(len)),
)
# What ``functools.wraps`` and the decorators put on what they make.
_COPIED = frozenset((*functools.WRAPPER_ASSIGNMENTS, "__annotations__", "__wrapped__"))
_COPIED |= {"__code__", "__defaults__", "__kwdefaults__", "cache_parameters"}
_SAID = ("__name__", "__qualname__", "__doc__")


def unwrapped(value: Any) -> Any:
    """The function in a cached one; not what somebody else has written into ``__wrapped__``."""
    inner = value.__wrapped__
    if not any(part is inner for part in get_referents(value)):
        raise NoName("what it wraps is not what it calls")
    return inner


def attributes(to: Description, value: Any) -> None:
    """What was set on an object around a function; it is there for everybody to read."""
    to.watch(watch.of_dict, value.__dict__)
    set_on_it = {n: part for n, part in value.__dict__.items() if n not in _COPIED}
    if to.as_argument:
        said = [(n, part) for n, part in value.__dict__.items() if n in _SAID and type(part) is str]
        for name, text in sorted(said):
            to.feed("says", name, text)
    if set_on_it and to.is_new(value):
        for name, part in sorted(set_on_it.items()):
            to.feed("attribute", name)
            to.value(part)


# --- functions and what stands for itself by name


def a_function(to: Description, function: FunctionType) -> None:
    if not to.is_new(function):
        return
    module, qualname = function.__module__, function.__qualname__
    if is_of_python(module) and is_at(function, module, qualname):
        to.feed("function of Python", module, qualname)
        return
    to.watch(watch.of_function, function)
    code = function.__code__
    file = code.co_filename
    to.feed(
        "function",
        module_name(str(module)),
        qualname,
        *(() if to.anywhere else (real_path(file) or file, code.co_firstlineno)),
    )
    to.code(code)
    to.values("defaults", function.__defaults__ or ())
    for name, default in sorted((function.__kwdefaults__ or {}).items()):
        to.feed("default", name)
        to.value(default)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        to.feed("cell", name)
        _cell(to, function, name, watch.content(cell))
    for name, value in sorted(function.__dict__.items()):
        to.feed("attribute", name)
        to.value(value)
    if to.as_argument:
        to.feed("documented", function.__name__, repr(function.__doc__))
        classes.said_of_types(to, function)
    if not is_placed(function):
        _globals(to, function)


def _cell(to: Description, function: FunctionType, name: str, content: Any) -> None:
    """What a variable of an enclosing function holds."""
    if name == function.__code__.co_name and _is_itself(function, content):
        _itself(to, content)
    elif name == "__class__":
        # Of a method under construction it is still empty. It has to be a class that its module
        # has under this name, not one made anew with each call of a function; what is in
        # it is found through it, as through a module.
        owner = function.__qualname__.rpartition(".")[0]
        if "<locals>" in owner:
            raise NoName("its class is made in a function")
        if content is watch.EMPTY or _has_name(content, function.__module__, owner):
            to.feed("itself")
        else:
            to.value(content)
    elif content is watch.EMPTY:
        raise NoName(f"the variable {name!r} that it closes over has no value yet")
    elif name == "repr_running" and type(content) is set and _is_repr(function):
        to.feed("itself")
    else:
        to.value(content)


def _is_itself(function: FunctionType, content: Any) -> bool:
    """Whether a variable holds the function, or will, once it is bound."""
    while type(content) in CACHED:
        content = unwrapped(content)
    return content is function or content is watch.EMPTY


def _itself(to: Description, content: Any) -> None:
    to.feed("itself")
    while type(content) in CACHED:
        attributes(to, content)
        content = unwrapped(content)


def _globals(to: Description, function: FunctionType) -> None:
    """The globals of a function in no file: of an ``exec``, a notebook, an interpreter.

    Nothing tells apart two such places but what is there, so it counts as what it closes over.
    """
    own, scope = function.__code__.co_name, function.__globals__
    names = tuple(sorted(set(global_names(function.__code__))))
    to.watch(watch.of_scope, (scope, names))
    for name in names:
        to.feed("global", name)
        value = scope.get(name, watch.EMPTY)
        if name == own and _is_itself(function, value):
            _itself(to, value)
        elif value is not watch.EMPTY:
            to.value(value)
        elif hasattr(builtins, name):
            to.feed("itself")
        else:
            raise NoName(f"the global variable {name!r} has no value yet")


def a_module(to: Description, value: ModuleType) -> None:
    name = value.__name__
    if not is_of_python(name) or sys.modules.get(name) is not value:
        raise NoName(f"the module {name!r} can change")
    to.feed("module", *to.place(name))


def a_builtin(to: Description, value: Any) -> None:
    owner, module = value.__self__, getattr(value, "__module__", None)
    if owner is None or isinstance(owner, ModuleType):
        if not is_at(value, module, value.__qualname__):
            raise NoName(f"{value.__qualname__} is not found under its name")
        to.feed("builtin", *to.place(module), value.__qualname__, *to.version(module))
    else:
        to.feed("builtin method", value.__qualname__)
        to.value(owner)


def a_descriptor(to: Description, value: Any) -> None:
    to.feed("descriptor", value.__name__)
    to.value(value.__objclass__)


# --- callables around others


def a_method(to: Description, value: Any) -> None:
    to.feed("method")
    to.value(value.__func__)
    to.value(value.__self__)


def a_wrapper(to: Description, value: Any) -> None:
    to.feed(type(value).__name__)
    to.value(value.__func__)
    attributes(to, value)


def a_partial(to: Description, value: functools.partial[Any]) -> None:
    to.watch(watch.of_partial, value)
    to.feed("partial")
    to.value(value.func)
    to.values("args", value.args)
    # In their order: a function with **kwargs sees it.
    to.feed("keywords", *value.keywords)
    to.values("values", tuple(value.keywords.values()))
    attributes(to, value)


def _has_name(content: Any, module: str | None, qualname: str) -> bool:
    return (
        issubclass(type(content), type)
        and content.__module__ == module
        and content.__qualname__ == qualname
    )


def _is_repr(function: FunctionType) -> bool:
    """Whether it is what the standard library puts around a ``__repr__``, with a set of its own."""
    scope = function.__globals__
    return any(
        scope is getattr(sys.modules.get(name), "__dict__", None)
        for name in ("reprlib", "dataclasses")
    )
