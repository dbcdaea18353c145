"""One suite: whose tests, what takes the place of what they were written for, and what of them
passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Suite:
    """The tests of one package that are run with one thing of ours."""

    package: str
    part: str
    # What of ours stands in: the plugin is told so.
    ours: str
    # The plugin that puts it there, a module of this package.
    plugin: str
    # Where its tests are, below the folder `tests` of the source distribution (a pattern), or
    # modules of this package.
    files: tuple[str, ...]
    # Test by test, why it cannot pass.
    excepted: Mapping[str, str]
    # How many pass: a suite that lost its tests is no green one.
    passes: int
    # What is installed beside our own environment.
    needs: tuple[str, ...] = ()
    # More for pytest.
    options: tuple[str, ...] = ()
    # Whether its fixtures are used; else what it needs is the plugin's.
    fixtures: bool = False
    # From this Python on, and below that.
    python: tuple[int, int] = (3, 10)
    below: tuple[int, int] = (4, 0)

    @property
    def name(self) -> str:
        return f"{self.package}, {self.part}, by {self.ours}"

    @property
    def module(self) -> str:
        return self.package.replace("-", "_")


def by_test(reasons: Mapping[str, tuple[str, ...] | list[str]]) -> dict[str, str]:
    """The reason of each test, from the tests of each reason."""
    return {test: reason for reason, tests in reasons.items() for test in tests}
