"""Decorated functions as dill takes them: by value, as it takes functools' and plain ones.

Imported where dill is, and by nothing else. Its pickles name ``restore``, and this module with it.
"""

from __future__ import annotations

import sys
from functools import partial

from warp_cache._decorators import decorator
from warp_cache._warp_cache_rs import CachedFunction, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["reduce", "restore"]


def reduce(cached: CachedFunction[..., Any]) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
    """What ``__reduce__`` of a decorated function says to dill; None if it is not dill who asks."""
    pickler = getattr(sys.modules.get("dill"), "Pickler", None)
    # dill's pickler is written in Python, and this was called from its frame: between the two there
    # is only C.
    caller = sys._getframe(1).f_locals.get("self")
    if not isinstance(pickler, type) or not isinstance(caller, pickler):
        return None
    return restore, cached._recipe()


def restore(
    function: Callable[..., Any], arguments: dict[str, Any], backend: int, name: str | None
) -> CachedFunction[..., Any]:
    """The decorated function of a recipe: with these options, and empty.

    backend: its number; older pickles have a bool there, whether all processes share the cache.
    """
    single_flight = arguments.pop("single_flight")
    make = partial(Options, **arguments)
    return decorator(make, single_flight, backend, name, single_use_too=True)(function)
