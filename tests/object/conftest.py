"""Gives each test of this folder its time limit, and caches of both tiers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support

from warp_cache import Cache

_numbers = itertools.count()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)


@pytest.fixture(params=["memory", "shared"])
def make(request: pytest.FixtureRequest) -> Callable[..., Cache[Any, Any]]:
    """Makes caches of a tier; each of the shared one has a name of its own."""

    def make(max_size: int | None = 128, **options: Any) -> Cache[Any, Any]:
        if request.param == "shared":
            options = {"name": f"object{next(_numbers)}", **options}
        return Cache(max_size, backend=request.param, **options)

    return make
