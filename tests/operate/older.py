"""The files of a directory, and one as another version of the package would have left it."""

from __future__ import annotations

import struct
from pathlib import Path


def files_of(folder: Path) -> dict[str, Path]:
    return {path.name.partition(".cache")[0]: path for path in folder.glob("*.cache")}


def make_older(path: Path, version: int = 7) -> None:
    content = bytearray(path.read_bytes())
    content[8:16] = struct.pack("=Q", version)
    path.write_bytes(content)
