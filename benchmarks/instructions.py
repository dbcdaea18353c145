"""Counts the instructions of a hit with valgrind: `python -m benchmarks.instructions`.

Instructions do not depend on the load of the machine. `make perf-check` compares the extension's
own with the committed ones; here are those of the whole call, beside those of functools.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import callgrind, machine
from benchmarks.instructions_probe import DECORATORS, KINDS, LOOP, STRATEGIES
from benchmarks.model import FUNCTOOLS
from benchmarks.table import Table

TURNS = 500
NAMES = (LOOP, *DECORATORS)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind of call")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the counts to this file")
    arguments = parser.parse_args(argv)
    valgrind = callgrind.program()
    if valgrind is None:
        print("valgrind is not installed: no instructions were counted", file=sys.stderr)
        return 1
    counts = count(valgrind, arguments.kind or list(KINDS))
    print(table(counts).text())
    if arguments.json is not None:
        found = {"python": machine.interpreter(), "instructions": counts}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def count(valgrind: Path, kinds: Sequence[str]) -> dict[str, dict[str, float]]:
    """Instructions a call, by kind and contender; the loop's own are still in them."""
    # A strategy differs in what a hit does to the order, not in how its key is found.
    cases = [
        (kind, name) for kind in kinds for name in NAMES if kind == "int" or name not in STRATEGIES
    ]
    costs = callgrind.sections(valgrind, probe(TURNS, cases), len(cases))
    counts: dict[str, dict[str, float]] = {kind: {} for kind in kinds}
    for (kind, name), cost in zip(cases, costs, strict=True):
        counts[kind][name] = round(cost.total / (TURNS * len(KINDS[kind].keys)), 1)
    return counts


def probe(turns: int, cases: Sequence[tuple[str, str]]) -> list[str]:
    """Arguments of the Python process with these cases, as pairs of kind and contender."""
    pairs = [f"{kind}:{name}" for kind, name in cases]
    return ["-m", "benchmarks.instructions_probe", str(turns), *pairs]


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


if __name__ == "__main__":
    sys.exit(main())
