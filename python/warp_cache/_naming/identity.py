"""Where shared caches live, and what each is called: alike for one function in all processes.

Imported when the first shared cache is made: ``import warp_cache`` does not pay for it.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings  # noqa: F401 - when something is to be told, it may be too late
from itertools import count
from types import MethodType

from warp_cache import _configuration
from warp_cache._decorators import alive

# These two are the extension module's: named here, where tools that freeze programs see them.
from warp_cache._naming import canonical, named  # noqa: F401
from warp_cache._naming.description import Description
from warp_cache._naming.places import module_name
from warp_cache._naming.watch import is_unchanged
from warp_cache._warp_cache_rs import BoundMethod, CachedFunction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from warp_cache._naming.watch import _Watch

__all__ = ["Identity", "describe", "directories", "head", "identify", "key_digest", "location"]

# A name has at most 180 characters (crates/shared/src/file/directory.rs); the longest suffix is
# a private one.
_HEAD = 120
_HARMLESS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")

_counter = count()


def directories() -> tuple[list[str], bool]:
    """The directories that this user's shared caches may lie in, as absolute paths, the best first.

    Also whether the one there is was asked for: then it is the one to use, or there is an error.
    Else each has the user's number in its name, and the extension module takes the first that has
    the cache's file, or the first that can be used (crates/shared/src/file/places.rs). It makes it,
    readable for the user alone, and refuses one that is somebody else's, open to others, or a
    symbolic link.
    """
    given = _configuration.directory()
    if given is not None:
        return [given], True
    user = _user()
    # Not tempfile.gettempdir(), which tries out what can be written to at the moment, and ends at
    # the current directory: processes would part.
    parents = [
        os.environ.get("TMPDIR"),
        "/dev/shm",
        os.environ.get("XDG_RUNTIME_DIR"),
        f"/run/user/{user}",
        os.environ.get("TEMP"),
        os.environ.get("TMP"),
        "/tmp",
        "/var/tmp",
    ]
    paths = [os.path.abspath(os.path.join(p, f"warp_cache-{user}")) for p in parents if p]
    return list(dict.fromkeys(paths)), False


def location(namespace: str | None, directory: Any = None) -> tuple[list[str], bool, str | None]:
    """Where a cache that is opened now is to lie: ``directories()``, and the namespace.

    namespace, directory: those of the cache's own.
    """
    places, asked_for = directories() if directory is None else ([str(directory)], True)
    return places, asked_for, _configuration.namespace() if namespace is None else namespace


def _before_fork() -> None:
    """Open what only this process can open, so that its children have it too."""
    for reference in list(alive):
        cached = reference()
        if cached is not None:
            cached._open_before_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


def _user() -> int:
    # The effective user's: it is the one who must own the directory.
    return os.geteuid() if sys.platform != "win32" else 0


def describe(function: Callable[..., Any]) -> tuple[str, bool]:
    """A name for the function's cache, and whether it is private to this process and its forks.

    It is private if no name is sound in another process: something that belongs to the function
    can change, or there are no bytes that stand for it.
    """
    name, identity = identify(function)
    return name, identity is None


def identify(
    function: Callable[..., Any], key: Callable[..., Any] | None = None
) -> tuple[str, Identity | None]:
    """A name for the function's cache, and what tells whether the function still is what it names.

    None: the cache is private, see ``describe``. key: what gives the keys of its calls, a part of
    what is named.
    """
    try:
        identity = Identity(function, key)
    except Exception:
        # NoName; or too deep a nesting; or an object that fails when it is looked at.
        return _private(function), None
    return f"{head(function)}-{identity.digest.hex()}", identity


def key_digest(key: Callable[..., Any]) -> bytes:
    """What tells key functions apart where the user has named the cache; empty if nothing does."""
    try:
        return _description(key, None)[0]
    except Exception:
        return b""


def _private(function: Any) -> str:
    unique = f"{os.getpid()}-{next(_counter)}-{os.urandom(8).hex()}"
    return f"{head(function)}-private-{unique}"


class Identity:
    """What a function was when its cache got its name."""

    __slots__ = ("digest", "function", "key", "watches")

    def __init__(self, function: Callable[..., Any], key: Callable[..., Any] | None = None) -> None:
        self.function = function
        self.key = key
        self.digest, self.watches = _description(function, key)

    def renamed(self) -> str | None:
        """None while the function is what it was; else the name of a private cache for it.

        What it closes over, its defaults or its code may have been exchanged.
        """
        digest: bytes = b""
        watches: list[_Watch] = []
        try:
            if is_unchanged(self.watches):
                return None
            digest, watches = _description(self.function, self.key)
        except Exception:
            pass
        if digest != self.digest:
            return _private(self.function)
        # An equal value in the place of another. (Who looks at this list from Rust keeps it.)
        self.watches[:] = watches
        return None


def _description(
    function: Callable[..., Any], key: Callable[..., Any] | None
) -> tuple[bytes, list[_Watch]]:
    description = Description()
    description.value(function)
    if key is not None:
        description.value(key)
    return description.digest(), description.watches


def head(function: Any) -> str:
    """The part of the name that is there to be read."""
    for _ in range(100):
        if type(function) is functools.partial:
            function = function.func
        elif type(function) in (MethodType, BoundMethod):
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
