"""`key`, `ignore` and instances: long rows, recordings, recursion, the collector."""

from __future__ import annotations

import copy
import functools
import gc
import operator
import pickle
import sys
import types
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import support
from hypothesis import given
from hypothesis import strategies as st

from warp_cache import cache, lru_cache, record

NAMES = [f"p{n}" for n in range(20)]


def wide(star: bool) -> Any:
    """A function of twenty parameters, some by keyword alone, and maybe of any number."""
    positional = ", ".join(f"{name}=0" for name in NAMES[:15])
    by_name = ", ".join(f"{name}=0" for name in NAMES[15:])
    scope: dict[str, Any] = {}
    text = f"def wide({positional}, *{'rest' if star else ''}, {by_name}, **more): return object()"
    exec(text, scope)
    return scope["wide"]


@given(
    st.booleans(),
    st.sets(st.sampled_from([*NAMES, "rest", "more"])),
    st.lists(st.lists(st.integers(0, 1), max_size=18), min_size=2, max_size=6),
    st.lists(
        st.dictionaries(st.sampled_from([*NAMES[15:], "x", "y"]), st.integers(0, 1), max_size=4),
        min_size=6,
        max_size=6,
    ),
)
def test_two_calls_are_one_key_if_what_counts_is_equal(
    star: bool, ignored: set[str], rows: list[list[int]], keywords: list[dict[str, int]]
) -> None:
    import inspect

    if not star:
        ignored.discard("rest")
        rows = [row[:15] for row in rows]
    function = wide(star)
    signature = inspect.signature(function)
    cached = cache(ignore=ignored, max_size=None)(function)
    known: dict[Any, object] = {}
    for row, names in zip(rows, keywords, strict=False):
        bound = signature.bind(*row, **names)
        bound.apply_defaults()
        counts = tuple(
            tuple(value.items()) if isinstance(value, dict) else value
            for name, value in bound.arguments.items()
            if name not in ignored
        )
        result = cached(*row, **names)
        assert cached.get(*row, **names) is result
        assert known.setdefault(counts, result) is result
    assert cached.cache_info().currsize == len(known)


def test_a_recording_notes_keys(tmp_path: Path) -> None:
    @cache(key=lambda x: x % 10)
    def keyed(x: int) -> int:
        return x

    @cache(ignore=("y",))
    def ignoring(x: int, y: Any = 0) -> int:
        return x

    class Shop:
        @cache(per_instance=True)
        def price(self, x: int) -> int:
            return x

    shop = Shop()
    with record(tmp_path / "trace"):
        assert keyed(1) == keyed(11) == 1
        assert ignoring(1, []) == ignoring(1, {}) == 1
        assert shop.price(1) == shop.price(1) == 1
    infos = [f.cache_info()[:2] for f in (keyed, ignoring, Shop.price)]
    assert infos == [(1, 1)] * 3


def test_a_key_that_comes_back_ends_as_recursion_does() -> None:
    class Endless:
        pass

    Endless.method = cache(key=operator.methodcaller("method"))(lambda self: 1)  # type: ignore[attr-defined]
    with pytest.raises(RecursionError):
        Endless().method()  # type: ignore[attr-defined]


def test_a_size_of_nothing_asks_no_key() -> None:
    asked: list[int] = []
    f = cache(max_size=0, key=asked.append)(lambda x: x)
    assert f(1) == 1 and f.get(1) is None
    assert asked == []


def test_options_that_are_objects_are_collected() -> None:
    class Key:
        def __call__(self, x: int) -> int:
            return x

    key = Key()
    f = cache(key=key)(lambda x: x)
    key.f = f  # type: ignore[attr-defined]
    gone = weakref.ref(key)
    f(1)
    del key, f
    gc.collect()
    assert gone() is None


def test_the_collector_may_come_while_a_function_is_decorated() -> None:
    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(300):
            cache(lambda x: x)
            lru_cache(lambda x: x)
    finally:
        gc.set_threshold(*thresholds)


def test_a_method_is_made_of_a_decorated_function_alone() -> None:
    class Shop:
        @cache
        def price(self, x: int) -> int:
            return x

    kind = type(Shop().price)
    assert kind is not types.MethodType
    for wrong in (len, None, types.MethodType(Shop.price, Shop())):
        with pytest.raises(TypeError, match="function must be a decorated function"):
            kind(wrong, Shop())


def test_a_method_equals_one_of_python_s_own() -> None:
    class Shop:
        @cache
        def price(self, x: int) -> int:
            return x

    shop = Shop()
    own = types.MethodType(Shop.price, shop)
    assert shop.price == own and own == shop.price
    assert hash(shop.price) == hash(own)


def test_a_method_takes_arguments_in_every_way() -> None:
    class Shop:
        @cache
        def all(self, *args: int, **kwargs: int) -> Any:
            return (self, args, kwargs)

    shop = Shop()
    bound = shop.all
    many = tuple(range(300))
    assert bound(*many) == (shop, many, {})
    assert bound() == (shop, (), {})
    assert list(map(bound, [1])) == [(shop, (1,), {})]
    assert bound.__call__(1, x=2) == (shop, (1,), {"x": 2})
    assert functools.partial(bound, 1)(2, y=3) == (shop, (1, 2), {"y": 3})
    assert sorted([2, 1], key=lambda x: bound(x)[1]) == [1, 2]


