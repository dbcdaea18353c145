"""Gives each test of this folder its time limit; its cache directory comes from the one above."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import support
from children import Children


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Starts Python processes that are told what to do; none outlives the test."""
    with Children(tmp_path) as children:
        yield children
