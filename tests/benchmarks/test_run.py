"""The parts of a run: put together from processes, within their budget, failures named."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
import synthetic

from benchmarks import run
from benchmarks.harness import Options
from benchmarks.model import FUNCTOOLS, WARP_CACHE, PartResult


class Processes:
    """Stands in for the processes of parts; notes with which options each was started."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Options]] = []

    def __call__(self, name: str, options: Options) -> PartResult:
        self.started.append((name, options))
        row = synthetic.row({FUNCTOOLS: 3.0, WARP_CACHE: 2.0}, key=f"{name}/row", loop=1.0)
        row.blocks = [options.rounds]
        for series in row.series:
            series.rounds = series.rounds[: options.rounds]
        row.loop = (row.loop or [])[: options.rounds]
        figure = synthetic.threads().figures[0]
        result = synthetic.part([row], [figure], rounds=options.rounds, processes=1, seconds=1.0)
        result.conditions["load_before"] = [[0.5]]
        return result


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    stand_in = Processes()
    monkeypatch.setattr(run, "_process", stand_in)
    return stand_in


def test_the_rounds_of_all_processes_are_kept(processes: Processes) -> None:
    (result,) = run.measure(["hits"], Options(rounds=12)).results
    assert [options.rounds for _, options in processes.started] == [3, 3, 2, 2, 2]
    assert result.rows[0].blocks == [3, 3, 2, 2, 2]
    assert [len(series.rounds) for series in result.rows[0].series] == [12, 12]
    assert len(result.figures[0].curves[0].points) == 3
    assert len(result.figures[0].curves[0].points[0].rounds) == 5 * synthetic.ROUNDS
    assert result.conditions["rounds"] == 12 and result.conditions["processes"] == 5
    assert result.conditions["seconds"] == 5.0


def test_a_part_that_measures_processes_itself_runs_in_one(processes: Processes) -> None:
    run.measure(["imports"], Options(rounds=12))
    assert [options.rounds for _, options in processes.started] == [12]


def test_the_time_is_shared_out(processes: Processes) -> None:
    run.measure(["hits", "imports"], Options(rounds=10), total_s=100.0)
    budgets = [options.budget_s or 0.0 for _, options in processes.started]
    # Nothing takes any time here: what one leaves, the next ones get.
    assert 0 < budgets[0] <= 10.0
    assert budgets[:5] == sorted(budgets[:5])
    assert 50.0 < budgets[4] + budgets[5] <= 150.0


def test_a_failure_is_named_and_the_rest_is_measured(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def process(name: str, options: Options) -> PartResult:
        if name == "hits":
            raise run.Failed("failed with status 7")
        return processes(name, options)

    monkeypatch.setattr(run, "_process", process)
    found = run.measure(["hits", "ttl"], Options(rounds=5))
    assert found.failed == ["hits"]
    assert "hits: failed with status 7" in capsys.readouterr().err
    assert [(result.part, len(result.rows)) for result in found.results] == [
        ("hits", 0),
        ("ttl", 1),
    ]


def test_a_part_that_was_stopped_keeps_what_it_had(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def process(name: str, options: Options) -> PartResult:
        if len(processes.started) == 2:
            raise run.Stopped("the part did not end")
        return processes(name, options)

    monkeypatch.setattr(run, "_process", process)
    found = run.measure(["hits"], Options(rounds=5))
    assert found.failed == []
    assert found.results[0].rows[0].blocks == [1, 1]
    assert found.results[0].notes == ["the part did not end"]


def test_parts_of_an_earlier_run_are_kept_if_it_was_made_on_the_same(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = run.measure(["ttl"], Options(rounds=5))
    both = run.measure(["hits"], Options(rounds=5), earlier)
    assert [result.part for result in both.results] == ["hits", "ttl"]
    earlier.machine = {**earlier.machine, "cpu": "Another"}
    alone = run.measure(["hits"], Options(rounds=5), earlier)
    assert [result.part for result in alone.results] == ["hits"]
    assert "dropped" in capsys.readouterr().err


def test_processes_that_measured_different_things_are_an_error(processes: Processes) -> None:
    one, other = (processes("hits", Options(rounds=5)) for _ in range(2))
    other.rows[0].series.pop()
    with pytest.raises(ValueError, match="measured different contenders"):
        one.extend(other)


def test_a_row_that_one_process_had_no_time_for_stays(processes: Processes) -> None:
    one, other = (processes("hits", Options(rounds=5)) for _ in range(2))
    late = synthetic.row({FUNCTOOLS: 1.0}, key="hits/late")
    other.rows.append(late)
    one.extend(other)
    assert [row.key for row in one.rows] == ["hits/row", "hits/late"]
    assert len(one.rows[0].series[0].rounds) == 10


def writers(reader: int) -> bool:
    """Whether somebody has the other end of this pipe open."""
    try:
        return os.read(reader, 1) != b""
    except BlockingIOError:
        return True


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes on this platform")
def test_a_process_that_is_stopped_takes_what_it_started_with_it(tmp_path: Path) -> None:
    """Also what does not listen: its end of a pipe closes when it ends."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    child = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"end = open({str(pipe)!r}, 'wb')\n"
        "time.sleep(60)\n"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "time.sleep(60)\n"
    )
    # Opened without waiting for a writer, which may be stopped before it opens its end.
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run._wait([sys.executable, "-c", parent], 2.0) is None
        while writers(reader):  # the timeout of all tests ends this, were the child to live on
            time.sleep(0.01)
    finally:
        os.close(reader)


def test_the_status_of_a_process() -> None:
    assert run._wait([sys.executable, "-c", "raise SystemExit(3)"], None) == 3
