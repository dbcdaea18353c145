"""Workloads from files: recordings, text with one key a line, CSV, libCacheSim's oracleGeneral."""

from __future__ import annotations

import csv
import io
import struct
import sys
from array import array
from dataclasses import dataclass

from warp_cache._cli.output import UserError
from warp_cache._strategies import Strategy
from warp_cache._warp_cache_rs import _record_read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "NOT_KNOWN",
    "ORACLE_GENERAL",
    "Trace",
    "TraceError",
    "Workload",
    "is_oracle_general",
    "load",
]

# What a recording begins with, but for its version.
_MAGIC = b"\x93WARPRC"

# In a recording: a strategy that is not known, and what is added where entries end by time, too.
NOT_KNOWN = 255
_ENDS = 64

# A request: its time, the object, its size, and which request is the object's next one.
ORACLE_GENERAL = "<IQIq"


class TraceError(UserError):
    """What is wrong with the input, and where."""


@dataclass(frozen=True)
class Workload:
    """The calls of one function."""

    name: str
    keys: array[int]
    """The key of each call: its number, from 0 on."""
    unique: int
    """How many different keys there are."""
    strategy: Strategy | None = None
    max_size: int | None = None
    """What the recorded function had; no strategy where that is not known."""
    ends: bool = False
    """Whether its entries ended by time, too."""


@dataclass(frozen=True)
class Trace:
    """What a file holds, the function with the most calls first."""

    name: str
    workloads: list[Workload]
    complete: bool


def is_oracle_general(path: str) -> bool:
    """Whether the file's name says so, as libCacheSim names them; nothing in the file does."""
    return path.lower().endswith((".oraclegeneral", ".oraclegeneral.bin"))


def load(path: str, column: str | None, oracle_general: bool | None = None) -> Trace:
    """Read a recording, text, CSV or oracleGeneral from a file, or from standard input for "-".

    column: the name or number of a CSV file's column. oracle_general: whether it is that; None to
    go by the file's name. Raises TraceError. O(n).
    """
    name = "standard input" if path == "-" else path
    try:
        if path == "-":
            if sys.stdin is None:
                raise TraceError(f"{name} is closed")
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
    except OSError as error:
        raise TraceError(f"{name}: {error.strerror}") from None
    if data.startswith(_MAGIC):
        if column is not None:
            raise TraceError(f"{name}: a recording has no columns; leave --column out")
        return _recording(name, data)
    is_table = column is not None or path.lower().endswith(".csv")
    keys: Iterable[object]
    if is_oracle_general(path) if oracle_general is None else oracle_general:
        keys = _objects(name, data)
    else:
        keys = _column(name, data, column or "1") if is_table else _lines(name, data)
    workload = _numbered(name.rpartition("/")[2], keys)
    if not workload.keys:
        raise TraceError(f"{name}: there are no keys in it")
    return Trace(name, [workload], True)


def _recording(name: str, data: bytes) -> Trace:
    try:
        functions, complete = _record_read(data)
    except ValueError as error:
        raise TraceError(f"{name}: {error}") from None
    workloads = []
    for called, strategy, max_size, unique, numbers in functions:
        keys = array("I")
        keys.frombytes(numbers)
        if not keys:
            continue
        ends = strategy != NOT_KNOWN and bool(strategy & _ENDS)
        number = strategy & ~_ENDS if ends else strategy
        known = Strategy(number) if called is not None and number in list(Strategy) else None
        workloads.append(Workload(called or "(unnamed)", keys, unique, known, max_size, ends))
    if not workloads:
        raise TraceError(f"{name}: no call was recorded in it")
    workloads.sort(key=lambda workload: -len(workload.keys))
    return Trace(name, workloads, complete)


def _numbered(name: str, keys: Iterable[object]) -> Workload:
    numbers: dict[object, int] = {}
    stream = array("I")
    append, number = stream.append, numbers.setdefault
    for key in keys:
        append(number(key, len(numbers)))
    return Workload(name, stream, len(numbers))


def _objects(name: str, data: bytes) -> Iterator[int]:
    """The objects of oracleGeneral."""
    request = struct.Struct(ORACLE_GENERAL)
    if len(data) % request.size:
        raise TraceError(
            f"{name}: not oracleGeneral (or compressed): {len(data)} bytes are no multiple of "
            f"{request.size}"
        )
    return (fields[1] for fields in request.iter_unpack(data))


def _lines(name: str, data: bytes) -> Iterator[bytes]:
    """The lines that are not empty, as bytes: no encoding is wrong."""
    for number, line in enumerate(io.BytesIO(data), 1):
        if b"\0" in line:
            raise TraceError(f"{name}, line {number}: neither a recording nor text: a zero byte")
        line = line.strip()
        if line:
            yield line


def _column(name: str, data: bytes, column: str) -> Iterator[str]:
    """A column of a CSV file, without its header."""
    # By newlines alone: `str.splitlines` knows others, which may stand in a key.
    decoded = data.decode("utf-8-sig", "surrogateescape")
    text = list(io.StringIO(decoded, newline=""))
    first = text[0] if text else ""
    delimiter = max(",;\t|", key=first.count)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    at: int | None = None
    try:
        for row in reader:
            if not row:
                continue
            if at is None:
                following = next(csv.reader(text[reader.line_num :], delimiter=delimiter), [])
                at, is_header = _place(name, column, row, following)
                if is_header:
                    continue
            if at >= len(row):
                raise TraceError(
                    f"{name}, line {reader.line_num}: there is no column {column} in this line, "
                    f"which has {len(row)}"
                )
            yield row[at]
    except csv.Error as error:
        raise TraceError(f"{name}, line {reader.line_num}: {error}") from None


def _place(name: str, column: str, first: list[str], second: list[str]) -> tuple[int, bool]:
    """Where a column is, and whether the first line is a header.

    It is one if the column is asked for by its name, or if numbers begin in the second line.
    """
    if column in first:
        return first.index(column), True
    if not column.isdecimal() or int(column) < 1:
        names = ", ".join(first[:8])
        raise TraceError(f"{name}, line 1: no column {column!r}; the first line has {names}")
    is_header = not any(map(_is_number, first)) and any(map(_is_number, second))
    return int(column) - 1, is_header


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
