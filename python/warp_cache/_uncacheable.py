"""The warning that a result was computed and not stored: its words, and where it points to.

The extension module calls ``warn`` when a call of a function with a shared cache could not be
stored, once for each function and reason.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

__all__ = ["UncacheableWarning", "warn"]


class UncacheableWarning(UserWarning):
    """A result was computed and returned, and could not be stored in the shared cache, or on the
    server.

    Given once for each decorated function and reason. Those of a shared cache are the keys of
    ``cache_info().skips``, which goes on counting.
    """

    __module__ = "warp_cache"


_OURS = {"warp_cache", "asyncio"}
# What an entry of a file can hold, whatever is configured (crates/shared/src/interface.rs).
_MOST_KEY = (1 << 26) - 1
_MOST_VALUE = (1 << 32) - 1


def warn(
    function: Callable[..., Any],
    reason: str,
    # The number of the refused argument, of all, the names of the last, and of what these are:
    # the "call" as it was passed, the parameters of the "signature", what the "key" function gave.
    argument: tuple[int, int, tuple[str, ...], str],
    refused: type | None,
    # The reason, after the type of what was refused in it, and what was raised.
    because: str | None,
    raised: str | None,
    size: tuple[int, int],
    error: int,
    path: str,
) -> None:
    """Tell the user what was not stored, why, and what to do."""
    try:
        text = _text(function, reason, argument, refused, because, raised, size, error, path)
        frame = _frame()
    except Exception:
        if sys.is_finalizing():
            return
        text, frame = f"a result is not stored: {reason}", sys._getframe().f_back
    _warn_at(frame, text)


def _warn_at(frame: FrameType | None, text: str) -> None:
    """Warn as if the line of this frame did."""
    try:
        import warnings
    except Exception:
        # It is loaded with the first shared cache (`_naming.identity`). Else, without a descriptor
        # or the right to read the library, nobody can be told; the call has its value all the same.
        return
    if frame is None:
        # Called by the interpreter itself, at exit, or by a program that embeds it.
        warnings.warn_explicit(text, UncacheableWarning, "sys", 1)
        return
    scope = frame.f_globals
    warnings.warn_explicit(
        text,
        UncacheableWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=scope.get("__name__") or "<unknown>",
        registry=scope.setdefault("__warningregistry__", {}),
    )


def _frame() -> FrameType | None:
    """The caller of the cached function: the nearest frame that is neither ours nor asyncio's."""
    frame = sys._getframe(1).f_back
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if not isinstance(name, str) or name.partition(".")[0] not in _OURS:
            return frame
        frame = frame.f_back
    return None


