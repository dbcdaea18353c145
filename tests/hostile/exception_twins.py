"""Twins of exceptions: what one of several callers raises in place of the one that was raised."""

from __future__ import annotations

import traceback
from typing import Any

from warp_cache._exceptions import own, share


def twin_of(error: BaseException) -> BaseException:
    """What one of several callers raises in place of `error`."""
    return own(share(error))


# --- what is to be the same ----------------------------------------------------------------

# Each has its own, or they are looked at one by one.
APART = {"__traceback__", "__cause__", "__context__", "__notes__", "__dict__", "exceptions", "args"}


def shown(error: BaseException) -> dict[str, Any]:
    """All that an exception has, but for methods."""
    parts = {}
    for name in dir(error):
        if name in APART:
            continue
        try:
            value = getattr(error, name)
        except Exception as missing:
            value = type(missing)
        if not callable(value):
            parts[name] = value
    return parts


def assert_twins(
    original: BaseException, twin: BaseException, seen: set[int] | None = None
) -> None:
    seen = set() if seen is None else seen
    if id(original) in seen:
        return
    seen.add(id(original))
    assert twin is not original
    assert type(twin) is type(original)
    args, others = BaseException.args.__get__(original), BaseException.args.__get__(twin)
    assert type(others) is tuple and len(others) == len(args)
    for mine, other in zip(args, others, strict=True):
        assert other is mine or isinstance(mine, (BaseException, list, tuple))
    mine, other = shown(original), shown(twin)
    assert mine.keys() == other.keys()
    for name in mine:
        assert same(mine[name], other[name]), name
    for name, value in BaseException.__dict__["__dict__"].__get__(original).items():
        other = BaseException.__dict__["__dict__"].__get__(twin)[name]
        assert other is value or name == "__notes__" or isinstance(value, (BaseException, tuple))
    frames = [traceback.extract_tb(error.__traceback__) for error in (original, twin)]
    assert frames[0] == frames[1]
    try:
        text = str(original), repr(original)
    except Exception:
        pass
    else:
        assert (str(twin), repr(twin)) == text
    for name in ("__cause__", "__context__"):
        mine, other = getattr(original, name), getattr(twin, name)
        assert (mine is None) == (other is None), name
        if mine is not None:
            assert_twins(mine, other, seen)
    members = zip(getattr(original, "exceptions", ()), getattr(twin, "exceptions", ()), strict=True)
    for mine, other in members:
        assert_twins(mine, other, seen)
    notes = getattr(original, "__notes__", None)
    assert getattr(twin, "__notes__", None) == notes
    assert notes is None or getattr(twin, "__notes__", None) is not notes


def same(mine: Any, other: Any) -> bool:
    return mine is other or (type(mine) is type(other) and mine == other)
