"""What ``doctor`` looks at: the directories, the processes, the caches' files and their counters.

Each check is a function that yields findings; a new one is a line in ``CHECKS``.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from dataclasses import dataclass

from warp_cache import _configuration
from warp_cache._cli import files, listing, output, parting, processes, server, tables
from warp_cache._cli.finding import Finding
from warp_cache._naming.identity import directories
from warp_cache._warp_cache_rs import _try_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from warp_cache._cli.files import CacheFile, Place

__all__ = ["CHECKS", "SKIPS", "Scene"]


@dataclass
class Scene:
    """What all checks look at."""

    directory: str | None
    places: list[Place]
    own: str | None = None
    """The directory of the cache that is looked at, where it has one of its own (directory=)."""

    @property
    def caches(self) -> list[CacheFile]:
        return [cache for place in self.places for cache in place.caches]


# Why results were not stored, and what helps: the reasons of cache_info().skips.
SKIPS = {
    "argument": (
        "had an argument without bytes that every process would know it by",
        "pass what tells it apart (an id, a str, a tuple), or leave it out with ignore= or key=; "
        "the UncacheableWarning of the process names it",
    ),
    "key_size": (
        "had arguments of more bytes than max_key_size",
        "raise it, or pass what tells them apart",
    ),
    "value": (
        "gave a value that cannot be pickled",
        'return what can be, or use backend="memory"',
    ),
    "value_size": ("gave a value of more bytes than max_value_size", "raise it"),
    "file_size": ("gave a value larger than the whole file", "raise max_bytes"),
    "unreadable": (
        "found a value that could not be unpickled",
        "make its class importable in every process",
    ),
    "space": (
        "found no space for the file, or no addresses to map it at",
        "free some, raise the limit (ulimit -f, ulimit -v, a quota), or set WARP_CACHE_DIR",
    ),
    "locks": (
        "found no byte-range locks",
        "set WARP_CACHE_DIR to a directory on a local file system",
    ),
    "processes": (
        "ran in a process beyond the 255 that can write to one file",
        "run fewer, or give some a cache of another name",
    ),
    "lost": (
        "found the file cut short, removed or replaced, or its descriptor closed",
        "see that nothing else writes in the directory",
    ),
    "busy": (
        "found a writer that kept the lock too long",
        "look for a stopped process (state T) among those that have it open",
    ),
    "damaged": ("found the file damaged, which has been repaired since", None),
    "superseded": ("came after another value or an invalidation", None),
}
# So many findings of one kind are told one by one.
_FEW = 5
# These pass by themselves, or are as they must be.
_PASSING = ("busy", "damaged", "superseded")


def _enabled(_: Scene) -> Iterator[Finding]:
    if server.is_switched_off():
        given = os.environ.get("WARP_CACHE_DISABLED", "")
        yield Finding(
            "problem",
            "caching",
            f"WARP_CACHE_DISABLED={given} is set: every call computes and stores nothing",
            "unset it",
        )
    namespace = _configuration.namespace()
    if namespace is not None:
        yield Finding(
            "note",
            "namespace",
            f"this environment's namespace is {namespace!r}: processes of another do not share",
        )


def _directories(scene: Scene) -> Iterator[Finding]:
    """The place that a cache would lie in: rights, space, locks."""
    given, is_asked_for = directories()
    if scene.directory is not None:
        given, is_asked_for = [os.path.abspath(scene.directory)], True
    elif is_asked_for and not os.path.isabs(named := str(_configuration.in_use("directory"))):
        yield Finding(
            "note",
            "directory",
            f"{named} is relative: a process that runs in another folder has another directory, "
            "and does not share",
            "give WARP_CACHE_DIR as an absolute path",
        )
    yield from _tried_out(given, is_asked_for)
    if scene.own is not None and scene.own not in given:
        yield from _tried_out([scene.own], True)


def _tried_out(given: list[str], is_asked_for: bool) -> Iterator[Finding]:
    """Whether a cache could lie in one of these."""
    usable = False
    refused: list[Finding] = []
    for directory in given:
        if not os.path.lexists(directory):
            finding = _missing(directory, is_asked_for)
            usable = usable or finding.level != "problem"
        else:
            try:
                free = _try_out(directory)
            except OSError as error:
                refused.append(_unusable(directory, error))
                continue
            usable = True
            finding = Finding(
                "ok",
                "directory",
                f"{directory} can be used: files can be made, mapped and locked there, and "
                f"{tables.size(free)} are free",
            )
        # Of the default places the first is taken that will do.
        if is_asked_for or os.path.lexists(directory):
            yield finding
        if usable and not is_asked_for:
            break
    for finding in refused:
        level = "note" if usable else "problem"
        yield Finding(level, finding.about, finding.text, finding.remedy)
    if not usable and not refused and not is_asked_for:
        yield Finding(
            "problem",
            "directory",
            f"none of the default places is there: {', '.join(given)}",
            "set WARP_CACHE_DIR to a directory on a local file system",
        )


def _missing(directory: str, is_asked_for: bool) -> Finding:
    parent = os.path.dirname(directory)
    while is_asked_for and not os.path.lexists(parent) and parent != os.path.dirname(parent):
        parent = os.path.dirname(parent)
    if os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK):
        # Rights alone do not tell whether it can be made, nor what is to be had in it.
        try:
            made = tempfile.mkdtemp(prefix=".warp_cache-trial-", dir=parent)
        except OSError as error:
            return _unusable(directory, error)
        try:
            _try_out(made)
        except OSError as error:
            return _unusable(directory, error, made)
        finally:
            os.rmdir(made)
        text = f"{directory} is not there yet; the first shared cache makes it"
        return Finding("note" if is_asked_for else "ok", "directory", text)
    return Finding(
        "problem",
        "directory",
        f"{directory} is not there and cannot be made, as user "
        f"{listing.owner(_user())} may not write in {parent}",
        "set WARP_CACHE_DIR to a directory that can be",
    )


def _user() -> int:
    return os.geteuid() if sys.platform != "win32" else 0


def _unusable(directory: str, error: OSError, tried: str | None = None) -> Finding:
    """tried: the directory that the error is about, if it stood for this one."""
    text = error.strerror or str(error)
    if tried is not None:
        text = text.replace(tried, directory)
    about = "directory"
    if isinstance(error, PermissionError):
        about = "rights"
    elif "lock a byte" in text:
        about, text = "locks", f"the file system has no byte-range locks: {text}"
    elif "no space" in text:
        about = "space"
    # What helps stands at the end of the text.
    return Finding("problem", about, f"{directory} cannot be used: {text}")


def _users(_: Scene) -> Iterator[Finding]:
    """Other users' directories beside this one's."""
    if _configuration.directory() is not None:
        return
    seen: dict[int, str] = {}
    for directory in directories()[0]:
        parent = os.path.dirname(directory)
        try:
            names = sorted(os.listdir(parent))
        except OSError:
            continue
        for name in names:
            path = os.path.join(parent, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            is_place = name.startswith("warp_cache-") and stat.S_ISDIR(status.st_mode)
            if is_place and status.st_uid != _user():
                seen.setdefault(status.st_uid, path)
    for user, path in seen.items():
        yield Finding(
            "note",
            "user",
            f"user {listing.owner(user)} has caches of its own, in {path}; this is user "
            f"{listing.owner(_user())}, and users never share",
            "run all workers as one user",
        )


def _elsewhere(scene: Scene) -> Iterator[Finding]:
    """Processes of this user whose caches lie in another directory."""
    here = {place.directory for place in scene.places}
    apart: dict[str, list[int]] = {}
    also_here: set[int] = set()
    for pid, paths in sorted(processes.of_this_user().items()):
        folders = {os.path.dirname(path) for path in paths}
        if folders & here:
            also_here.add(pid)
        for folder in sorted(folders - here):
            apart.setdefault(folder, []).append(pid)
    others = [folder for folder in apart if _has_a_cache(folder)]
    for folder in others[:_FEW]:
        pids = apart[folder]
        known = processes.process(pids[0])
        told = known.told if known else f"process {pids[0]}"
        more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
        if also_here.issuperset(pids):
            yield Finding(
                "note",
                "directory",
                f"{told}{more} of this user has caches here, and others in a directory that is "
                f"these caches' own (directory=), {folder}: they share with those that ask for it",
                f"doctor --directory {folder} looks there",
            )
            continue
        yield Finding(
            "note",
            "directory",
            f"{told}{more} of this user has caches in another directory, {folder}: it shares "
            "nothing with what runs in this environment",
            "give all workers the same WARP_CACHE_DIR (or TMPDIR, which the default follows), "
            "unless its caches ask for a directory of their own (directory=)",
        )
    if len(others) > _FEW:
        rest = len(others) - _FEW
        more = "1 more directory" if rest == 1 else f"{rest} more directories"
        yield Finding("note", "directory", f"processes of this user use {more}")


def _has_a_cache(folder: str) -> bool:
    try:
        return any(cache.is_sound for cache in files.all_caches(folder))
    except output.UserError:
        return False


def _unusable_files(scene: Scene) -> Iterator[Finding]:
    """What is in the directories and is no cache of this version, or may not be used."""
    for cache in scene.caches:
        path, state = cache.path, cache.found["state"]
        if state == "refused":
            yield Finding("problem", "rights", output.printable(cache.found["why"]))
        elif state == "format":
            yield Finding(
                "note",
                "format",
                f"{path} is of format {cache.found['version']}: another version of warp_cache "
                "made it, and does not share with this one",
                "upgrade all workers together; prune removes it once nobody has it open",
            )
        elif state in ("boot", "damaged"):
            what = "of an earlier start of the machine" if state == "boot" else "damaged"
            yield Finding("note", "file", f"{path} is {what}; its next user makes it anew")
        elif state == "no cache":
            yield Finding("note", "file", f"{path} is no cache's file; its next user replaces it")


def _parted(scene: Scene) -> Iterator[Finding]:
    """Caches of one name that processes have open side by side."""
    by_name: dict[str, list[CacheFile]] = {}
    for cache in scene.caches:
        if cache.is_sound and cache.processes:
            by_name.setdefault(cache.name, []).append(cache)
    for name, caches in by_name.items():
        for at, other in enumerate(caches[1:], 1):
            # With one that differs in as little as can be: what is said is all that parts them.
            one = parting.most_like(other, caches[:at])
            why, remedy = parting.how_they_differ(one, other)
            yield Finding(
                "problem",
                "sharing",
                f"processes {_pids(one)} and {_pids(other)} each have a cache of "
                f"{output.printable(name)}, and do not share: {why}",
                remedy,
            )


def _pids(cache: CacheFile) -> str:
    pids = [str(pid) for pid in cache.processes]
    return ", ".join(pids[:5]) + (", ..." if len(pids) > 5 else "") or "(none)"


def _not_stored(scene: Scene) -> Iterator[Finding]:
    """What the files have counted of calls that were not stored, and of deaths."""
    for cache in scene.caches:
        info = listing.counted(cache)
        if info is None:
            continue
        name = output.printable(cache.name)
        for reason, number in info["skips"].items():
            what, remedy = SKIPS.get(reason, (f"were not stored: {reason}", None))
            calls = "call" if number == 1 else "calls"
            yield Finding(
                "note" if reason in _PASSING else "problem",
                "not stored",
                f"{name}: {tables.count(number)} {calls} {what}",
                remedy,
            )
        if info["repairs"]:
            times = "once" if info["repairs"] == 1 else f"{tables.count(info['repairs'])} times"
            yield Finding(
                "note",
                "repairs",
                f"{name} was put in order {times}: a process was killed in it, or something "
                "damaged it",
            )


def _server(_: Scene) -> Iterator[Finding]:
    yield from server.configured()


CHECKS = (
    _enabled,
    _directories,
    _users,
    _elsewhere,
    _unusable_files,
    _parted,
    _not_stored,
    _server,
)
