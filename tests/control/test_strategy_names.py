"""`strategy` by its name, in any case (§2.1)."""

from __future__ import annotations

from typing import Any

import pytest
from control import cache, lru_cache, warp

Strategy = warp.Strategy


def survivors(strategy: Any) -> str:
    """Of "abc", what is left when d comes in: another pattern for most strategies."""
    f = cache(strategy=strategy, max_size=3)(lambda letter: letter)
    for letter in "abcaabd":
        f(letter)
    return "".join(letter for letter in "abcd" if f.cache_contains(letter))


def spelled(name: str) -> list[str]:
    return [name.lower(), name.upper(), name.capitalize(), name.swapcase()]


NAMES = [strategy.name for strategy in Strategy]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_any_case_is_its_strategy(name: str) -> None:
    expected = survivors(Strategy[name])
    assert {survivors(text) for text in spelled(name)} == {expected}


def test_the_names_are_those_of_the_enum() -> None:
    assert [name.lower() for name in NAMES] == [
        "lru",
        "mru",
        "fifo",
        "lfu",
        "sieve",
        "s3fifo",
        "tinylfu",
    ]
    seen = {name: survivors(name.lower()) for name in NAMES}
    assert seen["MRU"] == "acd" and seen["FIFO"] == "bcd" and seen["LRU"] == "abd"


@pytest.mark.parametrize("name", NAMES)
def test_strategies_and_numbers_still_work(name: str) -> None:
    strategy = Strategy[name]
    assert survivors(strategy) == survivors(int(strategy)) == survivors(name)


@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_names_go_with_every_backend(backend: str) -> None:
    f = cache(strategy="sieve", backend=backend)(lambda x: x)
    assert f(1) == f(1) == 1


def test_the_options_tell_it() -> None:
    assert cache(strategy="Sieve")(len).cache_options()["strategy"] == Strategy.SIEVE


def test_a_name_is_the_same_identity_as_its_strategy() -> None:
    f = cache(strategy="fifo", backend="shared", name="same")(lambda x: x)
    g = cache(strategy=Strategy.FIFO, backend="shared", name="same")(lambda x: x)
    f.set("f's", 1)
    assert g.get(1) == "f's"


@pytest.mark.parametrize("wrong", ["lur", "", " lru", "lru ", "strategy.lru", "0", "l r u"])
def test_other_names_are_a_value_error(wrong: str) -> None:
    with pytest.raises(ValueError, match="strategy"):
        cache(strategy=wrong)(lambda x: x)


def test_other_types_are_a_type_error() -> None:
    for wrong in (b"lru", 1.0, ["lru"], None):
        with pytest.raises(TypeError, match="strategy"):
            cache(strategy=wrong)(lambda x: x)


def test_in_first_place() -> None:
    f = cache("fifo", 3)(lambda x: x)
    for x in (1, 2, 3, 1, 4):
        f(x)
    assert not f.cache_contains(1)


def test_lru_cache_has_no_strategy() -> None:
    with pytest.raises(TypeError, match="strategy"):
        lru_cache(strategy="lru")(lambda x: x)
