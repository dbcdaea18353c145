"""Exceptions that one caller raised and others are to raise as their own.

An exception object carries its traceback, which grows as it propagates; were one object raised by
several callers, each would find the others' frames, and their local variables, in it. So each has a
copy, of the same type, with the same arguments, attributes, notes and fields, and with the
traceback that the computation left. The exceptions that it leads to (cause, context, the members of
a group) are part of it and copied with it, as they are raised, too.

No constructor, no ``__copy__`` and no ``__reduce__`` is asked: a bare object of the class takes
over what the original's parts hold, which are its arguments, its ``__dict__`` and the fields that
the classes of its MRO describe (slots, and what built-in types keep in C). Only where a class in C
keeps more than it describes is ``copy.copy`` tried; what that cannot copy either is one object for
all, whose traceback is set back whenever it is raised.
"""

from __future__ import annotations

import builtins
import sys
from types import BuiltinFunctionType, GetSetDescriptorType, MemberDescriptorType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import TracebackType
    from typing import Any

__all__ = ["Shared", "own", "put_back", "share", "store", "taken_off", "within"]

# Read through these, nothing that a class defines can stand in between.
_part: Any = BaseException.__dict__
_args, _dict, _traceback = _part["args"], _part["__dict__"], _part["__traceback__"]
_cause, _context, _suppress = (
    _part["__cause__"],
    _part["__context__"],
    _part["__suppress_context__"],
)
_of_system: Any = OSError.__dict__
_errno, _strerror = _of_system["errno"], _of_system["strerror"]
_of_type: Any = type.__dict__
_namespace, _mro, _base = _of_type["__dict__"], _of_type["__mro__"], _of_type["__base__"]
_size = _of_type["__basicsize__"]

_BUILTIN = frozenset(kind for kind in vars(builtins).values() if isinstance(kind, type))
_WORD = (sys.maxsize.bit_length() + 1) // 8  # of a pointer, in bytes
_group: Any = vars(builtins).get("BaseExceptionGroup")


class Shared:
    """What several callers are to raise, as it was when the computation ended."""

    __slots__ = ("error", "is_copy", "traceback")

    def __init__(
        self, error: BaseException, traceback: TracebackType | None, is_copy: bool
    ) -> None:
        self.error = error
        self.traceback = traceback
        self.is_copy = is_copy


def share(original: BaseException, handled: BaseException | None = None) -> Shared:
    """What others than the one who raised `original` are to raise; called before it goes on.

    What that one was handling when he called (else: is handling now) is his alone: it is no part of
    the others' context.
    """
    if handled is None:
        handled = sys.exc_info()[1]
    traceback = _traceback.__get__(original)
    try:
        twin = _copy(original, without=handled)
    except Exception:
        twin = original
    return Shared(twin, traceback, twin is not original)


def store(original: BaseException) -> Shared:
    """What is kept of `original`, to be raised later: the same without tracebacks.

    A traceback would keep alive what the computation and its callers had in their variables.
    """
    try:
        twin = _copy(original, without=sys.exc_info()[1], traced=False)
    except Exception:
        twin = original
    return Shared(twin, None, twin is not original)


def own(shared: Shared) -> BaseException:
    """The exception for one more caller to raise, in the context of what that one is handling."""
    handled = sys.exc_info()[1]
    error = shared.error
    if shared.is_copy:
        try:
            twin = _copy(error, within=handled)
        except Exception:
            twin = error
        if twin is not error:
            return twin
    _traceback.__set__(error, shared.traceback)
    return error


def taken_off(error: BaseException) -> BaseException | None:
    """The context of an exception that is to be raised: ``raise`` puts another one there."""
    context: BaseException | None = _context.__get__(error)
    return context


def put_back(error: BaseException, context: BaseException | None) -> None:
    """Give `error` the context back that it had before it was raised, if it had one."""
    if context is not None:
        _context.__set__(error, context)


async def within(handled: BaseException, call: Coroutine[Any, Any, Any]) -> Any:
    """Await `call` where `handled` is being handled, as where it was called."""
    traceback, context = _traceback.__get__(handled), _context.__get__(handled)
    try:
        raise handled
    except BaseException:
        _traceback.__set__(handled, traceback)
        _context.__set__(handled, context)
        # The traceback of what is raised inside refers to this frame.
        del handled, traceback, context
        return await call


def _copy(
    original: BaseException,
    without: BaseException | None = None,
    within: BaseException | None = None,
    traced: bool = True,
) -> BaseException:
    """A copy with copies of what it leads to; or `original`, if it can't be copied.

    Contexts do not lead to `without`. The last of them is raised in the context of `within`.
    traced: whether the copies have the tracebacks.
    """
    # By the id of the original: it and its twin, which is itself where it can't be copied.
    twins: dict[int, tuple[BaseException, BaseException]] = {}
    stack = [original]
    while stack:
        error = stack.pop()
        if id(error) in twins:
            continue
        members = _members(error)
        # A group is made of its members.
        if any(id(member) not in twins for member in members):
            stack.append(error)
            stack.extend(members)
            continue
        twin = _bare(error, [twins[id(member)][1] for member in members])
        if twin is not None and traced:
            _traceback.__set__(twin, _traceback.__get__(error))
        twins[id(error)] = (error, error if twin is None else twin)
        if twin is not None:
            ahead = (_cause.__get__(error), _following(error, without))
            stack.extend(step for step in ahead if step is not None)
    for error, twin in twins.values():
        if twin is not error:
            _link(error, twin, twins, without)
    first = twins[id(original)][1]
    if within is not None and first is not original:
        _append(first, within, {id(twin) for error, twin in twins.values() if twin is not error})
    return first


