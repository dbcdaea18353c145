"""The shared caches that lie in this user's directories: their files, names, and what those say.

A cache is told by the name of its file, which ``_naming.identity`` and
``crates/python/src/backend/shared/reopen.rs`` make: what is to be read of it, what stands for the
function's code, what for namespace and version, what for its parameters. No application is
imported.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field

from warp_cache._cli.output import UserError
from warp_cache._naming.identity import directories
from warp_cache._warp_cache_rs import SharedFile, _readable_name, _safe_name, _survey

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__ = [
    "CacheFile",
    "Place",
    "add_directory",
    "all_caches",
    "attach",
    "choose",
    "place",
    "places",
    "with_file",
]

# What a cache's file is called after its name.
_SUFFIX = ".cache"
_NAME = re.compile(
    r"(?P<head>.+?)(?:-(?P<code>[0-9a-f]{32}))?(?:-(?P<scope>[0-9a-f]{16}))?"
    r"(?:-(?P<parameters>[0-9a-f]{8}))?",
    re.DOTALL,
)
# Of a file that lost its name meanwhile, so often another one is looked for.
_TRIES = 4


@dataclass
class CacheFile:
    """One file, as it was found."""

    directory: str
    file: str
    found: dict[str, Any]
    """What ``_survey`` said."""
    is_superseded: bool = False
    """A newer file of the same function is in use, and this one is not."""
    name: str = ""
    """The part of the file's name that is there to be read."""
    code: str | None = None
    scope: str | None = None
    parameters: str | None = None

    def __post_init__(self) -> None:
        match = _NAME.fullmatch(self.full)
        assert match is not None
        self.name, self.code, self.scope, self.parameters = match.groups()
        # Eight digits may be a part of a name that somebody has given.
        is_known = self.parameters is None or not self.is_sound
        if not is_known and self.found["fingerprint"] != self.parameters:
            self.name, self.parameters = f"{self.name}-{self.parameters}", None

    @property
    def full(self) -> str:
        """The whole name, which no other cache of the directory has."""
        return self.file[: -len(_SUFFIX)]

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.file)

    @property
    def is_sound(self) -> bool:
        return bool(self.found["state"] == "sound")

    @property
    def processes(self) -> list[int]:
        """The pids of the processes that have it open; 0 for one that does not say."""
        mine = os.getpid()
        return [pid for pid in self.found["processes"] if pid != mine]

    @property
    def unwritten(self) -> float:
        """Seconds since a process last began to write to it, at least."""
        return max(0.0, time.time() - float(self.found["written"]))

    @property
    def state(self) -> str:
        """In two words."""
        found = self.found
        if not self.is_sound:
            named = {"format": f"format {found.get('version')}", "boot": "earlier boot"}
            return named.get(found["state"], str(found["state"]))
        if self.processes:
            return "in use"
        return "older code" if self.is_superseded else "idle"

    def described(self) -> dict[str, Any]:
        """What is known without looking into it, for JSON."""
        found = self.found
        return {
            "name": self.name,
            "full_name": self.full,
            "path": self.path,
            "state": self.state,
            "why": found.get("why"),
            "owner": found["owner"],
            "processes": self.processes,
            "file_bytes": found["allocated"],
            "age_seconds": found.get("age"),
            "unwritten_seconds": self.unwritten,
            "code": self.code,
            "namespace_and_version": self.scope,
        }


@dataclass
class Place:
    """A directory, and its caches; or why it cannot be read."""

    directory: str
    caches: list[CacheFile] = field(default_factory=list)
    is_there: bool = True
    why: str | None = None
    unreadable: list[str] = field(default_factory=list)
    """Files that are called like caches in bytes that are no text, so no cache is in them."""


def add_directory(parser: argparse.ArgumentParser) -> None:
    """The option that says where to look."""
    parser.add_argument(
        "--directory",
        metavar="DIR",
        help="look here alone, and not where this environment's caches lie (WARP_CACHE_DIR)",
    )


def places(given: str | None) -> list[Place]:
    """The directories that caches may lie in, with what is in them. O(files)."""
    if given is not None:
        given = os.path.abspath(given)
        if not os.path.isdir(given):
            raise UserError(f"{given}: there is no such directory")
        return [place(given)]
    return [place(directory) for directory in directories()[0]]


