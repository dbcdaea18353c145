"""A plugin of pytest: writes down how each test ended.

`WARP_CACHE_OUTCOMES` names the file, which maps the name of a test to "passed", "failed" or
"skipped".
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

_outcomes: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # With the name of the file, and without its folders.
    file, _, test = report.nodeid.partition("::")
    name = f"{Path(file).name}::{test}"
    if report.failed or (report.skipped and report.when != "teardown"):
        _outcomes[name] = report.outcome
    elif report.when == "call":
        _outcomes.setdefault(name, "passed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return  # what runs the workers hears of all their tests
    text = json.dumps(_outcomes, indent=1)
    Path(os.environ["WARP_CACHE_OUTCOMES"]).write_text(text, encoding="utf-8")
