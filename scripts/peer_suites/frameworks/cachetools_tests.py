"""cachetools' tests of its base class and of its decorators, with our object as the cache."""

from __future__ import annotations

import unittest
from typing import Any

from tests.test_cached import DecoratorTestMixin
from tests.test_cachedmethod import MethodDecoratorTestMixin

from scripts.peer_suites.frameworks.cachetools import Cache
from tests import CacheTestMixin  # type: ignore[attr-defined]


class CacheTest(unittest.TestCase, CacheTestMixin):
    Cache = Cache


class CachedTest(unittest.TestCase, DecoratorTestMixin):
    def cache(self, minsize: int) -> Cache:
        return Cache(minsize)


class CachedMethodTest(unittest.TestCase, MethodDecoratorTestMixin):
    def cache(self, minsize: int, **options: Any) -> Cache:
        return Cache(minsize, **options)
