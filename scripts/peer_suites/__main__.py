"""Runs the tests of async-lru and cachetools with our decorators in the place of theirs.

usage: python -m scripts.peer_suites [PACKAGE …]      by the interpreter that the build is for

Prints how many passed and which did not. A test that does not pass is red unless `exceptions.py`
lists it with a reason, and so is one that passes although it is listed. What pytest said is kept
beside the downloads, in the folder `peer-suites` of the build.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.peer_suites import exceptions
from scripts.peer_suites.fetch import ROOT, TARGET, UV, tests_of

PYTEST_ASYNCIO = "pytest-asyncio==1.5.0"
# As async-lru has them: coroutine functions are tests, and warnings are errors. But what a failed
# test leaves behind (a coroutine that nobody awaits) is no failure of the next one.
SETTINGS = (
    *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
    *("-W", "error", "-W", "default::pytest.PytestUnraisableExceptionWarning"),
)


@dataclass(frozen=True)
class Suite:
    """The tests of one peer that are run with one of our decorators."""

    package: str
    part: str
    decorator: str
    # By which names its files are found.
    files: str
    # Test by test, why it cannot pass.
    excepted: Mapping[str, str]
    # How many have to pass; a suite that lost its tests is no green one.
    least: int

    @property
    def name(self) -> str:
        return f"{self.package}, {self.part}, by {self.decorator}"

    @property
    def module(self) -> str:
        return self.package.replace("-", "_")


# Of async-lru, the tests of its private class stand apart: they are no contract.
PUBLIC, INSIDE = "test_[!i]*.py", "test_internals.py"

SUITES = (
    Suite("async-lru", "public", "cache", PUBLIC, exceptions.ASYNC_LRU_BY_CACHE, 52),
    Suite("async-lru", "public", "lru_cache", PUBLIC, exceptions.ASYNC_LRU_BY_LRU_CACHE, 42),
    Suite("async-lru", "internals", "cache", INSIDE, exceptions.ASYNC_LRU_INSIDE, 4),
    Suite("async-lru", "internals", "lru_cache", INSIDE, exceptions.ASYNC_LRU_INSIDE, 4),
    Suite("cachetools", "func", "cache", "test_func.py", exceptions.CACHETOOLS_BY_CACHE, 46),
    Suite(
        "cachetools", "func", "lru_cache", "test_func.py", exceptions.CACHETOOLS_BY_LRU_CACHE, 31
    ),
)


def main(wanted: Sequence[str]) -> int:
    packages = sorted({suite.package for suite in SUITES})
    unknown = sorted(set(wanted) - set(packages))
    if unknown:
        print(f"there are suites of {', '.join(packages)}, not of {', '.join(unknown)}")
        return 2
    chosen = [suite for suite in SUITES if not wanted or suite.package in wanted]
    red = [suite.name for suite in chosen if not _is_as_expected(suite)]
    print(f"peers' suites not as expected: {'; '.join(red)}" if red else "all as expected")
    return 1 if red else 0


def _is_as_expected(suite: Suite) -> bool:
    tests = tests_of(suite.package)
    if tests is None:
        print(f"== {suite.name}: no release is pinned for this interpreter")
        return True
    found = _outcomes(suite, tests, sorted(path.name for path in tests.glob(suite.files)))
    late = sorted(_of(found, "failed") - suite.excepted.keys())
    if late:
        # They sleep, and take for granted that the machine has time for them meanwhile.
        found.update(_outcomes(suite, tests, late))
    passed, failed = _of(found, "passed"), _of(found, "failed")
    run = len(passed) + len(failed)
    skipped = f", {len(found) - run} skipped" if len(found) > run else ""
    print(f"== {suite.name}: {len(passed)} of {run} passed{skipped}")
    for reason, names in itertools.groupby(suite.excepted, suite.excepted.__getitem__):
        print(f"   not passed: {reason}")
        for name in sorted(failed.intersection(names)):
            print(f"      {name}")
    for name in late:
        print(f"   tried twice: {name}")
    wrong = unexpected(suite, found)
    for line in wrong:
        print(f"   RED: {line}")
    return not wrong


def unexpected(suite: Suite, found: Mapping[str, str]) -> list[str]:
    """What is not as the list of exceptions says; found: how each test ended."""
    passed, failed = _of(found, "passed"), _of(found, "failed")
    listed = suite.excepted.keys()
    wrong = [f"{name} fails, and is not listed" for name in failed - listed]
    wrong += [f"{name} passes, and is listed" for name in passed & listed]
    wrong += [f"{name} is listed, and did not run" for name in listed - passed - failed]
    if len(passed) < suite.least:
        wrong.append(f"{suite.least} at least were to pass")
    return sorted(wrong)


def _of(outcomes: Mapping[str, str], outcome: str) -> set[str]:
    return {name for name, ended in outcomes.items() if ended == outcome}


def _outcomes(suite: Suite, tests: Path, names: Sequence[str]) -> dict[str, str]:
    """How each test ended, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "outcomes.json"
        environment = {
            **os.environ,
            "WARP_CACHE_STAND_IN": f"{suite.module}:{suite.decorator}",
            "WARP_CACHE_OUTCOMES": str(output),
            "PYTHONPATH": str(ROOT),
        }
        command = [str(UV), "run", "--quiet", "--no-sync", "--project", str(ROOT)]
        command += ["--python", sys.executable, "--with", PYTEST_ASYNCIO, "python", "-m", "pytest"]
        command += [
            "--quiet",
            "--tb=short",
            "-p",
            "scripts.peer_suites.plugin",
            "-p",
            "no:cacheprovider",
        ]
        command += ["-c", os.devnull, "--rootdir", str(tests), *SETTINGS]
        command += [str(tests / name) for name in names]
        done = subprocess.run(
            command, cwd=tests, env=environment, capture_output=True, text=True, check=False
        )
        # 1: some tests failed.
        if done.returncode not in (0, 1) or not output.is_file():
            raise SystemExit(f"{suite.name}: pytest failed\n{done.stdout}{done.stderr}")
        (TARGET / f"{suite.name}.log").write_text(done.stdout, encoding="utf-8")
        found: dict[str, str] = json.loads(output.read_text(encoding="utf-8"))
        return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
