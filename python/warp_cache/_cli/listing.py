"""``python -m warp_cache ls`` and ``info``: which shared caches there are, and all about one."""

from __future__ import annotations

import json
import sys
from typing import Any

from warp_cache._cli import files, output, tables
from warp_cache._strategies import Strategy

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from warp_cache._cli.files import CacheFile, Place

__all__ = ["add_to", "counted", "owner", "rows"]

HEADER = ["NAME", "ENTRIES", "BYTES", "HITS", "PROCS", "AGE", "STATE"]


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add both commands and their options."""
    parser = commands.add_parser(
        "ls",
        help="the shared caches of this user",
        description="List the shared caches that lie where this environment's do: entries, bytes, "
        "calls that were hits, processes that have the file open, age, state.",
    )
    files.add_directory(parser)
    tables.add_shape(parser)
    parser.set_defaults(run=_list)

    parser = commands.add_parser(
        "info", help="all about one shared cache", description="Show all that a cache's file says."
    )
    parser.add_argument("name", metavar="NAME", help="the cache's name, as ls shows it, or a path")
    files.add_directory(parser)
    tables.add_shape(parser)
    parser.set_defaults(run=_inform)


def counted(cache: CacheFile) -> dict[str, Any] | None:
    """What a cache's file has counted; None of one that cannot be looked into."""
    if not cache.is_sound:
        return None
    try:
        info = files.attach(cache).info()
    except output.UserError:
        # It has gone meanwhile, or there is no address left to map it at.
        return None
    info["strategy"] = None if info["strategy"] is None else Strategy(info["strategy"]).name
    return info


def rows(caches: list[CacheFile]) -> list[list[str]]:
    """A line of the table for each."""
    lines = []
    for cache in caches:
        info = counted(cache)
        is_only = sum(other.name == cache.name for other in caches) == 1
        name = output.printable(cache.name if is_only else cache.full)
        size = tables.size(cache.found["allocated"])
        age = tables.age(cache.found.get("age"))
        if info is None:
            lines.append([name, "", size, "", str(len(cache.processes)), age, cache.state])
            continue
        entries = tables.count(info["entries"])
        ratio = tables.ratio(info["hits"], info["misses"])
        procs = str(len(cache.processes))
        lines.append([name, entries, size, ratio, procs, age, cache.state])
    return lines


def _list(options: argparse.Namespace) -> None:
    output.prepare()
    places = files.places(options.directory)
    caches = [cache for place in places for cache in place.caches]
    if options.json:
        listed = [{**cache.described(), "counted": counted(cache)} for cache in caches]
        there = [_described(place) for place in places]
        print(json.dumps({"directories": there, "caches": listed}, indent=2))
    elif caches:
        tables.show(options, HEADER, rows(caches))
    elif readable := [place.directory for place in places if place.why is None]:
        print(f"There are no shared caches in {output.printable(', '.join(readable))}.")
    for place in places:
        if place.why is not None:
            output.complain(place.why)
        for name in place.unreadable:
            output.complain(f"{place.directory}/{name}: its name is no text, so it is no cache's")
    for cache in caches:
        if why := cache.found.get("why"):
            output.complain(why)
    if len(places) == 1 and places[0].why is not None:
        raise output.UserError("the directory cannot be used")


def _described(place: Place) -> dict[str, Any]:
    return {
        "directory": place.directory,
        "exists": place.is_there,
        "why": place.why,
        "caches": len(place.caches),
        "unreadable": [output.printable(name) for name in place.unreadable],
    }


def owner(number: int) -> str:
    """A user's name and number."""
    if sys.platform != "win32":
        import pwd

        try:
            return f"{pwd.getpwuid(number).pw_name} ({number})"
        except KeyError:
            pass
    return str(number)


def _inform(options: argparse.Namespace) -> None:
    output.prepare()
    cache = files.choose(options.name, options.directory)
    if not cache.is_sound:
        if why := cache.found.get("why"):
            raise output.UserError(why)
        files.attach(cache)
    info = counted(cache)
    if info is None:
        # The reason, in words.
        files.attach(cache)
        raise output.UserError(f"{cache.path} cannot be looked into")
    if options.json:
        print(json.dumps({**cache.described(), "counted": info}, indent=2))
        return
    lines = [
        [what, output.printable(text)] for what, text in _lines(cache, info) if text is not None
    ]
    tables.show_facts(options, output.printable(cache.name), lines)


def _lines(cache: CacheFile, info: dict[str, Any]) -> list[tuple[str, str | None]]:
    at_most = "no limit but bytes" if info["max_size"] is None else tables.count(info["max_size"])
    pids = ", ".join(str(pid) if pid else "?" for pid in cache.processes[:8])
    more = ", ..." if len(cache.processes) > 8 else ""
    loads = info["loads"]
    lines: list[tuple[str, str | None]] = [
        ("full name", cache.full),
        ("file", cache.path),
        ("owner", owner(cache.found["owner"])),
        ("state", cache.state),
        ("processes", f"{len(cache.processes)}" + (f" ({pids}{more})" if pids else "")),
        ("age", tables.age(info["age"])),
        ("last written to", f"{tables.age(cache.unwritten)} ago, or since"),
        ("strategy", info["strategy"]),
        ("entries", f"{tables.count(info['entries'])} of {at_most}"),
        ("bytes of entries", tables.size(info["bytes_used"])),
        (
            "bytes of the file",
            f"{tables.size(cache.found['allocated'])} of {tables.size(info['max_bytes'])}",
        ),
        ("time to idle", None if info["tti"] is None else tables.age(info["tti"])),
        ("hits", tables.count(info["hits"])),
        ("misses", tables.count(info["misses"])),
        ("hit ratio", tables.ratio(info["hits"], info["misses"]) or None),
        ("evictions", tables.count(info["evictions"])),
        ("expirations", tables.count(info["expirations"])),
        ("computations", tables.count(loads)),
        (
            "seconds for one",
            f"{info['load_seconds'] / loads:.3g}" if loads else None,
        ),
    ]
    for what, name in (
        ("failed", "load_failures"),
        ("stale hits", "stale_hits"),
        ("refreshes", "refreshes"),
        ("repairs", "repairs"),
    ):
        lines.append((what, tables.count(info[name]) if info[name] else None))
    for reason, number in info["skips"].items():
        lines.append((f"not stored: {reason}", tables.count(number)))
    return lines
