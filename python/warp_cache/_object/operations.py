"""What a cache object does in several steps: each is one change of an entry, tried until nobody
else has changed it between its steps.

The steps are the extension module's: ``_see`` (an entry as it is), ``_swap`` and ``_take`` (a
change, if the entry is still that one).
"""

from __future__ import annotations

import contextlib
import inspect
import math
from datetime import timedelta

from warp_cache._object.errors import CacheUnavailable
from warp_cache._object.loading import Request, request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = [
    "DELETE",
    "add",
    "compute",
    "discard",
    "get_or_set",
    "is_in_file",
    "put_if_absent",
    "replace",
    "set_many",
]


class _Delete:
    """What a callable given to ``Cache.compute`` returns to have the entry deleted."""

    __module__ = "warp_cache"

    def __init__(self) -> None:
        self.__qualname__ = "DELETE"

    def __repr__(self) -> str:
        return "warp_cache.DELETE"

    def __reduce__(self) -> str:
        return "DELETE"


DELETE = _Delete()


def is_in_file(cache: Any) -> bool:
    """Whether a file has the entries. (That of a remote cache has copies of what a server has.)"""
    return bool(cache._given["backend"] == "shared" and cache._given["remote"] is None)


def add(cache: Any, key: Any, value: Any, ttl: Any, tags: Any) -> bool:
    return put_if_absent(cache, key, value, ttl, tags) > 0


def put_if_absent(cache: Any, key: Any, value: Any, ttl: Any, tags: Any) -> int:
    """1 if the value was stored, -1 if it does not fit, 0 where there is one."""
    while True:
        stored = int(cache._swap(key, value, None, False, ttl, tags))
        if stored or not is_in_file(cache) or cache._peek(key) is not None:
            return stored
        # It has ended meanwhile, or cannot be read here: then it is dropped where it is seen.
        if cache._see(key) is not None:
            return stored


def compute(cache: Any, key: Any, function: Callable[[Any], Any], ttl: Any) -> Any:
    if not callable(function):
        raise TypeError(f"f must be a callable that is given the old value, got {function!r}")
    check_ttl(ttl)
    while True:
        found = cache._see(key)
        old, seen = (None, None) if found is None else found
        value = function(old)
        if inspect.isawaitable(value):
            close(value)
            raise TypeError(
                f"f must return a value, got an awaitable of {function!r}: use acompute"
            )
        done, value = change(cache, key, seen, value, ttl)
        if done:
            return value


def change(cache: Any, key: Any, seen: Any, value: Any, ttl: Any) -> tuple[bool, Any]:
    """Store what was computed of an entry, or delete it. Whether the entry was still that one."""
    if value is DELETE:
        if seen is not None:
            return cache._take(key, seen) is not None, None
        # Nothing is there to be taken, but what is being computed is not to be stored after this.
        cache._take(key, None)
        return cache._peek(key) is None, None
    stored = cache._swap(key, value, seen, True, ttl, ...)
    if stored < 0 and seen is not None:
        # It does not fit, and the older value must not stand for it, as where it is set.
        return cache._take(key, seen) is not None, value
    return bool(stored), value


def replace(cache: Any, key: Any, old: Any, new: Any, ttl: Any) -> bool:
    check_ttl(ttl)
    while True:
        found = cache._see(key)
        if found is None or not equal(found[0], old):
            return False
        stored = cache._swap(key, new, found[1], True, ttl, ...)
        if stored:
            return bool(stored > 0)


def discard(cache: Any, key: Any, old: Any) -> bool:
    while True:
        found = cache._see(key)
        if found is None or not equal(found[0], old):
            return False
        if cache._take(key, found[1]) is not None:
            return True


def equal(stored: Any, old: Any) -> bool:
    return stored is old or bool(stored == old)


def get_or_set(cache: Any, key: Any, function: Callable[[], Any], ttl: Any, tags: Any) -> Any:
    from warp_cache._callables import coroutine_function

    if not callable(function):
        raise TypeError(f"f must be a callable without arguments, got {function!r}")
    tags = check(cache, ttl, tags)
    if coroutine_function(function) is not None:
        return load_async(cache._loader, (key,), Request(function, ttl, tags, awaits=True))
    return load(cache, (key,), Request(_plain(function), ttl, tags, awaits=False))


