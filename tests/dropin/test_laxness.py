"""Sizes that functools.lru_cache takes do the same here; a flag says what it must be."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import warp_cache

lru_cache: Any = warp_cache.lru_cache


def outcome(decorator: Any, **options: Any) -> Any:
    cached = decorator(**options)(lambda x: x)
    for x in (1, 1.0, True, 1):
        cached(x)
    return tuple(cached.cache_info())


@pytest.mark.parametrize("maxsize", [None, 0, 1, -1, True, False, -(2**70)])
def test_sizes(maxsize: Any) -> None:
    assert outcome(lru_cache, maxsize=maxsize) == outcome(functools.lru_cache, maxsize=maxsize)


@pytest.mark.parametrize("make", [warp_cache.cache, warp_cache.lru_cache])
def test_a_flag_says_what_it_must_be(make: Any) -> None:
    for wrong in (1, None, "typed"):
        with pytest.raises(TypeError, match="typed must be a bool"):
            make(typed=wrong)


def test_single_flight_of_cache_is_not_left_open() -> None:
    make: Any = warp_cache.cache
    with pytest.raises(TypeError, match="single_flight must be a bool, got None"):
        make(single_flight=None)
