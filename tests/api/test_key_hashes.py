"""What this package computes of hashes by itself is what Python computes.

A stranger that says it is equal to an object, and hashes as Python says that object does, must find
the object's entry, and be found by the object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_cache import cache, lru_cache

EDGES = sorted(
    {
        sign * (base + delta)
        for base in (0, 2**15, 2**29, 2**30, 2**31, 2**59, 2**60, 2**61, 2**62, 2**63, 2**64, 2**90)
        for delta in (-3, -2, -1, 0, 1, 2, 3)
        for sign in (-1, 1)
    }
)


class Stranger:
    """Equal to one object, with its hash."""

    def __init__(self, twin: object) -> None:
        self.twin = twin

    def __hash__(self) -> int:
        return hash(self.twin)

    def __eq__(self, other: object) -> bool:
        return other is self.twin or (type(other) is type(self.twin) and other == self.twin)


class Plain:
    """Compared by identity."""


def meets(decorate: Callable[..., Any], value: object, *more: object) -> None:
    """The value and its stranger are one key, whoever comes first, alone or beside others."""
    if decorate is lru_cache and type(value) in (int, str) and not more:
        more = (None,)  # functools keeps these apart from what equals them where they stand alone
    for first, second in ((value, Stranger(value)), (Stranger(value), value)):
        f = decorate(lambda *args: object())
        assert f(first, *more) is f(second, *more)
        assert f(*more, first) is f(*more, second)
        assert f.cache_info().misses == (2 if more else 1)


both = pytest.mark.parametrize("decorate", [cache, lru_cache])


@both
@pytest.mark.parametrize("more", [(), (7,), ("x", -5), (2**40, 1.5, "y")])
def test_ints_at_the_edges_of_their_digits(
    decorate: Callable[..., Any], more: tuple[Any, ...]
) -> None:
    for value in EDGES:
        meets(decorate, value, *more)


@both
@given(st.integers())
def test_any_int(decorate: Callable[..., Any], value: int) -> None:
    meets(decorate, value)
    meets(decorate, value, "a", value + 1)


@both
@pytest.mark.parametrize("value", [Plain(), object(), Plain, lambda: None, len, "text", b"", 1.5])
def test_objects_of_other_kinds(decorate: Callable[..., Any], value: object) -> None:
    meets(decorate, value)
    meets(decorate, value, 3)
    meets(decorate, value, "a", -(2**50))


@both
def test_ints_and_floats_that_are_equal(decorate: Callable[..., Any]) -> None:
    for value in EDGES:
        if float(value) == value:
            f = decorate(lambda *args: object())
            assert (f(value) is f(float(value))) is (decorate is cache)
            assert f(float(value), 0) is f(value, 0)
