"""Gives each test of this folder its time limit."""

from __future__ import annotations

from pathlib import Path

import pytest
import support


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)
