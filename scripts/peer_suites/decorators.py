"""A plugin of pytest: puts a decorator's stand-in in the peer's place.

`WARP_CACHE_STAND_IN` names the peer's module and our decorator (`async_lru:cache`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from scripts.peer_suites import stand_ins


def pytest_configure() -> None:
    module, _, decorator = os.environ["WARP_CACHE_STAND_IN"].partition(":")
    stand_in = getattr(stand_ins, module)(stand_ins.OURS[decorator])
    sys.modules[module] = stand_in
    if module == "cachetools":
        sys.modules["cachetools.func"] = stand_in.func


@pytest.fixture
def check_lru() -> Callable[..., None]:
    """async-lru's own, but for the number of running tasks, which it alone keeps."""

    def check(
        wrapped: Any, *, hits: int, misses: int, cache: int, tasks: int, maxsize: int | None = 128
    ) -> None:
        assert wrapped.cache_info() == (hits, misses, maxsize, cache)

    return check
