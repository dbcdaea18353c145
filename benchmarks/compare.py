"""Says what became faster or slower between two runs: `python -m benchmarks.compare OLD NEW`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.changes import LEAST, Change, changes, only_in
from benchmarks.files import BadRun, Run, read
from benchmarks.numbers import NO_DIFFERENCE, number
from benchmarks.report import busy
from benchmarks.significance import LEVEL
from benchmarks.table import Table


def refusals(old: Run, new: Run) -> list[str]:
    """Why the two cannot be compared at all: other interpreters have other costs."""
    lines = []
    for key, what in (
        ("implementation", "implementation"),
        ("version", "version"),
        ("free_threaded", "free-threaded"),
        ("pgo", "built with PGO"),
        ("debug", "a debug build"),
    ):
        before, after = (_python(run, key) for run in (old, new))
        if before != after:
            lines.append(
                f"other interpreters: {what} is {before} in the old run, {after} in the new"
            )
    if old.machine["architecture"] != new.machine["architecture"]:
        both = f"{old.machine['architecture']} and {new.machine['architecture']}"
        lines.append(f"other architectures: {both}")
    return lines


def warnings(old: Run, new: Run) -> list[str]:
    """What may explain a difference beside the code."""
    lines = []
    for key in ("cpu", "cpus_usable", "governor", "memory_gib", "system", "libc"):
        before, after = old.machine.get(key), new.machine.get(key)
        if before != after:
            lines.append(f"other machines: {key} is {before} in the old run, {after} in the new")
    packages = (old.machine["packages"], new.machine["packages"])
    for name in sorted({*packages[0], *packages[1]} - {"warp_cache"}):
        before, after = (each.get(name, "missing") for each in packages)
        if before != after:
            lines.append(f"{name} is {before} in the old run, {after} in the new")
    for run, which in ((old, "old"), (new, "new")):
        for result in run.results:
            if result.conditions.get("quick"):
                lines.append(f"the {which} run's part {result.part} was measured quickly")
            elif busy(result):
                lines.append(f"the machine was busy in the {which} run's part {result.part}")
        lines.extend(f"the {which} run's part {name} failed" for name in run.failed)
    return lines


def text(old: Run, new: Run, *, every: bool = False) -> str:
    """The comparison as text; `every` also lists what has not changed."""
    found = changes(old, new)
    blocks = []
    notes = [f"warning: {line}" for line in warnings(old, new)]
    if notes:
        blocks.append("\n".join(notes))
    shown = [one for one in found if every or one.verdict != NO_DIFFERENCE]
    if shown:
        blocks.append(_table(shown).text())
    counts: dict[str, int] = {}
    for one in found:
        counts[one.verdict] = counts.get(one.verdict, 0) + 1
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    blocks.append(
        f"{len(found)} compared: {told or 'nothing in common'}. A ratio is new ÷ old, each over its"
        f" yardstick.\nWelch's t-test on the logarithms of the medians of processes, Holm's"
        f" correction for {len(found)} comparisons,\nlevel {LEVEL:g}; changes of less than"
        f" {LEAST:.0%} do not count."
    )
    for run, other, which in ((old, new, "old"), (new, old, "new")):
        lines = only_in(run, other)
        if lines:
            blocks.append(f"only in the {which} run:\n" + "\n".join(f"  {line}" for line in lines))
    return "\n\n".join(blocks)


def _table(shown: Sequence[Change]) -> Table:
    header = ("part", "work", "contender", "yardstick", "old", "new", "ratio", "95 %", "p")
    table = Table((*header, "verdict"), frozenset({4, 5, 6, 7, 8}))
    for one in shown:
        difference = one.difference
        cells = ("", "", "")
        if difference is not None:
            interval = f"{number(difference.low, 3)}–{number(difference.high, 3)}"
            # A ratio that is not beyond the noise is not printed as if it were one.
            ratio = "" if one.verdict == NO_DIFFERENCE else number(difference.ratio, 3)
            cells = (ratio, interval, f"{one.p:.2g}")
        about = (one.part, one.work, one.contender, one.yardstick)
        medians = (number(one.old), f"{number(one.new)} {one.unit}")
        table.add(*about, *medians, *cells, one.verdict)
    return table


def _python(run: Run, key: str) -> Any:
    value = run.machine["python"].get(key, False)
    # 3.13.1 and 3.13.2 are near enough.
    return ".".join(value.split(".")[:2]) if key == "version" else value


def main(argv: list[str] | None = None) -> int:
    """0: compared; 1: something of ours became slower, and that was asked; 2: not comparable."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description="Say what became faster or slower between two runs, beyond the noise.",
    )
    parser.add_argument("old", metavar="OLD.json", type=Path)
    parser.add_argument("new", metavar="NEW.json", type=Path)
    parser.add_argument("--all", action="store_true", help="also list what has not changed")
    parser.add_argument(
        "--anyway", action="store_true", help="compare runs of different interpreters too"
    )
    parser.add_argument(
        "--fail-on-regression",
        action="store_true",
        help="end with status 1 if anything of this package became slower",
    )
    arguments = parser.parse_args(argv)
    try:
        old, new = read(arguments.old), read(arguments.new)
    except BadRun as error:
        parser.error(str(error))
    refused = refusals(old, new)
    for line in refused:
        print(line, file=sys.stderr)
    if refused and not arguments.anyway:
        parser.error("these runs are not comparable; --anyway compares them all the same")
    print(text(old, new, every=arguments.all))
    regressed = any(change.regressed for change in changes(old, new))
    return 1 if regressed and arguments.fail_on_regression else 0


if __name__ == "__main__":
    sys.exit(main())
