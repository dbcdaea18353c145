"""What a function is made of, as a hash: alike in all processes, different for any two functions.

It covers where the function stands, its code, its defaults and what it closes over, in every
process that runs the same code, whatever its hash seed and however it was started. What a function
finds in its module counts only as far as the module's file does, unless there is no file.
"""

from __future__ import annotations

import builtins
import functools
import operator
import os
import sys
from copyreg import dispatch_table
from hashlib import blake2b
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)

from warp_cache import _warp_cache_rs
from warp_cache._bytecode import global_names, has_docstring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Description", "NoName", "module_name"]

# What multiprocessing calls the main module in a child that it has spawned.
_MAINS = ("__main__", "__mp_main__")
# Tuples of tuples can be larger than any memory. A number of steps is alike in all processes.
_STEPS = 100_000
_SINGLETONS = (None, ..., NotImplemented, getattr(functools, "Placeholder", None))
_LRU_CACHE = type(functools.lru_cache(len))


class NoName(Exception):
    """Something that no other process could recognise."""


def module_name(name: str) -> str:
    return _MAINS[0] if name in _MAINS else name


def _real_path(path: str) -> str | None:
    """The path of a file that exists: names such as ``<stdin>`` and a notebook's cells are none."""
    return None if path.startswith("<") or not os.path.isfile(path) else os.path.realpath(path)


def _place(name: object) -> tuple[str, str]:
    """Name and file of an imported module, which together stand for what is in it."""
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None or not isinstance(name, str):
        raise NoName
    file = getattr(module, "__file__", None)
    path = _real_path(file) if isinstance(file, str) else None
    if name in _MAINS:
        # What was typed into an interpreter is not what its main file (if there is one) says.
        if path is None or hasattr(sys, "ps1"):
            raise NoName
    elif getattr(module, "__spec__", None) is None and path is None:
        raise NoName
    # A module in a zip file has a file that does not exist; its name is as good.
    return module_name(name), path or str(file)


def _is_placed(function: FunctionType) -> bool:
    """Whether its module and file stand for the globals that it sees."""
    scope = function.__globals__
    name, file = scope.get("__name__"), scope.get("__file__")
    path = _real_path(function.__code__.co_filename)
    if isinstance(file, str) and path is not None and path == _real_path(file):
        return True
    module = sys.modules.get(name) if isinstance(name, str) and name not in _MAINS else None
    return (
        module is not None
        and getattr(module, "__dict__", None) is scope
        and (scope.get("__spec__") is not None)
    )


def _is_at(value: object, module: object, qualname: object) -> bool:
    """Whether the value is what an import of this name gives."""
    if not isinstance(module, str) or not isinstance(qualname, str):
        return False
    found: object = sys.modules.get(module)
    try:
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception:
        # A module or class may have a __getattr__ of its own, which fails as it likes.
        return False
    return found is value


