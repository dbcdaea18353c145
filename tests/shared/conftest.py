"""Gives each test of this folder its time limit; its cache directory comes from the one above.

After each test no cache file may have been repaired more often than the test says that processes
died in it: `@pytest.mark.deaths(3)`, or `deaths(None)` where files are damaged; `Child.kill` counts
by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import support
from children import Child, Children
from repairs import check_repairs


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "deaths(n): how many processes die in a shared cache")


@pytest.fixture(autouse=True)
def repairs(request: pytest.FixtureRequest, cache_dir: Path) -> Iterator[None]:
    """Sees to it that no file is repaired unless somebody died."""
    killed = Child.killed
    yield
    marker = request.node.get_closest_marker("deaths")
    deaths = marker.args[0] if marker else 0
    if deaths is not None:
        check_repairs(cache_dir, deaths + Child.killed - killed)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Starts Python processes that are told what to do; none outlives the test."""
    with Children(tmp_path) as children:
        yield children
