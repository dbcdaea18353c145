"""``python -m warp_cache keys``: the entries of a shared cache, as far as our own format has them.

Nothing is unpickled: of a pickle the name of its type is read, by ``pickletools``, and its size.
"""

from __future__ import annotations

import fnmatch
import json
import os
from typing import Any

from warp_cache._cli import files, output, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from warp_cache._warp_cache_rs import SharedFile

__all__ = ["add_to", "key_text", "pickled_type", "walk"]

# Slots that are looked through at once.
_MANY = 512
# Bytes of text of a key or value, in a table and in JSON.
_IN_A_TABLE = 300
_IN_JSON = 1 << 16
# Bytes of a pickle in which its type is looked for, and names of functions that only rebuild.
_HEAD = 4096
_MAKERS = ("copyreg", "copy_reg", "warp_cache")
_STRINGS = ("SHORT_BINUNICODE", "BINUNICODE", "UNICODE")
_PLAIN = {
    "EMPTY_LIST": "list",
    "EMPTY_DICT": "dict",
    "EMPTY_SET": "set",
    "EMPTY_TUPLE": "tuple",
    "BYTEARRAY8": "bytearray",
}


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "keys",
        help="the entries of a shared cache",
        description="List a cache's entries: bytes of the value, for how long it is fresh, its "
        "type, the arguments of the call, and the value. Nothing is unpickled.",
    )
    parser.add_argument("name", metavar="NAME", help="the cache's name, as ls shows it, or a path")
    parser.add_argument(
        "--match",
        metavar="PATTERN",
        help="only keys like this, with * and ? (as in file names), and [] for characters",
    )
    files.add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.set_defaults(run=_run)


def walk(file: SharedFile, limit: int) -> Iterator[dict[str, Any]]:
    """The entries of a file, with text of at most so many bytes: a look, no snapshot. O(n)."""
    at: int | None = 0
    while at is not None:
        found, at = file.look_through(at, _MANY, limit, _HEAD)
        yield from found


def key_text(entry: dict[str, Any]) -> str:
    """A key as it can be typed; else its identity and size."""
    key: str | None = entry["key"]
    if key is not None:
        return output.printable(key)
    return f"<key {entry['id']} of {len(entry['key_bytes'])} bytes>"


def pickled_type(head: bytes) -> str:
    """The name of the type that a pickle says it is of, without loading anything."""
    import pickletools

    texts: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(head):
            name = operation.name
            if name in _STRINGS and isinstance(argument, str):
                texts.append(argument)
            elif name in _PLAIN:
                return _PLAIN[name]
            elif name == "GLOBAL" or name == "STACK_GLOBAL" and len(texts) >= 2:
                module, called = str(argument).split(" ", 1) if argument else texts[-2:]
                is_maker = called.startswith("_") or module.partition(".")[0] in _MAKERS
                if not is_maker:
                    return f"{module}.{called}" if module != "builtins" else called
    except Exception:
        # Its end is cut off, or it is none.
        pass
    return "pickle"


def _type(entry: dict[str, Any]) -> str:
    kind: str | None = entry["value_type"]
    if entry["pickle"] is not None:
        kind = output.printable(pickled_type(entry["pickle"]))
    if kind is None:
        return "damaged"
    return f"raises {kind}" if entry["exception"] else kind


def _run(options: argparse.Namespace) -> None:
    output.prepare()
    cache = files.choose(options.name, options.directory)
    file = files.attach(cache)
    found = walk(file, _IN_JSON if options.json else _IN_A_TABLE)
    if options.match is not None:
        # (A pattern is about the text, parentheses included or not.)
        found = (entry for entry in found if _matches(entry, options.match))
    if options.json:
        _print_json(cache.path, found)
        return
    columns = tables.width()
    for entry in found:
        line = _line(entry)
        print(line if columns is None else line[:columns])


def _matches(entry: dict[str, Any], pattern: str) -> bool:
    text = key_text(entry)
    return any(fnmatch.fnmatchcase(part, pattern) for part in (text, text[1:-1]))


def _line(entry: dict[str, Any]) -> str:
    left = entry["fresh_for"]
    lasts = "always" if left is None else tables.age(left)
    if not entry["fresh"]:
        lasts = "stale"
    value = "" if entry["value"] is None else f" = {output.printable(entry['value'])}"
    size = tables.size(entry["value_size"])
    return f"{size:>7}  {lasts:>7}  {_type(entry):<10}  {key_text(entry)}{value}"


def _print_json(path: str, found: Iterator[dict[str, Any]]) -> None:
    """One document, however long, without all of it in memory."""
    print(f'{{"path": {json.dumps(os.fspath(path))}, "entries": [', end="")
    comma = "\n"
    for entry in found:
        one = {
            "id": entry["id"],
            "key": entry["key"],
            "key_bytes": len(entry["key_bytes"]),
            "type": _type(entry),
            "value": entry["value"],
            "value_bytes": entry["value_size"],
            "pickled": entry["pickle"] is not None,
            "exception": entry["exception"],
            "tagged": entry["tagged"],
            "fresh": entry["fresh"],
            "fresh_seconds": entry["fresh_for"],
            "remaining_seconds": entry["there_for"],
        }
        print(comma + json.dumps(one), end="")
        comma = ",\n"
    print("\n]}")
