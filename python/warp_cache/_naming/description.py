"""What a function is made of, as a hash: alike in all processes, different for any two functions.

It covers where the function stands, its code, its defaults and what it closes over, in every
process that runs the same code, whatever its hash seed and however it was started. What a function
finds in its module counts only as far as the module's file does, unless there is no file.

Only what is known to stay as it is has a hash: types that are listed, exactly (here and in
``instances``), with parts that are. What can change all the same, though nobody expects it (the
code of a function, a variable that it closes over, an attribute of a class), is *watched*: see
``watch``.
"""

from __future__ import annotations

import functools
import operator
import sys
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

from warp_cache._naming import classes, functions, instances
from warp_cache._naming.bytecode import has_docstring
from warp_cache._naming.places import NoName, place, version

try:
    # What hashlib has under this name; that would load OpenSSL, which takes longer than the rest.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b
from warp_cache._warp_cache_rs import BoundMethod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from warp_cache._naming.watch import _Watch

__all__ = ["Description"]

# Tuples of tuples can be larger than any memory. A number of steps is alike in all processes.
_STEPS = 100_000
_SINGLETONS = (None, ..., NotImplemented, getattr(functools, "Placeholder", None))


class Description:
    """A hash over an object and all that belongs to it.

    What is fed is unambiguous: each node begins with what it is, and says how many others follow.

    as_argument: what a function that gets the object can see of it counts as well (annotations,
        documentation), and so do the lists, dicts and sets among a class's attributes as they are
        now; for a name, which is good for later, there must be none.
    with_items: so do those that a function refers to.
    anywhere: what differs between hosts does not count: files, lines, when a file was written.
    """

    def __init__(
        self, as_argument: bool = False, with_items: bool = False, anywhere: bool = False
    ) -> None:
        self.as_argument = as_argument
        self.anywhere = anywhere
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
        self._watched: set[tuple[object, int]] = set()
        # Results need not be alike in two versions, nor pickles readable.
        self.feed("python", str(sys.implementation.cache_tag))

    def digest(self) -> bytes:
        return self.hash.digest()

    def feed(self, *parts: str | bytes | int) -> None:
        # Unambiguous, and it escapes lone surrogates.
        self.hash.update(ascii(parts).encode("ascii"))

    def place(self, module: object, needs_file: bool = True) -> tuple[str, ...]:
        """Where a module is, as far as it counts."""
        name, file = place(module, needs_file)
        return (name,) if self.anywhere else (name, file)

    def version(self, module: object) -> tuple[str, ...]:
        """What tells apart two states of a module that cannot be looked into, likewise."""
        # (The last part is when its file was written.)
        return version(module)[:2] if self.anywhere else version(module)

    def watch(self, look: Callable[[Any], tuple[Any, ...]], holder: Any) -> None:
        # In a part apart, it may have been met before.
        if (look, id(holder)) not in self._watched:
            self._watched.add((look, id(holder)))
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
        elif kind in functions.CACHED:
            self.feed("cached")
            self.value(functions.unwrapped(value))
            functions.attributes(self, value)
        elif "enum" in sys.modules and issubclass(kind, sys.modules["enum"].Enum):
            instances.a_member(self, value)
        elif self.with_items and kind in (list, dict, set):
            classes.items(self, value)
        else:
            instances.anything_else(self, value)

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
    FunctionType: functions.a_function,
    ModuleType: functions.a_module,
    BuiltinFunctionType: functions.a_builtin,
    MethodWrapperType: functions.a_builtin,
    MethodType: functions.a_method,
    BoundMethod: functions.a_method,
    staticmethod: functions.a_wrapper,
    classmethod: functions.a_wrapper,
    functools.partial: functions.a_partial,
    MethodDescriptorType: functions.a_descriptor,
    WrapperDescriptorType: functions.a_descriptor,
    ClassMethodDescriptorType: functions.a_descriptor,
    range: instances.a_reduced,
    GenericAlias: instances.a_reduced,
    UnionType: instances.a_reduced,
    operator.itemgetter: instances.a_reduced,
    operator.attrgetter: instances.a_reduced,
    operator.methodcaller: instances.a_reduced,
}
