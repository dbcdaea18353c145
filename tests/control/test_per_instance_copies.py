"""Copies and pickles of instances whose method has a cache of each one's own (§2.4)."""

from __future__ import annotations

import copy
import copyreg
import dataclasses
import gc
import pickle
import threading
from typing import Any

import pytest
from control import cache
from instances import (
    Data,
    Frozen,
    Plain,
    Slots,
    SlotsWithDict,
    Stateful,
    Wholesale,
    each_class,
)

# --- copies and pickles -------------------------------------------------------------------------

COPYING = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda instance: pickle.loads(pickle.dumps(instance)),
    "pickle0": lambda instance: pickle.loads(pickle.dumps(instance, 0)),
    "pickle2": lambda instance: pickle.loads(pickle.dumps(instance, 2)),
    "pickle5": lambda instance: pickle.loads(pickle.dumps(instance, 5)),
}


@pytest.mark.parametrize("how", list(COPYING))
@each_class
def test_a_copy_never_gets_an_answer_of_the_original(make: Any, how: str) -> None:
    if make is Slots and how == "pickle0":
        pytest.skip("protocol 0 does not know slots")
    if make is SlotsWithDict and how == "pickle0":
        pytest.skip("protocol 0 does not know slots")
    original = make(1)
    original.method(5)
    original.method.set("the original's", 6)
    other = COPYING[how](original)
    assert type(other) is make
    assert other.method.cache_info() == (0, 0, 128, 0)
    assert not other.method.cache_contains(5) and other.method.get(6) is None
    assert other.method(6) != "the original's"
    other.method.set("the copy's", 7)
    assert original.method.get(7) is None and original.method.get(6) == "the original's"
    assert original.method.cache_info().currsize == 2
    assert other.method.get(7) == "the copy's", "and it has a cache of its own"
    again = COPYING[how](other)
    assert again.method.get(7) is None


@pytest.mark.parametrize("how", list(COPYING))
@pytest.mark.parametrize("make", [Plain, Data, Wholesale, Stateful])
def test_a_copy_has_the_original_s_attributes(make: Any, how: str) -> None:
    original = make(7)
    original.more = [1, 2]
    original.method(5)
    other = COPYING[how](original)
    assert other.number == 7
    if make is not Stateful:
        assert other.more == [1, 2]
    other.number = 8
    assert other.method(5) == (8, 5)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@each_class
def test_an_instance_pickles_to_the_same_bytes_before_and_after(make: Any, protocol: int) -> None:
    if make in (Slots, SlotsWithDict) and protocol < 2:
        pytest.skip("protocols 0 and 1 do not know slots")
    instance = make(1)
    before = pickle.dumps(instance, protocol)
    instance.method(5)
    instance.method.set(threading.Lock(), 6)  # could not be pickled
    assert pickle.dumps(instance, protocol) == before
    instance.method.cache_clear()
    assert pickle.dumps(instance, protocol) == before


class Registered(Plain):
    """One that copyreg has a reducer for, which hands out the instance's own ``__dict__``."""


def _reduce_registered(instance: Registered) -> Any:
    return Registered.__new__, (Registered,), vars(instance)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_copyreg_knows_of_a_class_hides_its_caches_too(protocol: int, late: bool) -> None:
    known = copyreg.dispatch_table
    try:
        if late:
            Registered(0).method(5)
        copyreg.pickle(Registered, _reduce_registered)  # type: ignore[arg-type]
        instance = Registered(1)
        before = pickle.dumps(instance, protocol)
        instance.method(5)
        instance.method.set(threading.Lock(), 6)  # could not be pickled
        assert pickle.dumps(instance, protocol) == before
        for other in (copy.copy(instance), pickle.loads(pickle.dumps(instance, protocol))):
            assert type(other) is Registered and vars(other) == {"number": 1}
            assert other.method.get(6) is None and other.method(5) == (1, 5)
        assert instance.method.cache_info().currsize == 2, "it has its cache again"
        # Once, and not once for each instance.
        wrapped = known[Registered]
        assert wrapped.__wrapped__ is _reduce_registered  # type: ignore[attr-defined]
        Registered(2).method(5)
        assert known[Registered] is wrapped
    finally:
        known.pop(Registered, None)


def test_a_copy_made_in_any_other_way_answers_nothing() -> None:
    original = Plain(1)
    original.method(5)
    original.method.set("the original's", 6)
    other = Plain.__new__(Plain)
    vars(other).update(vars(original))
    other.number = 2
    assert other.method.get(6) is None and not other.method.cache_contains(5)
    assert other.method(5) == (2, 5)
    assert original.method.get(6) == "the original's"
    other.method.set("the copy's", 6)
    assert original.method.get(6) == "the original's"
    swapped = Plain(3)
    swapped.__dict__ = dict(vars(original))
    assert swapped.method.get(6) is None
    shared = Plain(4)
    shared.__dict__ = vars(original)
    assert shared.method.get(6) is None, "even where two have one dictionary"


def test_a_copy_of_one_that_is_gone_answers_nothing() -> None:
    original = Plain(1)
    original.method.set("the original's", 6)
    state = dict(vars(original))
    del original
    gc.collect()
    other = Plain.__new__(Plain)
    vars(other).update(state)
    assert other.method.get(6) is None
    assert other.method(6) == (1, 6)


def test_deepcopy_of_a_container_of_instances() -> None:
    first, second = Plain(1), Plain(2)
    first.friend, second.friend = second, first  # type: ignore[attr-defined]
    first.method.set("first's", 1)
    second.method.set("second's", 1)
    one, other = copy.deepcopy([first, second])
    assert one.friend is other and other.friend is one
    assert one.method.get(1) is None and other.method.get(1) is None


def test_dataclasses_are_compared_shown_and_replaced_as_before() -> None:
    first, second = Data(1), Data(1)
    first.method(5)
    assert first == second and repr(first) == repr(second)
    assert dataclasses.asdict(first) == {"number": 1}
    replaced = dataclasses.replace(first, number=2)
    assert replaced.method(5) == (2, 5)
    frozen = Frozen(1)
    frozen.method(5)
    assert hash(frozen) == hash(Frozen(1)) and frozen == Frozen(1)


def test_at_most_one_private_name_in_the_instance() -> None:
    """ "Under one private name": whoever walks over attributes finds no more than that."""

    class Shop:
        one = cache(per_instance=True)(lambda self, x: x)
        two = cache(per_instance=True)(lambda self, x: x)

    shop = Shop()
    shop.name = "mine"  # type: ignore[attr-defined]
    shop.one(1)
    shop.two(1)
    extra = set(vars(shop)) - {"name"}
    assert len(extra) <= 1 and all(name.startswith("_") for name in extra)
