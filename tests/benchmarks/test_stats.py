"""Ratios of rounds, and that none is printed which the rounds do not bear out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.numbers import NO_DIFFERENCE, TIMES, TOO_FEW, median_text, number, ratio_text
from benchmarks.stats import ENOUGH, Ratio, quartiles, ratio_of

POSITIVE = st.floats(0.01, 1e6)
PAIRS = st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=30)


@given(PAIRS)
def test_a_number_is_printed_only_beyond_the_spread(pairs: list[tuple[float, float]]) -> None:
    ratio = ratio_of([a for a, _ in pairs], [b for _, b in pairs])
    assert ratio is not None
    text = ratio_text(ratio)
    if len(pairs) < ENOUGH:
        assert text == TOO_FEW
    elif ratio.high - ratio.low >= abs(ratio.median - 1):
        assert text == NO_DIFFERENCE
    else:
        assert text == number(ratio.median, 3)


@given(st.lists(POSITIVE, min_size=1, max_size=30))
def test_values_that_are_ratios_follow_the_same_rule(values: list[float]) -> None:
    ones = ratio_of(values, [1.0] * len(values))
    expected = ratio_text(ones, 2)
    assert median_text(values, TIMES) == expected
    assert median_text(values, "ns") not in (NO_DIFFERENCE, TOO_FEW)


@given(PAIRS, st.data())
def test_what_slows_a_round_down_for_both_sides_cancels(
    pairs: list[tuple[float, float]], data: st.DataObject
) -> None:
    slower = st.lists(st.floats(0.5, 8), min_size=len(pairs), max_size=len(pairs))
    factors = data.draw(slower)
    calm = ratio_of([a for a, _ in pairs], [b for _, b in pairs])
    busy = ratio_of(
        [a * f for (a, _), f in zip(pairs, factors, strict=True)],
        [b * f for (_, b), f in zip(pairs, factors, strict=True)],
    )
    assert calm is not None and busy is not None
    assert math.isclose(calm.median, busy.median, rel_tol=1e-9)


def test_the_loop_is_taken_from_both_sides_of_its_round() -> None:
    ratio = ratio_of([7.0, 9.0, 5.0], [10.0, 13.0, 7.0], [4.0, 5.0, 3.0])
    assert ratio == Ratio(0.5, 0.5, 0.5, 3)


def test_a_base_of_nothing_has_no_ratio() -> None:
    assert ratio_of([1.0], [0.0]) is None
    assert ratio_text(None) == "–"


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_quartiles_lie_within_the_values_and_in_order(values: list[float]) -> None:
    low, high = quartiles(values)
    assert low <= high
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= low and high <= max(values) + slack


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")],
)
def test_numbers_have_few_digits(value: float, text: str) -> None:
    assert number(value) == text
