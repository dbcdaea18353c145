"""Limits' memory storages are ours while its tests run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import limits.aio.storage
import limits.storage
import pytest
from limits._storage_scheme import SCHEMES

from scripts.peer_suites.frameworks import fresh
from warp_cache.limits import AsyncWarpStorage, WarpStorage


class MemoryStorage(WarpStorage):
    """Each with a new cache, as the one that it stands for; a pickled copy has the same one."""

    STORAGE_SCHEME = ["memory"]

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any
    ) -> None:
        named = uri is not None and uri.startswith("warp:")
        super().__init__(uri if named else f"warp://{fresh.name()}", wrap_exceptions, **options)


class AsyncMemoryStorage(AsyncWarpStorage):
    STORAGE_SCHEME = ["async+memory"]

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any
    ) -> None:
        named = uri is not None and uri.startswith("warp:")
        super().__init__(uri if named else f"warp://{fresh.name()}", wrap_exceptions, **options)


SCHEMES["memory"], SCHEMES["async+memory"] = MemoryStorage, AsyncMemoryStorage
limits.storage.MemoryStorage = MemoryStorage
limits.aio.storage.MemoryStorage = AsyncMemoryStorage


def pytest_load_initial_conftests(args: list[str]) -> None:
    # Its tests import `tests.utils`.
    for arg in args:
        for parent in Path(arg.partition("::")[0]).parents:
            if parent.name == "tests":
                sys.path.insert(0, str(parent.parent))


def pytest_configure(config: pytest.Config) -> None:
    for name in (
        *("unit", "integration", "redis", "redis_sentinel", "redis_cluster", "memory", "mongodb"),
        *(
            "memcached",
            "valkey",
            "valkey_cluster",
            "valkey_sentinel",
            "flaky",
            "benchmark",
            "integration",
        ),
    ):
        config.addinivalue_line("markers", f"{name}: limits' own")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only those of the memory storage, of which a server is no part."""
    servers = {
        "redis",
        "redis_sentinel",
        "redis_cluster",
        "mongodb",
        "memcached",
        "valkey",
        "valkey_cluster",
    }
    kept = [
        item
        for item in items
        if not servers.intersection(mark.name for mark in item.iter_markers())
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
