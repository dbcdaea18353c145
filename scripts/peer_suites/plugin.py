"""A plugin of pytest: puts the stand-in in the peer's place, and writes down how each test ended.

`WARP_CACHE_STAND_IN` names the peer's module and our decorator (`async_lru:cache`),
`WARP_CACHE_OUTCOMES` the file, which maps the name of a test to "passed", "failed" or "skipped".
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.peer_suites import stand_ins

_outcomes: dict[str, str] = {}


def pytest_configure() -> None:
    module, _, decorator = os.environ["WARP_CACHE_STAND_IN"].partition(":")
    stand_in = getattr(stand_ins, module)(stand_ins.OURS[decorator])
    sys.modules[module] = stand_in
    if module == "cachetools":
        sys.modules["cachetools.func"] = stand_in.func


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # With the name of the file, and without its folders.
    file, _, test = report.nodeid.partition("::")
    name = f"{Path(file).name}::{test}"
    if report.failed or (report.skipped and report.when != "teardown"):
        _outcomes[name] = report.outcome
    elif report.when == "call":
        _outcomes.setdefault(name, "passed")


def pytest_sessionfinish() -> None:
    text = json.dumps(_outcomes, indent=1)
    Path(os.environ["WARP_CACHE_OUTCOMES"]).write_text(text, encoding="utf-8")


@pytest.fixture
def check_lru() -> Callable[..., None]:
    """async-lru's own, but for the number of running tasks, which it alone keeps."""

    def check(
        wrapped: Any, *, hits: int, misses: int, cache: int, tasks: int, maxsize: int | None = 128
    ) -> None:
        assert wrapped.cache_info() == (hits, misses, maxsize, cache)

    return check
