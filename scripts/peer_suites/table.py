"""All suites: of packages with decorators, for `make test-peers`, and of frameworks and caches, for
`make test-frameworks`.
"""

from __future__ import annotations

from scripts.peer_suites import exceptions
from scripts.peer_suites.frameworks.suites import FRAMEWORKS
from scripts.peer_suites.suite import Suite

__all__ = ["GROUPS"]

# As async-lru has them: coroutine functions are tests, and warnings are errors. But what a failed
# test leaves behind (a coroutine that nobody awaits) is no failure of the next one.
_NEEDS = ("pytest-asyncio==1.5.0",)
_OPTIONS = (
    *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
    *("-W", "error", "-W", "default::pytest.PytestUnraisableExceptionWarning"),
)
# Of async-lru, the tests of its private class stand apart: they are no contract.
_PUBLIC, _INSIDE = "test_[!i]*.py", "test_internals.py"

PEERS = tuple(
    Suite(package, part, decorator, "decorators", (files,), excepted, passes, _NEEDS, _OPTIONS)
    for package, part, decorator, files, excepted, passes in (
        ("async-lru", "public", "cache", _PUBLIC, exceptions.ASYNC_LRU_BY_CACHE, 52),
        ("async-lru", "public", "lru_cache", _PUBLIC, exceptions.ASYNC_LRU_BY_LRU_CACHE, 42),
        ("async-lru", "internals", "cache", _INSIDE, exceptions.ASYNC_LRU_INSIDE, 4),
        ("async-lru", "internals", "lru_cache", _INSIDE, exceptions.ASYNC_LRU_INSIDE, 4),
        ("cachetools", "func", "cache", "test_func.py", exceptions.CACHETOOLS_BY_CACHE, 46),
        ("cachetools", "func", "lru_cache", "test_func.py", exceptions.CACHETOOLS_BY_LRU_CACHE, 31),
    )
)

GROUPS = {"peers": PEERS, "frameworks": FRAMEWORKS}
