"""Processes that are killed and stopped at random moments while they use one cache.

The number of kills comes from WARP_KILLS (`make torture`); a few hundred without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import support

KILLS = int(os.environ.get("WARP_KILLS", "200"))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.mark.timeout(60 + KILLS)
@pytest.mark.deaths(KILLS)
def test_kills_and_stops(capsys: pytest.CaptureFixture[str]) -> None:
    script = Path(__file__).with_name("torture.py")
    done = subprocess.run(
        [sys.executable, "-Wignore", str(script), str(KILLS)],
        env=support._environment(None),
        capture_output=True,
        text=True,
        timeout=60 + KILLS,
    )
    support.check_clean(done)
    assert f"processes killed {KILLS}" in " ".join(done.stdout.split())
    with capsys.disabled():
        print(f"\n{done.stdout}")
