"""Control over entries of a shared cache, in one process: lifetimes in real time, and all the rest.

The clock of `warp_cache.testing` moves caches in memory only. What must have ended has a lifetime
of some hundredths of a second; what must be there, one of many minutes.
"""

from __future__ import annotations

import datetime
import math
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
import support
from control import Body, Kind, both, cache, warp

SHORT = 0.05
LONG = 1000


@dataclass
class Box:
    items: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Point:
    x: int
    y: int


def shared(**given: Any) -> Any:
    return cache(backend="shared", **given)


def wait_until_stale(f: Any, *args: Any) -> None:
    support.eventually(lambda: (f.cache_ttl(*args) or 1) < 0)


def wait_until_gone(f: Any, *args: Any) -> None:
    support.eventually(lambda: f.cache_ttl(*args) is None)


# --- keys ---------------------------------------------------------------------------------------


def test_key(kind: Kind) -> None:
    body = Body()
    f = shared(key=lambda x: x % 10)(kind.one(body))
    assert kind.call(f, 1) == kind.call(f, 11) == (1, 1)
    assert f.cache_contains(21) and f.cache_invalidate(31) is True
    assert kind.call(f, 1) == (1, 2)
    g = shared(key=lambda x: len(x))(kind.one(lambda x: x))
    assert kind.call(g, [1]) == kind.call(g, [2]) == [1], "the arguments need not have bytes"


def test_ignore(kind: Kind) -> None:
    body = Body()
    body.make = lambda x, y: x
    f = shared(ignore=("y",))(kind.two(body))
    assert kind.call(f, 1, object()) == kind.call(f, 1, y=[]) == kind.call(f, x=1) == 1
    assert body.count == 1
    assert dict(f.cache_info().skips).get("argument", 0) == 0, "an ignored one needs no bytes"


def test_ignore_self(kind: Kind) -> None:
    class Client:
        fetch = shared(ignore=("self",))(kind.method(lambda self, x: x * 2))

    assert kind.call(Client().fetch, 4) == kind.call(Client().fetch, 4) == 8
    assert Client.fetch.cache_info().hits == 1


# --- methods ------------------------------------------------------------------------------------


