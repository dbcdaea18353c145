"""What the tests of recording share: reading a file, and what a stream has to be."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import NamedTuple

from warp_cache._warp_cache_rs import _record_read


class Recorded(NamedTuple):
    name: str | None
    strategy: int
    max_size: int | None
    unique: int
    keys: list[int]


def numbered(keys: Iterable[Hashable]) -> list[int]:
    """Each key as its number in the order of first appearance."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def read(path: Path | str) -> list[Recorded]:
    """The functions of a complete recording."""
    functions, complete = _record_read(Path(path).read_bytes())
    assert complete
    return [Recorded(*function[:4], array("I", function[4]).tolist()) for function in functions]


def streams(path: Path | str) -> dict[str, list[int]]:
    """The calls of each function by the last part of its name, which no other one has."""
    found = {str(function.name).rpartition(".")[2]: function.keys for function in read(path)}
    assert len(found) == len(read(path))
    return found
