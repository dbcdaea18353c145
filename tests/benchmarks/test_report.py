"""The report as text: what it must say of a run, and what it must not."""

from __future__ import annotations

import re
from typing import Any

import pytest
import synthetic

from benchmarks import docs, report, summary
from benchmarks.files import Run
from benchmarks.goals import Interpreter
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU, Series
from benchmarks.numbers import NO_DIFFERENCE

# Where a run's ratios are printed.
PRINTED = [report.terminal, docs.page, summary.text]


def noisy() -> Run:
    """A contender whose median is 0.9 of the first's, and whose rounds vary by far more."""
    row = synthetic.row({FUNCTOOLS: 30.0, WARP_LRU: 27.0}, loop=4.0)
    row.series[0].rounds = [30.0] * 25
    row.series[1].rounds = [20.0, 40.0, 27.0, 22.0, 38.0] * 5
    return synthetic.run(synthetic.part([row]))


@pytest.mark.parametrize("printed", PRINTED, ids=lambda function: function.__module__)
def test_no_ratio_is_printed_that_the_rounds_do_not_bear_out(printed: object) -> None:
    assert callable(printed)
    text = printed(noisy())
    assert NO_DIFFERENCE in text
    assert "0.900" not in text and "0.90" not in text


@pytest.mark.parametrize("printed", PRINTED, ids=lambda function: function.__module__)
def test_a_ratio_that_they_bear_out_is_printed(printed: object) -> None:
    assert callable(printed)
    text = printed(synthetic.run(synthetic.part([synthetic.row({FUNCTOOLS: 30, WARP_LRU: 18})])))
    assert NO_DIFFERENCE not in text
    assert re.search(r"0\.(60|59|61)", text)


def test_ratios_of_threads_follow_the_rule_too() -> None:
    row = synthetic.row({WARP_LRU: 1.9}, key="threads/hot-scaling", unit="×")
    row.series = [Series(WARP_LRU, [0.6, 1.4, 1.1, 0.8, 1.3])]
    lines = report.details(synthetic.part([row]), Interpreter((3, 13), True, True)).lines
    assert lines[0][4] == NO_DIFFERENCE


def test_every_contender_has_minimum_median_and_quartiles() -> None:
    row = synthetic.row({FUNCTOOLS: 30.0, WARP_LRU: 18.0})
    for number, series in enumerate(row.series):
        series.rounds = [float(value + number) for value in (10, 11, 12, 13, 14)]
    lines = report.details(synthetic.part([row]), Interpreter((3, 11), True, False)).lines
    assert [line[3:6] for line in lines] == [
        ("10.0", "12.0", "11.0–13.0"),
        ("11.0", "13.0", "12.0–14.0"),
    ]


def test_notes_and_missing_contenders_are_told() -> None:
    row = synthetic.row(
        {FUNCTOOLS: 30.0, "cachetools, no lock": 300.0},
        notes={"cachetools, no lock": "not thread-safe: does less"},
    )
    run = synthetic.run(
        synthetic.part([row], missing=["moka-py: not installed"], notes=["redis is version 7.0"])
    )
    for text in (report.terminal(run), docs.page(run)):
        assert "not thread-safe: does less" in text
        assert "missing: moka-py: not installed" in text
        assert "redis is version 7.0" in text
        assert "cachebox 6.2.10, redis 7.0\n" in text


def test_the_head_tells_on_what_it_was_made() -> None:
    run = synthetic.usual()
    for text in (report.terminal(run), docs.page(run)):
        for told in (
            "CPython 3.11.2 (PGO: --enable-optimizations)",
            "warp_cache 0.1.0, cachebox 6.2.10",
            "A Processor, 2 CPUs usable, Linux 6.1, CPU governor unknown",
            "before each part 0.5–0.5, after each part 0.7–0.7",
            "2026-01-02",
        ):
            assert told in text


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"quick": True}, "quick: a look only"),
        ({"load_before": [[3.5]]}, "busy: do not quote"),
        ({"gil_enabled_before": False}, "a contender switched the GIL on"),
    ],
)
def test_figures_that_are_not_to_be_quoted_say_so(conditions: dict[str, Any], said: str) -> None:
    row = synthetic.row({FUNCTOOLS: 30.0})
    assert said in report.conditions_text(synthetic.part([row], **conditions))
    assert said not in report.conditions_text(synthetic.part([row]))


def test_the_load_of_the_run_itself_is_no_others() -> None:
    for name, load, busy in (("hits", 3.5, True), ("hits", 1.1, False), ("threads", 3.5, False)):
        assert report.busy(synthetic.part(name=name, load_before=[[load]])) == busy


GOALS = [
    # Ratio, spread of the rounds, verdict; the goal is 0.70 on CPython 3.11 with PGO.
    (0.60, 0.001, "yes"),
    (0.80, 0.001, "**no**"),
    (0.70, 0.4, "unclear"),
    (0.10, 0.4, "yes"),
]


@pytest.mark.parametrize(("ratio", "noise", "verdict"), GOALS)
def test_goals(ratio: float, noise: float, verdict: str) -> None:
    row = synthetic.row({FUNCTOOLS: 30.0, WARP_LRU: 30.0 * ratio}, noise=0)
    row.series[1].rounds = [30.0 * ratio * (1 + noise * step) for step in (-1, -0.5, 0, 0.5, 1)] * 5
    table = report.goals([synthetic.part([row])], Interpreter((3, 11), True, False))
    assert [line[-1] for line in table.lines] == [verdict]


def test_goals_that_rounds_do_not_bear_out_have_no_number() -> None:
    table = report.goals(noisy().results, Interpreter((3, 11), True, False))
    assert [line[3] for line in table.lines] == [NO_DIFFERENCE]


def test_the_readme_has_what_was_measured_and_no_more() -> None:
    run = synthetic.run(
        synthetic.part([synthetic.row({FUNCTOOLS: 30.0, WARP_LRU: 18.0, WARP_CACHE: 9.0})]),
        synthetic.part(
            [
                synthetic.row(
                    {FUNCTOOLS: 30.0, WARP_LRU: 18.0, WARP_CACHE: 9.0}, key="misses/function"
                )
            ]
        ),
    )
    lines = summary.text(run).splitlines()
    assert lines[2].startswith("| hit, one int | `functools.lru_cache` | 0.6")
    assert lines[3].startswith(
        "| miss and eviction: `lru_cache` / `cache` | `functools.lru_cache` |"
    )
    assert lines[4] == ""
