"""Gives each test of this folder its time limit, and caches of each tier."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import support

import warp_cache
from warp_cache import Cache, _configuration

sys.path.append(str(Path(__file__).resolve().parents[1] / "remote"))
import servers  # noqa: E402

_numbers = itertools.count()
# Seconds of what has no end, on a server.
NO_END = 10 * 365 * 24 * 3600


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)


@pytest.fixture(scope="session")
def one_server() -> Iterator[servers.Server]:
    """One server for all tests of this folder: each cache has a name of its own."""
    with servers.one_of_any_kind() as server:
        yield server


@pytest.fixture
def configured(one_server: servers.Server) -> Iterator[servers.Server]:
    """That server, configured for this process while a test runs."""
    before = dict(_configuration.settings)
    # Tests are no place for a bound that a loaded machine may miss.
    warp_cache.configure(remote=one_server.url, timeout=5.0)
    yield one_server
    _configuration.settings.clear()
    _configuration.settings.update(before)


def _maker(tier: str) -> Callable[..., Cache[Any, Any]]:
    def make(max_size: int | None = 128, **options: Any) -> Cache[Any, Any]:
        if tier == "memory":
            return Cache(max_size, **options)
        options = {"name": f"object{next(_numbers)}", **options}
        if tier == "shared":
            return Cache(max_size, backend="shared", **options)
        if "tti" in options:
            pytest.skip("a server does not know when an entry was last used")
        backend = "shared" if tier == "remote, shared" else "memory"
        return Cache(max_size, remote=True, backend=backend, **{"ttl": NO_END, **options})

    return make


@pytest.fixture(params=["memory", "shared", "remote", "remote, shared"])
def make(request: pytest.FixtureRequest) -> Callable[..., Cache[Any, Any]]:
    """Makes caches of a tier; each that others can find has a name of its own."""
    if request.param.startswith("remote"):
        request.getfixturevalue("configured")
    return _maker(request.param)


@pytest.fixture(params=["memory", "shared"])
def make_here(request: pytest.FixtureRequest) -> Callable[..., Cache[Any, Any]]:
    """The same of the tiers where all entries are known: which there are, and which leave."""
    return _maker(request.param)
