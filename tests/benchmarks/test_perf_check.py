"""`make perf-check` on made-up counts: what fails, what is only told, how a dump is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import callgrind, perf_check
from benchmarks.callgrind import Cost
from benchmarks.perf_check import BETTER, GONE, NEW, SAME, WORSE, Count, compare, failed, table

BEFORE = {"hit": Count(100.0, 0.5)}


def verdict(instructions: float, calls_out: float = 0.5) -> str:
    (line,) = compare(BEFORE, {"hit": Count(instructions, calls_out)})
    return line.verdict


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        (100.0, SAME),
        (103.0, SAME),
        (103.1, WORSE),
        (200.0, WORSE),
        (97.0, SAME),
        (96.9, BETTER),
        (1.0, BETTER),
    ],
)
def test_three_per_cent_decide(instructions: float, expected: str) -> None:
    assert verdict(instructions) == expected


def test_what_is_handed_on_is_no_saving() -> None:
    assert verdict(50.0, calls_out=1.5) == WORSE
    assert verdict(100.0, calls_out=0.0) == SAME


def test_the_first_call_out_of_a_hit_without_any_is_worse() -> None:
    (line,) = compare({"hit": Count(100.0, 0.0)}, {"hit": Count(100.0, 1.0)})
    assert line.verdict == WORSE


def test_only_what_is_dearer_fails() -> None:
    lines = compare({"gone": Count(1.0, 0.0), **BEFORE}, {**BEFORE, "new": Count(1.0, 0.0)})
    assert {line.case: line.verdict for line in lines} == {"hit": SAME, "new": NEW, "gone": GONE}
    assert not failed(lines)
    assert failed(compare(BEFORE, {"hit": Count(104.0, 0.5)}))


def test_the_table_names_every_case_and_its_change() -> None:
    text = table(compare(BEFORE, {"hit": Count(110.0, 0.25), "new": Count(1.0, 0.0)})).text()
    assert "+10.0%" in text
    assert "0.50 → 0.25" in text
    assert NEW in text


def test_counts_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "counts" / "some.json"
    made_with = {"compiler": "rustc 1.0"}
    perf_check.save(path, BEFORE, made_with)
    assert perf_check.load(path) == (BEFORE, made_with)


@pytest.fixture
def at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No valgrind is run, and the committed counts lie elsewhere."""
    monkeypatch.setattr(perf_check, "ROOT", tmp_path)
    monkeypatch.setattr(perf_check, "FOLDER", tmp_path / "counts")
    monkeypatch.setattr(callgrind, "program", lambda: Path("valgrind"))
    monkeypatch.setattr(perf_check, "count", lambda valgrind: {"hit": Count(110.0, 0.5)})
    return tmp_path / "counts"


def test_accepting_makes_the_next_check_pass(
    at_hand: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert perf_check.main([]) == 0
    assert "SKIPPED, nothing was compared" in capsys.readouterr().out
    assert perf_check.main(["--accept"]) == 0
    capsys.readouterr()
    assert perf_check.main([]) == 0
    assert capsys.readouterr().out.endswith("perf-check: ok\n")


def test_a_dearer_hit_fails_and_tells_how_to_accept_it(
    at_hand: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert perf_check.main(["--accept"]) == 0
    (path,) = at_hand.iterdir()
    _, made_with = perf_check.load(path)
    perf_check.save(path, BEFORE, {**made_with, "compiler": "another one"})
    capsys.readouterr()
    assert perf_check.main([]) == 1
    out = capsys.readouterr().out
    assert "compiler was another one" in out
    assert perf_check.ACCEPT in out


def test_without_valgrind_it_says_that_nothing_was_compared(
    at_hand: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(callgrind, "program", lambda: None)
    assert perf_check.main(["--accept"]) == 0
    assert "SKIPPED, nothing was compared: valgrind is not installed" in capsys.readouterr().out
    assert not at_hand.exists()


DUMP = """\
# callgrind format
part: 2
desc: Timerange: Basic block 50772494 - 50772997
events: Ir
summary: 99

ob=(1) /usr/lib/libpython3.so
fn=(1) _PyEval_EvalFrameDefault
10 100
cob=(2) /somewhere/_warp_cache_rs.cpython-311-x86_64-linux-gnu.so
cfn=(2) hit
calls=4 0
* 9999
+1 11

ob=(2)
fn=(2)
0 40
cob=(1)
cfn=(3) PyObject_Hash
calls=3 772
0 500
0 2
cfn=(4) within
calls=5 0
0 77
fn=(4)
-3 8
"""


def test_a_dump_is_read_without_what_calls_cost() -> None:
    names: dict[str, str] = {}
    assert callgrind.parse(DUMP.splitlines(), names) == Cost(own=50, calls_out=3, total=161)
    # The next dump may use the abbreviations of this one.
    assert callgrind.parse(["ob=(2)", "0 7"], names) == Cost(own=7, calls_out=0, total=7)


def test_sections_lie_between_the_marks() -> None:
    """Two dumps to a mark; what comes before the first mark and after the last belongs to none."""
    ours = "ob=(1) _warp_cache_rs.so"
    dumps = [f"{ours}\n0 {spent}" for spent in (1000, 0, 5, 1, 7, 2)]
    own = [cost.own for cost in callgrind._between(dumps, 2)]
    assert own == [5, 8]
    with pytest.raises(RuntimeError, match="3 marks led to 5 dumps"):
        callgrind._between(dumps[:5], 2)
