"""``python -m warp_cache export`` and ``import``: recordings for other simulators, and theirs.

Two formats: libCacheSim's ``oracleGeneral`` (Yang et al.), and text with one key a line.
"""

from __future__ import annotations

import argparse
import struct

from warp_cache._cli import output
from warp_cache._cli.traces import NOT_KNOWN, ORACLE_GENERAL, TraceError, is_oracle_general, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable
    from typing import Any

    from warp_cache._cli.traces import Workload

__all__ = ["add_to"]

_FORMATS = ("oracleGeneral", "text")
_MAGIC = b"\x93WARPRC\x01"
# Calls that are made into one block, or one write.
_MANY = 1 << 16
_LATEST = (1 << 32) - 1


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add both commands and their options."""
    parser = commands.add_parser(
        "export",
        help="a recording for other simulators",
        description="Write the calls of one recorded function as libCacheSim's oracleGeneral, or "
        "as text with one key a line. Keys are numbers from 1 on, by first appearance; each has "
        "size 1, and a call's time is its place.",
    )
    parser.add_argument("source", metavar="TRACE", help="a recording, or what advise reads")
    parser.add_argument("target", metavar="FILE", help="what to write; .txt is text")
    parser.add_argument("--function", metavar="NAME", help="which function of the recording")
    parser.add_argument("--format", choices=_FORMATS, help="whatever FILE's name ends with")
    parser.set_defaults(run=_run, work=_export)

    parser = commands.add_parser(
        "import",
        help="a recording from another simulator's trace",
        description="Write a recording of one function from libCacheSim's oracleGeneral (not "
        "compressed), or from text with one key a line. Times and sizes are left out.",
    )
    parser.add_argument("source", metavar="FILE", help="what to read; - is standard input")
    parser.add_argument("target", metavar="RECORDING", help="what to write")
    parser.add_argument("--name", help="the function's name in the recording; else that of FILE")
    parser.add_argument("--format", choices=_FORMATS, help="whatever FILE's name ends with")
    parser.set_defaults(run=_run, work=_import)


def _run(options: argparse.Namespace) -> None:
    output.spare(options.source, options.target)
    output.write(options.target, options.work(options))


def _export(options: argparse.Namespace) -> Iterable[bytes]:
    trace = load(options.source, None)
    found = [one for one in trace.workloads if options.function in (None, one.name)]
    if len(found) != 1:
        names = ", ".join(one.name for one in trace.workloads[:5])
        what = f"no function {options.function!r}" if not found else f"{len(found)} functions"
        raise TraceError(f"{trace.name}: {what} in it; choose one by --function: {names}")
    if not trace.complete:
        output.complain("The recording was cut short: its end is missing.")
    as_text = options.target.lower().endswith(".txt")
    if options.format is not None:
        as_text = options.format == "text"
    return (_text if as_text else _oracle_general)(found[0].keys)


def _import(options: argparse.Namespace) -> Iterable[bytes]:
    binary = is_oracle_general(options.source)
    if options.format is not None:
        binary = options.format == "oracleGeneral"
    trace = load(options.source, None, oracle_general=binary)
    workload = trace.workloads[0]
    return _recording(workload, options.name or workload.name)


def _text(keys: array[int]) -> Iterable[bytes]:
    for start in range(0, len(keys), _MANY):
        yield "".join(f"{key + 1}\n" for key in keys[start : start + _MANY]).encode("ascii")


def _oracle_general(keys: array[int]) -> Iterable[bytes]:
    pack = struct.Struct(ORACLE_GENERAL).pack
    following = _following(keys)
    for start in range(0, len(keys), _MANY):
        end = min(start + _MANY, len(keys))
        yield b"".join(
            # A reader that ignores what has no size would leave out an object of size 0.
            pack(min(at, _LATEST), keys[at] + 1, 1, following[at])
            for at in range(start, end)
        )


def _following(keys: array[int]) -> array[int]:
    """For each call the place of the next one with its key, counted from 1; -1 for none."""
    from array import array

    following = array("q", [-1]) * len(keys)
    last: dict[int, int] = {}
    for at, key in enumerate(keys):
        if key in last:
            following[last[key]] = at + 1
        last[key] = at
    return following


def _recording(workload: Workload, name: str) -> Iterable[bytes]:
    """The file that docs/workload.md describes, of one function."""
    yield _MAGIC
    encoded = name.encode("utf-8", "replace")
    yield _block(b"F", _number(0) + _number(NOT_KNOWN) + _number(0) + encoded)
    known = 0
    for start in range(0, len(workload.keys), _MANY):
        calls = bytearray(_number(0))
        for key in workload.keys[start : start + _MANY]:
            # Keys are numbered by first appearance, so the next new one is as large as this.
            calls += b"\0" if key == known else _number(key + 1)
            known = max(known, key + 1)
        yield _block(b"C", bytes(calls))
    yield _block(b"E", _number(len(workload.keys)))


def _block(kind: bytes, contents: bytes) -> bytes:
    return kind + len(contents).to_bytes(4, "little") + contents


def _number(value: int) -> bytes:
    """Seven bits a byte, least first; the top bit says that another byte follows."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
