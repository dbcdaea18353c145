"""What ``cache_options()`` returns. Imported when it is first called."""

from __future__ import annotations

from warp_cache._strategies import Backend, Strategy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from warp_cache._warp_cache_rs import CachedFunction

__all__ = ["options"]


def options(cached: CachedFunction[..., Any]) -> dict[str, Any]:
    """Everything the function's cache was made with, by the names of ``cache``'s parameters.

    Beside these: ``path`` (of the shared cache's file, else None), ``private`` (whether that file
    is of this process and its forks alone) and ``qualname``.
    """
    _, made_with, backend, name = cached._recipe()
    path, private = cached._place()
    # Which of the two decorators it was.
    del made_with["by_signature"]
    made_with["strategy"] = Strategy(made_with["strategy"])
    made_with["maxsize"] = made_with["max_size"]
    if isinstance(made_with["cache_exceptions"], dict):
        # The caller may change what is returned.
        made_with["cache_exceptions"] = made_with["cache_exceptions"].copy()
    # An address may hold a password.
    if made_with["remote"] is not None:
        made_with["remote"] = True
    return {
        **made_with,
        "backend": Backend(backend).name.lower(),
        "name": name,
        "path": path,
        "private": private,
        "qualname": getattr(cached, "__qualname__", None),
    }
