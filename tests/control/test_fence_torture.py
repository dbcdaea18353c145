"""The fence under load (`fence_torture`), and that what checks it finds each fault.

WARP_FENCE_SECONDS has the seconds of each configuration (`make torture`), WARP_FENCE_SEED a seed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import support
from fence_mutants import OF_DEBUG_BUILDS, switch_off
from fence_torture import CONFIGURATIONS
from histories import CALL, FENCE, SET, Event, judge

SECONDS = float(os.environ.get("WARP_FENCE_SECONDS", "0.2"))
SEED = os.environ.get("WARP_FENCE_SEED", "4711")
LIMIT = 400 + 2 * SECONDS * len(CONFIGURATIONS)

pytestmark = [
    pytest.mark.timeout(LIMIT),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
]

# Each fault, where it is to be found.
MUTANTS = [
    "threads:by_hand",
    "tasks:by_hand",
    "tasks:late_tasks",
    "tasks_alone:late_tasks",
    "threads_stale:late_refreshes",
    "tasks_stale:late_refreshes",
    "threads:joining_refreshes",
    "tasks:joining_refreshes",
    "threads:memory",
    "threads_alone:memory",
    "lru_alone:memory",
    "shared:by_hand",
    "shared_without_lease:late_tasks",
    "shared_stale:late_refreshes",
    "shared_crowd:joining_tasks",
    "shared:file",
    "shared_without_lease:file",
    "shared_crowd:joining",
]


def torture(seconds: float, names: list[str]) -> str:
    """Run these one after the other; what they have to say."""
    script = Path(__file__).with_name("fence_torture.py")
    done = subprocess.run(
        [sys.executable, "-Wignore", str(script), str(seconds), SEED, *names],
        env=support._environment({"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout


each_tier = pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "shared"])


@each_tier
def test_no_call_gets_what_was_computed_before_an_invalidation(
    is_shared: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    said = torture(SECONDS, [n for n in CONFIGURATIONS if n.startswith("shared") == is_shared])
    with capsys.disabled():
        if SECONDS > 1:
            print(f"\n{said}")


@each_tier
def test_each_fault_is_found(is_shared: bool) -> None:
    names = [name for name in MUTANTS if name.startswith("shared") == is_shared]
    if switch_off is None:
        # These need a build with debug assertions: make build-debug.
        names = [name for name in names if name.partition(":")[2] not in OF_DEBUG_BUILDS]
    torture(0.2, names)


# --- the judge ----------------------------------------------------------------------------------


def call(start: int, end: int, made: int, by_hand: int = 0, key: int = 1) -> Event:
    return Event(CALL, 0, key, start, end, made, by_hand)


def test_a_value_of_before_an_invalidation_that_had_returned_is_too_old() -> None:
    fence = Event(FENCE, 0, 0b11, 20, 30)
    old = call(31, 40, made=19)
    right = [
        call(29, 30, made=19),  # it began before the invalidation had returned
        call(31, 40, made=20),  # computed while it ran
        call(31, 40, made=19, key=4),
        Event(CALL, 1, 1, 31, 40, 19),
    ]
    verdict = judge([old, *right, fence])
    assert [violation.call for violation in verdict.violations] == [old]
    assert verdict.violations[0].fence == fence
    assert (verdict.calls, verdict.fences, verdict.hits, verdict.crossed) == (5, 1, 5, 0)


def test_what_was_set_by_hand_counts_from_its_end() -> None:
    setting = Event(SET, 0, 1, 10, 25, 0, 7)
    fence = Event(FENCE, 0, 1, 20, 30)
    later = Event(FENCE, 0, 1, 26, 40)
    assert judge([setting, fence, call(31, 40, made=10, by_hand=7)]).violations == []
    assert judge([setting, later, call(41, 50, made=10, by_hand=7)]).violations != []
    # Of one whose process was killed in it, nobody knows when it took effect.
    assert judge([later, call(41, 50, made=10, by_hand=7)]).violations == []
    # And it fences itself.
    assert judge([setting, call(26, 30, made=9)]).violations != []


def test_of_several_invalidations_the_one_counts_that_began_last() -> None:
    long, short = Event(FENCE, 0, 1, 5, 30), Event(FENCE, 0, 1, 20, 25)
    assert judge([long, short, call(31, 40, made=19)]).violations != []
    assert judge([long, short, call(26, 40, made=19)]).violations != []
    assert judge([long, short, call(24, 40, made=6)]).violations == []
    assert judge([long, short, call(1, 40, made=0)]).crossed == 1
