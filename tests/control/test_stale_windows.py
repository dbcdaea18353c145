"""Stale values, exactly (§3): what the two windows after a lifetime serve, and what ends them."""

from __future__ import annotations

from typing import Any

import pytest
import support
from control import Body, Gate, Kind, cache

# --- stale_while_revalidate ---------------------------------------------------------------------


def test_while_revalidating_the_old_value_comes_at_once_and_a_refresh_runs(
    kind: Kind, clock: Any
) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(body))
    assert kind.call(f, 1) == (1, 1)
    clock.advance(150)
    assert kind.call(f, 1) == (1, 1), "the old value"
    kind.eventually(lambda: f.get(1) == (1, 2))
    assert kind.call(f, 1) == (1, 2)
    assert f.cache_ttl(1) == pytest.approx(100, abs=5)
    assert body.count == 2


def test_a_revalidating_call_is_a_hit_and_a_stale_hit(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 1)
    assert f.cache_info().stale_hits == 0
    clock.advance(150)
    kind.call(f, 1)
    info = f.cache_info()
    assert info[:2] == (2, 1) and info.stale_hits == 1
    kind.eventually(lambda: f.cache_info().refreshes == 1 and f.get(1) == (1, 2))
    assert f.cache_info()[:2] == (2, 1), "the refresh is neither"


def test_get_and_contains_answer_while_revalidating_and_start_nothing(
    kind: Kind, clock: Any
) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    assert f.get(1) == (1, 1) and f.cache_contains(1)
    kind.pause()
    info = f.cache_info()
    assert body.count == 1 and info.refreshes == 0
    assert info[:2] == (0, 1) and info.stale_hits == 0


def test_after_the_window_it_is_absent(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(201)
    assert f.cache_info().currsize == 0
    assert kind.call(f, 1) == (1, 2)
    assert f.cache_info()[:2] == (0, 2) and f.cache_info().stale_hits == 0


def test_a_fresh_call_starts_no_refresh(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(body))
    kind.call(f, 1)
    clock.advance(90)
    kind.call(f, 1)
    kind.pause()
    assert body.count == 1


def test_a_refreshed_value_that_is_not_stored_drops_the_old_entry(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=1000, cache_if=lambda value: value[1] != 2)(
        kind.one(body)
    )
    kind.call(f, 1)
    clock.advance(150)
    assert kind.call(f, 1) == (1, 1)
    kind.eventually(lambda: not f.cache_contains(1))
    # A call that finds the refresh not quite over joins it.
    while (value := kind.call(f, 1)) == (1, 2):
        kind.pause()
    assert value == (1, 3)


def test_an_entry_without_limit_is_never_stale(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=lambda value: None, stale_while_revalidate=100, stale_if_error=100)(
        kind.one(body)
    )
    kind.call(f, 1)
    clock.advance(10**7)
    assert kind.call(f, 1) == (1, 1)
    kind.pause()
    assert body.count == 1 and f.cache_info().stale_hits == 0


def test_windows_hold_for_set_and_put(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(Body()))
    f.set("set", 1)
    f.cache_put("put", (2,), ttl=50)
    clock.advance(120)
    assert f.get(1) == "set" and f.get(2) == "put"
    clock.advance(40)
    assert f.get(1) == "set" and f.get(2) is None


def test_both_windows_begin_when_freshness_ends(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100, stale_if_error=300)(kind.one(body))
    f.set("old", 1)
    body.fail = ValueError("down")
    clock.advance(250)
    assert not f.cache_contains(1), "revalidating ended at 200"
    assert kind.call(f, 1) == "old", "spare until 400"
    clock.advance(160)
    with pytest.raises(ValueError):
        kind.call(f, 1)


def test_revalidating_may_last_longer_than_spare(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=300, stale_if_error=50)(kind.one(body))
    f.set("old", 1)
    body.fail = ValueError("down")
    clock.advance(350)
    assert kind.call(f, 1) == "old"
    assert f.cache_info()[:2] == (1, 0), "a hit"
    clock.advance(60)
    with pytest.raises(ValueError):
        kind.call(f, 1)
    kind.pause()


def test_it_is_there_until_the_last_window_ends(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_while_revalidate=50, stale_if_error=200)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(290)
    assert f.cache_info().currsize == 1 and f.cache_ttl(1) == pytest.approx(-190, abs=5)
    clock.advance(20)
    assert f.cache_info().currsize == 0 and f.cache_ttl(1) is None


@pytest.mark.parametrize("drop", ["cache_if", "ttl"])
def test_a_recomputed_value_that_is_not_stored_drops_the_old_entry(
    kind: Kind, clock: Any, drop: str
) -> None:
    body = Body()
    given: dict[str, Any] = {"ttl": 100, "stale_if_error": 1000}
    if drop == "cache_if":
        given["cache_if"] = lambda value: value[1] == 1
    else:
        given["ttl"] = lambda value: 100 if value[1] == 1 else 0
    f = cache(**given)(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    assert kind.call(f, 1) == (1, 2)
    body.fail = ValueError("down")
    with pytest.raises(ValueError):
        kind.call(f, 1)


def test_set_and_invalidate_end_what_is_spare(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_if_error=1000)(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    body.fail = ValueError("down")
    f.cache_invalidate(1)
    with pytest.raises(ValueError):
        kind.call(f, 1)
    f.set("set", 1)
    assert kind.call(f, 1) == "set"


def test_an_invalidation_during_the_failing_computation_leaves_nothing_to_return(
    clock: Any,
) -> None:
    """Who calls after it must not get the old value; who called before may get either."""
    body = Gate()

    @cache(ttl=100, stale_if_error=1000)
    def f(x: int) -> Any:
        body(x)
        raise ValueError("down")

    f.set("old", 1)
    clock.advance(150)
    before = support.start(f, 1)
    body.await_begun(1)
    f.cache_invalidate(1)
    body.open(2)
    with pytest.raises(ValueError):
        support.start(f, 1).result(support.LIMIT)
    body.open(1)
    before.exception(support.LIMIT)
    assert not f.cache_contains(1) and f.cache_ttl(1) is None


def test_a_mixed_cache_of_all_windows_counts_what_is_there(clock: Any) -> None:
    f = cache(max_size=None, ttl=100, tti=900, stale_while_revalidate=100, stale_if_error=300)(
        lambda x: x
    )
    for x in range(100):
        f(x)
        clock.advance(10)
    # Those of the last 400 s are there: as stored at 10·x, now 1000.
    sizes = f.cache_info().currsize
    assert sizes == sum(1 for x in range(100) if f.cache_ttl(x) is not None)
    assert 39 <= sizes <= 41
    assert 19 <= sum(f.cache_contains(x) for x in range(100)) <= 21
