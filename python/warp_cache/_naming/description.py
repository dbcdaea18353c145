"""What a function is made of, as a hash: alike in all processes, different for any two functions.

It covers where the function stands, its code, its defaults and what it closes over, in every
process that runs the same code, whatever its hash seed and however it was started. What a function
finds in its module counts only as far as the module's file does, unless there is no file.

Only what is known to stay as it is has a hash: types that are listed here, exactly, with parts that
are. What can change all the same, though nobody expects it (the code of a function, a variable that
it closes over, an attribute of a class), is *watched*: see ``watch``.
"""

from __future__ import annotations

import builtins
import functools
import operator
import sys
from copyreg import dispatch_table
from gc import get_referents
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GenericAlias,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    UnionType,
    WrapperDescriptorType,
)

from warp_cache import _warp_cache_rs
from warp_cache._naming import classes, watch
from warp_cache._naming.bytecode import global_names, has_docstring
from warp_cache._naming.places import (
    NoName,
    is_at,
    is_of_python,
    is_placed,
    module_name,
    place,
    real_path,
    version,
)

try:
    # What hashlib has under this name; that would load OpenSSL, which takes longer than the rest.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from warp_cache._naming.watch import _Watch

__all__ = ["CACHED", "Description", "unwrapped"]

# Tuples of tuples can be larger than any memory. A number of steps is alike in all processes.
_STEPS = 100_000
_SINGLETONS = (None, ..., NotImplemented, getattr(functools, "Placeholder", None))
CACHED: tuple[type[Any], ...] = (
    _warp_cache_rs.CachedFunction,
    _warp_cache_rs.AsyncCachedFunction,
    _warp_cache_rs.SharedCachedFunction,
    type(functools.lru_cache(len)),
)
# What ``functools.wraps`` and the decorators put on what they make.
_COPIED = frozenset((*functools.WRAPPER_ASSIGNMENTS, "__annotations__", "__wrapped__"))
_COPIED |= {"__code__", "__defaults__", "__kwdefaults__", "cache_parameters"}
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