def _text(
    function: Callable[..., Any],
    reason: str,
    argument: tuple[int, int, tuple[str, ...], str],
    refused: type | None,
    because: str | None,
    raised: str | None,
    size: tuple[int, int],
    error: int,
    path: str,
) -> str:
    name = f"{_name(function)}()"
    kind = "object" if refused is None else refused.__name__
    taken, limit = size
    why = _why(error)
    if reason == "argument":
        if refused is None:
            return (
                f"{name} was given arguments that do not fit its signature, so its result is not"
                " stored; correct the signature"
            )
        what = _refused(function, argument, kind, because, raised)
        return f'results of {name} are not stored where {what}, or use backend="memory"'
    if reason == "key_size" and limit == _MOST_KEY:
        return (
            f"results of {name} are not stored where the arguments take more than {limit} bytes"
            f" (now {taken}), the most that a shared cache takes; pass what tells them apart"
        )
    if reason == "key_size":
        return (
            f"results of {name} are not stored where the arguments take more than"
            f" max_key_size={limit} bytes (now {taken}); raise it, or pass what tells them apart"
        )
    if reason == "value":
        return (
            f"results of {name} are not stored where they are of type {kind}, which cannot be"
            f" pickled: {raised or 'it has no bytes'}; return what can be pickled, or use"
            ' backend="memory"'
        )
    if reason == "value_size" and limit == _MOST_VALUE:
        return (
            f"results of {name} are not stored where they take more than {limit} bytes (now"
            f" {taken}, of type {kind}), the most that a shared cache takes; return less at a time,"
            ' or use backend="memory"'
        )
    if reason == "value_size":
        return (
            f"results of {name} are not stored where they take more than max_value_size={limit}"
            f" bytes (now {taken}, of type {kind}); raise it, or None for no limit"
        )
    if reason == "file_size":
        return (
            f"results of {name} are not stored where they are larger than the whole cache (now"
            f" {taken} bytes with the key, of type {kind}; max_bytes={limit}); raise max_bytes"
        )
    if reason == "unreadable":
        return (
            f"results of {name} are computed again, as what is stored cannot be unpickled"
            f" ({raised or 'no reason given'}); return what can be, or make its class importable in"
            " every process"
        )
    if reason == "space":
        return (
            f"results of {name} are not stored, or only in the place of others, as there is no room"
            f" for {path}{why}; free some,"
            " raise the limit (ulimit -f, ulimit -v, a quota), or set WARP_CACHE_DIR to a directory"
            " on another file system"
        )
    if reason == "locks":
        return (
            f"results of {name} are not stored, as the system refuses byte-range locks on"
            f" {path}{why}; set WARP_CACHE_DIR to a directory on a local file system"
        )
    if reason == "processes":
        return (
            f"results of {name} are not stored by this process, as 255 others have {path} open;"
            " run fewer, or give some of them a cache of another name"
        )
    if reason == "lost" and not path:
        return (
            f"results of {name} are not stored, as its shared cache cannot be opened:"
            f" {raised or 'no reason given'}"
        )
    if reason == "lost":
        return (
            f"results of {name} are not stored, as {path} was cut short, removed or replaced, its"
            " descriptor closed, or the function changed, and no other file can be opened in its"
            " place; see that the directory is there and nothing else writes in it"
        )
    return f"results of {name} are not stored: {reason}"


def _refused(
    function: Callable[..., Any],
    argument: tuple[int, int, tuple[str, ...], str],
    kind: str,
    because: str | None,
    raised: str | None,
) -> str:
    """Which argument has no bytes, why, and what helps; kind: the name of its type."""
    within, _, told = (because or "").partition(": ")
    # What a tuple, say, holds.
    of = within.rpartition(".")[2] or kind
    holding = "" if of == kind else f" and holds one of type {of}"
    told = ". ".join(filter(None, (told, raised)))
    told = told or "it has no bytes that every process would find it by"
    remedy = f"see that {of} has an __eq__ and a pickle that keeps all it compares"
    if of == "type":
        # What stands for an object's class is its name.
        remedy = "define its class at the top level of an importable module"
    return (
        f"{_argument(function, argument)} is of type {kind}{holding}: {told}; pass what tells it"
        f" apart (an id, a str, a tuple), or {remedy}"
    )


def _why(error: int) -> str:
    if not error:
        return ""
    import os

    return f" ({os.strerror(error)})"


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if isinstance(module, str) else str(name)


def _argument(function: Callable[..., Any], argument: tuple[int, int, tuple[str, ...], str]) -> str:
    """What the user calls the argument of this number."""
    at, count, names, form = argument
    if form == "key":
        return "what key returns"
    positional = count - len(names)
    if at >= positional:
        return f"argument {names[at - positional]!r}"
    import inspect

    kinds = inspect.Parameter
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return f"argument {at + 1}"
    by_position = [
        p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    in_order = form == "signature"
    by_name = [p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY] if in_order else []
    rest = [p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL]
    if at < len(by_position):
        return f"argument {by_position[at]!r}"
    if at >= positional - len(by_name):
        return f"argument {by_name[at - positional + len(by_name)]!r}"
    return f"argument {at - len(by_position) + 1} of '*{rest[0] if rest else 'args'}'"