def _following(error: BaseException, without: BaseException | None) -> BaseException | None:
    context: BaseException | None = _context.__get__(error)
    return None if context is without else context


def _append(first: BaseException, within: BaseException, copies: set[int]) -> None:
    """Make `within` the context of the last exception of the chain, if that is one of `copies`."""
    last, seen = first, set()
    while id(last) not in seen:
        seen.add(id(last))
        context = _context.__get__(last)
        if context is None:
            if id(last) in copies:
                _context.__set__(last, within)
            return
        last = context


def _members(error: BaseException) -> Any:
    """The exceptions of a group."""
    if _group is not None:
        if _group in _mro.__get__(type(error)):
            return _namespace.__get__(_group)["exceptions"].__get__(error)
        return ()
    # Before CPython 3.11, groups are those of a package, which keeps them in an attribute.
    package: Any = sys.modules.get("exceptiongroup")
    if getattr(package, "BaseExceptionGroup", None) not in _mro.__get__(type(error)):
        return ()
    members = _dict.__get__(error).get("_exceptions")
    is_known = isinstance(members, tuple) and all(isinstance(m, BaseException) for m in members)
    return members if is_known else ()


def _bare(error: BaseException, members: list[BaseException]) -> BaseException | None:
    """A copy of `error` without traceback and links to others; None if it can't be copied."""
    kind = type(error)
    for make in (_made, _asked) if _is_open(kind) else (_asked,):
        try:
            twin = make(error, kind, members)
        except Exception:
            continue
        if type(twin) is not kind or twin is error:
            continue
        _args.__set__(twin, _args.__get__(error))
        _dict.__get__(twin).update(_dict.__get__(error))
        if all([_take(field, error, twin) for field in _fields(kind)]):
            return twin
    return None


def _made(error: BaseException, kind: type, members: list[BaseException]) -> Any:
    """An empty object, as the nearest base in C makes it."""
    base = kind
    while True:
        new: Any = _namespace.__get__(base).get("__new__")
        if isinstance(new, BuiltinFunctionType) and new.__self__ is base:
            break
        base = _base.__get__(base)
    if _group is not None and _group in _mro.__get__(kind):
        return new(kind, _namespace.__get__(_group)["message"].__get__(error), members)
    twin = new(kind)
    if new.__self__ is OSError:
        # What was set to None differs, in its text, from what never was set.
        arguments = _args.__get__(error)
        for field, value in zip((_errno, _strerror), arguments, strict=False):
            if value is None and 2 <= len(arguments) <= 5:
                field.__set__(twin, value)
    return twin


def _asked(error: BaseException, kind: type, members: list[BaseException]) -> BaseException:
    """A copy as the class itself makes it; what it shows of itself must be the same."""
    from copy import copy

    twin = copy(error)
    if str(twin) != str(error):
        raise ValueError
    return twin


def _is_open(kind: type) -> bool:
    """Whether the class describes all that its objects hold."""
    while kind not in _BUILTIN:
        names, base = _namespace.__get__(kind), _base.__get__(kind)
        described = sum(isinstance(field, MemberDescriptorType) for field in list(names.values()))
        described += ("__weakref__" in names) + ("__dict__" in names)
        if _size.__get__(kind) - _size.__get__(base) > described * _WORD:
            return False
        kind = base
    return True


def _fields(kind: type) -> Iterator[Any]:
    """What reads and writes the parts of an object that neither `args` nor `__dict__` holds."""
    for base in _mro.__get__(kind):
        if base is BaseException or base is object or base is _group:
            continue
        for name, field in list(_namespace.__get__(base).items()):
            described = isinstance(field, (MemberDescriptorType, GetSetDescriptorType))
            if described and name not in ("__dict__", "__weakref__"):
                yield field


def _take(field: Any, error: BaseException, twin: BaseException) -> bool:
    """Give `twin` what `error` holds in a field; false if it can't be given."""
    try:
        value = field.__get__(error)
    except Exception:
        return True  # there is nothing
    try:
        # A field that was never set reads as None: set to None, it may be shown.
        if field.__get__(twin) is value:
            return True
    except Exception:
        pass
    try:
        field.__set__(twin, value)
    except Exception:
        pass
    else:
        return True
    # It is only to be read: what is made anew at each look can't be compared.
    try:
        return bool(value != field.__get__(error) or value == field.__get__(twin))
    except Exception:
        return False


def _link(
    error: BaseException,
    twin: BaseException,
    twins: dict[int, tuple[BaseException, BaseException]],
    without: BaseException | None,
) -> None:
    """Lead `twin` to the twins of what `error` leads to; its notes become its own."""

    def reached(value: Any) -> Any:
        return twins[id(value)][1] if id(value) in twins else value

    def mapped(value: Any) -> Any:
        if id(value) in twins:
            return reached(value)
        if type(value) in (list, tuple):
            others = type(value)(map(reached, value))
            if any(other is not item for other, item in zip(others, value, strict=True)):
                return others
        return value

    names = _dict.__get__(twin)
    for name, value in list(names.items()):
        other = mapped(value)
        if name == "__notes__" and isinstance(other, list):
            other = list(other)
        if other is not value:
            names[name] = other
    for field in _fields(type(twin)):
        try:
            value = field.__get__(twin)
            other = mapped(value)
            if other is not value:
                field.__set__(twin, other)
        except Exception:
            continue  # not set, or only to be read
    arguments = _args.__get__(error)
    others = tuple(map(mapped, arguments))
    if any(other is not value for other, value in zip(others, arguments, strict=True)):
        _args.__set__(twin, others)
    _cause.__set__(twin, mapped(_cause.__get__(error)))
    _context.__set__(twin, mapped(_following(error, without)))
    # Setting the cause has set it.
    _suppress.__set__(twin, _suppress.__get__(error))
