"""Why two files of one cache's name are two: what ``doctor`` says of who does not share."""

from __future__ import annotations

from warp_cache._cli import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from warp_cache._cli.files import CacheFile

# Longer names may be shortened ones (crates/shared/src/file/directory.rs).
_LONG = 150

__all__ = ["how_they_differ", "most_like"]


def most_like(cache: CacheFile, others: list[CacheFile]) -> CacheFile:
    """Of several files of one name the one that differs in as little as can be from another."""
    return max(
        others,
        key=lambda other: (
            other.directory == cache.directory,
            other.code == cache.code,
            other.scope == cache.scope,
        ),
    )


def how_they_differ(one: CacheFile, other: CacheFile) -> tuple[str, str]:
    """Why two files of one name are two, and what helps."""
    if one.directory != other.directory:
        return (
            f"they lie in different directories, {one.directory} and {other.directory}",
            "give all workers the same WARP_CACHE_DIR (or TMPDIR)",
        )
    if one.code != other.code:
        pythons = [_pythons(cache) for cache in (one, other)]
        if pythons[0] and pythons[1] and not pythons[0] & pythons[1]:
            named = [", ".join(sorted(found)) for found in pythons]
            return (
                f"they run different Pythons, {named[0]} and {named[1]}",
                "run all workers with one Python, or name the cache (name=)",
            )
        return (
            "the function's code differs, or its defaults, what it closes over, or the file and "
            "line that it stands in: one runs edited or older code, or a copy in another place",
            "restart all workers with the same code from the same place, or name the cache "
            "(name=); prune removes what is left of the older",
        )
    if one.scope != other.scope:
        return (
            f"their namespace or version differs ({_scopes(one)} and {_scopes(other)})"
            + _spelled(one),
            "give all workers the same namespace (WARP_CACHE_NAMESPACE) and version=",
        )
    differing = [
        f"{name} is {_shown(one.found.get(name))} and {_shown(other.found.get(name))}"
        for name in ("max_size", "max_bytes", "strategy", "tti")
        if one.found.get(name) != other.found.get(name)
    ]
    told = ", ".join(differing) or (
        "ttl, typed, key, ignore, max_key_size or max_value_size, or which of the two decorators"
    )
    return f"their parameters differ: {told}", "decorate with the same parameters everywhere"


def _spelled(cache: CacheFile) -> str:
    """What else it may be where a name that a file cannot be called stands in another spelling."""
    if cache.code is None and ("_" in cache.name or len(cache.name) > _LONG):
        return ", or they are given names that are spelled alike only in the names of files"
    return ""


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


def _pythons(cache: CacheFile) -> set[str]:
    known = [processes.process(pid) for pid in cache.processes]
    return {one.executable for one in known if one is not None and one.executable}


def _scopes(cache: CacheFile) -> str:
    if cache.scope is None:
        return "neither given"
    known = [processes.process(pid) for pid in cache.processes]
    names = {one.environment.get("WARP_CACHE_NAMESPACE") for one in known if one} - {None}
    if len(names) == 1:
        return f"WARP_CACHE_NAMESPACE={names.pop()}"
    return f"number {cache.scope}"
