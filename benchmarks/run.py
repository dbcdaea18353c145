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


def measure(parts: Sequence[str], options: Options) -> dict[str, Any]:
    """The whole run, in the form that is written to JSON."""
    about = machine.describe()
    about["packages"] = contenders.versions()
    measured, failed = [], []
    for name in parts:
        result = _part(name, options)
        if result is None:
            failed.append(name)
        else:
            measured.append(result.as_json())
    return {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": about,
        "parts": measured,
        "failed": failed,
    }


def update(run: dict[str, Any], old: dict[str, Any]) -> None:
    """Add the parts of an earlier run; only if machine, interpreter and versions are the same."""
    if old["schema"] != SCHEMA or old["machine"] != run["machine"]:
        raise ValueError("the earlier run is of another machine, interpreter or set of versions")
    parts = {part["part"]: part for part in (*old["parts"], *run["parts"])}
    run["parts"] = [parts[name] for name in NAMES if name in parts]


def worker(name: str, options: Options, output: Path) -> None:
    """Measure one part in this process."""
    result = PartResult(name)
    before = machine.conditions()
    load(name).run(Harness(options, result))
    result.conditions = {
        "rounds": options.rounds,
        "sample_ms": options.sample_ms,
        "processes": 1,
        "cpus_usable": machine.usable_cpus(),
        "load_before": [before["load"]],
        "gil_enabled_before": before["gil_enabled"],
        "gil_enabled_after": machine.conditions()["gil_enabled"],
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
