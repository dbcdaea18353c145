"""Gives each test of this folder its time limit, and processes that are told what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import support

# The children of the shared tier's tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "shared"))

from children import Children  # noqa: E402


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(tmp_path) as children:
        yield children
