"""Runs the parts, each in processes of its own, and puts together what they found."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import ROOT, contenders, machine
from benchmarks.harness import Harness, Options
from benchmarks.model import PartResult
from benchmarks.parts import NAMES, load

SCHEMA = 1
# Addresses and hash seeds differ from process to process, and some of them favour a contender by
# several per cent. So the rounds of a part are spread over this many processes.
PROCESSES = 5


def measure(
    parts: Sequence[str], options: Options, earlier: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The whole run, in the form that is written to JSON.

    The parts of an earlier run that this one does not measure are kept, if it was made on the same
    machine with the same interpreter and versions.
    """
    about = machine.describe()
    about["packages"] = contenders.versions()
    kept = {}
    if earlier is not None:
        if earlier["schema"] == SCHEMA and earlier["machine"] == about:
            kept = {part["part"]: part for part in earlier["parts"]}
        else:
            print("the earlier run was made under other conditions: dropped", file=sys.stderr)
    failed = []
    for name in parts:
        result = _part(name, options)
        if result is None:
            failed.append(name)
            result = PartResult(name, notes=["the part failed; the run's error output says why"])
        kept[name] = result.as_json()
    return {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": about,
        "parts": [kept[name] for name in NAMES if name in kept],
        "failed": failed,
    }


def worker(name: str, options: Options, output: Path) -> None:
    """Measure one part in this process."""
    result = PartResult(name)
    before = machine.conditions()
    load(name).run(Harness(options, result))
    after = machine.conditions()
    result.conditions = {
        "rounds": options.rounds,
        "sample_ms": options.sample_ms,
        "processes": 1,
        "cpus_usable": machine.usable_cpus(),
        "load_before": [before["load"]],
        "load_after": [after["load"]],
        "gil_enabled_before": before["gil_enabled"],
        "gil_enabled_after": after["gil_enabled"],
    }
    output.write_text(json.dumps(result.as_json()), encoding="utf-8")


def _part(name: str, options: Options) -> PartResult | None:
    processes = 1 if load(name).own_processes else min(PROCESSES, options.rounds)
    total: PartResult | None = None
    if not sys.stderr.isatty():
        print(f"measuring {name}", file=sys.stderr)
    for number in range(processes):
        # The rounds may not divide evenly; the first processes take one more.
        rounds = options.rounds // processes + (number < options.rounds % processes)
        result = _process(name, replace(options, rounds=rounds))
        if result is None:
            return None
        if total is None:
            total = result
        else:
            total.extend(result)
    return total


def _process(name: str, options: Options) -> PartResult | None:
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "part.json"
        command = [sys.executable, "-W", "ignore:The global interpreter lock", "-m", "benchmarks"]
        command += ["--part", name]
        command += ["--worker", str(output), "--options", json.dumps(options.as_json())]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        if done.returncode or not output.exists():
            print(f"{name}: failed with status {done.returncode}", file=sys.stderr)
            return None
        return PartResult.from_json(json.loads(output.read_text(encoding="utf-8")))
