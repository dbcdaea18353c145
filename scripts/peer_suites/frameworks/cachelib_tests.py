"""cachelib's tests of all its caches, of ours."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from scripts.peer_suites import fetch
from scripts.peer_suites.frameworks import fresh
from warp_cache.cachelib import SharedCache

sys.path.insert(0, str(fetch.tests_of("cachelib")))

from clear import ClearTests  # noqa: E402
from common import CommonTests  # noqa: E402
from delete_many_with_prefix import DeleteManyWithPrefixTests  # noqa: E402
from has import HasTests  # noqa: E402


def _with(**fixed: Any) -> Any:
    def factory(self: object, **options: Any) -> SharedCache:
        return SharedCache(fresh.name(), **{**fixed, **options})

    return factory


class TestShared(CommonTests, HasTests, ClearTests, DeleteManyWithPrefixTests):
    @pytest.fixture(autouse=True, params=[{}, {"key_prefix": "p:"}], ids=["plain", "prefix"])
    def _factory(self, request: pytest.FixtureRequest) -> None:
        request.cls.cache_factory = _with(**request.param)