def unwrapped(value: Any) -> Any:
    """The function in a cached one; not what somebody else has written into ``__wrapped__``."""
    inner = value.__wrapped__
    if not any(part is inner for part in get_referents(value)):
        raise NoName("what it wraps is not what it calls")
    return inner


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class Description:
    """A hash over an object and all that belongs to it.

    What is fed is unambiguous: each node begins with what it is, and says how many others follow.

    as_argument: what a function that gets the object can see of it counts as well (annotations,
        documentation), and so do the lists, dicts and sets among a class's attributes as they are
        now; for a name, which is good for later, there must be none.
    with_items: so do those that a function refers to.
    """

    def __init__(self, as_argument: bool = False, with_items: bool = False) -> None:
        self.as_argument = as_argument
        self.with_items = with_items
        # Whether it is an instance whose attributes are looked at.
        self.within_instance = False
        # The lists, dicts and sets whose items are looked at.
        self.around: list[object] = []
        self.hash = blake2b(digest_size=16)
        # The functions and classes met so far, by identity: they may refer to each other in
        # circles.
        self.seen: dict[int, tuple[int, object]] = {}
        self.steps = 0
        self.watches: list[_Watch] = []
        # Results need not be alike in two versions, nor pickles readable.
        self.feed("python", str(sys.implementation.cache_tag))

    def digest(self) -> bytes:
        return self.hash.digest()

    def feed(self, *parts: str | bytes | int) -> None:
        # Unambiguous, and it escapes lone surrogates.
        self.hash.update(ascii(parts).encode("ascii"))

    def watch(self, look: Callable[[Any], tuple[Any, ...]], holder: Any) -> None:
        self.watches.append((look, holder, look(holder)))

    def is_new(self, value: object) -> bool:
        """Whether a function or class was not met before; else its number counts."""
        if id(value) in self.seen:
            self.feed("again", self.seen[id(value)][0])
            return False
        self.seen[id(value)] = (len(self.seen), value)
        return True

    def value(self, value: Any) -> None:
        self.steps += 1
        if self.steps > _STEPS:
            raise NoName("it has too many parts")
        # Not isinstance: it would ask a proxy, which may have nothing to stand for yet.
        kind = type(value)
        describe = _KINDS.get(kind)
        if describe is not None:
            describe(self, value)
        elif any(value is singleton for singleton in _SINGLETONS):
            self.feed("singleton", repr(value))
        elif issubclass(kind, type):
            classes.a_class(self, value)
        elif kind in CACHED:
            self.feed("cached")
            self.value(unwrapped(value))
            self.attributes(value)
        elif "enum" in sys.modules and issubclass(kind, sys.modules["enum"].Enum):
            classes.a_member(self, value)
        elif self.with_items and kind in (list, dict, set):
            classes.items(self, value)
        else:
            self.anything_else(value)

    def attributes(self, value: Any) -> None:
        """What was set on an object around a function; it is there for everybody to read."""
        self.watch(watch.of_dict, value)
        set_on_it = {n: part for n, part in value.__dict__.items() if n not in _COPIED}
        if set_on_it and self.is_new(value):
            for name, part in sorted(set_on_it.items()):
                self.feed("attribute", name)
                self.value(part)

    def values(self, what: str, values: tuple[Any, ...]) -> None:
        self.feed(what, len(values))
        for value in values:
            self.value(value)

    def apart(self, describe: Callable[[Any], None], value: Any) -> bytes:
        """The hash of a part alone, knowing what was met before it; nothing of it counts yet."""
        whole, seen = self.hash, self.seen
        self.hash, self.seen = blake2b(digest_size=16), dict(seen)
        try:
            describe(value)
            return self.hash.digest()
        finally:
            self.hash, self.seen = whole, seen

    # --- constants

    def an_atom(self, value: str | bytes | bool) -> None:
        self.feed(type(value).__name__, value)

    def an_int(self, value: int) -> None:
        # Decimal digits are limited in number, and slow.
        self.feed("int", hex(value))

    def a_float(self, value: float) -> None:
        # Exact, and -0.0 is not 0.0.
        self.feed("float", value.hex())  # ty: ignore[missing-union-attribute]

    def a_complex(self, value: complex) -> None:
        parts = (value.real.hex(), value.imag.hex())  # ty: ignore[missing-union-attribute]
        self.feed("complex", *parts)

    def a_tuple(self, value: tuple[Any, ...]) -> None:
        self.values("tuple", value)

    def a_slice(self, value: Any) -> None:
        # A constant since 3.14.
        self.values("slice", (value.start, value.stop, value.step))

    def a_frozenset(self, value: frozenset[Any]) -> None:
        # Its order depends on the hash seed: each element is hashed apart, knowing only what was
        # met before the set.
        digests = [self.apart(self.value, element) for element in value]
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
        if not self.is_new(function):
            return
        module, qualname = function.__module__, function.__qualname__
        if is_of_python(module) and is_at(function, module, qualname):
            self.feed("function of Python", module, qualname)
            return
        self.watch(watch.of_function, function)
        code = function.__code__
        file = code.co_filename
        self.feed(
            "function",
            module_name(str(module)),
            qualname,
            real_path(file) or file,
            code.co_firstlineno,
        )
        self.code(code)
        self.values("defaults", function.__defaults__ or ())
        for name, default in sorted((function.__kwdefaults__ or {}).items()):
            self.feed("default", name)
            self.value(default)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self.feed("cell", name)
            self.a_cell(function, name, watch.content(cell))
        for name, value in sorted(function.__dict__.items()):
            self.feed("attribute", name)
            self.value(value)
        if self.as_argument:
            self.feed("documented", repr(function.__doc__))
            classes.said_of_types(self, function)
        if not is_placed(function):
            self.scope(function)

    def a_cell(self, function: FunctionType, name: str, content: Any) -> None:
        """What a variable of an enclosing function holds."""
        if name == function.__code__.co_name and self.is_itself(function, content):
            self.itself(content)
        elif name == "__class__":
            # Of a method under construction it is still empty. It has to be a class that its module
            # has under this name, not one made anew with each call of a function; what is in
            # it is found through it, as through a module.
            owner = function.__qualname__.rpartition(".")[0]
            if "<locals>" in owner:
                raise NoName("its class is made in a function")
            if content is watch.EMPTY or _has_name(content, function.__module__, owner):
                self.feed("itself")
            else:
                self.value(content)
        elif content is watch.EMPTY:
            raise NoName(f"the variable {name!r} that it closes over has no value yet")
        elif name == "repr_running" and type(content) is set and _is_repr(function):
            self.feed("itself")
        else:
            self.value(content)

    def is_itself(self, function: FunctionType, content: Any) -> bool:
        """Whether a variable holds the function, or will, once it is bound."""
        while type(content) in CACHED:
            content = unwrapped(content)
        return content is function or content is watch.EMPTY

    def itself(self, content: Any) -> None:
        self.feed("itself")
        while type(content) in CACHED:
            self.attributes(content)
            content = unwrapped(content)

    def scope(self, function: FunctionType) -> None:
        """The globals of a function in no file: of an ``exec``, a notebook, an interpreter.

        Nothing tells apart two such places but what is there, so it counts as what it closes over.
        """
        own, scope = function.__code__.co_name, function.__globals__
        names = tuple(sorted(set(global_names(function.__code__))))
        self.watch(watch.of_scope, (scope, names))
        for name in names:
            self.feed("global", name)
            value = scope.get(name, watch.EMPTY)
            if name == own and self.is_itself(function, value):
                self.itself(value)
            elif value is not watch.EMPTY:
                self.value(value)
            elif hasattr(builtins, name):
                self.feed("itself")
            else:
                raise NoName(f"the global variable {name!r} has no value yet")

    def a_module(self, value: ModuleType) -> None:
        name = value.__name__
        if not is_of_python(name) or sys.modules.get(name) is not value:
            raise NoName(f"the module {name!r} can change")
        self.feed("module", *place(name))

    def a_builtin(self, value: Any) -> None:
        owner, module = value.__self__, getattr(value, "__module__", None)
        if owner is None or isinstance(owner, ModuleType):
            if not is_at(value, module, value.__qualname__):
                raise NoName(f"{value.__qualname__} is not found under its name")
            self.feed("builtin", *place(module), value.__qualname__, *version(module))
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
        self.attributes(value)

    def a_partial(self, value: functools.partial[Any]) -> None:
        self.watch(watch.of_partial, value)
        self.feed("partial")
        self.value(value.func)
        self.values("args", value.args)
        # In their order: a function with **kwargs sees it.
        self.feed("keywords", *value.keywords)
        self.values("values", tuple(value.keywords.values()))
        self.attributes(value)

    def a_reduced(self, value: Any) -> None:
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
            self.feed("global", *place(module), parts, *version(module))
            self.value(kind)
            return
        made: list[Any] = [*parts, None]
        make, arguments, state, *items = made
        if any(item is not None for item in items):
            # It holds items as a list or dict does, or sets its state in a way of its own.
            raise NoName(f"{_name_of(kind)} can change")
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

    def anything_else(self, value: Any) -> None:
        """An instance of a class that is known to have none that change, or that has none.

        Whether a class is immutable is not asked of it: `__hash__`, `__eq__` and `__slots__` say
        nothing about that.
        """
        kind = type(value)
        if _is_reduced(kind):
            self.a_reduced(value)
        elif is_of_python(kind.__module__) and kind.__module__ == "typing":
            classes.of_typing(self, value)
        elif _is_zone(kind):
            # By its key, if everybody gets this very object for it.
            if value.key is None or kind(value.key) is not value:
                raise NoName("the time zone was not made by its key")
            self.feed("zone", str(value.key))
        elif classes.is_bare(kind):
            self.feed("derived")
            self.value(kind)
            base = next(base for base in kind.__mro__ if base in classes.BARE)
            # Its own items, whatever the class makes of iteration.
            self.value(classes.BARE[base](value))
        elif classes.is_frozen(kind):
            classes.a_frozen(self, value)
        else:
            raise NoName(f"{_name_of(kind)} can change")


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


_KINDS: dict[Any, Callable[[Description, Any], None]] = {
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
    GenericAlias: Description.a_reduced,
    UnionType: Description.a_reduced,
    operator.itemgetter: Description.a_reduced,
    operator.attrgetter: Description.a_reduced,
    operator.methodcaller: Description.a_reduced,
}
