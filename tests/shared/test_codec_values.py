"""Values come back from their bytes with type and value; damaged bytes give nothing."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import fractions
import gc
import math
import struct
import sys
import uuid
from typing import Any

import pytest
import support
from hypothesis import given
from hypothesis import strategies as st
from spelling import CONTAINERS, IMMUTABLE, PICKLED, encoded, has_container, nested, spelled

from warp_cache._warp_cache_rs import _copy, _decode_value, _encode_value

floats = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("=d", struct.pack("=Q", bits))[0])
texts = st.text(st.characters()) | st.text(st.sampled_from("aé\ud800\uffff\U0001f600"))
hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | floats
    | st.builds(complex, floats, floats)
    | texts
    | st.binary(),
    lambda parts: st.lists(parts).map(tuple) | st.frozensets(parts, max_size=5),
    max_leaves=10,
)
values = st.recursive(
    hashable,
    lambda parts: (
        st.lists(parts)
        | st.lists(parts).map(tuple)
        | st.dictionaries(hashable, parts, max_size=5)
        | st.sets(hashable, max_size=5)
    ),
    max_leaves=20,
)


def check(value: Any, sharing: int) -> Any:
    bytes_, how = encoded(value)
    assert how == sharing
    read = _decode_value(bytes_)
    assert read is not None
    assert read[1] == sharing
    assert spelled(read[0]) == spelled(value)
    return read[0]


@given(values)
def test_any_value_comes_back(value: Any) -> None:
    bytes_, how = encoded(value)
    read = _decode_value(bytes_)
    assert read is not None
    assert read[1] == how
    assert spelled(read[0]) == spelled(value)
    if how != PICKLED:
        assert how == (CONTAINERS if has_container(value) else IMMUTABLE)


@given(values)
def test_a_copy_is_equal_and_shares_no_container(value: Any) -> None:
    copy = _copy(value)
    assert spelled(copy) == spelled(value)

    def containers(value: Any) -> set[int]:
        if isinstance(value, dict):
            return {id(value)}.union(*map(containers, value.values()))
        if isinstance(value, (list, tuple)):
            own = {id(value)} if isinstance(value, list) else set()
            return own.union(*map(containers, value))
        return {id(value)} if isinstance(value, set) else set()

    assert not containers(value) & containers(copy)
    if not has_container(value):
        assert copy is value


@pytest.mark.parametrize("bits", range(1, 200))
def test_ints_of_any_size(bits: int) -> None:
    for near in (-1, 0, 1):
        check(2**bits + near, IMMUTABLE)
        check(-(2**bits) + near, IMMUTABLE)


def test_lengths_around_the_limits_of_the_tags() -> None:
    for length in (
        0,
        1,
        2,
        15,
        16,
        17,
        62,
        63,
        64,
        65,
        127,
        128,
        129,
        255,
        256,
        300,
        20_000,
        70_000,
    ):
        for letter in "a\xe9\u20ac\U0001f600":
            check(letter * length, IMMUTABLE)
        check(b"\xff" * length, IMMUTABLE)
        check((1.5,) * length, IMMUTABLE)
        check([None] * length, CONTAINERS)
        check(dict.fromkeys(range(length)), CONTAINERS)
        check(set(range(length)), CONTAINERS)
        check(frozenset(range(length)), IMMUTABLE)


def test_small_objects_are_the_interpreter_s_own() -> None:
    for value in (None, True, False, 7, "", chr(120), chr(233), b"", bytes([120]), ()):
        assert check(value, IMMUTABLE) is value


class Number(int):
    pass


class Text(str):
    pass


class Things(list):  # type: ignore[type-arg]
    pass


class Color(enum.Enum):
    RED = [1]


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "value",
    [
        Number(3),
        Text("x"),
        Things([1]),
        bytearray(b"x"),
        Pair(1, 2),
        collections.OrderedDict(a=1),
        [1, [Number(3)]],
        {"a": Pair(1, [2])},
        range(3),
        ...,
    ],
    ids=repr,
)
def test_anything_else_is_pickled(value: Any) -> None:
    back = check(value, PICKLED)
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        dt.date(2020, 1, 2),
        dt.timedelta(1, 2, 3),
        dt.datetime(2020, 1, 2, 3, 4, 5, 6, fold=1),
        dt.datetime(2020, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        dt.time(1, 2, tzinfo=dt.timezone.utc),
        decimal.Decimal("1.10"),
        fractions.Fraction(1, 3),
        uuid.UUID(int=5),
        Color.RED,
        Color,
        int,
        test_ints_of_any_size,
        len,
        math.sin,
    ],
    ids=support.name_of,
)
def test_what_can_not_be_changed_is_shared_though_pickled(value: Any) -> None:
    check(value, IMMUTABLE)


class Zone(dt.tzinfo):
    def __init__(self, *names: str) -> None:
        self.names = list(names)


class Date(dt.date):
    pass


@pytest.mark.parametrize(
    "value", [dt.datetime(2020, 1, 2, tzinfo=Zone("x")), Date(2020, 1, 2), [].append], ids=type
)
def test_what_may_hold_something_mutable_is_decoded_afresh(value: Any) -> None:
    assert encoded(value)[1] == PICKLED


def test_aliases_and_cycles_stay_what_they_are() -> None:
    inner: list[Any] = []
    shared: Any
    for shared in (
        [inner, inner],
        ([inner], [inner]),
        {"a": inner, "b": (inner,)},
        [set(), [inner], inner],
    ):
        back = check(shared, PICKLED)
        assert repr(back) == repr(shared)
    pair = ([],)  # type: ignore[var-annotated]
    back = check((pair, pair), PICKLED)
    assert back[0][0] is back[1][0]
    back = check(([pair], 1, (2, pair)), PICKLED)
    assert back[0][0][0] is back[2][1][0]
    inner.append(inner)
    read = _decode_value(encoded(inner)[0])
    assert read is not None and read[0][0] is read[0]


def test_containers_that_others_refer_to_are_spelled_all_the_same() -> None:
    others = [[1], {2: 3}, {4}]
    check([*others], CONTAINERS)
    text, pair = "x" * 300, (1, 2)
    check([[text, pair], [text, pair]], CONTAINERS)


def test_repetition_does_not_explode() -> None:
    tree: Any = (1,)
    for _ in range(80):
        tree = (tree, tree)
    bytes_, how = encoded(tree)
    assert how == PICKLED and len(bytes_) < 10_000
    text = "x" * 100_000
    assert len(encoded([text] * 1000)[0]) < 300_000


@pytest.mark.parametrize("kind", [list, tuple, frozenset])
def test_nesting(kind: type) -> None:
    check(nested(100, kind), CONTAINERS if kind is list else IMMUTABLE)
    made = _encode_value(nested(101, kind))
    assert made is not None and made[1] == PICKLED
    assert _encode_value(nested(100_000, list)) is None
    deep = nested(5000)
    with pytest.raises(RecursionError):
        _copy(deep)


# --- leaks -----------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="counts references")
def test_nothing_leaks() -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise ValueError("no")

    leaf, stubborn = "".join(["not ", "interned"]), Stubborn()
    value: Any = {"a": [leaf, (leaf, [leaf]), {leaf}], leaf: frozenset([leaf])}
    failing: Any = [leaf, value, stubborn]
    deep = nested(1000)
    good = encoded(value)[0]
    bad = [good[:-1], good[:20], b"\1\xa2\1\1\1\1", b"\1\xa1\x90\0", b"\2no pickle"]

    def rounds(count: int) -> None:
        for _ in range(count):
            _encode_value(value)
            _encode_value(failing) if _ % 10 == 0 else None
            _decode_value(good)
            _copy(value)
            _decode_value(bad[_ % len(bad)])
            if _ % 100 == 0:
                with pytest.raises(RecursionError):
                    _copy(deep)

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(leaf), sys.getrefcount(stubborn), sys.getrefcount(value["a"])]

    rounds(1000)
    before = counts()
    growth = support.Growth(blocks=8000)  # a leak would be 16,000 at least
    for _ in growth:
        rounds(100_000)
    assert counts() == before
    growth.check()
