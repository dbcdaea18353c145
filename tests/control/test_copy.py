"""`copy`: whether callers get the stored object or one of their own (§2.1); in memory."""

from __future__ import annotations

import contextlib
import pickle
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from control import Body, Kind, cache, lru_cache


@dataclass
class Box:
    items: list[int] = field(default_factory=list)


class MyList(list):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize("given", [None, False])
def test_none_and_false_hand_out_the_stored_object(kind: Kind, given: Any) -> None:
    f = cache(copy=given)(kind.one(lambda x: [x]))
    first = kind.call(f, 1)
    assert kind.call(f, 1) is first and f.get(1) is first
    value = {"a": 1}
    f.set(value, 2)
    assert kind.call(f, 2) is value


# --- True ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        {"a": [1]},
        {1, 2},
        ([1], {2}),
        [[[]]],
        {"a": {"b": {"c": []}}},
        ({"x": ([],)},),
        [(1, [2]), {"k": {3}}],
    ],
)
def test_true_copies_exact_containers_at_each_hit(kind: Kind, value: Any) -> None:
    f = cache(copy=True)(kind.one(lambda x: value))
    kind.call(f, 1)
    first, second = kind.call(f, 1), kind.call(f, 1)
    assert first == second == value and type(first) is type(value)
    assert first is not second and first is not value


def test_true_copies_when_storing(kind: Kind) -> None:
    f = cache(copy=True)(kind.one(lambda x: [x, [x]]))
    first = kind.call(f, 1)
    first.append("the caller's")
    first[1].append("the caller's")
    assert kind.call(f, 1) == [1, [1]]
    value = {"a": [1]}
    f.set(value, 2)
    value["a"].append(2)
    assert kind.call(f, 2) == {"a": [1]}
    f.cache_put(value, (3,))
    value["a"].clear()
    assert kind.call(f, 3) == {"a": [1, 2]}


def test_true_no_caller_sees_anothers_changes(kind: Kind) -> None:
    f = cache(copy=True)(kind.one(lambda x: {"list": [1], "set": {1}, "dict": {"a": []}}))
    for _ in range(3):
        value = kind.call(f, 1)
        assert value == {"list": [1], "set": {1}, "dict": {"a": []}}
        value["list"].append(2)
        value["set"].add(2)
        value["dict"]["a"].append(2)
        got = f.get(1)
        assert got == {"list": [1], "set": {1}, "dict": {"a": []}}
        got["list"].append(3)


def test_true_leaves_are_shared(kind: Kind) -> None:
    box, lock, mine = Box(), threading.Lock(), MyList([1])
    f = cache(copy=True)(kind.one(lambda x: [box, {"lock": lock}, mine]))
    kind.call(f, 1)
    value = kind.call(f, 1)
    assert value[0] is box and value[1]["lock"] is lock
    assert value[2] is mine, "only exact containers are copied"
    g = cache(copy=True)(kind.one(lambda x: box))
    assert kind.call(g, 1) is kind.call(g, 1) is box


def test_true_keys_of_dicts_and_members_of_sets_stay(kind: Kind) -> None:
    key = (1, frozenset({2}))
    f = cache(copy=True)(kind.one(lambda x: {key: {key}}))
    kind.call(f, 1)
    assert kind.call(f, 1) == {key: {key}}


def test_true_keeps_the_order_of_dicts(kind: Kind) -> None:
    f = cache(copy=True)(kind.one(lambda x: {"b": 1, "a": 2, "c": 3}))
    kind.call(f, 1)
    assert list(kind.call(f, 1)) == ["b", "a", "c"]


def test_true_survives_what_is_deep(kind: Kind) -> None:
    value: list[Any] = []
    for _ in range(100):
        value = [value]
    f = cache(copy=True)(kind.one(lambda x: value))
    kind.call(f, 1)
    assert kind.call(f, 1) == value


def test_true_immutable_values_are_the_same(kind: Kind) -> None:
    value = "text" * 10
    f = cache(copy=True)(kind.one(lambda x: value))
    assert kind.call(f, 1) is kind.call(f, 1) is value


# --- "pickle" -----------------------------------------------------------------------------------


def test_pickle_gives_each_hit_an_object_of_its_own(kind: Kind) -> None:
    f = cache(copy="pickle")(kind.one(lambda x: Box([x])))
    first = kind.call(f, 1)
    first.items.append("the caller's")
    second, third = kind.call(f, 1), kind.call(f, 1)
    assert second == third == Box([1])
    assert second is not third and second.items is not third.items
    second.items.append(5)
    assert f.get(1) == Box([1]) and f.get(1) is not f.get(1)


@pytest.mark.parametrize("value", [0, 1, -1, 2**40, 2**200, -(2**70)])
def test_pickle_exact_ints_stay_ints(kind: Kind, value: int) -> None:
    f = cache(copy="pickle")(kind.one(lambda x: value))
    kind.call(f, 1)
    assert kind.call(f, 1) == value and type(kind.call(f, 1)) is int


@pytest.mark.parametrize("value", [True, None, 1.5, "text", b"bytes", (1, [2]), MyList([1]), 1j])
def test_pickle_brings_back_what_went_in(kind: Kind, value: Any) -> None:
    f = cache(copy="pickle")(kind.one(lambda x: value))
    kind.call(f, 1)
    assert kind.call(f, 1) == value and type(kind.call(f, 1)) is type(value)


def test_pickle_set_stores_what_it_was_then(kind: Kind) -> None:
    f = cache(copy="pickle")(kind.one(Body()))
    value = Box([1])
    f.set(value, 1)
    value.items.append(2)
    assert kind.call(f, 1) == Box([1])


