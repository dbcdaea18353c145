"""What concerns all caches of the process: finding them, emptying them, settings, turning them off.

Imported when one of these is first asked for.
"""

from __future__ import annotations

import os

from warp_cache._configuration import settings
from warp_cache._decorators import alive
from warp_cache._warp_cache_rs import (
    CacheObject,
    _change_there,
    _disable,
    _enable,
    _forget_disabling_threads,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from warp_cache._object import Cache
    from warp_cache._warp_cache_rs import CachedFunction

__all__ = ["caches", "clear_all", "configure", "disabled", "invalidate_tags"]


def caches() -> list[CachedFunction[..., Any] | Cache[Any, Any]]:
    """The decorated functions and cache objects of this process that are alive.

    In the order they were made.
    Being listed keeps nothing alive. O(n).
    """
    return [cached for reference in list(alive) if (cached := reference()) is not None]


def clear_all() -> None:
    """Empty each of ``caches()``.

    What one raises does not spare the others; the first such exception is raised at the end. A
    server is asked once for all of its functions.
    """
    _each(lambda function: function.cache_clear(), None)


def invalidate_tags(*tags: str) -> None:
    """Drop the entries that have any of these tags, in each of ``caches()``.

    A call that begins after the return gets nothing with such a tag that was computed before it.
    What one cache raises does not spare the others; the first such exception is raised at the end.
    A server is asked once for all of its functions.

    Raises TypeError for a tag that is no string.
    """
    for tag in tags:
        if not isinstance(tag, str):
            raise TypeError(f"a tag must be a string, got {tag!r}")
    _each(lambda function: function.cache_invalidate_tags(*tags), list(tags))


def _function(cached: Any) -> Any:
    """The decorated function itself, or the one behind a cache object."""
    return cached._loader if isinstance(cached, CacheObject) else cached


def _each(do: Callable[[Any], object], tags: list[str] | None) -> None:
    """Change each function: those of a server together, by the tags, the others by themselves."""
    first: BaseException | None
    functions, first = _change_there([_function(cached) for cached in caches()], tags)
    for function in functions:
        try:
            do(function)
        except Exception as error:
            first = first or error
    if first is not None:
        try:
            raise first
        finally:
            # The exception refers to this frame.
            first = None


class _Unchanged(str):
    """Stands for a setting that is left as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "..."


_UNCHANGED: Any = _Unchanged()


def configure(
    *,
    directory: str | os.PathLike[str] | None = _UNCHANGED,
    namespace: str | None = _UNCHANGED,
    remote: str | None = _UNCHANGED,
    secret: str | bytes | list[str | bytes] | None = _UNCHANGED,
    staleness: float | None = _UNCHANGED,
    timeout: float | None = _UNCHANGED,
    credentials: Callable[[], str | tuple[str, str]] | None = _UNCHANGED,
    pickle: str | None = _UNCHANGED,
) -> None:
    """Set defaults for the caches of this process, those decorated before included.

    A shared cache takes note of them when it is opened, at its first use; for caches that are open
    they come too late. A parameter of the decorator goes before what is configured, and that before
    the environment. What is left out stays as it is; None takes back what was configured.

    Parameters:
        directory: where shared caches lie (``WARP_CACHE_DIR``). It is made if it is not there, and
            must be this user's alone.
        namespace: a part of the identity of every shared and remote cache
            (``WARP_CACHE_NAMESPACE``).
        remote: the URL of the server of caches with ``remote=True`` (``WARP_CACHE_REMOTE``, where
            ``off`` means none, and no word about it).
        secret: what signs values on the server, so that any that can be pickled may be stored; of a
            list the first signs, and all verify.
        staleness: seconds after which a change on the server is seen on every host at the latest
            (1.0).
        timeout: seconds that a call waits for the server at most (0.25).
        credentials: a callable that gives a password, or a pair of user and password, asked at each
            connect.
        pickle: "trusted" to store pickles that nobody has signed: whoever can write to the server
            can then run code here.

    Raises TypeError or ValueError for a wrong argument; then nothing is changed.
    """
    given = {**locals()}
    checks: dict[str, Callable[[Any], Any]] = {"directory": _directory, "namespace": _namespace}
    given = {name: value for name, value in given.items() if value is not _UNCHANGED}
    if not given.keys() <= checks.keys():
        from warp_cache._remote.settings import CHECKS

        checks |= CHECKS
    checked = {
        name: None if value is None else checks[name](value) for name, value in given.items()
    }
    for name, value in checked.items():
        if value is None:
            settings.pop(name, None)
        else:
            settings[name] = value


def _directory(directory: Any) -> str:
    path = os.fspath(directory) if isinstance(directory, os.PathLike) else directory
    if not isinstance(path, str):
        right = "directory must be a str, an os.PathLike of str or None"
        raise TypeError(f"{right}, got {directory!r}")
    if not path or "\0" in path:
        raise ValueError(f"directory must be the path of a directory, got {directory!r}")
    return os.path.abspath(path)


def _namespace(namespace: Any) -> str:
    right = "namespace must be a non-empty string without lone surrogates, or None"
    if not isinstance(namespace, str):
        raise TypeError(f"{right}, got {namespace!r}")
    if not namespace or any("\ud800" <= character <= "\udfff" for character in namespace):
        raise ValueError(f"{right}, got {namespace!r}")
    return namespace


class disabled:  # noqa: N801 - it is used like a function
    """Have every call of a decorated function compute while the block lasts, and store nothing.

    ``with disabled(): ...`` holds for the whole process, all threads included, and may be nested.
    ``get`` gives None meanwhile, ``cache_contains`` False, ``set`` and ``cache_put`` do nothing,
    ``cache_refresh`` computes; invalidations work. Calls are not counted, callers of one key do not
    wait for each other, and arguments need not be hashable. A computation that has begun before
    goes on, and is stored. ``WARP_CACHE_DISABLED=1`` in the environment does the same for a
    process.

    In the child of a fork only the blocks of the thread that has forked hold.

    A call costs nothing more at any other time.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []

    def __enter__(self) -> None:
        self._numbers.append(_disable())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        _enable(self._numbers.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_disabling_threads)


# As which they are known.
for _public in (caches, clear_all, configure, disabled, invalidate_tags):
    _public.__module__ = "warp_cache"
del _public
