"""`keys`: entries in our own format, and nothing of a pickle but its type and size."""

from __future__ import annotations

import json
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_cache import cache
from warp_cache._cli.change import key_of
from warp_cache._cli.entries import pickled_type
from warp_cache._warp_cache_rs import _encode_key, _encode_value, _show_key, _show_value

ran: list[str] = []


class Loud:
    """Says when it is unpickled."""

    def __reduce__(self) -> Any:
        return ran.append, ("unpickled",)


@dataclass(frozen=True)
class Point:
    x: int
    y: int


class Colour(Enum):
    RED = 1


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=4)
    ),
    max_leaves=20,
)


@given(value=plain)
def test_values_are_shown_as_python_writes_them(value: Any) -> None:
    encoded = _encode_value(value)
    assert encoded is not None
    shown = _show_value(encoded[0], 1 << 20)
    assert shown is not None
    kind, text = shown
    if kind is None:
        # Pickled as a whole: a list that is reachable twice, say.
        assert text is None
        return
    assert kind == type(value).__name__ and text is not None
    if "frozenset" not in text:
        assert text == repr(value)
    else:
        assert eval(text, {"inf": math.inf, "infj": complex(0, math.inf)}) == value


@given(data=st.binary(max_size=200), limit=st.integers(0, 50))
def test_any_bytes_are_shown_without_harm(data: bytes, limit: int) -> None:
    for first in (b"", b"\0", b"\1", b"\2"):
        _show_value(first + data, limit)
        _show_key(first + data, limit)


@given(value=plain, limit=st.integers(0, 60))
def test_a_limit_is_kept(value: Any, limit: int) -> None:
    encoded = _encode_value(value)
    assert encoded is not None
    shown = _show_value(encoded[0], limit)
    assert shown is not None
    if shown[1] is not None:
        # The last atom may be longer, by what escapes take.
        assert len(shown[1]) <= limit + 14 * (limit + 40)


def test_a_count_that_cannot_be_is_no_loop() -> None:
    for tag in (0xBE, 0xBF, 0xC0, 0xC1, 0xC2):
        assert _show_value(bytes([0, tag]) + b"\xff" * 9 + b"\x01", 100) is None
    assert _show_value(bytes([0]) + bytes([0x81]) * 300 + b"\xb0", 100) is None


@pytest.mark.parametrize(
    "args, names, text",
    [
        ((), (), "()"),
        ((1, "two", None), (), "(1, 'two', None)"),
        (((1, 2),), (), "((1, 2))"),
        (((1,),), (), "((1,))"),
        ((1, 2.5), ("limit",), "(1, limit=2.5)"),
        ((b"\0", True), (), "(b'\\x00', 1)"),
        ((Fraction(1, 3),), (), "(Fraction(1, 3))"),
        ((range(0, 10, 3),), (), "(<range from 0 to 9 by 3>)"),
        ((range(5, 6),), (), "(<range from 5 to 5>)"),
        ((range(0),), (), "(range(0))"),
        ((Colour.RED,), (), "(<member 'RED'>)"),
        ((10**400,), (), f"({10**400})"),
        ((10**5000,), (), "(<int of 16616 bits>)"),
        ((...,), (), "(Ellipsis)"),
        ((frozenset([1]),), (), "(frozenset({1}))"),
        ((-math.inf,), (), "(-inf)"),
        (("\x1b[31m\u202e",), (), "('\\x1b[31m\\u202e')"),
    ],
)
def test_keys_as_calls(args: Any, names: Any, text: str) -> None:
    encoded = _encode_key(args, names or None)
    assert encoded is not None
    assert _show_key(encoded, 10_000) == text


def test_keys_where_types_count_and_of_other_objects() -> None:
    for args, begins in (
        ((datetime(2020, 1, 1),), "(<like (0, "),
        ((print,), "(<named object "),
        ((Point(1, 2), 5), "(<object of "),
    ):
        encoded = _encode_key(args)
        assert encoded is not None
        text = _show_key(encoded, 1000)
        assert text is not None and text.startswith(begins), text
    typed = _encode_key((1, "x", Colour.RED), None, True)
    assert typed is not None and _show_key(typed, 100) == "(1, 'x', <member 'RED'>)"


