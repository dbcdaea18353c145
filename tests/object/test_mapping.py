"""CPython's own tests of mappings, against the cache object: a dict that happens to be bounded."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest

from warp_cache import Cache

mapping_tests = pytest.importorskip("test.mapping_tests")


class Unbounded(Cache[Any, Any]):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(max_size=None)
        self.update(*args, **kwargs)


class TestAsMapping(mapping_tests.TestHashMappingProtocol):  # type: ignore[misc]
    type2test = Unbounded
    # What a cache decides otherwise: how it is made and shown.
    test_constructor = None
    test_fromkeys = None
    test_repr = None
    test_repr_deep = None


def test_it_is_registered() -> None:
    cache = Cache[str, int]()
    assert isinstance(cache, MutableMapping)
    assert isinstance(cache, Mapping)
    with pytest.raises(TypeError):
        hash(cache)


def test_missing_of_a_subclass_is_asked_by_subscripts_alone() -> None:
    class Default(Cache[str, int]):
        def __missing__(self, key: str) -> int:
            return len(key)

    cache = Default()
    assert cache["four"] == 4
    assert cache.get("four") is None
    assert "four" not in cache


def test_a_subclass_that_forgets_super() -> None:
    class Forgetful(Cache[str, int]):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match="super"):
        Forgetful()["a"]
