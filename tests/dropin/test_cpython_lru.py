"""CPython's own TestLRU, unchanged, with warp_cache.lru_cache in the place of functools'."""

from __future__ import annotations

import functools
import unittest
from typing import Any

import pytest

import warp_cache

cpython = pytest.importorskip(
    "test.test_functools",
    reason="this interpreter ships no test package: CPython's TestLRU did not run",
    exc_type=ImportError,
)


class _Functools:
    """The module TestLRU looks its names up in: functools, except for lru_cache.

    It is equal to the C functools: what a case demands of the C version alone is demanded here.
    """

    lru_cache = staticmethod(warp_cache.lru_cache)

    def __getattr__(self, name: str) -> Any:
        return getattr(functools, name)

    def __eq__(self, other: object) -> bool:
        return self is other or other is cpython.c_functools

    def __hash__(self) -> int:
        return id(self)


_module = _Functools()


@warp_cache.lru_cache()
def cached_func(x: int, y: int) -> int:
    return 3 * x + y


class TestLRUWarp(cpython.TestLRU, unittest.TestCase):  # type: ignore[misc,name-defined]
    module = _module
    cached_func = (cached_func,)

    @_module.lru_cache()
    def cached_meth(self, x: int, y: int) -> int:
        return 3 * x + y

    @staticmethod
    @_module.lru_cache()
    def cached_staticmeth(x: int, y: int) -> int:
        return 3 * x + y


def test_every_case_of_cpython_is_collected(request: pytest.FixtureRequest) -> None:
    wanted = {name for name in dir(cpython.TestLRU) if name.startswith("test")}
    assert len(wanted) >= 25
    assert wanted <= {name for name in dir(TestLRUWarp) if name.startswith("test")}
    overridden = wanted & set(vars(TestLRUWarp))
    assert not overridden, f"these cases are not CPython's own: {overridden}"
    collected = {
        item.name
        for item in request.session.items
        if item.path == request.path and item.name.startswith("test_lru")
    }
    if len(collected) > 1:  # a run of the whole file, not of single cases
        assert {name for name in wanted if name.startswith("test_lru")} <= collected


def test_the_stand_in_replaces_lru_cache_only() -> None:
    assert _module.lru_cache is warp_cache.lru_cache
    assert _module.partial is functools.partial
    assert _module.WRAPPER_ASSIGNMENTS is functools.WRAPPER_ASSIGNMENTS
    assert _module == cpython.c_functools
    assert _module is not cpython.py_functools
