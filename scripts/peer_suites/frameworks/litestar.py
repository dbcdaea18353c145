"""Litestar's stores are ours while its tests run. Where a test moves the clock, it waits."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from scripts.peer_suites.frameworks import fresh
from warp_cache.litestar import SharedStore


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group(name): its own")


class _Waits:
    def shift(self, seconds: float | timedelta) -> None:
        time.sleep(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)


@pytest.fixture
def frozen_datetime() -> _Waits:
    return _Waits()


@pytest.fixture
def store() -> SharedStore:
    return SharedStore(fresh.name(), namespace="LITESTAR")


@pytest.fixture
def memory_store(store: SharedStore) -> SharedStore:
    return store


@pytest.fixture
def redis_store(store: SharedStore) -> SharedStore:
    return store


@pytest.fixture
def file_store(store: SharedStore) -> SharedStore:
    return store


@pytest.fixture
def redis_client() -> Any:
    pytest.skip("a server of its own, not of ours")