@pytest.mark.parametrize(
    "text, args, names",
    [
        ("(1, 'x')", (1, "x"), ()),
        ("1, 'x'", (1, "x"), ()),
        ("((1, 2))", ((1, 2),), ()),
        ("(1, 2), (3, 4)", ((1, 2), (3, 4)), ()),
        ("('a', limit=3)", ("a", 3), ("limit",)),
        ("-5", (-5,), ()),
        ("", (), ()),
        ("()", (), ()),
    ],
)
def test_keys_are_read_as_they_are_shown(text: str, args: Any, names: Any) -> None:
    assert key_of(text) == _encode_key(args, names or None)


@pytest.mark.parametrize(
    "text", ["x", "f(1)", "(1", "__import__('os')", "*[1]", "**{'a': 1}", "1 for x in y", "\0", "("]
)
def test_what_is_no_literal_is_no_key(text: str) -> None:
    assert key_of(text) is None


def test_nothing_is_unpickled(run: Any, cache_dir: Path) -> None:
    @cache(backend="shared", name="loud")
    def loud(x: int) -> Any:
        return Loud()

    loud(1)
    del ran[:]
    status, out, errors = run("keys", "loud")
    assert (status, errors) == (0, "")
    assert "(1)" in out and "unpickled" not in out
    entry = json.loads(run("keys", "loud", "--json")[1])["entries"][0]
    assert entry["pickled"] and entry["value"] is None and entry["value_bytes"] > 20
    assert run("info", "loud")[0] == run("doctor")[0] == 0
    assert ran == []


def test_stored_exceptions_and_types_of_pickles(run: Any, worker: Any) -> None:
    worker().ask("pickled(7)")

    @cache(backend="shared", name="failing", ttl=60, cache_exceptions=KeyError)
    def failing(x: int) -> int:
        raise KeyError(x)

    with pytest.raises(KeyError):
        failing(1)
    assert "collections.OrderedDict" in run("keys", "pickled")[1]
    (line,) = run("keys", "failing")[1].splitlines()
    assert "raises" in line and "(1)" in line
    assert json.loads(run("keys", "failing", "--json")[1])["entries"][0]["exception"] is True


def test_values_of_the_standard_library(run: Any, worker: Any) -> None:
    worker().ask("priced(7)")
    line = run("keys", "priced")[1]
    assert "decimal.Decimal" in line and "Decimal('7')" in line and "damaged" not in line
    assert json.loads(run("keys", "priced", "--json")[1])["entries"][0]["pickled"] is False


def test_the_type_of_a_pickle_is_read_and_not_loaded() -> None:
    for protocol in range(2, 6):
        assert pickled_type(pickle.dumps(OrderedDict(), protocol)) == "collections.OrderedDict"
        assert "Fraction" in pickled_type(pickle.dumps(Fraction(1, 3), protocol))
    assert pickled_type(pickle.dumps([1])) == "list"
    assert (
        pickled_type(b"") == pickled_type(b"garbage") == pickled_type(b"\x80\x05\x95") == "pickle"
    )


def test_match_and_many(run: Any, worker: Any) -> None:
    worker().ask("[load(f'user-{i}', i % 3) for i in range(60)] and None")
    status, out, _ = run(
        "keys",
        "app.load",
        "--match",
        "'user-1*",
    )
    assert status == 0
    assert len(out.splitlines()) == 11
    assert "('user-11', 2)" in out and "{'x': 'user-11', 'y': 2}" in out and "10 min" in out
    assert len(run("keys", "app.load", "--match", "*, 2")[1].splitlines()) == 20
    assert run("keys", "app.load", "--match", "nothing") == (0, "", "")
    document = json.loads(run("keys", "app.load", "--json", "--match", "*user-5*")[1])
    assert len(document["entries"]) == 11
    assert {entry["tagged"] for entry in document["entries"]} == {True}
    assert json.loads(run("keys", "app.load", "--json", "--match", "none")[1])["entries"] == []
