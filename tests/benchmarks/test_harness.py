"""How rounds are taken: interleaved, the first one not counted, none after the time is up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.harness import Contender, Harness, Options, interleave
from benchmarks.loops import Loop
from benchmarks.model import PartResult

FAST = Options(rounds=4, sample_ms=1e-6)


def harness(options: Options = FAST) -> Harness:
    return Harness(options, PartResult("hits"))


def recorder(name: str, log: list[str]) -> Callable[[int], int]:
    """A run that pretends to have taken a nanosecond a turn."""

    def run(turns: int) -> int:
        log.append(name)
        return turns

    return run


def rounds_of(log: list[str], contenders: int) -> list[list[str]]:
    """Without the calibration, which is one call for each."""
    log = log[contenders:]
    return [log[start : start + contenders] for start in range(0, len(log), contenders)]


def test_each_round_runs_every_contender_and_begins_with_another() -> None:
    log: list[str] = []
    values = interleave([recorder(name, log) for name in "abc"], FAST)
    rounds = rounds_of(log, 3)
    assert [sorted(each) for each in rounds] == [["a", "b", "c"]] * 5
    assert {each[0] for each in rounds} == {"a", "b", "c"}
    # The first of the five is for warming up.
    assert [len(each) for each in values] == [4, 4, 4]


@pytest.mark.parametrize(("rounds_in_time", "kept"), [(0, 1), (1, 1), (2, 2), (9, 4)])
def test_whole_rounds_are_kept_when_time_is_up(rounds_in_time: int, kept: int) -> None:
    log: list[str] = []

    def out_of_time() -> bool:
        return len(rounds_of(log, 2)) - 1 >= rounds_in_time

    values = interleave([recorder(name, log) for name in "ab"], FAST, out_of_time)
    assert [len(each) for each in values] == [kept, kept]


def test_a_row_has_a_value_a_round_for_everyone() -> None:
    one = harness()
    contenders = [Contender("identity", abs), Contender("other", float, "does less")]
    row = one.calls("int", "1 int", contenders, [(1,)])
    assert row is not None and one.result.rows == [row]
    assert row.key == "hits/int" and row.series[1].note == "does less"
    assert [len(series.rounds) for series in row.series] == [4, 4]
    assert row.loop is not None and len(row.loop) == 4


def test_a_contender_may_be_called_in_a_way_of_its_own() -> None:
    asked: list[object] = []
    one = harness()
    contenders = [
        Contender("as the row says", lambda key: asked.append(("row", key))),
        Contender("otherwise", lambda key: asked.append(("own", key)), call="f({0}); f(-{0})"),
    ]
    assert one.calls("int", "1 int", contenders, [(1,)], call="f({0} + 1)") is not None
    assert set(asked) == {("row", 2), ("own", 1), ("own", -1)}


def test_an_awaited_contender_may_do_more_than_be_awaited() -> None:
    asked: list[object] = []

    async def work(key: int) -> None:
        asked.append(("awaited", key))

    def more(key: int) -> object:
        asked.append(("called", key))
        return work(key)

    one = harness()
    contender = Contender("otherwise", more, call="f({0}); await f(-{0})")
    assert one.awaits("int", "await f(1)", [contender], [(1,)]) is not None
    assert set(asked) == {("called", 1), ("awaited", 1), ("called", -1), ("awaited", -1)}


def test_a_sample_may_be_shorter_than_the_others_and_never_longer() -> None:
    turns: list[int] = []

    def run(number: int) -> int:
        turns.append(number)
        return 1000 * number

    one = harness(Options(rounds=4, sample_ms=0.1))
    contender, empty = Contender("a microsecond a turn", run), Loop("f", [(1,)], empty=True)
    for sample_ms, most in ((None, 100), (0.02, 20), (5.0, 100)):
        turns.clear()
        one.runs("row", "work", [contender], [run], empty, sample_ms=sample_ms)
        assert turns[-1] == most


def test_what_there_is_no_time_for_is_named() -> None:
    one = harness(Options(rounds=4, sample_ms=1e-6, budget_s=0.0))
    one.begun -= 1.0
    assert one.calls("int", "1 int", [Contender("identity", abs)], [(1,)]) is None
    assert one.awaits("later", "await f(1)", [Contender("identity", abs)], [(1,)]) is None
    one.skip("1 int")
    assert one.result.rows == []
    assert one.result.notes == [
        "no time was left for: 1 int",
        "no time was left for: await f(1)",
    ]


def test_without_a_budget_there_is_always_time() -> None:
    one = harness()
    one.begun -= 1e6
    assert not one.out_of_time()


def test_points_are_collected_by_contender_and_place() -> None:
    one = harness()
    figure = one.figure("cost", "Cost", x_label="entries", y_label="ns")
    one.point("cost", "ours", 10, [1, 2])
    one.point(figure, "theirs", 10, [5.0], note="no lock")
    one.point("cost", "ours", 10, [3])
    one.point("cost", "ours", 100, [4])
    ours, theirs = figure.curves
    assert [(point.x, point.rounds) for point in ours.points] == [
        (10, [1.0, 2.0, 3.0]),
        (100, [4.0]),
    ]
    assert theirs.note == "no lock" and theirs.points[0].median == 5.0


def test_mistakes_of_a_part_are_named() -> None:
    one = harness()
    one.figure("cost", "Cost")
    with pytest.raises(ValueError, match="has a figure 'cost' already"):
        one.figure("cost", "Again")
    with pytest.raises(ValueError, match="a-z, 0-9 and hyphens, got 'a/b'"):
        one.figure("a/b", "Elsewhere")
    with pytest.raises(ValueError, match=r"one of \['cost'\], got 'coast'"):
        one.point("coast", "ours", 1, [1.0])
    for rounds in ([], [float("nan")], [float("inf")]):
        with pytest.raises(ValueError, match="no rounds, or not finite"):
            one.point("cost", "ours", 1, rounds)