def place(directory: str) -> Place:
    """A directory, given as an absolute path, with what is in it. O(files)."""
    found = Place(directory)
    if not os.path.lexists(directory):
        found.is_there = False
        return found
    try:
        found.caches = [CacheFile(directory, one["file"], one) for one in _survey(directory)]
        found.unreadable = [name for name in os.listdir(directory) if _is_no_text(name)]
    except OSError as error:
        found.why = _reason(error)
        return found
    except ValueError as error:
        raise UserError(str(error)) from None
    for cache in found.caches:
        cache.is_superseded = _is_superseded(cache, found.caches)
    return found


def _is_no_text(name: str) -> bool:
    return name.endswith(_SUFFIX) and any("\udc80" <= c <= "\udcff" for c in name)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _is_superseded(cache: CacheFile, all_of_them: Iterable[CacheFile]) -> bool:
    if not cache.is_sound or cache.processes or cache.code is None:
        return False
    return any(
        other.is_sound
        and other.processes
        and (other.name, other.scope) == (cache.name, cache.scope)
        and other.code != cache.code
        and other.found["age"] < cache.found["age"]
        for other in all_of_them
    )


def all_caches(given: str | None) -> list[CacheFile]:
    """The caches of all places. Raises UserError where the one that was asked for is unreadable."""
    found = places(given)
    if len(found) == 1 and found[0].why is not None:
        raise UserError(found[0].why)
    return [cache for one in found for cache in one.caches]


def choose(name: str, given: str | None) -> CacheFile:
    """The one cache that a name, the beginning of a full one, or a path stands for.

    Raises UserError where there is none, or several.
    """
    folder, file = os.path.split(os.path.abspath(name))
    is_path = os.sep in name
    if is_path and os.path.isdir(folder):
        for cache in all_caches(folder):
            if file in (cache.file, cache.full):
                return cache
    caches = all_caches(given)
    # Bytes of the command line that are no text have no other spelling than a cleaned one.
    text = name.encode(errors="replace").decode()
    spelled, safe = _readable_name(text), _safe_name(text)
    for fits in (
        lambda cache: name in (cache.full, cache.file),
        lambda cache: cache.name == name,
        lambda cache: not is_path and cache.full.startswith(name),
        # What a file cannot be called, and what is too long, it has in another spelling and a hash.
        lambda cache: safe not in (name, spelled) and cache.full == safe,
        lambda cache: safe not in (name, spelled) and cache.full.startswith(f"{safe}-"),
        lambda cache: spelled != name and cache.name == spelled,
        lambda cache: spelled != name and cache.full.startswith(f"{spelled}-"),
    ):
        chosen = [cache for cache in caches if fits(cache)]
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            many = {cache.directory for cache in chosen}
            told = ", ".join(
                cache.path if len(many) > 1 else cache.full for cache in chosen[:5]
            ) + (", ..." if len(chosen) > 5 else "")
            raise UserError(f"{len(chosen)} caches are called {name}; say which: {told}")
    if is_path and not os.path.isdir(folder):
        raise UserError(f"{folder}: there is no such directory")
    if is_path:
        given, caches = folder, all_caches(folder)
    where = given or ", ".join(directories()[0])
    there = ", ".join(sorted({cache.name for cache in caches})[:5])
    told = f" There is {there}." if there else " There are no caches there."
    raise UserError(f"no cache is called {name} in {where}.{told}")


def attach(cache: CacheFile) -> SharedFile:
    """Open a cache's file. Raises UserError."""
    try:
        return SharedFile(cache.directory, cache.file)
    except FileNotFoundError:
        raise UserError(f"{cache.path} has gone meanwhile") from None
    except ValueError:
        why = {
            "format": f"is of format {cache.found.get('version')}, which this version of "
            "warp_cache cannot read",
            "boot": "is of an earlier start of the machine",
            "damaged": "is damaged",
            "no cache": "is no cache's file",
        }
        raise UserError(f"{cache.path} {why.get(cache.found['state'], 'is damaged')}") from None
    except OSError as error:
        raise UserError(_reason(error)) from None


def with_file(cache: CacheFile, change: Callable[[SharedFile], _T]) -> _T:
    """Change a cache: the file that its path names before and after the change."""
    for _ in range(_TRIES):
        file = attach(cache)
        try:
            changed = change(file)
        except OSError as error:
            if not file.is_astray():
                raise UserError(f"{cache.path}: {_reason(error)}") from None
            continue
        if not file.is_astray():
            return changed
        if not os.path.lexists(cache.path):
            # Who had it open goes on with a new one, which has nothing of it.
            return changed
    raise UserError(f"{cache.path} is being replaced again and again; try once more")
