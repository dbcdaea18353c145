"""``python -m warp_cache doctor``: why workers do not share, and why calls are not stored."""

from __future__ import annotations

import json
import os
import platform
import sys
import textwrap
from dataclasses import asdict
from typing import Any

from warp_cache import __version__, _configuration
from warp_cache._cli import diagnosis, files, function, listing, output, tables
from warp_cache._metrics import looked_at
from warp_cache._naming.identity import directories

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from warp_cache._cli.finding import Finding

__all__ = ["add_to"]

_WIDEST = 100


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "doctor",
        help="why workers do not share, and why calls are not stored",
        description="Look at the directories, the processes and the caches' files, and say in "
        "words what keeps workers from sharing and results from being stored. With a function, "
        "which is imported, say so of its cache. Ends with status 1 if something is wrong.",
    )
    parser.add_argument(
        "function", metavar="MODULE:FUNCTION", nargs="?", help="a decorated function, imported"
    )
    files.add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    output.prepare()
    name: str | None = options.function
    examined = None if name is None else function.load(name)
    own: str | None = None
    if examined is not None:
        # Its file is there from now on, as in any process that calls it.
        own = looked_at(examined)[0].get("directory")
        own = None if own is None else os.path.abspath(own)
    scene = diagnosis.Scene(options.directory, [], own)
    if options.directory is None or os.path.isdir(options.directory):
        scene.places = files.places(options.directory)
    if own is not None and own not in {place.directory for place in scene.places}:
        scene.places.append(files.place(own))
    findings = [finding for check in diagnosis.CHECKS for finding in check(scene)]
    if name is not None:
        findings += function.examine(examined, name, scene)
    is_wrong = any(finding.level == "problem" for finding in findings)
    if options.json:
        document = {
            "healthy": not is_wrong,
            "environment": _environment(),
            "findings": [asdict(finding) for finding in findings],
            "caches": [
                {**cache.described(), "counted": listing.counted(cache)} for cache in scene.caches
            ],
        }
        print(json.dumps(document, indent=2))
    else:
        _tell(findings, len(scene.caches))
    return 1 if is_wrong else 0


def _environment() -> dict[str, Any]:
    user = os.geteuid() if sys.platform != "win32" else None
    return {
        "warp_cache": __version__,
        "python": sys.version,
        "implementation": sys.implementation.cache_tag,
        "executable": sys.executable,
        "free_threaded": not getattr(sys, "_is_gil_enabled", lambda: True)(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "processors": os.cpu_count(),
        "user": user,
        "directories": directories()[0],
        # (One by one: what a server is reached with is nobody's business.)
        "configured": {name: _configuration.in_use(name) for name in ("directory", "namespace")},
    }


def _tell(findings: list[Finding], caches: int) -> None:
    width = min(tables.width() or _WIDEST, _WIDEST)
    for finding in findings:
        text = f"{finding.level:<8} {finding.about}: {output.printable(finding.text)}"
        _wrap(text, " " * 9, width)
        if finding.remedy:
            _wrap(f"{'':9}-> {finding.remedy}", " " * 12, width)
    problems = sum(finding.level == "problem" for finding in findings)
    told = f"{problems} problem{'' if problems == 1 else 's'}" if problems else "Nothing is wrong"
    _wrap(f"{told}, in {caches} cache{'' if caches == 1 else 's'}.", "", width)


def _wrap(text: str, indent: str, width: int) -> None:
    print(
        textwrap.fill(
            text,
            width,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=width < 60,
            drop_whitespace=True,
        )
    )
