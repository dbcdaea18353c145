"""Runs the parts, each in processes of its own, and puts together what they found."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import ROOT, contenders, machine
from benchmarks.files import Run
from benchmarks.harness import Harness, Options
from benchmarks.model import PartResult
from benchmarks.parts import NAMES, load

# Addresses and hash seeds differ from process to process, and some of them favour a contender by
# several per cent. So the rounds of a part are spread over this many processes.
PROCESSES = 5
QUICK_PROCESSES = 3
# A part that heeds its budget ends a little after it; one that takes this much longer is stopped.
GRACE_S = 10.0


class Failed(Exception):
    """A process of a part came to grief."""


class Stopped(Exception):
    """A process of a part was stopped, since it took much longer than its budget."""


def measure(
    parts: Sequence[str],
    options: Options,
    earlier: Run | None = None,
    total_s: float | None = None,
) -> Run:
    """The whole run.

    The parts of an earlier run that this one does not measure are kept, if it was made on the same
    machine with the same interpreter and versions. `total_s` seconds are shared out evenly, and
    what a part leaves goes to those after it.
    """
    about = machine.describe()
    about["packages"] = contenders.versions()
    kept = {}
    if earlier is not None:
        if earlier.machine == about:
            kept = {result.part: result for result in earlier.results}
        else:
            print("the earlier run was made under other conditions: dropped", file=sys.stderr)
    failed = []
    end = None if total_s is None else time.monotonic() + total_s
    for position, name in enumerate(parts):
        if end is not None:
            share = (end - time.monotonic()) / (len(parts) - position)
            options = replace(options, budget_s=max(1.0, share))
        try:
            kept[name] = _part(name, options)
        except Failed as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
            kept[name] = PartResult(
                name, notes=["the part failed; the run's error output says why"]
            )
    return Run(_today(), about, [kept[name] for name in NAMES if name in kept], failed)


def worker(name: str, options: Options, output: Path) -> None:
    """Measure one part in this process."""
    part = load(name)
    result = PartResult(name, part.title)
    before = machine.conditions()
    harness = Harness(options, result)
    part.run(harness)
    after = machine.conditions()
    for row in result.rows:
        row.blocks = [len(row.series[0].rounds)] if row.series else []
    result.conditions = {
        "date": _today(),
        "rounds": options.rounds,
        "sample_ms": options.sample_ms,
        "quick": options.quick,
        "processes": 1,
        "seconds": round(time.monotonic() - harness.begun, 1),
        "cpus_usable": machine.usable_cpus(),
        "load_before": [before["load"]],
        "load_after": [after["load"]],
        "gil_enabled_before": before["gil_enabled"],
        "gil_enabled_after": after["gil_enabled"],
    }
    output.write_text(json.dumps(result.as_json()), encoding="utf-8")


def _part(name: str, options: Options) -> PartResult:
    most = QUICK_PROCESSES if options.quick else PROCESSES
    processes = 1 if load(name).own_processes else min(most, options.rounds)
    total: PartResult | None = None
    if not sys.stderr.isatty():
        print(f"measuring {name}", file=sys.stderr)
    end = None if options.budget_s is None else time.monotonic() + options.budget_s
    for number in range(processes):
        # The rounds may not divide evenly; the first processes take one more.
        rounds = options.rounds // processes + (number < options.rounds % processes)
        share = None
        if end is not None:
            share = max(0.5, (end - time.monotonic()) / (processes - number))
        try:
            result = _process(name, replace(options, rounds=rounds, budget_s=share))
        except Stopped as error:
            total = total or PartResult(name)
            total.notes.append(str(error))
            return total
        if total is None:
            total = result
        else:
            total.extend(result)
    assert total is not None
    return total


def _process(name: str, options: Options) -> PartResult:
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "part.json"
        command = [sys.executable, "-W", "ignore:The global interpreter lock", "-m", "benchmarks"]
        command += ["--part", name]
        command += ["--worker", str(output), "--options", json.dumps(options.as_json())]
        limit = None if options.budget_s is None else options.budget_s * 1.5 + GRACE_S
        status = _wait(command, limit)
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        if status is None:
            raise Stopped(f"the part did not end within its {options.budget_s:.0f} s: stopped")
        if status or not output.exists():
            raise Failed(f"failed with status {status}")
        return PartResult.from_json(json.loads(output.read_text(encoding="utf-8")))


def _wait(command: Sequence[str], limit: float | None) -> int | None:
    """The status of a process; None if it was stopped at the limit, with all that it started."""
    # In a session of its own, so that a part's servers and workers end with it.
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # Also where the user has interrupted the run, which a session of its own does not hear.
            if process.poll() is None:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """First as Ctrl-C does, which lets a part remove its files and stop its servers.

    Then all that is left: what the part has started may outlive it.
    """
    if not hasattr(os, "killpg"):
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGINT)
        process.wait(5.0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()
