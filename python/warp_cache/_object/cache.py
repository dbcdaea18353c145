"""``Cache``: what users see of the cache object."""

from __future__ import annotations

from collections.abc import Mapping
from types import GenericAlias

from warp_cache._object import opening, operations
from warp_cache._object.errors import CacheUnavailable
from warp_cache._object.twins import Twins
from warp_cache._object.views import Items, Keys, PrefixKeys, Values
from warp_cache._warp_cache_rs import CacheMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["Cache"]

_NOTHING: Any = object()

# What few caches need, imported at its first use and kept.
_locks: Any = None
_memoizes: Any = None


def _lock_class() -> Any:
    global _locks
    if _locks is None:
        from warp_cache._object.locking import CacheLock

        _locks = CacheLock
    return _locks


def _memoizer() -> Any:
    global _memoizes
    if _memoizes is None:
        from warp_cache._object.memoizing import memoize

        _memoizes = memoize
    return _memoizes


class Cache(CacheMapping, Twins):
    """A cache that is used like a dict: in this process, or shared by processes or hosts.

    Each operation is atomic across threads, with ``backend="shared"`` across processes, with
    ``remote`` across hosts.

    Parameters:
        max_size: entries at most; None for no bound, 0 to store nothing.
        strategy, ttl, tti, jitter, stale_while_revalidate, stale_if_error, max_weight, weigher,
        copy, max_bytes, version, namespace, wait_timeout: as for ``cache``. ``ttl`` is a number of
            seconds or a timedelta.
        on_removal: ``on_removal(key, value, cause)`` for each value that leaves. Memory only.
        backend: "memory" or "shared", or a ``Backend``.
        name: what a shared or remote cache is found by, in every process. Needed there.
        directory: where the file of this shared cache lies, whatever ``configure()`` says; None:
            where those of the process do.
        remote: the URL of a Valkey or Redis server that holds the entries for all hosts, or True
            for the one that ``configure(remote=...)`` or WARP_CACHE_REMOTE names; this process
            keeps near copies, with ``backend="shared"`` also a file of the host. Needs ``ttl`` and
            ``name``; not with ``tti``, ``on_removal``.

    Raises:
        TypeError, ValueError: a wrong argument; the message names it.
        RuntimeError: ``__init__`` is called once more on an object that is open.
    """

    __module__ = "warp_cache"
    __slots__ = ("_given", "_is_of_memory", "_locks")
    __hash__ = None  # type: ignore[assignment]
    __class_getitem__: Any = classmethod(GenericAlias)

    def __init__(
        self,
        max_size: Any = opening.ABSENT,
        *,
        strategy: Any = opening.LRU,
        ttl: Any = None,
        tti: Any = None,
        jitter: float = 0.0,
        stale_while_revalidate: Any = 0,
        stale_if_error: Any = 0,
        max_weight: int | None = None,
        weigher: Callable[[Any], int] | None = None,
        on_removal: Callable[..., Any] | None = None,
        copy: Any = None,
        backend: Any = "memory",
        name: str | None = None,
        max_bytes: int | None = None,
        version: str | None = None,
        namespace: str | None = None,
        wait_timeout: float | None = 10.0,
        directory: Any = None,
        remote: Any = None,
    ) -> None:
        given = {**locals()}
        del given["self"]
        opening.refuse_open(self)
        given.pop("__class__", None)
        self._locks: dict[str, Any] = {}
        self._given = opening.checked(given)
        opening.open_object(self, self._given)

    # One entry.

    def peek(self, key: Any, /, default: Any = None) -> Any:
        """The value of a key, or default: no use, and not counted. O(1) expected."""
        found = self._peek(key)
        return default if found is None else found[0]

    def _get_renewed(self, key: Any, default: Any, renew: Any) -> Any:
        operations.check_ttl(renew, "renew")
        try:
            found = self._renew(key, renew, True)
        except CacheUnavailable:
            # Of a server, what is not acknowledged is told; else it is read all the same.
            if self._given["remote"] is not None:
                raise
            found = self._peek(key)
        self._count(key, found is not None)
        return default if found is None else found[0]

    def add(self, key: Any, value: Any, *, ttl: Any = ..., tags: Any = ()) -> bool:
        """Store a value if the key has none; of many callers at a time one does. Whether this did.

        Raises ValueError for a ttl that is not positive, CacheUnavailable where there is no
        telling.
        """
        return operations.add(self, key, value, ttl, tags)

    def setdefault(self, key: Any, default: Any = None, /) -> Any:
        """The value of a key; where it has none, default is stored and returned."""
        while True:
            # Not by [], which asks __missing__.
            found = CacheMapping.get(self, key, _NOTHING)
            if found is not _NOTHING:
                return found
            if operations.put_if_absent(self, key, default, ..., ...):
                return default
            # Raises where a server has what cannot be read.
            seen = self._see(key)
            if seen is not None:
                return seen[0]

    def get_or_set(self, key: Any, f: Callable[[], Any], *, ttl: Any = ..., tags: Any = ()) -> Any:
        """The value of a key; where it has none, what ``f()`` gives, which is stored.

        ``f`` runs once for all threads (in the shared tier, all processes) that ask meanwhile. Of a
        coroutine function the result is to be awaited, also at a hit; it runs once for a loop (in
        the shared tier, once for the host). What a ``set`` or ``add`` has stored meanwhile stays.

        Raises what ``f`` raises; TypeError where a plain ``f`` gives an awaitable.
        """
        return operations.get_or_set(self, key, f, ttl, tags)

    def compute(self, key: Any, f: Callable[[Any], Any], *, ttl: Any = ...) -> Any:
        """Store ``f(old)``, or ``f(None)`` where there is no entry; the new value.

        ``f`` runs outside of every lock. What it gives is stored if the entry is still the one that
        it was given; else it runs again, with the new one. ``DELETE`` deletes the entry (the result
        is None). The entry keeps its lifetime, unless ``ttl`` is given.

        Raises what ``f`` raises; CacheUnavailable where there is no telling.
        """
        return operations.compute(self, key, f, ttl)

    def replace(self, key: Any, old: Any, new: Any, *, ttl: Any = ...) -> bool:
        """Store new if the key's value equals old; whether it did. It keeps its lifetime."""
        return operations.replace(self, key, old, new, ttl)

    def discard(self, key: Any, old: Any) -> bool:
        """Delete the entry if its value equals old; whether it did."""
        return operations.discard(self, key, old)

    def pop(self, key: Any, /, default: Any = _NOTHING) -> Any:
        """Take an entry out: its value. Without one, default, else KeyError."""
        found = self._take(key, ...)
        if found is not None:
            return found[0]
        if default is _NOTHING:
            raise KeyError(key)
        return default

    def delete(self, key: Any) -> bool:
        """Drop a key's entry; whether there was one.

        No ``get_or_set`` that begins after the return gets what was computed before it.
        """
        return self._delete(key)

    def popitem(self) -> tuple[Any, Any]:
        """Take out the entry that the strategy would evict next. KeyError if there is none."""
        found = self._pop()
        if found is None:
            raise KeyError("popitem(): the cache is empty") from None
        return found

    def incr(self, key: Any, delta: int = 1, *, default: Any = ..., ttl: Any = ...) -> int:
        """Add delta to an int; the sum.

        Without an entry, ``default + delta`` is stored, for ``ttl``; without a default, KeyError.
        An entry that is there keeps its lifetime. TypeError for what is no exact int.
        """
        return self._incr(key, delta, default, ttl)

    def touch(self, key: Any, ttl: Any = ...) -> bool:
        """Have an entry's lifetime begin anew; whether there is one. No use, and not counted."""
        operations.check_ttl(ttl)
        return self._renew(key, ttl, False) is not None

    def ttl(self, key: Any) -> float:
        """Seconds until an entry is no longer fresh, ``math.inf`` without limit. KeyError.

        Negative only while it is stale and revalidated.
        """
        left = self._ttl(key)
        # It may have ended since it was found.
        if left < 0 and not self._given["stale_while_revalidate"]:
            raise KeyError(key)
        return left

    def lock(self, key: Any, *, wait: Any = None, lease: Any = None) -> Any:
        """A lock on a key, for ``with`` and ``async with``.

        wait: seconds after which entering it raises TimeoutError; None for no limit. lease: seconds
        after which others may take it; None for as long as its holder lives.
        """
        return _lock_class()(self, key, wait, lease)

    # Several entries, each by itself.

    def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """The values of those keys that have one, as a dict. Remote: in one round trip."""
        if self._given["remote"] is not None:
            keys = list(keys)
            values = self._get_many(keys)
            if values is not None:
                pairs = zip(keys, values, strict=True)
                return {key: value[0] for key, value in pairs if value is not None}
        found = {}
        for key in keys:
            value = self.get(key, _NOTHING)
            if value is not _NOTHING:
                found[key] = value
        return found

    def set_many(self, entries: Any, *, ttl: Any = ..., tags: Any = ()) -> list[Any]:
        """Store the entries of a mapping (or pairs); the keys that were not stored.

        All are encoded before any is stored: what the tier cannot store raises as in ``set``, and
        nothing is. Remote: in two round trips.
        """
        return operations.set_many(self, entries, ttl, tags)

    def delete_many(self, keys: Iterable[Any]) -> int:
        """Drop the entries of these keys; how many there were. Remote: in two round trips."""
        if self._given["remote"] is not None:
            keys = list(keys)
            count = self._delete_many(keys)
            if count is not None:
                return count
        return sum(map(self.delete, keys))

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Store the entries of a mapping, of pairs, and of keywords."""
        if isinstance(other, Mapping) or not hasattr(other, "keys"):
            pairs = other.items() if isinstance(other, Mapping) else other
            for key, value in pairs:
                self[key] = value
        else:
            for key in other.keys():  # noqa: SIM118 - as dict does
                self[key] = other[key]
        for key, value in more.items():
            self[key] = value

    # All entries.

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys())

    def __reversed__(self) -> Iterator[Any]:
        return iter(self._keys()[::-1])

    def keys(self, prefix: Any = None) -> Any:
        """The keys, as they are when they are iterated over; those that begin with prefix."""
        return Keys(self) if prefix is None else PrefixKeys(self, prefix)

    def values(self) -> Any:
        """The values of the keys as they are when they are iterated over."""
        return Values(self)

    def items(self) -> Any:
        """Keys and values, as they are when they are iterated over."""
        return Items(self)

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    def __or__(self, other: object) -> Any:
        """A dict of the entries, and of another mapping's, as ``os.environ`` gives one."""
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**dict(self.items()), **dict(other.items())}

    def __ror__(self, other: object) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**dict(other.items()), **dict(self.items())}

    # Pairs, too, as dict's own.
    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self.update(other)
        return self

    def __repr__(self) -> str:
        return opening.shown(self)

    def purge(self) -> int:
        """Drop what has ended; how many entries that were. O(n)."""
        return self._purge()

    def clear(self, prefix: Any = _NOTHING) -> int:
        """Drop all entries, or those whose keys begin with prefix; how many. O(n).

        Remote: how many were near; ValueError for a prefix, as nobody knows all keys.
        """
        if prefix is None:
            raise TypeError(
                "prefix must be what keys begin with, got None: call clear() to drop all"
            )
        if prefix is not _NOTHING:
            if self._has_server():
                raise ValueError(
                    f"prefix cannot be given with remote, got {prefix!r}: nobody knows all keys "
                    "that a server has; give entries tags and drop them by invalidate_tags()"
                )
            chosen = self.keys(prefix)
            # What is being computed has no key yet that could be looked at.
            self._fence()
            return self.delete_many(list(chosen))
        count = operations.count_all(self)
        self._loader.cache_clear()
        return count

    def invalidate_tags(self, *tags: str) -> None:
        """Drop the entries that have any of these tags."""
        self._loader.cache_invalidate_tags(*tags)

    def info(self) -> Any:
        """What was counted, as ``cache_info()`` of a decorated function gives it."""
        return self._loader.cache_info()

    def options(self) -> dict[str, Any]:
        """Everything the cache was made with, and ``path``, the file of a shared one."""
        return opening.options(self)

    def close(self) -> None:
        """Let go what this process holds of a shared cache. Entries stay; it may be used again."""
        opening.close(self)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_before_fork(self) -> None:
        loader: Any = self._loader
        loader._open_before_fork()

    def memoize(self, function: Any = None, /, **options: Any) -> Any:
        """A decorator that keeps a function's results in this cache.

        key, ignore, ttl, tags, typed, cache_if: as for ``warp_cache.cache``. The function has the
        methods of a cached one; ``cache_clear()`` drops its own entries. These count for size,
        ``clear`` and ``info`` of the cache, and are none of its keys.
        """
        decorate = _memoizer()(self, options)
        return decorate if function is None else decorate(function)

    def copy(self) -> Any:
        """A cache of its own with the same entries (memory), or another handle (shared, remote)."""
        return opening.copied(self)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return opening.deeply_copied(self, memo)

    def __reduce__(self) -> Any:
        return opening.reduced(self)
