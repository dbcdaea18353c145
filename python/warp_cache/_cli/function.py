"""What ``doctor module:function`` looks at: a decorated function, which is imported for it."""

from __future__ import annotations

import importlib
import os
import sys

from warp_cache._cli import listing, processes, server, tables
from warp_cache._cli.finding import Finding
from warp_cache._cli.output import UserError
from warp_cache._cli.parting import how_they_differ
from warp_cache._metrics import looked_at
from warp_cache._naming import identity
from warp_cache._warp_cache_rs import CachedFunction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from warp_cache._cli.diagnosis import Scene
    from warp_cache._cli.files import CacheFile

__all__ = ["examine", "load"]


def load(name: str) -> Any:
    """Import what ``module:function`` names. Raises UserError."""
    module, colon, path = name.partition(":")
    if not module or not colon or not path:
        raise UserError(f"write module:function, as app.views:load, got {name!r}")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        raise UserError(f"cannot import {module}: {type(error).__name__}: {error}") from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise UserError(f"{module} has no {path}: {part} is not there")
        found = getattr(found, part)
    # A method is bound; a class or static method is in what the class keeps.
    found = getattr(found, "__func__", found)
    if not _is_cached(found):
        kind = type(found).__name__
        raise UserError(
            f"{name} is no function with a cache of warp_cache, and no cache, but of type {kind}"
        )
    return found


def _is_cached(found: Any) -> bool:
    """Whether it is a decorated function, a cache object, or what such a one's memoize has made."""
    if issubclass(type(found), CachedFunction):
        return True
    ours = any(base.__module__.partition(".")[0] == "warp_cache" for base in type(found).__mro__)
    pairs = (("options", "info"), ("cache_options", "cache_info"))
    return ours and any(
        all(callable(getattr(found, name, None)) for name in pair) for pair in pairs
    )


def _loader(function: Any) -> Any:
    """The cached function behind one of these, which opens the file."""
    from warp_cache._object.memoizing import Memoized

    cache = function._cache if isinstance(function, Memoized) else function
    return cache if issubclass(type(cache), CachedFunction) else cache._loader


def examine(function: Any, name: str, scene: Scene) -> Iterator[Finding]:
    """Whether other processes share the function's cache, and which do not, why."""
    options, _ = looked_at(function)
    if options.get("remote") is not None:
        # (The options do not show where it is.)
        remote = _loader(function)._recipe()[1].get("remote", True)
        yield server.of_function(remote, options["namespace"], name)
        if options["backend"] != "shared":
            return
    if options["backend"] != "shared":
        yield Finding(
            "note",
            "backend",
            f"{name} has a cache in each process's own memory: workers do not share it",
            'decorate it with backend="shared"',
        )
        return
    if options.get("private"):
        why = _why_private(function, options)
        yield Finding(
            "problem",
            "private",
            f"the cache of {name} is private to each process and its forks, as no name is sound "
            f"in another one: {why}",
            "move the function to the top level of a module, close over nothing that changes, or "
            "give the cache a name (name=)",
        )
        return
    path = options.get("path")
    if path is None:
        why = _loader(function)._failure() or "the findings about directories say why"
        moved = "its directory is its own (directory=): WARP_CACHE_DIR does not change it"
        yield Finding(
            "problem",
            "file",
            f"the cache of {name} cannot be opened: {why}",
            None if scene.own is None else moved,
        )
        return
    yield from _among(path, name, scene)


def _why_private(function: Any, options: dict[str, Any]) -> str:
    if options["name"] is not None:
        return "the function has changed since it was decorated"
    try:
        identity.Identity(function.__wrapped__, options["key"])
    except Exception as error:
        return str(error) or type(error).__name__
    return "the function has changed since it was decorated"


def _among(path: str, name: str, scene: Scene) -> Iterator[Finding]:
    mine = next((cache for cache in scene.caches if cache.path == path), None)
    if mine is None:
        yield Finding("problem", "file", f"the cache of {name}, {path}, has gone meanwhile")
        return
    pids = ", ".join(map(str, mine.processes[:8])) or "none"
    info = listing.counted(mine)
    entries = "" if info is None else f", {tables.entries(info['entries'])}"
    yield Finding(
        "ok", "file", f"{name} has its cache in {path}{entries}; other processes with it: {pids}"
    )
    for other in scene.caches:
        if other is not mine and other.is_sound and other.name == mine.name:
            yield _other(mine, other, name)


def _other(mine: CacheFile, other: CacheFile, name: str) -> Finding:
    why, remedy = how_they_differ(mine, other)
    known = [processes.process(pid) for pid in other.processes]
    elsewhere = sorted({one.executable for one in known if one and one.executable})
    here = os.path.realpath(sys.executable)
    if mine.code != other.code and elsewhere and here not in elsewhere:
        why = f"it is of another Python, {', '.join(elsewhere)}, and this is {here}"
        remedy = "run all workers with one Python, or name the cache (name=)"
    who = f"processes {', '.join(map(str, other.processes))} use" if known else "nobody has open"
    return Finding(
        "problem" if known else "note",
        "sharing",
        f"{who} another cache of {name}, {other.full}: {why}",
        remedy if known else "prune removes it when it is of older code, or unused for long",
    )
