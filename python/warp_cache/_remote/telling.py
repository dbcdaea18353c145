"""Words for results that a server does not get. Imported when there is one."""

from __future__ import annotations

from warp_cache._uncacheable import _frame, _name, _refused, _warn_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["too_large", "uncacheable"]


def uncacheable(
    function: Callable[..., Any],
    kind: type | None,
    may_pickle: bool,
    is_raised: bool,
    # As `_uncacheable._refused` has it, after the function.
    argument: tuple[tuple[int, int, list[str], str], str, str | None, str | None] | None = None,
) -> None:
    """Warn that results, or exceptions, are not stored on the server.

    kind: their type, or None for an argument; argument: which, if that is known.
    """
    name = f"{_name(function)}()"
    what = "exceptions" if is_raised else "results"
    if kind is None and argument is not None:
        (at, count, names, form), refused, because, raised = argument
        where = _refused(function, (at, count, tuple(names), form), refused, because, raised)
        text = f"results of {name} are not stored on the server where {where}"
    elif kind is None:
        text = (
            f"results of {name} are not stored on the server where an argument has no bytes that "
            "every host would find it by; pass what tells it apart (an id, a str, a tuple)"
        )
    elif may_pickle:
        text = (
            f"{what} of {name} are not stored on the server where they are of type "
            f"{kind.__name__}, which cannot be pickled; return what can be"
        )
    elif is_raised:
        text = (
            f"exceptions of {name} are not stored on the server, so cache_exceptions has no effect "
            "there: only pickle can store them, and nobody has signed it; configure(secret=...)"
        )
    else:
        text = (
            f"results of {name} are not stored on the server where they are of type "
            f"{kind.__name__} or hold something that only pickle can store, which nobody has "
            "signed; return built-in types, or configure(secret=...)"
        )
    _warn_at(_frame(), text)


def too_large(function: Callable[..., Any], why: str) -> None:
    """Warn that results are more than the server can have; why: of the first of them."""
    _warn_at(
        _frame(),
        f"results of {_name(function)}() are not stored on the server where they are too large: "
        f"{why}; return less, or results in parts",
    )
