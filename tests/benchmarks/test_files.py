"""Runs in files: what was written is read, and what is damaged is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy")

from benchmarks import changes, docs, report, summary
from benchmarks.files import BadRun, parse, read

USUAL = synthetic.usual()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    USUAL.write(path)
    assert read(path) == USUAL
    assert read(path).text() == path.read_text(encoding="utf-8")


def test_every_round_is_in_the_file() -> None:
    data = json.loads(USUAL.text())
    written = data["parts"][0]["rows"][0]["series"][1]["rounds"]
    assert written == USUAL.results[0].rows[0].series[1].rounds
    assert len(written) == synthetic.ROUNDS
    point = data["parts"][2]["figures"][0]["curves"][0]["points"][0]
    assert len(point["rounds"]) == synthetic.ROUNDS


def test_runs_of_before_there_were_figures_are_read() -> None:
    data = json.loads(USUAL.text())
    data["schema"] = 1
    for part in data["parts"]:
        del part["figures"], part["title"]
        del part["conditions"]["load_after"], part["conditions"]["seconds"]
        for row in part["rows"]:
            del row["blocks"]
    old = parse(json.dumps(data))
    assert old.results[0].rows[0].series == USUAL.results[0].rows[0].series
    assert report.terminal(old)


def damaged(change: Any) -> str:
    data = json.loads(USUAL.text())
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no run of the benchmarks"),
        ('{"a": 1}', "no run of the benchmarks"),
        (damaged(lambda run: run.update(schema=99)), "its schema is 99"),
        (damaged(lambda run: run.pop("date")), "'date' is missing"),
        (damaged(lambda run: run.update(date=3)), "run.date must be str, got 3"),
        (damaged(lambda run: run.update(failed=[3])), "run.failed[0] must be str, got 3"),
        (damaged(lambda run: run["machine"]["python"].pop("pgo")), "'pgo' is missing"),
        (damaged(lambda run: run["machine"].update(cpu=3)), "machine.cpu must be str, got 3"),
        (damaged(lambda run: run.update(parts=[3])), "parts[0] must be an object"),
        (damaged(lambda run: run["parts"][0].pop("rows")), "'hits' is damaged: 'rows'"),
        (
            damaged(lambda run: run["parts"][0]["rows"][0]["series"][1]["rounds"].pop()),
            "24 rounds beside 25",
        ),
        (
            damaged(lambda run: run["parts"][0]["rows"][0]["series"][0].update(rounds=["a"])),
            "rounds[0] must be float, got 'a'",
        ),
        (
            damaged(lambda run: run["parts"][0]["rows"][0]["loop"].__setitem__(3, float("nan"))),
            "'hits' is damaged",
        ),
        (
            damaged(lambda run: run["parts"][2]["figures"][0].update(kind="pie")),
            "must be 'lines' or 'bars', got 'pie'",
        ),
        (
            damaged(lambda run: run["parts"][2]["figures"][0].update(key="../../etc/passwd")),
            "a figure's key must be",
        ),
    ],
)
def test_damage_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadRun) as caught:
        read(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="nothing.json cannot be read"):
        read(tmp_path / "nothing.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(BadRun, match="binary cannot be read"):
        read(tmp_path / "binary")


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be replaced or removed."""
    found = [path] if path else []
    children: list[tuple[Any, Any]] = []
    if isinstance(data, dict):
        children = list(data.items())
    elif isinstance(data, list):
        children = list(enumerate(data[:4]))
    for key, child in children:
        found += places(child, (*path, key))
    return found


PLACES = places(json.loads(USUAL.text()))
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.floats()


@given(st.data())
def test_what_is_read_can_be_reported_and_compared(data: st.DataObject) -> None:
    """Whatever is changed in a file: it is refused, or all that is made of it works."""
    whole = json.loads(USUAL.text())
    *parents, last = data.draw(st.sampled_from(PLACES))
    place = whole
    for key in parents:
        place = place[key]
    value: Any = data.draw(LEAVES | st.just([]) | st.just({}) | st.lists(LEAVES, max_size=2))
    if data.draw(st.booleans()):
        place[last] = value
    else:
        del place[last]
    try:
        run = parse(json.dumps(whole))
    except BadRun:
        return
    report.terminal(run)
    docs.page(run)
    summary.text(run)
    changes.changes(USUAL, run)
    changes.changes(run, USUAL)
