"""Runs a Python process under valgrind's callgrind and reads what it counted, section by section.

The process marks the ends of its sections by `mark()`: a system call's wrapper in libc that nothing
else calls, and at which callgrind is told to write down what it has counted so far. So one process
serves for any number of sections, and what happens outside of them does not count.

Counts are kept by object file. Those of this package's extension are the steadiest there are: they
depend on its machine code and on the keys, not on the interpreter's build, the environment's size
or the libc. What it hands on to others (a hash to the interpreter, a copy to libc) is not among
them, so the calls that leave the extension are counted too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ROOT

_MARK = "getpgid"
_EXTENSION = "_warp_cache_rs"
_NAMED = re.compile(r"(c?ob)=\((\d+)\)(?: (.*))?$")


@dataclass(frozen=True)
class Cost:
    """What a section took."""

    # Instructions of the extension's own code, and calls from it into other object files.
    own: int
    calls_out: int
    # Instructions of the whole process.
    total: int


def mark() -> None:
    """The end of a section, and the beginning of the next one."""
    os.getpgid(0)


def program() -> Path | None:
    """Valgrind's: on the PATH, or where `scripts/get-valgrind` has put it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = cache / "warp_cache" / "valgrind" / "valgrind"
    found = shutil.which("valgrind")
    if found is not None:
        return Path(found)
    return kept if kept.exists() else None


def sections(valgrind: Path, arguments: Sequence[str], number: int) -> list[Cost]:
    """Run `python ARGUMENTS` and return what the `number` sections between its marks cost.

    The process must mark `number + 1` times. Raises RuntimeError if it fails or marks otherwise.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "counts"
        command = [str(valgrind), "--tool=callgrind", f"--dump-before={_MARK}"]
        command += [f"--callgrind-out-file={output}", sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=_environment(folder), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"valgrind failed:\n{done.stderr[-2000:]}")
        parts = sorted(output.parent.glob("counts.*"), key=lambda path: int(path.suffix[1:]))
        return _between([path.read_text(errors="replace") for path in parts], number)


def _environment(folder: str) -> dict[str, str]:
    """The same on every machine, but for what the dynamic linker needs."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {
        **kept,
        "HOME": folder,
        "LC_ALL": "C.UTF-8",
        "PATH": os.defpath,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "WARP_CACHE_DIR": str(Path(folder) / "caches"),
    }


def _between(dumps: list[str], number: int) -> list[Cost]:
    """The sections between the marks: the first dump is what came before the first mark.

    A mark may lead to several dumps, since the stub that finds the function counts as it too. What
    lies between these is theirs, and costs the extension nothing.
    """
    each, odd = divmod(len(dumps), number + 1)
    if odd or not each:
        raise RuntimeError(f"{number + 1} marks led to {len(dumps)} dumps of callgrind")
    # Names are given once and then abbreviated, perhaps from one dump to the next.
    names: dict[str, str] = {}
    costs = [parse(dump.splitlines(), names) for dump in dumps]
    return [
        Cost(
            sum(cost.own for cost in group),
            sum(cost.calls_out for cost in group),
            sum(cost.total for cost in group),
        )
        for group in (costs[each * i + 1 : each * (i + 1) + 1] for i in range(number))
    ]


def parse(lines: Iterable[str], names: dict[str, str]) -> Cost:
    """What one dump in callgrind's format says; `names` are its abbreviations, and are added to."""
    here = called = ""
    own = calls_out = total = 0
    inclusive = False
    for line in lines:
        named = _NAMED.match(line)
        if named is not None:
            kind, number, name = named.groups()
            if name is not None:
                names[number] = name
            if kind == "ob":
                here = called = names[number]
            else:
                called = names[number]
        elif line.startswith("calls="):
            if _EXTENSION in here and _EXTENSION not in called:
                calls_out += int(line[len("calls=") :].split()[0])
            # What a call costs stands on the next line, and again where it was spent.
            inclusive, called = True, here
        elif line[:1] in "0123456789+-*" and line:
            if inclusive:
                inclusive = False
                continue
            spent = int(line.split()[1])
            total += spent
            if _EXTENSION in here:
                own += spent
    return Cost(own, calls_out, total)
