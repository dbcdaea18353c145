"""How a cache object is made: its options checked, its loader built; and made once more."""

from __future__ import annotations

import os
from _weakref import ref

from warp_cache._decorators import _ABSENT as ABSENT
from warp_cache._decorators import _named_strategy, alive, chosen
from warp_cache._object import loading, operations
from warp_cache._strategies import Backend, Strategy
from warp_cache._warp_cache_rs import CacheMapping, Options, ServerAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ABSENT",
    "LRU",
    "checked",
    "close",
    "copied",
    "deeply_copied",
    "open_object",
    "options",
    "reduced",
    "refuse_open",
    "restore",
    "shown",
]

LRU = Strategy.LRU

# What is left to the extension module where it has this value, which stands for nothing given.
_DEFAULTS: dict[str, Any] = {
    "tti": None,
    "jitter": 0.0,
    "stale_while_revalidate": 0,
    "stale_if_error": 0,
    "max_weight": None,
    "weigher": None,
    "on_removal": None,
    "copy": None,
    "version": None,
    "namespace": None,
    "remote": None,
}


# What the loader's options do not have.
_OBJECTS_OWN = frozenset(("backend", "directory", "name"))


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``Cache``, checked as far as they concern each other."""
    backend = chosen(given["backend"], given["name"], for_objects=True)
    shared = backend.number == Backend.SHARED
    if shared and given["name"] is None:
        raise ValueError(
            "name must be given with backend='shared', got None: it is what the other processes "
            "find the cache by"
        )
    remote = given["remote"] is not None
    if remote and given["name"] is None:
        raise ValueError(
            "name must be given with remote, got None: it is what other processes and hosts find "
            "the cache by"
        )
    if callable(given["ttl"]):
        raise TypeError(
            f"ttl must be seconds, a timedelta or None, got {given['ttl']!r}: give set() and the "
            "others a ttl for each entry"
        )
    checked = dict(given)
    if checked["directory"] is not None:
        checked["directory"] = _directory(checked["directory"], shared)
    if isinstance(checked["remote"], str):
        # What was given may hold a password, and is not kept.
        checked["remote"] = ServerAddress(checked["remote"])
    if isinstance(checked["strategy"], str):
        checked["strategy"] = _named_strategy(checked["strategy"])
    size_is_given = checked["max_size"] is not ABSENT
    if not size_is_given:
        checked["max_size"] = 128
    named = {
        name: value
        for name, value in checked.items()
        if name not in _OBJECTS_OWN and not (name in _DEFAULTS and value is _DEFAULTS[name])
    }
    from warp_cache._control import check

    for name, default in _DEFAULTS.items():
        if default is not None and checked[name] is None:
            raise TypeError(f"{name} must be like its default {default!r}, got None")
    check(named, backend, size_is_given=size_is_given)
    checked["max_size"] = named["max_size"]
    checked["backend"] = backend.name
    return checked


def _directory(given: Any, shared: bool) -> str:
    """A directory as an absolute path, which stays the same where the process goes elsewhere."""
    right = "directory must be the path of a folder for this shared cache alone"
    try:
        path = os.path.abspath(os.fsdecode(given))
    except TypeError:
        raise TypeError(f"{right}, got {given!r}") from None
    if not os.fsdecode(given) or "\0" in path:
        raise ValueError(f"{right}, got {given!r}")
    if not shared:
        raise ValueError(f"{right}, got {given!r} with backend='memory', which has no file")
    return path


def refuse_open(cache: Any) -> None:
    """Refuse to open an object once more: what uses it goes on with what it is."""
    try:
        cache._loader  # noqa: B018
    except RuntimeError:
        return
    raise RuntimeError(
        f"__init__ of this {type(cache).__name__} was called already: make another object"
    )


def open_object(cache: Any, given: dict[str, Any]) -> None:
    """Build the loader, and make the object one over it."""
    shared = given["backend"] == "shared"
    options = {
        name: value
        for name, value in given.items()
        if name not in _OBJECTS_OWN and not (name in _DEFAULTS and value is _DEFAULTS[name])
    }
    made = Options(
        by_signature=True,
        single_flight=True,
        typed=False,
        max_key_size=None,
        max_value_size=None,
        **options,
    )
    name = given["name"]
    kind = type(cache)
    is_alone = not shared and given["remote"] is None
    loader = loading.make(
        made, None if is_alone else name, _title(kind, name), shared, given["directory"]
    )
    cache._is_of_memory = is_alone
    cache._open(loader, hasattr(kind, "__missing__"))
    _known(cache)


class _Reference(ref):  # type: ignore[type-arg]
    """A weak reference to an object that has no hash: it is equal to itself alone."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _known(cache: Any) -> None:
    alive[_Reference(cache, alive.pop)] = None


