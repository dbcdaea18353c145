"""The demo with a few files: what it says is saved is the same in every run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import support

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

_START = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import demo, library, processes
"""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _START + program],
        capture_output=True,
        text=True,
        timeout=2 * support.LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_threads_and_coroutines_compute_each_file_once() -> None:
    said = run("library.MAX_BYTES = 300_000\nprocesses.run_all = int\nsys.exit(demo.main())")
    files = re.findall(r"^([\d,]+) files of the standard library", said)[0]
    calls = re.findall(r"^no cache +([\d,]+) +([\d,]+) +0 ", said, re.MULTILINE)[0]
    assert calls[0] == calls[1], "without a cache each call computes"
    lines = re.findall(
        r"^(.*): [\d,]+ of ([\d,]+) computations saved \(\d+%\); "
        r"([\d,]+) were done, for (.+) files$",
        said,
        re.MULTILINE,
    )
    assert lines == [
        ("warp_cache", calls[0], files, files),
        ("warp_cache, async", calls[0], files, files),
    ]


def test_what_one_process_computes_the_others_need_not() -> None:
    said = run("processes.PART = 40\nsys.exit(processes.run_all())")
    files = int(re.findall(r"^(\d+) of these files", said, re.MULTILINE)[0])
    # Calls, computed, by others.
    rows = [
        list(map(int, found))
        for found in re.findall(r"run +(\d+) +(\d+) +(\d+) +[\d.]+ +\S+$", said, re.MULTILINE)
    ]
    assert len(rows) == 4
    assert [row[1:] for row in rows[:2]] == [[4 * files, 0]] * 2
    # On a machine too busy to give a writer its turn within its bound, something is computed twice.
    (_, first, others), (_, second, again) = rows[2:]
    assert files <= first <= files + 4 and others + first >= 4 * files
    assert second <= 4 and again >= 4 * files - 4
