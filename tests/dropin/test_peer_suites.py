"""What of the peers' suites is red: told from how their tests ended, without running them."""

from __future__ import annotations

import pytest

from scripts.peer_suites.__main__ import SUITES, Suite, unexpected

SUITE = Suite("async-lru", "public", "cache", "*.py", {"a": "a reason", "b": "a reason"}, 2)
AS_EXPECTED = {"a": "failed", "b": "failed", "c": "passed", "d": "passed", "e": "skipped"}


def test_what_is_listed_may_fail_and_the_rest_has_to_pass() -> None:
    assert unexpected(SUITE, AS_EXPECTED) == []


@pytest.mark.parametrize(
    ("change", "red"),
    [
        ({"f": "failed"}, ["f fails, and is not listed"]),
        ({"a": "passed"}, ["a passes, and is listed"]),
        ({"b": "skipped"}, ["b is listed, and did not run"]),
        ({"d": "skipped"}, ["2 at least were to pass"]),
        ({"d": "failed"}, ["2 at least were to pass", "d fails, and is not listed"]),
    ],
)
def test_any_other_end_is_red(change: dict[str, str], red: list[str]) -> None:
    assert unexpected(SUITE, {**AS_EXPECTED, **change}) == red


def test_every_exception_has_a_reason_and_every_suite_a_least_number() -> None:
    assert {suite.package for suite in SUITES} == {"async-lru", "cachetools"}
    for suite in SUITES:
        assert suite.least > 0
        assert all(reason for reason in suite.excepted.values())