def _title(kind: type, name: str | None) -> str:
    return kind.__name__ if name is None else f"{kind.__name__}({name!r})"


def shown(cache: Any) -> str:
    """The repr: name, backend and sizes, never keys or values."""
    try:
        given, count = cache._given, len(cache)
    except (AttributeError, RuntimeError):
        # As debuggers may see it: a subclass has not called super().__init__() yet.
        return f"<{type(cache).__name__}, not made yet>"
    name = "" if given["name"] is None else f"name={given['name']!r}, "
    remote = "" if given["remote"] is None else "remote=True, "
    kind = type(cache).__name__
    return (
        f"<{kind} {name}backend={given['backend']!r}, {remote}max_size={given['max_size']!r}, "
        f"{count} entr{'y' if count == 1 else 'ies'}>"
    )


def options(cache: Any) -> dict[str, Any]:
    path, private = cache._loader._place()
    made_with = dict(cache._given)
    made_with["strategy"] = Strategy(made_with["strategy"])
    # An address may hold a password.
    if made_with["remote"] is not None:
        made_with["remote"] = True
    return {**made_with, "path": path, "private": private}


def close(cache: Any) -> None:
    """Nothing is held that others wait for: the file is unmapped with the last reference."""


def _bare(kind: Any) -> Any:
    return kind.__new__(kind)


def _again(kind: Any, given: dict[str, Any], entries: list[Any], attributes: Any) -> Any:
    """An object made once more."""
    cache = _bare(kind)
    restore(cache, (given, entries, attributes))
    return cache


def restore(cache: Any, state: tuple[dict[str, Any], list[Any], dict[str, Any] | None]) -> None:
    """Make an object that is new and bare what another was."""
    given, entries, attributes = state
    cache._given, cache._locks = given, {}
    open_object(cache, given)
    # As they came in, and not by what a subclass makes of it: they are the entries as they were.
    newest_first = given["strategy"] == Strategy.MRU
    for key, value, seconds, tags in reversed(entries) if newest_first else entries:
        ttl = None if seconds is None else max(seconds, 1.0)
        if CacheMapping.set(cache, key, value, ttl=ttl, tags=tags) and seconds is not None:
            cache._set_left(key, seconds)
    if attributes:
        cache.__dict__.update(attributes)


def _own_entries(cache: Any) -> list[Any]:
    """The entries that are nowhere but in this object."""
    if operations.is_in_file(cache) or cache._has_server():
        return []
    entries: list[Any] = cache._entries(True)
    return entries


def _state(cache: Any) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    return cache._given, _own_entries(cache), dict(getattr(cache, "__dict__", ()))


def copied(cache: Any) -> Any:
    return _again(type(cache), *_state(cache))


def deeply_copied(cache: Any, memo: dict[int, Any]) -> Any:
    from copy import deepcopy

    _refuse_address(cache)
    # What it has may refer to it, and finds the copy in the memo.
    copy = memo[id(cache)] = _bare(type(cache))
    restore(copy, deepcopy(_state(cache), memo))
    return copy


def _refuse_address(cache: Any) -> None:
    if not isinstance(cache._given["remote"], (bool, type(None))):
        raise TypeError(
            "a cache with the address of a server is not pickled, as that may hold a password: "
            "give remote=True and name the server by warp_cache.configure(remote=...) or "
            "WARP_CACHE_REMOTE"
        )


def reduced(cache: Any) -> Any:
    _refuse_address(cache)
    # All comes as the state, when the object is there: it may refer to it.
    return _bare, (type(cache),), _state(cache), None, None, restore
