"""Which files of the Rust core one call runs through: `make count-files`.

A file counts once, if an instruction of a build without optimisation is of a line in it, so that
what is inlined elsewhere counts as well. What lies below the calls (CPython, libc, Rust's own
library) does not, nor do the crates' `lib.rs`, which debug information names where it has no line.
A function that only hands something on and becomes no code does not count either.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks import ROOT, callgrind

__all__ = ["crossed", "main"]

WAYS = ("a hit in memory", "a miss in memory", "a miss that evicts", "a shared hit")

# One int, LRU. The key is not that of the call before, whose use would need no note.
PROBE = """
import os
from warp_cache import cache

def function(x):
    return x

roomy, full = cache(function, max_size=128), cache(function, max_size=4)
shared = cache(function, max_size=128, backend="shared", name="crossed")
for x in (1, 1, 2, 2, 3, 3):
    roomy(x), shared(x)
for x in range(20, 40):
    roomy(x), full(x)
for x in (1, 2, 3):
    roomy(x), shared(x)
for cached, x in ((roomy, 1), (roomy, 9), (full, 77), (shared, 1)):
    os.getpgid(0)
    cached(x)
    os.getpgid(0)
"""

_NAMED = re.compile(r"(ob|fl|fi|fe|cob|cfi|cfl)=\((\d+)\)(?: (.*))?$")
_OURS = re.compile(r".*/(crates/(?:python|engine|concurrency|shared)/src/.*)")


def crossed(lines: Iterable[str], names: dict[tuple[str, str], str]) -> set[str]:
    """The files of a dump in callgrind's format; adds to `names`, its abbreviations."""
    files, inclusive, file = set(), False, ""
    for line in lines:
        named = _NAMED.match(line)
        if named is not None:
            kind, number, name = named.groups()
            key = ("object" if kind.endswith("ob") else "file", number)
            if name is not None:
                names[key] = name
            if kind in ("fl", "fi", "fe"):
                file = names[key]
        elif line.startswith("calls="):
            # The next line is what the call costs, which is of the called one's files.
            inclusive = True
        elif line[:1] and line[0] in "0123456789+-*":
            ours = _OURS.match(file)
            if ours and not inclusive and not ours[1].endswith("src/lib.rs"):
                files.add(ours[1])
            inclusive = False
    return files


def _measured(valgrind: Path) -> list[set[str]]:
    with tempfile.TemporaryDirectory() as folder:
        command = [str(valgrind), "--tool=callgrind", "--dump-before=getpgid"]
        command += [f"--callgrind-out-file={folder}/counts", sys.executable, "-c", PROBE]
        environment = {**os.environ, "WARP_CACHE_DIR": f"{folder}/caches", "PYTHONHASHSEED": "0"}
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
        parts = sorted(Path(folder).glob("counts.*"), key=lambda path: int(path.suffix[1:]))
        names: dict[tuple[str, str], str] = {}
        dumps = [crossed(part.read_text(errors="replace").splitlines(), names) for part in parts]
    # What lies before the first mark, and between two calls, is not asked for. A mark may lead to
    # several dumps, of which only the first has something of this package.
    found = [files for files in dumps[1:] if files]
    if len(found) != len(WAYS):
        raise RuntimeError(
            f"{len(WAYS)} calls led to {len(found)} dumps with files: make count-files"
        )
    return found


def main() -> int:
    valgrind = callgrind.program()
    if valgrind is None:
        print("valgrind is needed: scripts/get-valgrind", file=sys.stderr)
        return 1
    for way, files in zip(WAYS, _measured(valgrind), strict=True):
        print(f"{way}: {len(files)}", *(f"  {file}" for file in sorted(files)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
