"""Where shared caches live, and what each is called: alike for one function in all processes.

Imported when the first shared cache is made: ``import warp_cache`` does not pay for it.
"""

from __future__ import annotations

import functools
import os
import sys
from itertools import count
from types import MethodType

from warp_cache._description import Description, module_name
from warp_cache._warp_cache_rs import CachedFunction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["describe", "directory"]

# A name has at most 180 characters (src/shm/files.rs); the longest suffix is a private one.
_HEAD = 120
_HARMLESS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")

_counter = count()


def directory() -> str:
    """The directory of all shared caches of this user, as an absolute path.

    The extension module makes it, readable for the user alone (and parents that are missing
    likewise), and refuses one that is somebody else's, open to others, or a symbolic link.
    """
    given = os.environ.get("WARP_CACHE_DIR")
    temporary = os.environ.get("TMPDIR")
    if given:
        path = given
    elif temporary:
        path = os.path.join(temporary, "warp_cache")
    elif os.path.isdir("/dev/shm"):
        path = f"/dev/shm/warp_cache-{_user()}"
    else:
        from tempfile import gettempdir

        path = os.path.join(gettempdir(), f"warp_cache-{_user()}")
    return os.path.abspath(path)


def _user() -> int:
    # The effective user's: it is the one who must own the directory.
    return os.geteuid() if sys.platform != "win32" else 0


def describe(function: Callable[..., Any]) -> tuple[str, bool]:
    """A name for the function's cache, and whether it is private to this process and its forks.

    It is private if no name is sound in another process: something that belongs to the function
    is mutable, or there are no bytes that stand for it.
    """
    head = _head(function)
    description = Description()
    try:
        description.value(function)
    except Exception:
        # NoName; or too deep a nesting; or an object that fails when it is looked at.
        unique = f"{os.getpid()}-{next(_counter)}-{os.urandom(8).hex()}"
        return f"{head}-private-{unique}", True
    return f"{head}-{description.digest()}", False


def _head(function: Any) -> str:
    """The part of the name that is there to be read."""
    for _ in range(100):
        if type(function) is functools.partial:
            function = function.func
        elif type(function) is MethodType:
            function = function.__func__
        elif issubclass(type(function), CachedFunction):
            function = function.__wrapped__
        else:
            break
    if not isinstance(getattr(function, "__qualname__", None), str):
        function = type(function)
    module = getattr(function, "__module__", None)
    qualname: str = function.__qualname__
    full = f"{module_name(module)}.{qualname}" if isinstance(module, str) else qualname
    clean = "".join([c if c in _HARMLESS else "_" for c in full[:_HEAD]])
    return clean.lstrip(".") or "function"