def load(cache: Any, arguments: tuple[Any, ...], asked: Request) -> Any:
    """The value of an entry; what is asked for computes it where there is none."""
    token = request.set(asked)
    try:
        return cache._load(*arguments)
    finally:
        request.reset(token)


async def load_async(loader: Any, arguments: tuple[Any, ...], asked: Request) -> Any:
    """The same, awaited: ``loader`` is the loader itself, or what computes anew for it."""
    token = request.set(asked)
    try:
        return await loader(*arguments)
    finally:
        # (No context manager: it would be a hit's.)
        try:  # noqa: SIM105
            request.reset(token)
        except ValueError:
            # Whoever closes or collects a coroutine may do so in another context, which has nothing
            # of this; the one that it began in has it until the next call there asks for its own.
            pass


def _plain(function: Callable[[], Any]) -> Callable[[], Any]:
    def compute() -> Any:
        value = function()
        if inspect.isawaitable(value):
            close(value)
            raise TypeError(
                f"f must return a value or be a coroutine function, got an awaitable of "
                f"{function!r}: use await aget_or_set(...)"
            )
        return value

    return compute


def close(awaitable: Any) -> None:
    """A coroutine that nobody awaits is ended, so that there is no warning beside the error."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def check(cache: Any, ttl: Any, tags: Any) -> tuple[str, ...]:
    """Check a lifetime and tags; the cache keeps such of single entries from now on."""
    check_ttl(ttl)
    own = checked_tags(tags)
    if (ttl is not ... and ttl is not None) or own:
        cache._know_more(ttl is not ... and ttl is not None, bool(own))
    return own


def check_ttl(ttl: Any, name: str = "ttl") -> None:
    if ttl is ... or ttl is None:
        return
    right = f"{name} must be positive and finite (seconds or a timedelta), or None for no limit"
    # What the extension takes for a lifetime, and nothing else that has a __float__.
    seconds = seconds_of(ttl) if isinstance(ttl, (float, int, timedelta)) else None
    if seconds is None:
        raise TypeError(f"{right}, got {ttl!r}")
    if seconds == math.inf:
        raise ValueError(f"{right}, got infinity, or an int as large")
    if not seconds > 0:
        raise ValueError(f"{right}, got {ttl!r}: delete the key to end its entry")


def seconds_of(value: Any) -> float | None:
    """The seconds of a number or a timedelta, infinity where a float has no room for them; None of
    what is neither.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not hasattr(type(seconds), "__float__"):
        return None
    try:
        return float(seconds)
    except OverflowError:
        return math.inf if seconds > 0 else -math.inf


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    try:
        checked: tuple[Any, ...] = (tags,) if isinstance(tags, str) else tuple(tags)
    except TypeError:
        raise TypeError(f"tags must be up to 16 strings, got {tags!r}") from None
    for tag in checked:
        if not isinstance(tag, str):
            raise TypeError(f"tags must be up to 16 strings, got {tags!r}")
    if len(checked) > 16:
        raise ValueError(f"tags must be at most 16 strings, got {len(checked)}")
    return checked


def count_all(cache: Any) -> int:
    """How many entries there are that have not ended, those of memoized functions included."""
    own, everything = len(cache), cache.info().current_size
    if own == everything:
        return own
    # What else is there is memoized, or has ended.
    with contextlib.suppress(CacheUnavailable):
        cache._purge()
    return int(cache.info().current_size)


def set_many(cache: Any, entries: Any, ttl: Any, tags: Any) -> list[Any]:
    check_ttl(ttl)
    tags = checked_tags(tags)
    pairs = entries.items() if hasattr(entries, "items") else entries
    try:
        pairs = [(key, value) for key, value in pairs]
    except (TypeError, ValueError) as error:
        right = "entries must be a mapping, or pairs of a key and a value"
        raise type(error)(f"{right}, got {type(entries).__name__}: {error}") from error
    if cache._given["remote"] is not None:
        stored = cache._set_many(pairs, ttl, tags)
        if stored is not None:
            return [key for (key, _), is_in in zip(pairs, stored, strict=True) if not is_in]
    # What cannot be stored is known before anything is.
    for key, value in pairs:
        cache._check(key, value)
    return [key for key, value in pairs if not cache.set(key, value, ttl=ttl, tags=tags)]
