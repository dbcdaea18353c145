"""The test that tells a change from noise: known values, and how often it cries wolf."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy")

from benchmarks.significance import LEVEL, batches, compare, compare_pairs, exact, holm

SIDES = st.lists(st.floats(0.1, 1e4), min_size=3, max_size=8)
CHANCES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_welchs_test_by_hand() -> None:
    """Of three and three values with the same variance: four degrees of freedom."""
    shift = 2.776 * math.sqrt(2 / 3)
    old = [math.exp(value) for value in (0, 1, 2)]
    difference = compare(old, [value * math.exp(shift) for value in old])
    assert difference is not None
    assert math.isclose(difference.p, 0.05, rel_tol=1e-3)
    assert math.isclose(difference.ratio, math.exp(shift))
    assert math.isclose(difference.low, 1.0, abs_tol=1e-3)


def test_holms_method_by_hand() -> None:
    corrected = holm([0.01, 0.04, 0.03, 0.005])
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(CHANCES)
def test_a_correction_never_makes_anything_likelier(values: list[float]) -> None:
    corrected = holm(values)
    for raw, after in zip(values, corrected, strict=True):
        assert raw <= after <= min(1.0, raw * len(values))
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [corrected[i] for i in order] == sorted(corrected)


@given(SIDES, SIDES)
def test_there_and_back_are_the_same_change(old: list[float], new: list[float]) -> None:
    there, back = compare(old, new), compare(new, old)
    assert there is not None and back is not None
    assert math.isclose(there.ratio * back.ratio, 1.0, rel_tol=1e-9)
    assert math.isclose(there.p, back.p, rel_tol=1e-6, abs_tol=1e-12)
    assert there.low <= there.ratio <= there.high


@given(SIDES)
def test_a_run_does_not_differ_from_itself(values: list[float]) -> None:
    for difference in (compare(values, values), compare_pairs(values, values)):
        assert difference is not None
        assert difference.p == pytest.approx(1.0)


def test_noise_alone_is_rarely_a_change() -> None:
    """Rounds that share accidents of their process: a hundred rows, again and again."""
    dice = random.Random(5)

    def side() -> list[float]:
        values: list[float] = []
        for _ in range(5):
            accident = dice.gauss(1, 0.03)
            values += [accident * dice.gauss(1, 0.005) for _ in range(5)]
        return batches(values, [5] * 5)

    wrong = 0
    for _ in range(40):
        found = [compare(side(), side()) for _ in range(25)]
        wrong += any(p < LEVEL for p in holm([one.p for one in found if one is not None]))
    assert wrong <= 6  # 2 are to be expected, and the dice are loaded the same way each time


def test_a_change_is_found_under_noise() -> None:
    dice = random.Random(6)
    old = [dice.gauss(1, 0.01) for _ in range(5)]
    new = [dice.gauss(1.1, 0.01) for _ in range(5)]
    difference = compare(old, new)
    assert difference is not None and difference.p < 0.001
    assert 1.07 < difference.ratio < 1.13


def test_the_processes_are_the_batches() -> None:
    assert batches([1, 2, 9, 5, 5, 5, 7], [3, 3, 1]) == [2, 5, 7]
    # Two processes are too few, and cutting their rounds up would not make them more.
    assert len(batches([1, 2, 3, 4, 5], [3, 2])) == 2
    assert batches([float(n) for n in range(10)], [10]) == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert batches([4.0, 2.0], []) == [4.0, 2.0]


def test_what_cannot_be_judged() -> None:
    assert compare([1, 2], [1, 2, 3]) is None
    assert compare([1, 2, 3], [1, 2, 0]) is None
    assert compare_pairs([1, 2, 3], [1, 2]) is None
    assert exact(0.0, 1.0) is None


def test_values_without_noise() -> None:
    same, other = compare([2.0] * 3, [2.0] * 3), compare([2.0] * 3, [2.1] * 3)
    assert same is not None and same.p == 1.0
    assert other is not None and other.p == 0.0 and math.isclose(other.ratio, 1.05)
    sizes = compare_pairs([10.0, 40.0, 20.0], [11.0, 44.0, 22.0])
    assert sizes is not None and sizes.p < 1e-6 and math.isclose(sizes.ratio, 1.1)
    ratio = exact(0.5, 0.4)
    assert ratio is not None and ratio.p == 0.0 and math.isclose(ratio.ratio, 0.8)
