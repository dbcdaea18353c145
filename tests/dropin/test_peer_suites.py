"""What of the peers' suites is red: told from how their tests ended, without running them."""

from __future__ import annotations

import pytest

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
