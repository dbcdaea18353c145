"""Charts are well-formed, say the same each time, and keep their labels apart and inside."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warp_cache._axis import Axis, short
from warp_cache._charts import _width, bars, lines

SVG = "{http://www.w3.org/2000/svg}"
# Sizes of the text classes; all others are of 12 pixels.
SIZES = {"title": 17, "heading": 13, "note": 11}


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg" and root.get("role") == "img"
    assert root[0].tag == f"{SVG}title" and root[1].tag == f"{SVG}desc"
    named = f"{root[0].get('id')} {root[1].get('id')}"
    assert root.get("aria-labelledby") == named
    return root


def boxes(root: ET.Element) -> list[tuple[float, float, float, float, str]]:
    """Where each text is that is not turned: left, top, right, bottom."""
    found = []
    for text in root.iter(f"{SVG}text"):
        if text.get("transform"):
            continue
        size = SIZES.get(text.get("class", "").split()[0], 12)
        wide = _width(text.text or "", size)
        part = {"middle": 0.5, "end": 1.0}.get(text.get("text-anchor", ""), 0.0)
        left = float(text.get("x", "")) - wide * part
        y = float(text.get("y", ""))
        found.append((left, y - size * 0.8, left + wide, y + size * 0.2, text.text or ""))
    return found


def check_layout(root: ET.Element) -> None:
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    placed = boxes(root)
    for left, top, right, bottom, text in placed:
        assert left >= -1 and top >= 0 and right <= width + 1 and bottom <= height, text
    for a, b in combinations(placed, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (a[4], b[4])


names = st.text(min_size=1, max_size=40)
ratios = st.floats(0, 1)
sizes = st.integers(1, 10**9)


@settings(deadline=None, max_examples=150)
@given(
    title=st.text(max_size=120),
    series=st.dictionaries(
        names, st.lists(st.tuples(sizes, ratios), min_size=1, max_size=20), min_size=1, max_size=12
    ),
    theme=st.sampled_from(["light", "dark", "auto"]),
    note=st.text(max_size=150),
    x_log=st.booleans(),
)
def test_curves_of_any_names_and_values(
    title: str, series: dict[str, Any], theme: Any, note: str, x_log: bool
) -> None:
    def draw() -> str:
        return lines(
            title, series, x_label="x & x", y_label="<y>", x_log=x_log, y_percent=True,
            theme=theme, note=note,
        )  # fmt: skip

    svg = draw()
    assert svg == draw()
    root = parsed(svg)
    check_layout(root)
    assert len(root.findall(f"{SVG}polyline")) == len(series) + sum(
        len(points) > 1 for points in series.values()
    )
    assert ("@media" in svg) == (theme == "auto")
    assert not re.search(r"\d\.\d{4}", svg), "three decimals at most"


@settings(deadline=None, max_examples=150)
@given(
    groups=st.dictionaries(
        names,
        st.dictionaries(names, st.floats(0, 1e12), min_size=1, max_size=6),
        min_size=1,
        max_size=4,
    ),
    lower=st.booleans(),
)
def test_bars_of_any_names_and_values(groups: dict[str, dict[str, float]], lower: bool) -> None:
    root = parsed(bars("Bars", groups, unit="ns", note="A note.", lower_is_better=lower))
    check_layout(root)
    count = sum(len(group) for group in groups.values())
    drawn = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") != "ground"]
    assert len(drawn) == count
    best = [text for text in root.iter(f"{SVG}text") if text.get("class") == "value best"]
    assert len(best) >= len(groups)


def test_points_are_where_their_values_are() -> None:
    root = parsed(
        lines("t", {"a": [(1, 0.0), (10, 0.5), (100, 1.0)]}, x_label="x", y_label="y", x_log=True)
    )
    points = [p.get("points", "") for p in root.iter(f"{SVG}polyline")][-1]
    (x1, y1), (x2, y2), (x3, y3) = (map(float, pair.split(",")) for pair in points.split())
    assert math.isclose(x2 - x1, x3 - x2, abs_tol=0.01) and x1 < x2
    assert math.isclose(y1 - y2, y2 - y3, abs_tol=0.01) and y1 > y2


def test_the_longest_bar_is_in_proportion() -> None:
    root = parsed(bars("t", {"": {"a": 10.0, "b": 40.0}}, unit="ns"))
    a, b = (float(r.get("width", "")) for r in root.iter(f"{SVG}rect") if r.get("rx") == "2")
    assert math.isclose(b, 4 * a, rel_tol=1e-3)


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_series_differ_without_colours(theme: Any) -> None:
    many = {f"s{at}": [(1.0, at), (2.0, at)] for at in range(16)}
    root = parsed(lines("t", many, x_label="x", y_label="y", theme=theme))
    curves = list(root.iter(f"{SVG}polyline"))[16:]
    looks = {(curve.get("class"), curve.get("stroke-dasharray")) for curve in curves}
    assert len(looks) == 16


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: lines("t", {}, x_label="", y_label=""), "at least one point"),
        (lambda: lines("t", {"a": []}, x_label="", y_label=""), "at least one point"),
        (lambda: lines("t", {"a": [(0, 1)]}, x_label="", y_label="", x_log=True), "positive"),
        (lambda: lines("t", {"a": [(1, math.nan)]}, x_label="", y_label=""), "finite"),
        (lambda: bars("t", {"a": {}}, unit="s"), "at least one bar"),
        (lambda: bars("t", {"a": {"b": -1}}, unit="s"), "0 or more"),
        (lambda: bars("t", {"a": {"b": 1}}, unit="s", theme="blue"), "theme must be"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_drawn(draw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


@given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=9), st.integers(3, 9), st.booleans())
def test_ticks_are_few_and_within_the_axis(values: list[float], most: int, log: bool) -> None:
    axis = Axis(values, most, log, False, from_zero=not log)
    assert 1 <= len(axis.ticks) <= most + 2
    for value in [*values, *axis.ticks]:
        assert -1e-2 <= axis(value) <= 1 + 1e-2


def test_short_numbers() -> None:
    numbers = (0, 0.25, 12.5, 340, 999.6, 1500, 2e7, 7e9, 1e12)
    shown = "0 0.25 12.5 340 1k 1.5k 20M 7G 1T"
    assert " ".join(map(short, numbers)) == shown
