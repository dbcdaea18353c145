"""Exceptions that one caller raised and others are to raise as their own."""

from __future__ import annotations

__all__ = ["copy_exception"]


def copy_exception(original: BaseException) -> BaseException:
    """A copy for another caller to raise.

    An exception object carries its traceback, which grows as it propagates; were it shared, callers
    would write into each other's. The copy has the same type, arguments, attributes, notes, cause,
    context and traceback. What can't be copied to something of the same type and arguments (its
    constructor may want others) is returned itself.
    """
    from copy import copy

    try:
        twin = copy(original)
        if type(twin) is not type(original) or twin is original or twin.args != original.args:
            return original
        notes = getattr(original, "__notes__", None)
        if isinstance(notes, list):
            # Copied attributes are shared, and `add_note` would write into the others' list.
            twin.__dict__["__notes__"] = notes.copy()
        twin.__traceback__ = original.__traceback__
        twin.__cause__ = original.__cause__
        twin.__context__ = original.__context__
        # Last: setting the cause sets it too.
        twin.__suppress_context__ = original.__suppress_context__
    except Exception:
        return original
    return twin