def test_a_derived_class_is_called_as_it_says() -> None:
    from warp_cache._warp_cache_rs import CachedFunction

    class Loud(CachedFunction):  # type: ignore[type-arg]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return ("loud", super().__call__(*args, **kwargs))

    class Shop:
        price = Loud(lambda self, x: x, 0, 10)

    bound = Shop().price
    assert bound(1) == ("loud", 1)


@dataclass
class Compared:
    number: int
    more: list[int] = field(default_factory=list)

    @cache(per_instance=True)
    def method(self, x: int) -> Any:
        return (self.number, x)

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)


def test_instances_that_are_compared_by_their_dict_do_not_differ() -> None:
    first, second = Compared(1), Compared(1)
    first.method(1)
    second.method(2)
    assert first == second
    assert copy.copy(first) == Compared(1)


class PydanticLike:
    """Its state holds its ``__dict__``, and copies are made of that, as pydantic's models do."""

    def __init__(self, number: int) -> None:
        self.number = number

    @cache(per_instance=True)
    def method(self, x: int) -> Any:
        return (self.number, x)

    def __getstate__(self) -> Any:
        return {"__dict__": self.__dict__, "set": {"number"}}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state["__dict__"])

    def __deepcopy__(self, memo: Any) -> PydanticLike:
        made = type(self).__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def __copy__(self) -> PydanticLike:
        made = type(self).__new__(type(self))
        made.__dict__.update(copy.copy(self.__dict__))
        return made


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_state_that_holds_the_dict(how: Any) -> None:
    instance = PydanticLike(1)
    before = pickle.dumps(instance)
    instance.method.set("the original's", 5)
    assert pickle.dumps(instance) == before
    other = how(instance)
    other.number = 2
    assert other.method.get(5) is None
    assert other.method(5) == (2, 5)
    assert instance.method(5) == "the original's"


def test_a_method_that_is_put_into_a_class_later_is_hidden_too() -> None:
    PydanticLike.later = cache(per_instance=True)(lambda self, x: (self.number, x))  # type: ignore[attr-defined]
    try:
        instance = Later(3)
        before = pickle.dumps(instance)
        assert instance.method(1) == (3, 1)
        assert pickle.dumps(instance) == before
    finally:
        del PydanticLike.later  # type: ignore[attr-defined]


class Later:
    def __init__(self, number: int) -> None:
        self.number = number


Later.method = cache(per_instance=True)(lambda self, x: (self.number, x))  # type: ignore[attr-defined]


def test_slotted_dataclasses() -> None:
    with pytest.raises(TypeError, match=r"weakref_slot=True"):

        @dataclass(slots=True)
        class Bare:
            number: int

            @cache(per_instance=True)
            def method(self, x: int) -> int:
                return self.number + x

        Bare(1).method(1)
    if sys.version_info >= (3, 11):

        @dataclass(slots=True, weakref_slot=True)
        class Slotted:
            number: int

            @cache(per_instance=True)
            def method(self, x: int) -> int:
                return self.number + x

        first, second = Slotted(1), Slotted(2)
        assert first.method(1) == first.method(1) == 2 and second.method(1) == 3
        assert copy.copy(first).method.get(1) is None
        assert Slotted.method.cache_info()[:2] == (1, 2)


def test_self_by_keyword_and_missing() -> None:
    class Shop:
        @cache(per_instance=True)
        def price(self, x: int) -> int:
            return x

    shop = Shop()
    assert Shop.price(self=shop, x=1) == 1
    assert Shop.price(x=1, self=shop) == 1
    assert shop.price.cache_info()[:2] == (1, 1)
    with pytest.raises(TypeError):
        Shop.price()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="needs the instance"):
        Shop.price.get()  # type: ignore[call-arg]


def test_methods_of_any_arguments() -> None:
    class Shop:
        @cache(per_instance=True)
        def any(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            return args[1:], kwargs

        largest = cache(per_instance=True)(max)

    first, second = Shop(), Shop()
    assert first.any(1, x=2) == first.any(1, x=2) == ((1,), {"x": 2})
    assert second.any(1, x=2) == ((1,), {"x": 2})
    assert first.any.cache_info()[:2] == (1, 1)
    assert second.any.cache_info()[:2] == (0, 1)


def test_a_class_may_be_the_instance() -> None:
    class Base:
        @classmethod
        @cache(per_instance=True)
        def make(cls, x: int) -> Any:
            return (cls, x)

    class Derived(Base):
        pass

    assert Base.make(1) == (Base, 1) and Derived.make(1) == (Derived, 1)
    assert Base.make(1) == (Base, 1)
    assert Base.__dict__["make"].__func__.cache_info()[:2] == (1, 2)


def test_tables_of_what_has_ended_do_not_grow() -> None:
    class Shop:
        @cache(per_instance=True)
        def price(self, x: int) -> int:
            return x

    def rounds(number: int) -> None:
        for _ in range(number):
            Shop().price(1)
        support.merge_counts()

    rounds(3000)
    growth = support.Growth(blocks=1000)
    for _ in growth:
        rounds(6000)
    growth.check()
