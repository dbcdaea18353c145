"""Gives each test of this folder its time limit and a heap that is quickly collected."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import support


@pytest.fixture(autouse=True, scope="module")
def small_heap() -> Iterator[None]:
    """Hide what pytest itself holds from the collector: these tests collect thousands of times."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)
