"""The pictures: which are drawn of a part, and what is said of what they cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

import pytest
import synthetic

from benchmarks import charts, pictures
from benchmarks.model import (
    FUNCTOOLS,
    SHARED_CACHE,
    SHARED_LRU,
    WARP_CACHE,
    WARP_LRU,
    Figure,
    PartResult,
)

pytest.importorskip("matplotlib")

MEDIANS = {FUNCTOOLS: 30.0, WARP_LRU: 18.0}


def texts(result: PartResult) -> list[str]:
    """All text of the only picture."""
    (picture,) = pictures.of_part(result)
    root = ElementTree.fromstring(picture.svg("light"))
    return [element.text or "" for element in root.iter() if element.tag.endswith("}text")]


def test_rows_of_the_same_contenders_are_one_picture() -> None:
    rows = [synthetic.row(MEDIANS, key=f"hits/{work}", work=work) for work in ("int", "str")]
    rows.append(synthetic.row({FUNCTOOLS: 1.0}, key="hits/alone", work="alone"))
    rows.append(synthetic.row(MEDIANS, key="hits/bytes", work="bytes", unit="bytes"))
    found = texts(synthetic.part(rows))
    assert {"int", "str", FUNCTOOLS, WARP_LRU, "ns, lower is better"} <= set(found)
    assert not {"alone", "bytes"} & set(found)


def test_one_row_is_no_picture() -> None:
    assert pictures.of_part(synthetic.part([synthetic.row(MEDIANS)])) == []
    assert pictures.of_part(PartResult("hits")) == []


def test_a_part_that_declares_figures_has_these_alone() -> None:
    rows = [synthetic.row(MEDIANS, key=f"hits/{work}", work=work) for work in ("int", "str")]
    figure = Figure("chosen", "Chosen", kind="bars", rows=["str", "never-measured"])
    (picture,) = pictures.of_part(synthetic.part(rows, [figure]))
    assert picture.name == "hits-chosen" and picture.title == "Chosen"
    assert "str" in texts(synthetic.part(rows, [figure]))
    assert "int" not in texts(synthetic.part(rows, [figure]))


@pytest.mark.parametrize(
    ("part", "key", "name"),
    [
        ("threads", "throughput", "threads-throughput"),
        ("threads", "threads-hot", "threads-hot"),
        ("hit_ratio", "hit-ratio-web", "hit-ratio-web"),
        ("ttl", "ttl", "ttl"),
    ],
)
def test_files_are_named_after_part_and_figure(part: str, key: str, name: str) -> None:
    figure = Figure(key, "Title", x_label="x", y_label="y")
    figure.curve(WARP_CACHE).add(1, [2.0])
    (picture,) = pictures.of_part(synthetic.part(name=part, figures=[figure]))
    assert picture.file("dark") == f"{name}-dark.svg"


def test_a_figure_without_measurements_is_not_drawn() -> None:
    for kind in ("lines", "bars"):
        figure = Figure("empty", "Empty", kind="lines" if kind == "lines" else "bars")
        assert pictures.of_part(synthetic.part(figures=[figure])) == []


def test_bars_that_would_dwarf_all_others_are_named_instead() -> None:
    figure = Figure("stores", "Stores", kind="bars", y_label="ns")
    for name, value in ((WARP_CACHE, 30.0), ("LMDB", 700.0), ("redis", 45_000.0)):
        figure.curve(name).add("a hit", [value])
    found = texts(synthetic.part(figures=[figure]))
    assert "LMDB" in found and "redis" not in found
    assert "Not drawn: redis, a hit: 45,000 ns." in found


def test_on_a_logarithmic_axis_servers_stand_beside_the_others() -> None:
    figure = Figure("servers", "Servers", kind="bars", y_label="ns", y_log=True)
    for name, value in ((WARP_CACHE, 30.0), ("redis", 45_000.0), ("none", 0.0)):
        figure.curve(name).add("a hit", [value])
    found = texts(synthetic.part(figures=[figure]))
    assert {"redis", "45,000", "ns, logarithmic, lower is better"} <= set(found)
    assert "Not drawn: none, a hit: 0.00 ns." in found


def test_a_contender_looks_the_same_everywhere_and_like_no_other() -> None:
    looks = [(look.colour, look.marker) for look in charts.STYLES.values()]
    assert len(set(looks)) == len(looks)
    assert {FUNCTOOLS, WARP_CACHE, WARP_LRU, SHARED_CACHE, SHARED_LRU} <= set(charts.STYLES)
    unknown = [f"nobody {at}" for at in range(20)]
    for names in ([FUNCTOOLS, WARP_CACHE], ["theine", *unknown, WARP_CACHE]):
        found = charts.styles(names)
        assert len(set(found.values())) == len(names)
        assert found[WARP_CACHE] == charts.STYLES[WARP_CACHE]


def test_the_same_picture_has_the_same_bytes() -> None:
    figure = Figure("key", "Title", x_label="x", y_label="y")
    figure.curve(WARP_CACHE).add(1, [2.0])
    drawn = [pictures.of_part(synthetic.part(figures=[figure]))[0].svg("dark") for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_what_a_logarithm_cannot_show_is_named() -> None:
    figure = Figure("cost", "Cost", x_label="entries", y_label="ns", x_log=True, y_log=True)
    for x, y in ((0, 5.0), (10, 5.0), (100, 6.0), (1000, 0.0)):
        figure.curve(WARP_CACHE).add(x, [y])
    found = texts(synthetic.part(figures=[figure]))
    assert f"Not drawn: {WARP_CACHE} at 0; {WARP_CACHE} at 1000." in found


@pytest.mark.parametrize(
    ("options", "better"),
    [
        ({"y_label": "ns"}, "lower"),
        ({"y_label": "M calls/s"}, "higher"),
        ({"y_label": "M calls/s", "lower_is_better": True}, "lower"),
        ({"y_label": "hits", "y_percent": True}, "higher"),
        ({"y_label": "misses", "y_percent": True}, "lower"),
    ],
)
def test_what_is_better(options: Mapping[str, object], better: str) -> None:
    figure = Figure("key", "Title", "bars", **options)  # type: ignore[arg-type]
    figure.curve(WARP_CACHE).add("group", [1.0])
    assert any(f"{better} is better" in text for text in texts(synthetic.part(figures=[figure])))


def test_titles_are_escaped() -> None:
    figure = Figure("key", 'a < b & "c"', x_label="x", y_label="y")
    figure.curve("a & b").add(1, [2.0])
    (picture,) = pictures.of_part(synthetic.part(figures=[figure]))
    ElementTree.fromstring(picture.svg("dark"))
    assert 'alt="a &lt; b &amp; &quot;c&quot;"' in picture.markdown("pictures")
