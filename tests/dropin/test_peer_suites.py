"""What of the peers' suites is red: told from how their tests ended, without running them."""

from __future__ import annotations

import subprocess

import pytest

from scripts.peer_suites import elsewhere
from scripts.peer_suites.__main__ import unexpected
from scripts.peer_suites.suite import Suite
from scripts.peer_suites.table import GROUPS

EXCEPTED = {"a": "a reason", "b": "a reason"}
SUITE = Suite("async-lru", "public", "cache", "decorators", ("*.py",), EXCEPTED, 2)
AS_EXPECTED = {"a": "failed", "b": "failed", "c": "passed", "d": "passed", "e": "skipped"}


def test_what_is_listed_may_fail_and_the_rest_has_to_pass() -> None:
    assert unexpected(SUITE, AS_EXPECTED) == []


@pytest.mark.parametrize(
    ("change", "red"),
    [
        ({"f": "failed"}, ["f fails, and is not listed"]),
        ({"f": "passed"}, ["2 were to pass, not 3"]),
        ({"a": "passed"}, ["2 were to pass, not 3", "a passes, and is listed"]),
        ({"b": "skipped"}, ["b is listed, and did not run"]),
        ({"d": "skipped"}, ["2 were to pass, not 1"]),
        ({"d": "failed"}, ["2 were to pass, not 1", "d fails, and is not listed"]),
    ],
)
def test_any_other_end_is_red(change: dict[str, str], red: list[str]) -> None:
    assert unexpected(SUITE, {**AS_EXPECTED, **change}) == red


@pytest.mark.parametrize("group", GROUPS)
def test_every_exception_has_a_reason_and_every_suite_a_number(group: str) -> None:
    assert len({suite.name for suite in GROUPS[group]}) == len(GROUPS[group])
    for suite in GROUPS[group]:
        assert suite.passes > 1
        assert all(reason for reason in suite.excepted.values())


def test_what_no_interpreter_here_can_run_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_is_here", lambda name: False)
    newer = Suite("django", "6.0 base", "MemoryCache", "p", ("*.py",), {}, 2, python=(3, 12))
    absent = elsewhere.Elsewhere("frameworks", [newer])
    absent.build()  # there is nothing to build for
    said = "\n".join(absent.run())
    assert said.startswith("== NOT RUN: 1 suites of django ask for CPython 3.12 or newer")
    assert newer.name in said


def test_the_oldest_interpreter_that_is_new_enough_runs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elsewhere, "_is_here", lambda name: name in {"3.13", "3.14"})
    newer = Suite("django", "6.0 base", "MemoryCache", "p", ("*.py",), {}, 2, python=(3, 12))
    asked: list[tuple[str, ...]] = []
    there = elsewhere.Elsewhere("frameworks", [newer])

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        return subprocess.CompletedProcess([], 1, "building\n== a suite\n   RED: a is red\n", "")

    monkeypatch.setattr(there, "_make", make)
    assert there.run() == ["== by CPython 3.13:", "== a suite", "   RED: a is red"]
    assert asked == [("ARGS=frameworks django", "suites")]
