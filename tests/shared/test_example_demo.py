"""The part of the demo that shares a cache between processes, with a few files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import support

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

_RUN = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import processes
processes.PART = 40
sys.exit(processes.run_all())
"""


def test_what_one_process_computes_the_others_need_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN], capture_output=True, text=True, timeout=2 * support.LIMIT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    files = int(re.findall(r"^(\d+) of these files", done.stdout, re.MULTILINE)[0])
    # Calls, computed, by others.
    rows = [
        list(map(int, found))
        for found in re.findall(
            r"run +(\d+) +(\d+) +(\d+) +[\d.]+ +\S+$", done.stdout, re.MULTILINE
        )
    ]
    assert len(rows) == 4
    assert [row[1:] for row in rows[:2]] == [[4 * files, 0]] * 2
    # On a machine too busy to give a writer its turn within its bound, something is computed twice.
    (_, first, others), (_, second, again) = rows[2:]
    assert files <= first <= files + 4 and others + first >= 4 * files
    assert second <= 4 and again >= 4 * files - 4
