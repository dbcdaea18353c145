"""Counts the instructions of a hit with valgrind: `python -m benchmarks.instructions`.

Instructions do not depend on the load of the machine. One process times every contender for TURNS
turns of the loop; for each contender another process does the same, but twice as many turns of
this one. The difference is what the contender takes, whatever starting Python cost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ROOT, machine
from benchmarks.instructions_probe import DECORATORS, KINDS, LOOP
from benchmarks.model import FUNCTOOLS
from benchmarks.table import Table

TURNS = 500
NAMES = (LOOP, *DECORATORS)
STRATEGIES = tuple(name for name in DECORATORS if name.count(","))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind of call")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the counts to this file")
    arguments = parser.parse_args(argv)
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: no instructions were counted", file=sys.stderr)
        return 1
    counts = count(arguments.kind or list(KINDS))
    print(table(counts).text())
    if arguments.json is not None:
        found = {"python": machine.interpreter(), "instructions": counts}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def count(kinds: Sequence[str]) -> dict[str, dict[str, float]]:
    """Instructions a call, by kind and contender; the loop's own are still in them."""
    counts: dict[str, dict[str, float]] = {}
    for kind in kinds:
        # A strategy differs in what a hit does to the order, not in how its key is found.
        names = [name for name in NAMES if kind == "int" or name not in STRATEGIES]
        print(f"counting {kind}", file=sys.stderr)
        base = _collected(kind, dict.fromkeys(names, TURNS))
        calls = TURNS * len(KINDS[kind].keys)
        counts[kind] = {}
        for name in names:
            doubled = _collected(kind, {**dict.fromkeys(names, TURNS), name: 2 * TURNS})
            counts[kind][name] = round((doubled - base) / calls, 1)
    return counts


def table(counts: dict[str, dict[str, float]]) -> Table:
    """Instructions a hit without the loop's, and the ratio to the first contender."""
    result = Table(("hit", "contender", "instructions", "ratio"), frozenset({2, 3}))
    for kind, of_kind in counts.items():
        title = KINDS[kind].title
        base = of_kind[FUNCTOOLS] - of_kind[LOOP]
        for name, value in of_kind.items():
            if name != LOOP:
                net = value - of_kind[LOOP]
                result.add(title, name, f"{net:.0f}", f"{net / base:.2f}")
                title = ""
    return result


def _collected(kind: str, turns: dict[str, int]) -> int:
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    command += [sys.executable, "-m", "benchmarks.instructions_probe", kind, json.dumps(turns)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"valgrind failed on {kind}:\n{done.stderr[-2000:]}")
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
