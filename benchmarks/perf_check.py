"""`make perf-check`: has a hit become dearer? Its instructions against the committed ones.

What is compared is the extension's own code (`benchmarks.callgrind` says why), for each kind of
interpreter by itself, since that code differs with the version and the GIL: `counts/NAME.json`.
What else it depends on is told in the file: the compiler, and the kernel's clock, as a shared hit
reads the processor's counter only where the kernel trusts it.

Nothing passes in silence: where nothing was compared, the last line says SKIPPED and why.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import warp_cache
from benchmarks import ROOT, callgrind, machine
from benchmarks.instructions import probe
from benchmarks.instructions_probe import KINDS, of_strategy
from benchmarks.model import SHARED_CACHE, WARP_CACHE, WARP_LRU
from benchmarks.table import Table

FOLDER = ROOT / "benchmarks" / "counts"
CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
TOLERANCE = 0.03
TURNS = 1000
ACCEPT = "make perf-check ARGS=--accept"

CASES = (
    *(("int", of_strategy(strategy)) for strategy in warp_cache.Strategy),
    ("int", WARP_LRU),
    ("str", WARP_CACHE),
    ("two-ints", WARP_CACHE),
    ("keyword", WARP_CACHE),
    ("int", SHARED_CACHE),
)

WORSE = "WORSE"
BETTER = "better: accept it"
SAME = "same"
NEW = "new: accept it"
GONE = "no longer counted: accept it"


@dataclass(frozen=True)
class Count:
    """What one hit takes: a mean over the keys."""

    instructions: float
    # From the extension to the interpreter or libc, whose instructions are not counted.
    calls_out: float


@dataclass(frozen=True)
class Line:
    """One case: what is committed, what was counted, and what that means."""

    case: str
    committed: Count | None
    counted: Count | None
    verdict: str


def compare(committed: dict[str, Count], counted: dict[str, Count]) -> list[Line]:
    """One line for each case of either, in the order of what was counted."""
    names = [*counted, *(name for name in committed if name not in counted)]
    return [
        Line(name, before, after, _verdict(before, after))
        for name in names
        for before, after in [(committed.get(name), counted.get(name))]
    ]


def _verdict(before: Count | None, after: Count | None) -> str:
    if before is None:
        return NEW
    if after is None:
        return GONE
    # What is handed on to others must not pass for a saving.
    if after.calls_out > before.calls_out * (1 + TOLERANCE):
        return WORSE
    if after.instructions > before.instructions * (1 + TOLERANCE):
        return WORSE
    if after.instructions < before.instructions * (1 - TOLERANCE):
        return BETTER
    return SAME


def failed(lines: list[Line]) -> bool:
    """Whether something got dearer. A case without a count is told, but is no failure."""
    return any(line.verdict == WORSE for line in lines)


def table(lines: list[Line]) -> Table:
    """The comparison as it is printed."""
    columns = ("hit", "committed", "counted", "change", "calls out", "verdict")
    result = Table(columns, frozenset({1, 2, 3, 4}))
    for line in lines:
        before, after = line.committed, line.counted
        change = ""
        if before is not None and after is not None:
            change = f"{after.instructions / before.instructions - 1:+.1%}"
        result.add(
            line.case,
            "–" if before is None else f"{before.instructions:.1f}",
            "–" if after is None else f"{after.instructions:.1f}",
            change,
            "" if after is None else _calls_out(before, after),
            line.verdict,
        )
    return result


def _calls_out(before: Count | None, after: Count) -> str:
    if before is None or before.calls_out == after.calls_out:
        return f"{after.calls_out:.2f}"
    return f"{before.calls_out:.2f} → {after.calls_out:.2f}"


def count(valgrind: Path) -> dict[str, Count]:
    """Count all cases, in one process."""
    costs = callgrind.sections(valgrind, probe(TURNS, CASES), len(CASES))
    counts = {}
    for (kind, name), cost in zip(CASES, costs, strict=True):
        calls = TURNS * len(KINDS[kind].keys)
        if not cost.own:
            raise RuntimeError(f"{name}, {kind}: none of the extension's code was seen to run")
        counts[f"{KINDS[kind].title}, {name}"] = Count(
            round(cost.own / calls, 3), round(cost.calls_out / calls, 3)
        )
    return counts


def load(path: Path) -> tuple[dict[str, Count], dict[str, str]]:
    """The committed counts, and what they were made with."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: Count(**one) for name, one in found["hits"].items()}, found["made_with"]


def save(path: Path, counts: dict[str, Count], made_with: dict[str, str]) -> None:
    hits = {name: asdict(one) for name, one in counts.items()}
    text = json.dumps({"made_with": made_with, "hits": hits}, indent=1, ensure_ascii=False)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def made_with() -> dict[str, str]:
    """What the counts may depend on beside the sources."""
    try:
        told = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False)
        compiler = " ".join(told.stdout.split()[:2])
    except OSError:
        compiler = ""
    try:
        clock = CLOCK.read_text(encoding="ascii").strip()
    except OSError:
        clock = ""
    return {
        "compiler": compiler or "unknown",
        "python": machine.interpreter()["version"],
        "clock": clock or "unknown",
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.perf_check")
    parser.add_argument(
        "--accept", action="store_true", help="make what is counted now the committed counts"
    )
    arguments = parser.parse_args(argv)
    path = FOLDER / f"{machine.section_key(machine.describe())}.json"
    shown = path.relative_to(ROOT)
    valgrind = callgrind.program() or _fetched()
    if valgrind is None:
        return _skipped("valgrind is not installed (Debian: apt-get install valgrind)")
    if not path.exists() and not arguments.accept:
        return _skipped(
            f"no counts are committed for this interpreter. To add {shown}: {ACCEPT}, with PYTHON=…"
            " for another interpreter than the default, and commit the file"
        )
    counted = count(valgrind)
    now = made_with()
    committed, then = load(path) if path.exists() else ({}, now)
    lines = compare(committed, counted)
    print(table(lines).text())
    print("Instructions of the extension itself, a hit.")
    if arguments.accept:
        save(path, counted, now)
        print(f"perf-check: accepted; commit {shown}")
        return 0
    if failed(lines):
        for what, before in then.items():
            if before != now[what]:
                print(f"A reason may be: {what} was {before}, and is {now[what]}.")
        print(f"perf-check: FAILED, beyond +{TOLERANCE:.0%}. If it is worth it: {ACCEPT}")
        return 1
    print("perf-check: ok")
    return 0


def _fetched() -> Path | None:
    """Valgrind from Debian's package; only continuous integration downloads unasked."""
    if not os.environ.get("CI"):
        return None
    subprocess.run([str(ROOT / "scripts" / "get-valgrind")], check=False)
    return callgrind.program()


def _skipped(reason: str) -> int:
    print(f"perf-check: SKIPPED, nothing was compared: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
