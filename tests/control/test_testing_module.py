"""The module `warp_cache.testing` (§2.6): clock, isolated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import support
from control import Body, Kind, cache, the_testing

# --- testing.clock ------------------------------------------------------------------------------


def test_the_clock_ages_functions_decorated_before(kind: Kind) -> None:
    f = cache(ttl=100)(kind.one(Body()))
    kind.call(f, 1)
    with the_testing().clock() as clock:
        assert f.cache_contains(1), "time goes on where it was"
        clock.advance(150)
        assert not f.cache_contains(1)


def test_without_advance_the_clock_makes_nothing_end(kind: Kind) -> None:
    with the_testing().clock():
        f = cache(ttl=1000)(kind.one(Body()))
        kind.call(f, 1)
        assert kind.call(f, 1) == (1, 1)


def test_the_clock_advances_by_numbers_and_timedeltas(kind: Kind) -> None:
    import datetime

    with the_testing().clock() as clock:
        f = cache(ttl=100)(kind.one(Body()))
        kind.call(f, 1)
        clock.advance(30)
        clock.advance(30.5)
        clock.advance(datetime.timedelta(seconds=30))
        assert f.cache_ttl(1) == pytest.approx(9.5, abs=3)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (-1, ValueError),
        (-0.001, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (10**400, ValueError),
        ("5", TypeError),
        (None, TypeError),
        ([5], TypeError),
    ],
)
def test_the_clock_refuses_what_is_no_step_forward(wrong: Any, error: Any) -> None:
    with the_testing().clock() as clock:
        before = clock.time()
        with pytest.raises(error, match="seconds"):
            clock.advance(wrong)
        assert clock.time() == before


def test_the_clock_stands_still_at_the_end_of_its_range(kind: Kind) -> None:
    with the_testing().clock() as clock:
        f = cache(ttl=60)(kind.one(Body()))
        kind.call(f, 1)
        clock.advance(1e12)
        assert not f.cache_contains(1)


def test_after_the_clock_the_time_is_the_systems_again(kind: Kind) -> None:
    with the_testing().clock() as clock:
        clock.advance(10**6)
    f = cache(ttl=1000)(kind.one(Body()))
    kind.call(f, 1)
    assert f.cache_ttl(1) == pytest.approx(1000, abs=50)
    g = cache(ttl=0.05)(kind.one(Body()))
    kind.call(g, 1)
    support.eventually(lambda: not g.cache_contains(1))
    assert f.cache_contains(1)


def test_clocks_one_after_the_other(kind: Kind) -> None:
    for _ in range(3):
        with the_testing().clock() as clock:
            f = cache(ttl=100)(kind.one(Body()))
            kind.call(f, 1)
            clock.advance(90)
            assert f.cache_contains(1)
            clock.advance(20)
            assert not f.cache_contains(1)


# --- testing.isolated ---------------------------------------------------------------------------


def test_isolated_gives_a_directory_of_its_own(kind: Kind, cache_dir: Path) -> None:
    with the_testing().isolated():
        f = cache(backend="shared", name="isolated")(kind.one(Body()))
        kind.call(f, 1)
        assert f.cache_contains(1)
        where = Path(f.cache_options()["path"])
        assert where.exists() and cache_dir not in where.parents
        del f
    assert not where.exists(), "it is removed"
    assert not list(cache_dir.glob("isolated*"))


def test_two_isolated_share_nothing(kind: Kind) -> None:
    seen = []
    for _ in range(2):
        with the_testing().isolated():
            f = cache(backend="shared", name="twice")(kind.one(Body()))
            seen.append(f.cache_contains(1))
            kind.call(f, 1)
            seen.append(f.cache_contains(1))
    assert seen == [False, True] * 2


def test_isolated_reaches_child_processes() -> None:
    source = """
from warp_cache import cache
f = cache(backend="shared", name="child")(lambda x: x)
print(f.get(1))
"""
    with the_testing().isolated():
        f = cache(backend="shared", name="child")(lambda x: x)
        f.set("the parent's", 1)
        # The parent's function is found by its name, wherever the child decorates it.
        done = support.run_python(source)
    support.check_clean(done, out="the parent's")


def test_isolated_is_a_pytest_fixture(tmp_path: Path) -> None:
    # How a fixture is found is not specified: imported from `warp_cache.testing`, as any other.
    (tmp_path / "test_it.py").write_text(
        """
from warp_cache import cache
from warp_cache.testing import isolated

def test_first(isolated):
    f = cache(backend="shared", name="fixture")(lambda x: x)
    assert f.get(1) is None
    f(1)
    assert f.get(1) == 1

def test_second(isolated):
    f = cache(backend="shared", name="fixture")(lambda x: x)
    assert f.get(1) is None
""",
        encoding="utf-8",
    )
    source = f"""
import sys, pytest
others = ["cacheprovider", "hypothesispytest", "anyio", "xdist", "timeout"]
options = [option for name in others for option in ("-p", "no:" + name)]
sys.exit(pytest.main(["-q", *options, "--rootdir", {str(tmp_path)!r},
                      {str(tmp_path / "test_it.py")!r}]))
"""
    done = support.run_python(source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
