"""Runs the tests of other packages with what is ours in the place of theirs.

usage: python -m scripts.peer_suites peers|frameworks [PACKAGE …]      by the interpreter that the
build is for

Prints how many passed and which did not. A test that does not pass is red unless it is listed with
a reason (`exceptions.py`, `frameworks/exceptions.py`), and so is one that passes although it is
listed, and another number of those that pass than the table has. What pytest said is kept beside
the downloads, in the folder `peer-suites` of the build. Suites for a newer interpreter are run by
such a one, if there is one, with a build that is made for it.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from scripts.peer_suites.elsewhere import Elsewhere
from scripts.peer_suites.fetch import ROOT, TARGET, UV, tests_of
from scripts.peer_suites.suite import Suite
from scripts.peer_suites.table import GROUPS

HERE = Path(__file__).parent
# Most of them sleep more than they work.
AT_ONCE = int(os.environ.get("WARP_CACHE_SUITES") or 3)


def main(group: str, wanted: Sequence[str]) -> int:
    suites = GROUPS[group]
    packages = sorted({suite.package for suite in suites})
    unknown = sorted(set(wanted) - set(packages))
    if unknown:
        print(f"there are suites of {', '.join(packages)}, not of {', '.join(unknown)}")
        return 2
    chosen = [
        suite
        for suite in suites
        if (not wanted or suite.package in wanted) and sys.version_info[:2] < suite.below
    ]
    newer = [suite for suite in chosen if suite.python > sys.version_info[:2]]
    # One after the other: a download, and environments that have most packages in common.
    tasks = [
        (suite.name, partial(_run, suite, _ready(suite))) for suite in chosen if suite not in newer
    ]
    if newer:
        elsewhere = Elsewhere(group, newer)
        elsewhere.build()
        tasks.insert(0, ("those by another interpreter", elsewhere.run))
    red = []
    with ThreadPoolExecutor(AT_ONCE if group == "frameworks" else 1) as pool:
        ends = [(name, pool.submit(task)) for name, task in tasks]
        for name, end in ends:
            said = end.result()
            print("\n".join(said), flush=True)
            if any(line.startswith("   RED: ") for line in said):
                red.append(name)
    print(f"suites not as expected: {'; '.join(red)}" if red else "all as expected")
    return 1 if red else 0


def _ready(suite: Suite) -> list[Path] | None:
    """The files with its tests; None where there are none for this interpreter."""
    found: list[Path] = []
    for files in suite.files:
        if files.startswith(f"{HERE.name}/"):
            found.append(HERE.parent / files)
            continue
        tests = tests_of(suite.package)
        if tests is None:
            return None
        found += sorted(tests.glob(files))
    return found


def _run(suite: Suite, files: list[Path] | None) -> list[str]:
    """What is printed of a suite."""
    if files is None:
        return [f"== {suite.name}: no release is pinned for this interpreter"]
    began = time.monotonic()
    try:
        found = _outcomes(suite, [str(path) for path in files])
    except RuntimeError as error:
        return [f"== {suite.name}", f"   RED: {error}"]
    late = sorted(_of(found, "failed") - suite.excepted.keys())
    if late:
        # They sleep, and take for granted that the machine has time for them meanwhile.
        where = {path.name: str(path) for path in files}
        again = [where[name.partition("::")[0]] + "::" + name.partition("::")[2] for name in late]
        found.update(_outcomes(suite, again))
    passed, failed = _of(found, "passed"), _of(found, "failed")
    run = len(passed) + len(failed)
    skipped = f", {len(found) - run} skipped" if len(found) > run else ""
    took = time.monotonic() - began
    said = [f"== {suite.name}: {len(passed)} of {run} passed{skipped}, {took:.0f} s"]
    for reason, names in itertools.groupby(suite.excepted, suite.excepted.__getitem__):
        said.append(f"   not passed: {reason}")
        said += [f"      {name}" for name in sorted(failed.intersection(names))]
    said += [f"   tried twice: {name}" for name in late]
    return said + [f"   RED: {line}" for line in unexpected(suite, found)]


def unexpected(suite: Suite, found: Mapping[str, str]) -> list[str]:
    """What is not as the list of exceptions says; found: how each test ended."""
    passed, failed = _of(found, "passed"), _of(found, "failed")
    listed = suite.excepted.keys()
    wrong = [f"{name} fails, and is not listed" for name in failed - listed]
    wrong += [f"{name} passes, and is listed" for name in passed & listed]
    wrong += [f"{name} is listed, and did not run" for name in listed - passed - failed]
    if len(passed) != suite.passes:
        wrong.append(f"{suite.passes} were to pass, not {len(passed)}")
    return sorted(wrong)


def _of(outcomes: Mapping[str, str], outcome: str) -> set[str]:
    return {name for name, ended in outcomes.items() if ended == outcome}


def _outcomes(suite: Suite, tests: Sequence[str]) -> dict[str, str]:
    """How each test ended, in a process and with a directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "outcomes.json"
        environment = {
            **os.environ,
            "WARP_CACHE_STAND_IN": f"{suite.module}:{suite.ours}",
            "WARP_CACHE_OUTCOMES": str(output),
            "WARP_CACHE_DIR": folder,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
        command = [str(UV), "run", "--quiet", "--no-sync", "--project", str(ROOT)]
        command += ["--python", sys.executable]
        for needed in suite.needs:
            command += ["--with", needed]
        command += ["python", "-m", "pytest", "--quiet", "--tb=short"]
        command += [] if suite.fixtures else ["--noconftest"]
        command += [
            "-p",
            "scripts.peer_suites.outcomes",
            "-p",
            f"scripts.peer_suites.{suite.plugin}",
        ]
        command += [
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--timeout",
            "120",
            *suite.options,
            *tests,
        ]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        (TARGET / f"{suite.name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        # 1: some tests failed.
        if done.returncode not in (0, 1) or not output.is_file():
            raise RuntimeError(f"pytest failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        found: dict[str, str] = json.loads(output.read_text(encoding="utf-8"))
        return found


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in GROUPS:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
