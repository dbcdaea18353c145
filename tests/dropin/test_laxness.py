"""What functools.lru_cache takes, this one takes as well, and does the same with it."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import warp_cache

lru_cache: Any = warp_cache.lru_cache


class Truth:
    """Something that is true, or not."""

    def __init__(self, truth: bool) -> None:
        self.truth = truth

    def __bool__(self) -> bool:
        return self.truth


class Unclear:
    def __bool__(self) -> bool:
        raise ZeroDivisionError


def outcome(decorator: Any, **options: Any) -> Any:
    cached = decorator(**options)(lambda x: x)
    for x in (1, 1.0, True, 1):
        cached(x)
    return tuple(cached.cache_info())


@pytest.mark.parametrize(
    "typed", [0, 1, 2, None, "", "typed", [], [0], 1.5, 0.0, Truth(True), Truth(False), object]
)
def test_typed_is_true_or_false_whatever_it_is(typed: Any) -> None:
    assert outcome(lru_cache, typed=typed) == outcome(functools.lru_cache, typed=typed)
    cached = lru_cache(typed=typed)(lambda x: x)
    assert cached.cache_parameters()["typed"] is bool(typed)


def test_what_is_neither_raises_its_own_error() -> None:
    with pytest.raises(ZeroDivisionError):
        lru_cache(typed=Unclear())(lambda x: x)


@pytest.mark.parametrize("maxsize", [None, 0, 1, -1, True, False, -(2**70)])
def test_sizes(maxsize: Any) -> None:
    assert outcome(lru_cache, maxsize=maxsize) == outcome(functools.lru_cache, maxsize=maxsize)


def test_cache_says_what_its_flags_must_be() -> None:
    make: Any = warp_cache.cache
    for wrong in (1, None, "typed"):
        with pytest.raises(TypeError, match="typed must be a bool"):
            make(typed=wrong)
    with pytest.raises(TypeError, match="single_flight must be a bool, got None"):
        make(single_flight=None)
