"""Damaged bytes are refused by the codec of values, and harm nothing."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spelling import CONTAINERS, IMMUTABLE, encoded, has_container, nested, spelled

from warp_cache._warp_cache_rs import _copy, _decode_value

SAMPLES: list[Any] = [
    {"name": "alice", "id": 12345, "tags": [1, 2, 3]},
    [
        (1, 2.5, 1j),
        "é\u20ac",
        "\U0001f600",
        b"bytes",
        {1, (2, frozenset([3]))},
        -(2**80),
        None,
        True,
    ],
    {i: {str(i): [i] * i} for i in range(20)},
    nested(50),
    ("x" * 100, "\xe9" * 100, list(range(300))),
]


def try_bytes(bytes_: bytes) -> None:
    """Reads as nothing, or as a value that is whole."""
    read = _decode_value(bytes_)
    if read is not None:
        value, how = read
        assert how in (IMMUTABLE, CONTAINERS)
        assert how == (CONTAINERS if has_container(value) else IMMUTABLE)
        again = _decode_value(encoded(value)[0])
        assert again is not None and repr(spelled(again[0])) == repr(spelled(value))
        _copy(value)


def test_bytes_cut_short_or_too_long_are_damaged() -> None:
    assert _decode_value(b"") is None
    for sample in SAMPLES:
        bytes_ = encoded(sample)[0]
        for end in range(len(bytes_)):
            assert _decode_value(bytes_[:end]) is None
        assert _decode_value(bytes_ + b"\0") is None


def test_mutated_bytes_are_harmless() -> None:
    chance = random.Random(1)
    for _ in range(20_000):
        bytes_ = bytearray(encoded(chance.choice(SAMPLES))[0])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(1, len(bytes_))
            what = chance.randrange(4)
            if what == 0:
                bytes_[at] = chance.randrange(256)
            elif what == 1:
                bytes_[at] ^= 1 << chance.randrange(8)
            elif what == 2:
                del bytes_[at : at + chance.randint(1, 5)]
            else:
                bytes_[at:at] = bytes_[chance.randrange(len(bytes_)) :][:20]
            if len(bytes_) < 2:
                break
        try_bytes(bytes(bytes_))


@given(st.binary(max_size=60), st.sampled_from([0, 1]))
def test_any_bytes_are_harmless(bytes_: bytes, header: int) -> None:
    try_bytes(bytes([header]) + bytes_)


@given(
    st.lists(st.sampled_from([0x8F, 0x9F, 0xAF, 0xBE, 0xBF, 0xC0, 0xC1, 0xC2, 0x7F, 0xFF, 0x01]))
)
def test_announced_lengths_are_not_believed(tags: list[int]) -> None:
    try_bytes(bytes([1, *tags]))


@pytest.mark.parametrize(
    "tag", [0xB5, 0xB6, 0xB9, 0xBA, 0xBB, 0xBC, 0xBD, 0xBE, 0xBF, 0xC0, 0xC1, 0xC2]
)
def test_no_memory_is_taken_for_what_is_not_there(tag: int) -> None:
    for length in (2**20, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1):
        varint = b""
        while length >= 0x80:
            varint += bytes([length & 0x7F | 0x80])
            length >>= 7
        for header in (0, 1):
            assert (
                _decode_value(bytes([header, tag]) + varint + bytes([length]) + b"\0" * 100) is None
            )
    # Each level announces as many items as there are bytes left: gigabytes, all together.
    level = b"\xbf\xff\xff\x03"
    assert _decode_value(b"\1" + level * 99 + b"\0" * 65_535) is None


def test_wrong_characters_and_keys_are_damaged() -> None:
    assert _decode_value(b"\0\x41\xff") is None
    assert _decode_value(b"\0\xb9\1\xff") is None
    assert _decode_value(b"\0\xbc\1" + struct.pack("=I", 0x110000)) is None
    assert _decode_value(b"\1\xa1\x90\0") is None  # a list as a key
    assert _decode_value(b"\1\xa2\1\1\1\1") is None  # one key twice
    assert _decode_value(b"\0\xc2\2\1\1") is None
    assert _decode_value(b"\0\x90") is None  # a list in what says to be immutable
    assert _decode_value(b"\1\0") is None
    assert _decode_value(b"\2no pickle") is None
    assert _decode_value(b"\4\0") is None
