"""How often a cache file was put in order, and how often that may have been.

A repair follows a death inside the writers' lock, or damage. So where nobody died and nothing was
damaged there is none, and where processes are killed at random there are at most as many as kills.
"""

from __future__ import annotations

import struct
from pathlib import Path

MAGIC = b"warpcach"
# The header's control words begin at 512; `repairs` is the fourth of their fourth line.
AT = 512 + 3 * 64 + 3 * 8


def repairs_in(file: Path) -> int:
    """The repairs that a cache file counts; 0 if it is none."""
    if not file.is_file():
        return 0
    with open(file, "rb") as stream:
        header = stream.read(AT + 8)
    if header[:8] != MAGIC or len(header) < AT + 8:
        return 0
    count: int = struct.unpack_from("=Q", header, AT)[0]
    return count


def check_repairs(folder: Path, deaths: int) -> None:
    """No file of the folder was repaired more often than somebody died."""
    found = {file.name: repairs_in(file) for file in sorted(folder.glob("*.cache"))}
    wrong = {name: repairs for name, repairs in found.items() if repairs > deaths}
    assert not wrong, f"repairs: {wrong}, deaths: {deaths}"