@both
def test_the_methods_for_one_entry(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(backend="shared", ttl=LONG)(kind.one(body))
    assert f.cache_contains(1) is False and f.cache_ttl(1) is None
    assert f.cache_invalidate(1) is False
    assert kind.call(f, 1) == (1, 1)
    assert f.cache_contains(1) is True
    assert f.cache_ttl(1) == pytest.approx(LONG, abs=60)
    assert f.cache_invalidate(1) is True and f.cache_invalidate(1) is False
    assert kind.call(f, 1) == (1, 2)
    f.cache_put("put", (1,), ttl=LONG / 2)
    assert kind.call(f, 1) == "put" and f.cache_ttl(1) == pytest.approx(LONG / 2, abs=60)
    assert kind.call(f.cache_refresh, 1) == (1, 3)
    assert kind.call(f, 1) == (1, 3)
    body.fail = ValueError("down")
    with pytest.raises(ValueError):
        kind.call(f.cache_refresh, 1)
    assert kind.call(f, 1) == (1, 3)
    info = f.cache_info()
    assert info[:2] == (3, 2) and info.refreshes == 2 and info.load_failures == 1


@both
def test_put_with_a_short_life(decorate: Any, kind: Kind) -> None:
    f = decorate(backend="shared")(kind.one(Body()))
    f.cache_put("short", (1,), ttl=datetime.timedelta(seconds=SHORT))
    f.cache_put("long", (2,))
    assert f.cache_ttl(2) == math.inf
    wait_until_gone(f, 1)
    assert f.get(1) is None and f.get(2) == "long"
    f.cache_put("none", (2,), ttl=0)
    assert not f.cache_contains(2), "the older is dropped"


@both
def test_the_options_name_the_file(decorate: Any, kind: Kind) -> None:
    from pathlib import Path

    f = decorate(backend="shared", name="with-options")(kind.one(Body()))
    kind.call(f, 1)
    options = f.cache_options()
    assert options["backend"] == "shared" and options["name"] == "with-options"
    assert Path(options["path"]).exists() and options["private"] is False
    assert options["qualname"] == f.__qualname__


def test_a_private_cache_says_so(kind: Kind) -> None:
    changing: list[int] = []
    f = shared()(kind.one(lambda x: changing))
    kind.call(f, 1)
    assert f.cache_options()["private"] is True


# --- lifetimes ----------------------------------------------------------------------------------


def test_a_lifetime_from_the_value(kind: Kind) -> None:
    lives = {1: SHORT, 2: LONG, 3: None, 4: 0, 5: datetime.timedelta(seconds=LONG)}
    f = shared(ttl=lambda value: lives[value])(kind.one(lambda x: x))
    for x in lives:
        kind.call(f, x)
    assert f.cache_ttl(2) == pytest.approx(LONG, abs=60) == f.cache_ttl(5)
    assert f.cache_ttl(3) == math.inf and not f.cache_contains(4)
    wait_until_gone(f, 1)
    assert [f.cache_contains(x) for x in lives] == [False, True, True, False, True]
    assert f.cache_info().currsize == 3, "no gone one is counted"


def test_idle_time(kind: Kind) -> None:
    f = shared(tti=0.5)(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 2)
    end = time.monotonic() + 1.2
    while time.monotonic() < end and f.get(1) is not None:
        time.sleep(0.02)
    if f.cache_contains(1):  # unless the machine was so busy that it was idle
        assert f.cache_ttl(1) <= 0.5
    assert not f.cache_contains(2)
    wait_until_gone(f, 1)


def test_jitter(kind: Kind) -> None:
    f = shared(ttl=LONG, jitter=0.5, max_size=500)(kind.one(Body()))
    for x in range(100):
        f.set(x, x)
    lives = [f.cache_ttl(x) for x in range(100)]
    assert all(LONG / 2 - 60 < life <= LONG for life in lives)
    assert max(lives) - min(lives) > LONG / 10


def test_stale_while_revalidate(kind: Kind) -> None:
    body = Body()
    f = shared(ttl=SHORT, stale_while_revalidate=LONG)(kind.one(body))
    kind.call(f, 1)
    wait_until_stale(f, 1)
    assert f.get(1) == (1, 1) and f.cache_contains(1) and body.count == 1
    assert kind.call(f, 1) == (1, 1)
    kind.eventually(lambda: f.get(1) == (1, 2))
    info = f.cache_info()
    assert info[:2] == (1, 1) and info.stale_hits == 1 and info.refreshes == 1
    assert body.count == 2


def test_stale_if_error(kind: Kind) -> None:
    body = Body()
    f = shared(ttl=SHORT, stale_if_error=LONG)(kind.one(body))
    kind.call(f, 1)
    wait_until_stale(f, 1)
    assert not f.cache_contains(1) and f.get(1) is None
    body.fail = ValueError("down")
    assert kind.call(f, 1) == kind.call(f, 1) == (1, 1)
    assert body.count == 3
    info = f.cache_info()
    assert info[:2] == (0, 3) and info.stale_hits == 2 and info.load_failures == 2
    body.fail = None
    assert kind.call(f, 1) == (1, 4)
    assert kind.call(f.cache_refresh, 1) == (1, 5)


def test_spare_ones_can_be_invalidated(kind: Kind) -> None:
    body = Body()
    f = shared(ttl=SHORT, stale_if_error=LONG)(kind.one(body))
    kind.call(f, 1)
    wait_until_stale(f, 1)
    assert f.cache_invalidate(1) is True
    body.fail = ValueError("down")
    with pytest.raises(ValueError):
        kind.call(f, 1)


def test_a_failed_refresh_in_the_background(kind: Kind) -> None:
    body = Body()
    f = shared(ttl=SHORT, stale_while_revalidate=LONG)(kind.one(body))
    kind.call(f, 1)
    wait_until_stale(f, 1)
    body.fail = ValueError("down")
    assert kind.call(f, 1) == (1, 1)
    kind.eventually(lambda: f.cache_info().load_failures == 1)
    assert kind.call(f, 1) == (1, 1)
    body.fail = None

    def refreshed() -> bool:
        return bool(kind.call(f, 1) != (1, 1))

    end = time.monotonic() + support.LIMIT
    while not refreshed():  # the next begins a second later
        assert time.monotonic() < end
        kind.pause()


def test_cache_if(kind: Kind) -> None:
    f = shared(cache_if=lambda value: value > 0)(kind.one(lambda x: x))
    for x in (1, -1, 1, -1):
        assert kind.call(f, x) == x
    assert f.cache_contains(1) and not f.cache_contains(-1)
    assert f.cache_info()[:2] == (1, 3)


class Missing(LookupError):
    def __init__(self, name: str, hint: int) -> None:
        super().__init__(name)
        self.hint = hint


def test_cache_exceptions(kind: Kind) -> None:
    body = Body()
    body.fail = Missing("no", 5)
    f = shared(cache_exceptions={LookupError: LONG})(kind.one(body))
    seen = []
    for _ in range(3):
        with pytest.raises(Missing, match="no") as caught:
            kind.call(f, 1)
        assert caught.value.args == ("no",) and caught.value.hint == 5
        seen.append(caught.value)
    assert body.count == 1 and len({id(error) for error in seen}) == 3
    assert f.get(1) is None and f.cache_contains(1)
    assert f.cache_ttl(1) == pytest.approx(LONG, abs=60)
    assert f.cache_info()[:2] == (2, 1)
    assert f.cache_invalidate(1) is True
    body.fail = None
    assert kind.call(f, 1) == (1, 2)


def test_an_exception_with_a_short_life(kind: Kind) -> None:
    body = Body()
    body.fail = KeyError("no")
    f = shared(ttl=LONG, cache_exceptions={KeyError: SHORT})(kind.one(body))
    with pytest.raises(KeyError):
        kind.call(f, 1)
    wait_until_gone(f, 1)
    body.fail = None
    assert kind.call(f, 1) == (1, 2)


@pytest.mark.parametrize(
    "given",
    [
        {"copy": True},
        {"tags": "boxes"},
        {"ttl": LONG, "jitter": 0.1},
        {"ttl": LONG, "stale_if_error": LONG},
        {"cache_if": lambda value: True},
        {"cache_exceptions": KeyError},
    ],
    ids=lambda given: next(reversed(given)),
)
def test_each_caller_has_a_value_of_his_own_whatever_is_asked_for(
    kind: Kind, given: dict[str, Any]
) -> None:
    f = shared(**given)(kind.one(lambda x: Box([x])))
    kind.call(f, 1)
    for _ in range(3):
        found = kind.call(f, 1)
        assert found == f.get(1) == Box([1])
        found.items.append(2)
    f.set(Box([3]), 1)
    assert kind.call(f, 1) == Box([3])
    assert f.cache_info().hits == 4


# --- tags ---------------------------------------------------------------------------------------


def test_tags(kind: Kind) -> None:
    f = shared(tags=("all", "n{x}"), max_size=1000)(kind.one(Body()))
    for x in range(50):
        kind.call(f, x)
    f.cache_invalidate_tags("n7", "n8", "nothing")
    gone = {x for x in range(50) if not f.cache_contains(x)}
    # Two tags may have one stamp, so that the other's entry has gone as well.
    assert {7, 8} <= gone and len(gone) < 8
    f.cache_put("own", (100,), tags="own")
    warp.invalidate_tags("n9")
    assert not f.cache_contains(9) and f.cache_contains(100)
    f.cache_invalidate_tags("all")
    assert [x for x in range(50) if f.cache_contains(x)] == [] and f.cache_contains(100)
    kind.call(f, 7)
    assert f.cache_contains(7), "what is computed afterwards is stored"
    f.cache_invalidate_tags("own")
    assert not f.cache_contains(100)


def test_an_untagged_entry_is_not_touched(kind: Kind) -> None:
    f = shared(max_size=1000)(kind.one(Body()))
    for x in range(200):
        kind.call(f, x)
    for number in range(100):
        f.cache_invalidate_tags(f"t{number}")
    assert all(f.cache_contains(x) for x in range(200))


def test_a_tag_of_another_function_is_not_touched(kind: Kind) -> None:
    f, g = (
        shared(tags="t", name="f")(kind.one(Body())),
        shared(tags="t", name="g")(kind.one(Body())),
    )
    kind.call(f, 1)
    kind.call(g, 1)
    f.cache_invalidate_tags("t")
    assert not f.cache_contains(1) and g.cache_contains(1)


# --- copy ---------------------------------------------------------------------------------------


def test_copy_none_and_true_copy_as_today(kind: Kind) -> None:
    for given in (None, True):
        f = shared(copy=given)(kind.one(lambda x: [x, [x]]))
        kind.call(f, 1).append("mine")
        kind.call(f, 1)[1].append("mine")
        assert kind.call(f, 1) == [1, [1]]


@pytest.mark.parametrize("value", [Box([1]), Point(1, 2), [1, 2], {"a": [1]}])
def test_copy_false_gives_the_decoded_object_itself(kind: Kind, value: Any) -> None:
    f = shared(copy=False)(kind.one(lambda x: value))
    kind.call(f, 1)
    first = kind.call(f, 1)
    assert first == value and type(first) is type(value)
    assert kind.call(f, 1) is first and f.get(1) is first


def test_copy_false_follows_what_is_stored_anew(kind: Kind) -> None:
    f = shared(copy=False)(kind.one(lambda x: Box([1])))
    kind.call(f, 1)
    kind.call(f, 1)
    f.set(Box([2]), 1)
    assert kind.call(f, 1) == Box([2])
    f.cache_invalidate(1)
    assert kind.call(f, 1) == Box([1])


def test_a_callable_copy_is_applied_at_each_hit(kind: Kind) -> None:
    copied = []

    def duplicate(value: Box) -> Box:
        copied.append(1)
        return Box(list(value.items))

    f = shared(copy=duplicate)(kind.one(lambda x: Box([x])))
    kind.call(f, 1)
    kind.call(f, 1).items.append(2)
    assert kind.call(f, 1) == Box([1])
    assert len(copied) >= 3
