"""Stored exceptions as bytes, for other processes to raise as their own.

What is pickled are the parts of an exception (see `_exceptions`), not the exception itself: a
constructor that takes other arguments than ``args`` could not make it again. The traceback stays
behind: its frames are of the process that computed. Imported with the first stored exception.
"""

from __future__ import annotations

import pickle

from warp_cache._exceptions import (
    Shared,
    _args,
    _cause,
    _context,
    _dict,
    _fields,
    _is_open,
    _made,
    _members,
    _suppress,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["pack", "unpack"]

# As deep a chain of causes and contexts is stored.
_DEPTH = 16


def pack(shared: Shared) -> bytes:
    """The bytes of an exception; raises what pickle does where it has none that can be loaded."""
    for depth in (_DEPTH, 0):
        try:
            packed = pickle.dumps(_parts(shared.error, depth), protocol=5)
            unpack(packed)
        except Exception:
            # What it leads to may be what has no bytes.
            if not depth:
                raise
        else:
            return packed
    raise AssertionError


def unpack(packed: bytes) -> Shared:
    """What `pack` was given, without the traceback."""
    return Shared(_whole(pickle.loads(packed)), None, True)


def _parts(error: BaseException, depth: int) -> tuple[Any, ...]:
    kind = type(error)
    if not _is_open(kind) or _members(error):
        # Only the class itself knows what its objects hold; a group is made of its members.
        return (error,)
    fields = {}
    for field in _fields(kind):
        try:
            value = field.__get__(error)
        except Exception:
            continue  # not set
        if value is not None and not isinstance(value, BaseException):
            fields[field.__name__] = value
    linked = [
        None if step is None or not depth else _parts(step, depth - 1)
        for step in (_cause.__get__(error), _context.__get__(error))
    ]
    names = dict(_dict.__get__(error))
    return kind, _args.__get__(error), names, fields, linked, _suppress.__get__(error)


def _whole(parts: tuple[Any, ...]) -> BaseException:
    if len(parts) == 1:
        error: BaseException = parts[0]
        return error
    kind, args, names, fields, linked, suppress = parts
    # It looks at what an OSError was made with.
    twin: BaseException = _made(BaseException(*args), kind, [])
    _args.__set__(twin, args)
    _dict.__get__(twin).update(names)
    for field in _fields(kind):
        if field.__name__ in fields:
            try:
                field.__set__(twin, fields[field.__name__])
            except Exception:
                continue  # only to be read
    cause, context = (None if step is None else _whole(step) for step in linked)
    _cause.__set__(twin, cause)
    _context.__set__(twin, context)
    _suppress.__set__(twin, suppress)
    return twin
