"""``clear``, ``drop`` and ``invalidate-tag``: what changes the shared caches from outside.

Each does what the method of that name does, fence included: after it has ended, no process is
served what was computed before.
"""

from __future__ import annotations

import ast
import json
import sys
from typing import Any

from warp_cache._cli import entries, files, output, tables
from warp_cache._warp_cache_rs import _encode_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from warp_cache._warp_cache_rs import SharedFile

__all__ = ["add_to", "key_of"]

# Bytes of a key's text that are compared.
_WHOLE = 1 << 26


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the three commands and their options."""
    parser = commands.add_parser(
        "clear",
        help="empty a shared cache",
        description="Drop all entries of a cache, and what is being computed for it, in all "
        "processes: what cache_clear() does.",
    )
    parser.add_argument("name", metavar="NAME", help="the cache's name, as ls shows it, or a path")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_common(parser, _clear)

    parser = commands.add_parser(
        "drop",
        help="drop one entry of a shared cache",
        description="Drop the entry of one call, and what is being computed for it: what "
        "cache_invalidate() does. Ends with status 1 if there was no such entry.",
    )
    parser.add_argument("name", metavar="NAME", help="the cache's name, as ls shows it, or a path")
    parser.add_argument(
        "key", metavar="KEY", help="the arguments, as keys shows them, or an id from keys --json"
    )
    _add_common(parser, _drop)

    parser = commands.add_parser(
        "invalidate-tag",
        help="drop what has a tag, in all shared caches",
        description="Drop the entries that have any of these tags, in all caches: what "
        "invalidate_tags() does, and for the caches of all processes.",
    )
    parser.add_argument("tags", metavar="TAG", nargs="+", help="a tag, as it was made for a call")
    _add_common(parser, _invalidate_tags)


def _add_common(parser: argparse.ArgumentParser, run: Any) -> None:
    files.add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.set_defaults(run=run)


def _clear(options: argparse.Namespace) -> int:
    output.prepare()
    cache = files.choose(options.name, options.directory)
    before = files.attach(cache).info()["entries"]
    if not options.yes:
        if options.json or sys.stdin is None or not sys.stdin.isatty():
            raise output.UserError("add --yes where nobody can be asked")
        shown = output.printable(cache.full)
        asked = f"Drop all {tables.count(before)} entries of {shown}? [y/N] "
        try:
            answer = input(asked)
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            print("Nothing was changed.")
            return 1
    files.with_file(cache, lambda file: file.clear())
    if options.json:
        print(json.dumps({"path": cache.path, "dropped": before}))
    else:
        print(f"{output.printable(cache.full)} is empty; it had {tables.entries(before)}.")
    return 0


def key_of(text: str) -> bytes | None:
    """The bytes of a call's key that is spelled with literals; None for another text."""
    calls = [f"f{text}"] if text.startswith("(") else []
    for call in (*calls, f"f({text})"):
        try:
            parsed = ast.parse(call, mode="eval").body
            if not isinstance(parsed, ast.Call) or not isinstance(parsed.func, ast.Name):
                continue
            values = [ast.literal_eval(value) for value in parsed.args]
            names = [keyword.arg for keyword in parsed.keywords if keyword.arg is not None]
            if len(names) < len(parsed.keywords):
                continue
            values += [ast.literal_eval(keyword.value) for keyword in parsed.keywords]
            return _encode_key(tuple(values), tuple(names) or None)
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
            continue
    return None


def _drop(options: argparse.Namespace) -> int:
    output.prepare()
    cache = files.choose(options.name, options.directory)
    key = key_of(options.key)

    def change(file: SharedFile) -> tuple[int, bool]:
        # Also where there is no entry: one may be on its way.
        dropped = int(file.invalidate(key)) if key is not None else 0
        is_known = key is not None
        if dropped == 0:
            # Keys that no literals make, or that tell types apart.
            for entry in entries.walk(file, _WHOLE):
                if options.key in (entry["id"], entry["key"], f"({entry['key']})"):
                    is_known = True
                    dropped += file.invalidate(entry["key_bytes"])
        return dropped, is_known

    dropped, is_known = files.with_file(cache, change)
    if options.json:
        print(json.dumps({"path": cache.path, "key": options.key, "dropped": dropped}))
    elif dropped:
        print(f"dropped {tables.entries(dropped)} of {output.printable(cache.full)}")
    else:
        told = f"{output.printable(cache.full)} has no entry {output.printable(options.key)}"
        print(told if is_known else f"{told}; write the key as keys shows it, or its id")
    return 0 if dropped else 1


def _invalidate_tags(options: argparse.Namespace) -> int:
    output.prepare()
    if any("\ud800" <= character <= "\udfff" for tag in options.tags for character in tag):
        raise output.UserError("a tag must be text that UTF-8 has")
    done: list[str] = []
    failed: list[dict[str, str]] = []
    for cache in files.all_caches(options.directory):
        if cache.found["state"] in ("format", "boot", "damaged", "no cache"):
            # Nobody of this version and this start of the machine is served from it.
            continue
        try:
            if why := cache.found.get("why"):
                raise output.UserError(why)
            files.with_file(cache, lambda file: file.invalidate_tags(options.tags))
        except output.UserError as error:
            failed.append({"path": cache.path, "why": str(error)})
        else:
            done.append(cache.path)
    if options.json:
        print(json.dumps({"tags": options.tags, "caches": done, "failed": failed}, indent=2))
    else:
        caches = f"{len(done)} cache{'' if len(done) == 1 else 's'}"
        print(f"{', '.join(map(output.printable, options.tags))}: invalidated in {caches}")
        for one in failed:
            output.complain(one["why"])
    return 2 if failed else 0
