"""Two runs compared: changes are told, the machine's pace is not, and strangers are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")

from benchmarks import compare
from benchmarks.changes import UNJUDGED, changes, only_in
from benchmarks.files import Run
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU, Figure, Series
from benchmarks.numbers import NO_DIFFERENCE

MEDIANS = {FUNCTOOLS: 30.0, WARP_LRU: 18.0, "cachebox": 400.0}


def run(seed: int, changed: dict[str, float] | None = None, pace: float = 1.0) -> Run:
    """Ten rows; `changed` are factors on contenders, `pace` is that of the whole machine."""
    medians = {name: m * (changed or {}).get(name, 1.0) * pace for name, m in MEDIANS.items()}
    rows = [
        synthetic.row(medians, key=f"hits/{n}", work=f"work {n}", seed=seed + n, loop=4.0 * pace)
        for n in range(0, 100, 10)
    ]
    return synthetic.run(synthetic.part(rows))


def verdicts(old: Run, new: Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for change in changes(old, new):
        found.setdefault(change.contender, set()).add(change.verdict)
    return found


def test_noise_is_no_difference() -> None:
    assert verdicts(run(1), run(2)) == {WARP_LRU: {NO_DIFFERENCE}, "cachebox": {NO_DIFFERENCE}}


def test_what_became_slower_and_what_faster() -> None:
    found = verdicts(run(1), run(2, {WARP_LRU: 1.2, "cachebox": 0.8}))
    assert found == {WARP_LRU: {"slower"}, "cachebox": {"faster"}}


@settings(max_examples=20)
@given(st.floats(0.3, 3.0))
def test_the_pace_of_the_machine_cancels(pace: float) -> None:
    found = verdicts(run(1), run(2, pace=pace))
    assert found == {WARP_LRU: {NO_DIFFERENCE}, "cachebox": {NO_DIFFERENCE}}


@pytest.mark.parametrize(
    ("names", "yardstick"),
    [
        ([WARP_LRU, FUNCTOOLS, "LMDB"], FUNCTOOLS),
        ([WARP_LRU, "LMDB"], "LMDB"),
        ([WARP_LRU, WARP_CACHE], "the loop"),
    ],
)
def test_the_yardstick(names: list[str], yardstick: str) -> None:
    one = synthetic.run(synthetic.part([synthetic.row(dict.fromkeys(names, 9.0), loop=2.0)]))
    found = changes(one, one)
    assert {change.yardstick for change in found} == {yardstick}
    assert yardstick not in {change.contender for change in found}


def test_without_a_yardstick_a_change_is_the_values_own() -> None:
    old, new = (
        synthetic.run(synthetic.part([synthetic.row({WARP_LRU: value}, seed=int(value))]))
        for value in (10.0, 13.0)
    )
    assert [(c.yardstick, c.verdict) for c in changes(old, new)] == [("–", "slower")]


@pytest.mark.parametrize(
    ("unit", "verdict"), [("ns", "slower"), ("M calls/s", "faster"), ("×", "better")]
)
def test_more_is_better_or_worse_by_its_unit(unit: str, verdict: str) -> None:
    old, new = (
        synthetic.run(synthetic.part([synthetic.row({WARP_LRU: value}, unit=unit)]))
        for value in (10.0, 13.0)
    )
    assert [change.verdict for change in changes(old, new)] == [verdict]


def test_bytes_are_compared_size_by_size() -> None:
    def sizes(factor: float) -> Run:
        row = synthetic.row({WARP_LRU: 1.0}, unit="bytes")
        row.series = [Series(WARP_LRU, [factor * size for size in (40.0, 80.0, 55.0, 62.0)])]
        row.blocks = [4]
        return synthetic.run(synthetic.part([row]))

    assert [change.verdict for change in changes(sizes(1.0), sizes(1.0))] == [NO_DIFFERENCE]
    assert [change.verdict for change in changes(sizes(1.0), sizes(1.03))] == ["worse"]


def test_points_of_figures_are_compared() -> None:
    old = synthetic.run(synthetic.threads())
    new = synthetic.run(synthetic.threads(factor=0.7))
    found = changes(old, new)
    assert [change.verdict for change in found] == ["slower"] * 3
    assert [change.work for change in found] == [
        f"Hits of several threads, threads {count}" for count in (1, 2, 4)
    ]


def test_hit_ratios_are_exact() -> None:
    def ratios(value: float) -> Run:
        figure = Figure("web", "A trace", x_label="size", y_label="hits", y_percent=True)
        figure.curve(WARP_CACHE).add(100, [value])
        return synthetic.run(synthetic.part(figures=[figure]))

    assert [change.verdict for change in changes(ratios(0.5), ratios(0.5))] == [NO_DIFFERENCE]
    assert [change.verdict for change in changes(ratios(0.5), ratios(0.4))] == ["worse"]


def test_two_processes_are_too_few() -> None:
    old, new = run(1), run(2, {WARP_LRU: 3.0})
    for result in new.results:
        for row in result.rows:
            row.blocks = [13, 12]
    assert verdicts(old, new) == {WARP_LRU: {UNJUDGED}, "cachebox": {UNJUDGED}}


def test_a_certain_trifle_is_no_change() -> None:
    old = synthetic.run(synthetic.part([synthetic.row({WARP_LRU: 10.0}, noise=0)]))
    new = synthetic.run(synthetic.part([synthetic.row({WARP_LRU: 10.05}, noise=0)]))
    assert [change.verdict for change in changes(old, new)] == [NO_DIFFERENCE]


def test_rows_of_one_run_alone_are_named() -> None:
    old, new = run(1), run(2)
    row = new.results[0].rows[0]
    row.series = [*row.series, Series("newcomer", row.series[0].rounds)]
    new.results[0].rows[3].key = "hits/other"
    assert only_in(old, new) == ["hits/30 (work 30, ns)"]
    assert only_in(new, old) == ["hits/0, newcomer", "hits/other (work 30, ns)"]
    text = compare.text(old, new)
    assert "only in the old run:\n  hits/30 (work 30, ns)" in text
    assert "hits/0, newcomer" in text


def test_the_text_names_the_method_and_hides_what_is_noise() -> None:
    text = compare.text(run(1), run(2, {WARP_LRU: 1.2}))
    assert "Welch" in text and "Holm" in text
    assert "10 no difference, 10 slower" in text
    assert "cachebox" not in text
    everything = compare.text(run(1), run(2, {WARP_LRU: 1.2}), every=True)
    lines = [line for line in everything.splitlines() if line.endswith(NO_DIFFERENCE)]
    assert len(lines) == 10


def saved(run: Run, path: Path) -> str:
    run.write(path)
    return str(path)


def test_the_status_tells_of_regressions_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = saved(run(1), tmp_path / "old.json")
    slow = saved(run(2, {WARP_LRU: 1.3}), tmp_path / "slow.json")
    peer = saved(run(2, {"cachebox": 1.3}), tmp_path / "peer.json")
    assert compare.main([old, slow]) == 0
    assert compare.main([old, slow, "--fail-on-regression"]) == 1
    assert compare.main([slow, old, "--fail-on-regression"]) == 0
    assert compare.main([old, peer, "--fail-on-regression"]) == 0
    assert "slower" in capsys.readouterr().out


def test_other_interpreters_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = saved(synthetic.usual(), tmp_path / "old.json")
    new = saved(synthetic.usual(free_threaded=True, version="3.13.1"), tmp_path / "new.json")
    with pytest.raises(SystemExit) as ended:
        compare.main([old, new])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "version is 3.11 in the old run, 3.13 in the new" in said
    assert "free-threaded is False in the old run, True in the new" in said
    assert "--anyway" in said
    assert compare.main([old, new, "--anyway"]) == 0


def test_other_conditions_are_warned_of() -> None:
    old, new = synthetic.usual(), synthetic.usual(version="3.11.9")
    assert compare.refusals(old, new) == [] == compare.warnings(old, new)
    new.machine["cpu"] = "Another"
    new.machine["packages"]["cachebox"] = "7.0"
    new.results[0].conditions["quick"] = True
    new.results[1].conditions["load_before"] = [[7.0]]
    new = replace(new, failed=["memory"])
    text = compare.text(old, new)
    for warning in (
        "cpu is A Processor in the old run, Another in the new",
        "cachebox is 6.2.10 in the old run, 7.0 in the new",
        "the new run's part hits was measured quickly",
        "the machine was busy in the new run's part misses",
        "the new run's part memory failed",
    ):
        assert f"warning: {warning}" in text or f": {warning}" in text


def test_bad_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = saved(synthetic.usual(), tmp_path / "good.json")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"schema": 2}), encoding="utf-8")
    for arguments in ([good, str(bad)], [str(tmp_path / "none.json"), good]):
        with pytest.raises(SystemExit) as ended:
            compare.main(arguments)
        assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "bad.json: the head of the run is damaged: 'date' is missing" in said
    assert "none.json cannot be read" in said


def test_nothing_in_common_is_said() -> None:
    text = compare.text(synthetic.run(), synthetic.usual())
    assert "0 compared: nothing in common" in text
