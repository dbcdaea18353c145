"""The demo of two hosts says what it promises."""

from __future__ import annotations

import subprocess
import sys

import servers
import support


def test_the_demo_runs(program: str) -> None:
    done = subprocess.run(
        [sys.executable, str(servers.ROOT / "examples" / "remote" / "demo.py"), program],
        capture_output=True,
        text=True,
        timeout=3 * support.LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "computed 1 time" in done.stdout and "RemoteError" in done.stdout
    assert "one price for all again" in done.stdout
