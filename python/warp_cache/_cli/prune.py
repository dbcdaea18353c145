"""``python -m warp_cache prune``: removes files of shared caches that nobody can use any more.

A file that a process has open is never removed, nor one that does not say that it is a cache.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from typing import Any

from warp_cache._cli import files, output, tables
from warp_cache._warp_cache_rs import _leftovers, _remove, _unused_coherence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from warp_cache._cli.files import CacheFile

__all__ = ["add_to"]

# Why what a host knows of a server goes.
_NO_USER = "no process uses its server"
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h|d|w)")


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "prune",
        help="remove the files of caches that nobody can use any more",
        description="Remove the files of caches that are of another format, of an earlier start "
        "of the machine, damaged, or of older code than a process runs, and what processes knew of "
        "a server that none uses any more. A file that a process has open is left.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be removed, and remove nothing"
    )
    parser.add_argument(
        "--older-than",
        type=_span,
        metavar="AGE",
        help="and all that no process has open or begun to write to for so long: 90min, 12h, 7d",
    )
    files.add_directory(parser)
    tables.add_shape(parser)
    parser.set_defaults(run=_run)


def _span(text: str) -> float:
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"a number with s, min, h, d or w, as 90min or 7d, got {text!r}"
        )
    return float(match[1]) * _UNITS[match[2]]


def _why(cache: CacheFile, older_than: float | None) -> str | None:
    """Why a file is to be removed, if it is."""
    if cache.processes or cache.found["state"] in ("refused", "no cache"):
        return None
    if not cache.is_sound or cache.is_superseded:
        return cache.state
    if older_than is not None and cache.unwritten >= older_than:
        return f"unused for {tables.age(cache.unwritten)}"
    return None


def _run(options: argparse.Namespace) -> int:
    output.prepare()
    removed: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for place in files.places(options.directory):
        for cache in place.caches:
            why = _why(cache, options.older_than)
            if why is None:
                continue
            one = {"path": cache.path, "why": why, "bytes": cache.found["allocated"]}
            try:
                # (A process may have opened it meanwhile.)
                if options.dry_run or _remove(cache.directory, cache.file) == "removed":
                    removed.append(one)
            except (OSError, ValueError) as error:
                failed.append({"path": cache.path, "why": str(error)})
        if place.is_there and place.why is None:
            for look, reason in ((_leftovers, "never finished"), (_unused_coherence, _NO_USER)):
                try:
                    found = look(place.directory, not options.dry_run)
                except OSError as error:
                    failed.append({"path": place.directory, "why": str(error)})
                    continue
                for file, size, why_kept in found:
                    path = os.path.join(place.directory, file)
                    if why_kept is None:
                        removed.append({"path": path, "why": reason, "bytes": size})
                    else:
                        failed.append({"path": path, "why": why_kept})
        elif place.why is not None and (options.directory or place.is_there):
            failed.append({"path": place.directory, "why": place.why})
    if options.json:
        report = {"dry_run": options.dry_run, "removed": removed, "failed": failed}
        print(json.dumps(report, indent=2))
    else:
        if removed or not failed:
            _tell(options, removed)
        for one in failed:
            output.complain(one["why"])
    return 2 if failed else 0


def _tell(options: argparse.Namespace, removed: list[dict[str, Any]]) -> None:
    if not removed:
        print("There is nothing to remove.")
        return
    lines = [
        [output.printable(one["path"]), tables.size(one["bytes"]), one["why"]] for one in removed
    ]
    done = "WOULD REMOVE" if options.dry_run else "REMOVED"
    tables.show(options, [done, "BYTES", "WHY"], lines)
