"""What every test shares: a cache directory, a small heap, hypothesis' profile, a marker."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import support
from hypothesis import HealthCheck, configuration, settings
from support import small_heap as small_heap
from support import waits as waits

settings.register_profile(
    "warp_cache",
    max_examples=support.examples(100),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("warp_cache")

# A shell's job in the background inherits an ignored SIGINT, and what the tests start would, too.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Functions that are decorated while modules are collected must not see the user's caches either.
_COLLECTION_DIR = tempfile.mkdtemp(prefix="warp_cache_tests_")
os.environ["WARP_CACHE_DIR"] = _COLLECTION_DIR


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "long: takes minutes; runs only with WARP_CACHE_LONG=1 or -m long"
    )
    cache = getattr(config, "cache", None)
    if cache is not None:  # its folder ignores itself in git; hypothesis' own would not
        configuration.set_hypothesis_home_dir(cache.mkdir("hypothesis"))


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_COLLECTION_DIR, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("WARP_CACHE_LONG") == "1" or "long" in (config.option.markexpr or ""):
        return
    dropped = [item for item in items if item.get_closest_marker("long")]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


@pytest.fixture(autouse=True)
def cache_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache directory for this test alone; child processes inherit it."""
    with tempfile.TemporaryDirectory(
        prefix="warp_cache_test_", ignore_cleanup_errors=True
    ) as parent:
        path = Path(parent, "cache")
        monkeypatch.setenv("WARP_CACHE_DIR", str(path))
        yield path
