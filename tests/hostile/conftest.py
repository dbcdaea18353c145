"""Gives each test of this folder its time limit and a heap that is quickly collected."""

from __future__ import annotations

from pathlib import Path

import pytest
import support

small_heap = support.small_heap


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)