def test_pickle_of_what_cannot_be_pickled_stores_nothing(kind: Kind) -> None:
    # "What `copy` raises reaches the caller like an exception of the function" (§2.7).
    f = cache(copy="pickle")(kind.one(lambda x: threading.Lock()))
    with contextlib.suppress(TypeError, pickle.PicklingError):
        kind.call(f, 1)
    assert not f.cache_contains(1) and f.cache_info().currsize == 0


# --- a callable ---------------------------------------------------------------------------------


def test_a_callable_is_applied_when_storing_and_at_each_hit(kind: Kind) -> None:
    copied: list[Any] = []

    def duplicate(value: Box) -> Box:
        copied.append(value)
        return Box(list(value.items))

    f = cache(copy=duplicate)(kind.one(lambda x: Box([x])))
    original = kind.call(f, 1)
    assert len(copied) == 1 and copied[0] is original
    second = kind.call(f, 1)
    third = kind.call(f, 1)
    assert len(copied) == 3 and copied[1] is copied[2], "the stored one"
    assert copied[1] is not original
    assert second == third == Box([1]) and second is not third
    f.get(1)
    assert len(copied) == 4
    f.cache_contains(1), f.cache_ttl(1), f.cache_info()
    assert len(copied) == 4
    f.set(Box([2]), 2)
    assert len(copied) == 5


def test_what_a_callable_raises_reaches_the_caller(kind: Kind) -> None:
    armed = [True]

    def duplicate(value: Any) -> Any:
        if armed[0]:
            raise LookupError("no copy")
        return value

    f = cache(copy=duplicate)(kind.one(lambda x: x))
    with pytest.raises(LookupError, match="no copy"):
        kind.call(f, 1)
    assert not f.cache_contains(1), "nothing is stored then"
    with pytest.raises(LookupError, match="no copy"):
        f.set(1, 1)
    assert not f.cache_contains(1)
    armed[0] = False
    kind.call(f, 1)
    armed[0] = True
    with pytest.raises(LookupError, match="no copy"):
        kind.call(f, 1)
    armed[0] = False
    assert kind.call(f, 1) == 1, "the entry is still there"


def test_a_callable_may_call_the_cache(kind: Kind) -> None:
    def duplicate(value: Any) -> Any:
        if value == "outer":
            f.set("inner", 2)
            f.cache_info()
        return value

    f = cache(copy=duplicate)(kind.one(lambda x: "outer"))
    assert kind.call(f, 1) == kind.call(f, 1) == "outer"
    assert f.get(2) == "inner"


# --- everywhere ---------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [True, "pickle", lambda value: list(value)])
def test_stale_values_are_copied_too(kind: Kind, clock: Any, given: Any) -> None:
    body = Body()
    body.make = lambda x: [x]
    f = cache(ttl=100, stale_if_error=1000, copy=given)(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    body.fail = ValueError("down")
    value = kind.call(f, 1)
    value.append(2)
    assert kind.call(f, 1) == [1]


@pytest.mark.parametrize("given", [True, "pickle"])
def test_per_instance_caches_copy_too(kind: Kind, given: Any) -> None:
    class Shop:
        price = cache(per_instance=True, copy=given)(kind.method(lambda self, x: [x]))

    shop = Shop()
    kind.call(shop.price, 1).append(2)
    kind.call(shop.price, 1).append(3)
    assert kind.call(shop.price, 1) == [1]


@pytest.mark.parametrize(
    ("wrong", "error"), [("deep", ValueError), ("PICKLE!", ValueError), (5, TypeError)]
)
def test_anything_else_is_wrong(wrong: Any, error: Any) -> None:
    with pytest.raises(error, match="copy"):
        cache(copy=wrong)(Body())


def test_lru_cache_has_no_such_parameter() -> None:
    with pytest.raises(TypeError, match="copy"):
        lru_cache(copy=True)(Body())


def test_true_keeps_one_object_one(kind: Kind) -> None:
    def make(x: Any) -> Any:
        inner, group = [x], {x}
        return [inner, inner, (inner, group), {"a": inner, "b": (group,)}]

    f = cache(copy=True)(kind.one(make))
    for value in (kind.call(f, 1), kind.call(f, 1), f.get(1)):
        assert value == make(1)
        assert value[0] is value[1] is value[2][0] is value[3]["a"]
        assert value[2][1] is value[3]["b"][0]
        value[0].append("changed")
        value[2][1].clear()


def test_true_takes_no_longer_for_what_is_shared_at_each_level(kind: Kind) -> None:
    def make(x: Any) -> Any:
        made: Any = [x]
        for level in range(120):
            made = [made, made] if level % 3 else (made, made) if level % 2 else {1: made, 2: made}
        return made

    f = cache(copy=True)(kind.one(make))
    for _ in range(3):
        value = kind.call(f, 1)
        depth = 0
        while len(value) == 2:
            first, second = value.values() if isinstance(value, dict) else value
            assert first is second
            value, depth = first, depth + 1
        assert (value, depth) == ([1], 120)


def test_true_copies_what_is_part_of_itself(kind: Kind) -> None:
    def make(x: Any) -> Any:
        made: list[Any] = [x]
        made += [made, (made,), {"self": made}]
        return made

    f = cache(copy=True)(kind.one(make))
    first, second = kind.call(f, 1), kind.call(f, 1)
    assert first is not second
    for value in (first, second):
        assert value[1] is value and value[2][0] is value and value[3]["self"] is value
        value.clear()
    assert kind.call(f, 1)[0] == 1