class Description:
    """A hash over an object and all that belongs to it.

    What is fed is unambiguous: each node begins with what it is, and says how many others follow.
    """

    def __init__(self) -> None:
        self.hash = blake2b(digest_size=16)
        # The functions met so far, by identity: they may refer to each other in circles.
        self.seen: dict[int, tuple[int, FunctionType]] = {}
        self.steps = 0
        # Results need not be alike in two versions, nor pickles readable.
        self.feed("python", str(sys.implementation.cache_tag))

    def digest(self) -> str:
        """The hash, as 32 hexadecimal digits."""
        return self.hash.hexdigest()

    def feed(self, *parts: str | bytes | int) -> None:
        # Unambiguous, and it escapes lone surrogates.
        self.hash.update(ascii(parts).encode("ascii"))

    def value(self, value: Any) -> None:
        self.steps += 1
        if self.steps > _STEPS:
            raise NoName
        # Not isinstance: it would ask a proxy, which may have nothing to stand for yet.
        kind = type(value)
        describe = _KINDS.get(kind)
        if describe is not None:
            describe(self, value)
        elif any(value is singleton for singleton in _SINGLETONS):
            self.feed("singleton", repr(value))
        elif issubclass(kind, type):
            self.a_class(value)
        elif issubclass(kind, _warp_cache_rs.CachedFunction) or kind is _LRU_CACHE:
            self.feed("cached")
            self.value(value.__wrapped__)
        elif "enum" in sys.modules and issubclass(kind, sys.modules["enum"].Enum):
            self.a_member(value)
        else:
            self.anything_else(value)

    def values(self, what: str, values: tuple[Any, ...]) -> None:
        self.feed(what, len(values))
        for value in values:
            self.value(value)

    # --- constants

    def an_atom(self, value: str | bytes | bool) -> None:
        self.feed(type(value).__name__, value)

    def an_int(self, value: int) -> None:
        # Decimal digits are limited in number, and slow.
        self.feed("int", hex(value))

    def a_float(self, value: float) -> None:
        # Exact, and -0.0 is not 0.0.
        self.feed("float", value.hex())

    def a_complex(self, value: complex) -> None:
        self.feed("complex", value.real.hex(), value.imag.hex())

    def a_tuple(self, value: tuple[Any, ...]) -> None:
        self.values("tuple", value)

    def a_slice(self, value: Any) -> None:
        # A constant since 3.14.
        self.values("slice", (value.start, value.stop, value.step))

    def a_frozenset(self, value: frozenset[Any]) -> None:
        # Its order depends on the hash seed: each element is hashed apart, knowing only what was
        # met before the set.
        digests: list[bytes] = []
        whole, seen = self.hash, self.seen
        for element in value:
            self.hash, self.seen = blake2b(digest_size=16), dict(seen)
            self.value(element)
            digests.append(self.hash.digest())
        self.hash, self.seen = whole, seen
        self.feed("frozenset", *sorted(digests))

    def code(self, code: CodeType) -> None:
        """What runs; neither where it stands nor how its lines are numbered.

        ``co_code`` is free of what the interpreter writes into its bytecode as it runs: neither
        specialised nor instrumented. Which instructions are under a ``try`` is in a table since
        3.11. The first constant may be a docstring alone.
        """
        self.feed(
            "code",
            code.co_name,
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_flags,
            code.co_code,
            getattr(code, "co_exceptiontable", b""),
        )
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
            self.feed(*names)
        self.values("constants", code.co_consts[1:] if has_docstring(code) else code.co_consts)

    # --- functions and what stands for itself by name

    def a_function(self, function: FunctionType) -> None:
        if id(function) in self.seen:
            self.feed("again", self.seen[id(function)][0])
            return
        self.seen[id(function)] = (len(self.seen), function)
        code = function.__code__
        file = code.co_filename
        self.feed(
            "function",
            module_name(str(function.__module__)),
            function.__qualname__,
            _real_path(file) or file,
            code.co_firstlineno,
        )
        self.code(code)
        self.values("defaults", function.__defaults__ or ())
        for name, default in sorted((function.__kwdefaults__ or {}).items()):
            self.feed("default", name)
            self.value(default)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self.feed("cell", name)
            try:
                content = cell.cell_contents
            except ValueError:
                self.empty_cell(function, name)
            else:
                self.value(content)
        if not _is_placed(function):
            self.scope(function)

    def empty_cell(self, function: FunctionType, name: str) -> None:
        """What the enclosing function has yet to bind."""
        # A function that calls itself, or a method of a class under construction: one that
        # its module will have under this name, not one made anew with each call of a function.
        in_class = name == "__class__" and "<locals>" not in function.__qualname__
        if name != function.__code__.co_name and not in_class:
            raise NoName
        self.feed("itself")

    def scope(self, function: FunctionType) -> None:
        """The globals of a function in no file: of an ``exec``, a notebook, an interpreter.

        Nothing tells apart two such places but what is there, so it counts as what it closes over.
        """
        own = function.__code__.co_name
        for name in sorted(set(global_names(function.__code__))):
            self.feed("global", name)
            if name in function.__globals__:
                self.value(function.__globals__[name])
            elif hasattr(builtins, name) or name == own:
                self.feed("itself")
            else:
                raise NoName

    def a_class(self, value: type) -> None:
        module, qualname = value.__module__, value.__qualname__
        if not _is_at(value, module, qualname):
            raise NoName
        # The bases tell apart what a loop makes under one name.
        bases = [
            f"{module_name(str(base.__module__))}.{base.__qualname__}" for base in value.__mro__
        ]
        self.feed("class", *_place(module), qualname, *bases)

    def a_module(self, value: ModuleType) -> None:
        if sys.modules.get(value.__name__) is not value:
            raise NoName
        self.feed("module", *_place(value.__name__))

    def a_builtin(self, value: Any) -> None:
        owner = value.__self__
        if owner is None or isinstance(owner, ModuleType):
            self.feed("builtin", *_place(value.__module__), value.__qualname__)
        else:
            self.feed("builtin method", value.__qualname__)
            self.value(owner)

    def a_descriptor(self, value: Any) -> None:
        self.feed("descriptor", value.__name__)
        self.value(value.__objclass__)

    # --- callables around others

    def a_method(self, value: Any) -> None:
        self.feed("method")
        self.value(value.__func__)
        self.value(value.__self__)

    def a_wrapper(self, value: Any) -> None:
        self.feed(type(value).__name__)
        self.value(value.__func__)

    def a_partial(self, value: functools.partial[Any]) -> None:
        self.feed("partial")
        self.value(value.func)
        self.values("args", value.args)
        # In their order: a function with **kwargs sees it.
        self.feed("keywords", *value.keywords)
        self.values("values", tuple(value.keywords.values()))

    def a_reduced(self, value: Any) -> None:
        """What pickle would make it from, and that exactly in type and value."""
        try:
            reduce = dispatch_table.get(type(value))
            parts: Any = reduce(value) if reduce else value.__reduce_ex__(4)
        except Exception:
            raise NoName from None
        if isinstance(parts, str):
            # One of a kind, which its module has under this name.
            self.feed("global", parts)
            self.a_class(type(value))
            return
        made: list[Any] = [*parts, None]
        make, arguments, state, *items = made
        if any(item is not None for item in items):
            # It holds items as a list or dict does, or sets its state in a way of its own.
            raise NoName
        self.feed("reduced")
        self.value(make)
        self.value(arguments)
        # Attributes; with slots, two dicts of them.
        self.feed("states", len(state) if type(state) is tuple else -1)
        for part in state if type(state) is tuple else (state,):
            if type(part) is dict:
                self.feed("state", *map(str, part))
                self.values("attributes", tuple(part.values()))
            else:
                self.value(part)

    def a_member(self, value: Any) -> None:
        """A member of an Enum, or several of a Flag in one."""
        self.feed("member")
        self.a_class(type(value))
        self.value(value._name_)
        if value._name_ is None:
            self.value(value._value_)

    def anything_else(self, value: object) -> None:
        """What may be stored as a key, so that it is compared by value and stays as it is.

        The bytes of a key don't do: they are one for what is equal, and 1 in a named tuple equals
        1.0; and they spell the main module as this process does.
        """
        try:
            encoded = _warp_cache_rs._encode_key((value,))
        except Exception:
            # Not hashable, or its own methods fail.
            encoded = None
        if encoded is None:
            raise NoName
        self.a_reduced(value)


_KINDS: dict[type, Callable[[Description, Any], None]] = {
    bool: Description.an_atom,
    str: Description.an_atom,
    bytes: Description.an_atom,
    int: Description.an_int,
    float: Description.a_float,
    complex: Description.a_complex,
    tuple: Description.a_tuple,
    slice: Description.a_slice,
    frozenset: Description.a_frozenset,
    CodeType: Description.code,
    FunctionType: Description.a_function,
    ModuleType: Description.a_module,
    BuiltinFunctionType: Description.a_builtin,
    MethodWrapperType: Description.a_builtin,
    MethodType: Description.a_method,
    staticmethod: Description.a_wrapper,
    classmethod: Description.a_wrapper,
    functools.partial: Description.a_partial,
    MethodDescriptorType: Description.a_descriptor,
    WrapperDescriptorType: Description.a_descriptor,
    ClassMethodDescriptorType: Description.a_descriptor,
    range: Description.a_reduced,
    operator.itemgetter: Description.a_reduced,
    operator.attrgetter: Description.a_reduced,
    operator.methodcaller: Description.a_reduced,
}
