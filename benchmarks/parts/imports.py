"""What `import warp_cache` adds to the start of an interpreter, beside others and before."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import warp_cache
from benchmarks import before
from benchmarks.harness import Harness
from benchmarks.model import Row, Series

TITLE = "Import"
OWN_PROCESSES = True

MODULES = (
    "warp_cache",
    "functools",
    "cachetools",
    "cachebox",
    "moka_py",
    "theine",
    "async_lru",
    "aiocache",
    "cashews",
    "diskcache",
)


def run(harness: Harness) -> None:
    """Whole processes with and without the import, in pairs; then the import statement alone."""
    environment = _environment()
    _against_peers(harness, environment)
    _against_before(harness, environment)
    harness.figure("imports", "What an import costs", kind="bars", y_label="ms", rows=["wall"])


def _against_peers(harness: Harness, environment: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as elsewhere:
        modules = []
        for module in MODULES:
            # Also writes the bytecode, which is what a second start finds.
            done = _start(f"import {module}", elsewhere, environment)
            if done.returncode == 0:
                modules.append(module)
            else:
                harness.result.missing.append(f"{module}: does not import")
        wall: dict[str, list[float]] = {module: [] for module in modules}
        alone: dict[str, list[float]] = {module: [] for module in modules}
        for round_number in range(harness.options.rounds):
            if round_number and harness.out_of_time():
                harness.skip("some rounds of the imports")
                break
            harness.say(f"imports: round {round_number + 1} of {harness.options.rounds}")
            for module in modules:
                bare = _wall("pass", elsewhere, environment)
                wall[module].append(_wall(f"import {module}", elsewhere, environment) - bare)
                alone[module].append(_alone(module, elsewhere, environment))
    work = "import, beyond bare Python (process against process)"
    harness.add(Row("imports/wall", work, "ms", [Series(m, wall[m]) for m in modules]))
    work = "the import statement alone, CPU time"
    harness.add(Row("imports/statement", work, "ms", [Series(m, alone[m]) for m in modules]))


def _against_before(harness: Harness, environment: dict[str, str]) -> None:
    """Both from a folder on the path, so that they are found in the same way."""
    if not before.folder().is_dir():
        harness.result.missing.append(f"{before.NAME}: make bench-before builds it")
        return
    folders = {
        before.NAME: before.folder(),
        "warp_cache": Path(warp_cache.__file__).resolve().parent.parent,
    }
    wall: dict[str, list[float]] = {name: [] for name in folders}
    alone: dict[str, list[float]] = {name: [] for name in folders}
    with tempfile.TemporaryDirectory() as elsewhere:
        # The first round, which is not counted, looks what is imported, and warms up.
        for round_number in range(-1, harness.options.rounds):
            if round_number > 0 and harness.out_of_time():
                harness.skip("some rounds of the imports of before and now")
                break
            harness.say(f"imports, before: round {round_number + 1} of {harness.options.rounds}")
            for name, folder in folders.items():
                found = {**environment, "PYTHONPATH": str(folder)}
                if round_number < 0:
                    _require_from(folder, elsewhere, found)
                    continue
                bare = _wall("pass", elsewhere, found)
                wall[name].append(_wall("import warp_cache", elsewhere, found) - bare)
                alone[name].append(_alone("warp_cache", elsewhere, found))
    work = "import, beyond bare Python, now and before"
    harness.add(Row("imports/before", work, "ms", [Series(m, wall[m]) for m in folders]))
    work = "the import statement alone, CPU time, now and before"
    series = [Series(m, alone[m]) for m in folders]
    harness.add(Row("imports/before-statement", work, "ms", series))


def _require_from(folder: Path, elsewhere: str, environment: dict[str, str]) -> None:
    done = _start("import warp_cache; print(warp_cache.__file__)", elsewhere, environment)
    if done.returncode or folder not in Path(done.stdout.strip()).parents:
        raise AssertionError(f"not imported from {folder}: {done.stdout}{done.stderr}")


def _environment() -> dict[str, str]:
    """The caller's; with this package on the path if it is not installed."""
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as elsewhere:
        if _start("import warp_cache", elsewhere, environment).returncode:
            location = Path(warp_cache.__file__).resolve().parent.parent
            known = environment.get("PYTHONPATH")
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(location), known]))
    return environment


def _start(
    code: str, directory: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _wall(code: str, directory: str, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    _start(code, directory, environment)
    return (time.perf_counter() - start) * 1e3


def _alone(module: str, directory: str, environment: dict[str, str]) -> float:
    code = (
        "from time import process_time as clock\n"
        f"start = clock()\nimport {module}\nprint((clock() - start) * 1e3)"
    )
    return float(_start(code, directory, environment).stdout)
