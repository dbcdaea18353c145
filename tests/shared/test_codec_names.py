"""Names of dicts that are decoded over and over: kept or not, they are what went in."""

from __future__ import annotations

import random
import string
import sys

from hypothesis import given
from hypothesis import strategies as st

from warp_cache._warp_cache_rs import _decode_value, _encode_value


def back(value: object) -> object:
    encoded = _encode_value(value)
    assert encoded is not None
    decoded = _decode_value(encoded[0])
    assert decoded is not None
    return decoded[0]


def test_more_names_than_are_kept() -> None:
    dice = random.Random(7)
    names = ["".join(dice.choices(string.printable, k=dice.randrange(40))) for _ in range(3000)]
    names += ["", "a", "ä", "名", "\udc80", "x" * 31, "x" * 32, "x" * 33, "0" * 16, "0" * 17]
    for _ in range(2):
        for name in names:
            found = back({name: name, "id": 1})
            assert found == {name: name, "id": 1} and list(map(type, found)) == [str, str]


def test_names_that_differ_in_the_middle_only() -> None:
    """The place of a name in the table comes from its ends."""
    names = [f"12345678{middle}abcdefgh" for middle in ("", "x", "y", "xx", "xy", "\0", "\0\0")]
    for _ in range(3):
        for name in names:
            assert back({name: 1}) == {name: 1}
    assert back(dict.fromkeys(names, 0)) == dict.fromkeys(names, 0)


@given(st.dictionaries(st.text(max_size=40), st.integers(), max_size=12))
def test_any_names(value: dict[str, int]) -> None:
    found = back(value)
    assert found == value and list(found) == list(value)


def test_a_name_is_hashable_and_its_own() -> None:
    encoded = _encode_value({"a name of a dict": 1})
    assert encoded is not None
    for _ in range(1000):
        (name,) = _decode_value(encoded[0])[0]
        assert hash(name) == hash("a name of a dict") and {name: 2}["a name of a dict"] == 2
    assert sys.getrefcount(name) < 100
