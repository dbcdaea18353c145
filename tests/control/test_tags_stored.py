"""Tags of what is stored: given with a value, kept with an entry, asked for meanwhile (§2.1)."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import pytest
import support
from control import Body, Kind, both, cache, present, warp

# --- cache_put, set, refresh --------------------------------------------------------------------


@both
def test_put_has_tags_of_its_own(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    f.cache_put("a", (1,), tags=("even", "n1"))
    f.cache_put("b", (2,), tags="n2")
    kind.call(f, 3)
    f.cache_invalidate_tags("n", "2")
    assert present(f, 1, 2, 3) == [1, 2, 3]
    f.cache_invalidate_tags("n2")
    assert present(f, 1, 2, 3) == [1, 3]
    f.cache_invalidate_tags("even")
    assert present(f, 1, 2, 3) == [3]


def test_tags_of_put_replace_the_functions(kind: Kind) -> None:
    f = cache(tags=("function",))(kind.one(Body()))
    f.cache_put("own", (1,), tags=("own",))
    f.cache_put("none", (2,), tags=())
    f.cache_put("the function's", (3,))
    f.cache_invalidate_tags("function")
    assert present(f, 1, 2, 3) == [1, 2]
    f.cache_invalidate_tags("own")
    assert present(f, 1, 2, 3) == [2]


def test_tags_of_put_are_no_templates_of_the_function(kind: Kind) -> None:
    # They belong to one entry, whose arguments are known: there is nothing to be filled in.
    f = cache(kind.one(Body()))
    f.cache_put("value", (1,), tags=("{x}",))
    f.cache_invalidate_tags("{x}")
    assert not f.cache_contains(1)


@both
@pytest.mark.parametrize("wrong", [1, [1], [b"a"], [None]])
def test_tags_of_put_are_strings(decorate: Any, kind: Kind, wrong: Any) -> None:
    f = decorate(kind.one(Body()))
    with pytest.raises(TypeError, match="tags"):
        f.cache_put("value", (1,), tags=wrong)
    assert not f.cache_contains(1)


def test_set_and_refresh_have_the_functions_tags(kind: Kind) -> None:
    f = cache(tags=("n{x}",))(kind.one(Body()))
    f.set("set", 1)
    kind.call(f.cache_refresh, 2)
    f.cache_invalidate_tags("n1", "n2")
    assert present(f, 1, 2) == []


def test_the_tags_of_the_new_value_count(kind: Kind) -> None:
    current = ["a"]
    f = cache(tags=lambda x: current[0])(kind.one(Body()))
    kind.call(f, 1)
    current[0] = "b"
    kind.call(f.cache_refresh, 1)
    f.cache_invalidate_tags("a")
    assert f.cache_contains(1), "that was the older one's"
    f.cache_invalidate_tags("b")
    assert not f.cache_contains(1)


# --- memory -------------------------------------------------------------------------------------


def test_entries_leave_at_once() -> None:
    class Value:
        pass

    removed: list[Any] = []
    f = cache(
        tags=("t{x}",),
        max_weight=100,
        weigher=lambda value: 3,
        on_removal=lambda call, value, cause: removed.append(cause.name),
    )(lambda x: Value())
    gone = weakref.ref(f(1))
    f(2)
    assert f.cache_info().weight == 6
    f.cache_invalidate_tags("t1")
    support.merge_counts()
    assert f.cache_info().currsize == 1 and f.cache_info().weight == 3
    assert removed == ["EXPLICIT"]
    assert gone() is None


def test_tags_of_entries_that_left_otherwise_are_forgotten(kind: Kind) -> None:
    f = cache(tags=("t{x}",), max_size=10)(kind.one(Body()))
    for x in range(1000):
        kind.call(f, x)
    f.cache_invalidate_tags("t1", "t500")
    assert f.cache_info().currsize == 10
    f.cache_invalidate_tags("t999")
    assert f.cache_info().currsize == 9
    f.cache_clear()
    f.cache_invalidate_tags("t998")
    assert f.cache_info().currsize == 0


def test_stale_entries_are_dropped_too(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100, stale_if_error=1000, tags=("t",))(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    f.cache_invalidate_tags("t")
    assert not f.cache_contains(1)
    kind.call(f, 1)
    clock.advance(500)
    f.cache_invalidate_tags("t")
    body.fail = ValueError("down")
    with pytest.raises(ValueError):
        kind.call(f, 1)


@pytest.mark.parametrize("strategy", range(7))
def test_tags_against_a_model(strategy: int) -> None:
    import random

    rng = random.Random(strategy)
    tags_of: dict[int, list[str]] = {}
    f = cache(strategy=strategy, max_size=40, tags=lambda x: tags_of[x])(lambda x: x)
    stored: dict[int, list[str]] = {}
    for _ in range(3000):
        x = rng.randrange(60)
        if rng.random() < 0.1:
            tag = f"t{rng.randrange(12)}"
            f.cache_invalidate_tags(tag)
            stored = {key: tags for key, tags in stored.items() if tag not in tags}
        else:
            there = f.cache_contains(x)
            assert not there or x in stored, "an entry came back"
            tags_of[x] = [f"t{rng.randrange(12)}" for _ in range(rng.randrange(4))]
            f(x)
            if not there:
                stored[x] = list(tags_of[x])
            stored = {key: tags for key, tags in stored.items() if f.cache_contains(key)}
        assert f.cache_info().currsize == len(stored)


# --- what the user is asked while a value is about to be stored ----------------------------------


@pytest.mark.parametrize("known_before", [False, True])
@pytest.mark.parametrize("whole_module", [False, True])
@pytest.mark.parametrize("in_a_thread", [False, True])
@pytest.mark.parametrize("parameter", ["cache_if", "ttl", "copy", "weigher"])
def test_an_invalidation_while_a_value_is_appraised_fences_it(
    kind: Kind, parameter: str, in_a_thread: bool, whole_module: bool, known_before: bool
) -> None:
    armed: list[bool] = []

    def invalidate() -> None:
        (warp.invalidate_tags if whole_module else f.cache_invalidate_tags)("group")

    def asked(value: Any) -> Any:
        if armed:
            armed.clear()
            if in_a_thread:
                support.start(invalidate).result(support.LIMIT)
            else:
                invalidate()
        return {"cache_if": True, "ttl": 100, "copy": value, "weigher": 1}[parameter]

    bound = {"max_weight": 9} if parameter == "weigher" else {}
    f = cache(tags="group", **{parameter: asked}, **bound)(kind.one(lambda x: "old"))
    if known_before:
        kind.call(f, 2)
    armed.append(True)
    assert kind.call(f, 1) == "old"
    assert not f.cache_contains(1)


def test_a_caller_does_not_wait_for_a_computation_that_was_invalidated_as_it_was_appraised() -> (
    None
):
    entered, go, body = threading.Event(), threading.Event(), Body()

    def cache_if(value: Any) -> bool:
        if value == (1, 1):
            entered.set()
            assert go.wait(support.LIMIT)
        return True

    f = cache(tags="group", cache_if=cache_if)(Kind(False).one(body))
    first = support.start(f, 1)
    assert entered.wait(support.LIMIT)
    f.cache_invalidate_tags("group")
    assert f(1) == (1, 2)
    go.set()
    assert first.result(support.LIMIT) == (1, 1)
    assert f(1) == (1, 2)


def test_an_old_value_whose_own_tag_is_invalidated_serves_no_more(clock: Any) -> None:
    kind, body = Kind(False), Body()

    def failing(x: Any) -> Any:
        f.cache_invalidate_tags("of the old one")
        return body(x)

    body.fail = ValueError("away")
    f = cache(ttl=100, stale_if_error=500, tags="of the function")(kind.one(failing))
    f.cache_put("old", (1,), tags="of the old one")
    clock.advance(200)
    with pytest.raises(ValueError, match="away"):
        f(1)
    with pytest.raises(ValueError, match="away"):
        f(1)
    assert not f.cache_contains(1)


def test_tags_of_text_that_has_no_bytes(kind: Kind) -> None:
    f = cache(tags="user:{x}")(kind.one(Body()))
    for x in ("\ud800", "\udfff", "plain"):
        kind.call(f, x)
    f.cache_invalidate_tags("user:\ud800")
    assert present(f, "\ud800", "\udfff", "plain") == ["\udfff", "plain"]
    warp.invalidate_tags("user:\udfff")
    assert present(f, "\ud800", "\udfff", "plain") == ["plain"]
