"""What can change after decoration never names a cache: nobody gets what another one computed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import changing_holders
import changing_zoo as zoo
import identity_zoo
import pytest

from warp_cache import cache
from warp_cache._naming.identity import describe, identify


@pytest.mark.parametrize("kind", zoo.CHANGING)
@pytest.mark.parametrize("way", ["at once", "while in use"])
def test_each_gets_what_is_its_own(kind: str, way: str) -> None:
    """Two functions of one kind, as two processes would have them, changed in two ways."""
    seen = []
    for value in (1, 2):
        function, change = zoo.CHANGING[kind]()
        if kind in SETTABLE:
            change(0)
        cached = cache(backend="shared")(function)
        if way == "while in use" and kind not in UNREADABLE:
            cached(0)
        change(value)
        right = function(1)
        assert cached(1) == right
        assert cached(1) == right, "again, maybe from the cache"
        seen.append(right)
    assert seen[0] != seen[1], "else this shows nothing"


# What is set back first, as there is one for all; and what cannot be called before it is changed.
SETTABLE = {kind for kind in zoo.CHANGING if kind.startswith(("view", "weak", "member", "context"))}
UNREADABLE = {"variable with no value yet"}


def test_what_stays_as_it_is_keeps_its_name() -> None:
    for kind, function in identity_zoo.DIFFERENT.items():
        name, identity = identify(function)
        assert identity is not None and identity.renamed() is None, kind
        assert identify(function)[0] == name


def test_an_equal_value_in_the_place_of_another_changes_nothing() -> None:
    def made(number: int) -> tuple[Callable[..., Any], Callable[[int], None]]:
        step = number * 10**20

        def f(x: int) -> int:
            return x + step

        def rebind(number: int) -> None:
            nonlocal step
            step = number * 10**20

        return f, rebind

    function, rebind = made(1)
    _, identity = identify(function)
    assert identity is not None
    rebind(1)
    assert identity.renamed() is None and identity.renamed() is None
    rebind(2)
    assert identity.renamed() is not None
    assert describe(function)[0] != describe(made(1)[0])[0]


# What a function finds in its module counts with the module's file alone.
CALLS: list[int] = []


def recursive() -> Any:
    @cache(backend="shared")
    def factorial(x: int) -> int:
        CALLS.append(x)
        return x * factorial(x - 1) if x else 1

    return factorial


def test_a_function_that_calls_itself_stays_public() -> None:
    first, second = recursive(), recursive()
    assert first(5) == second(5) == 120
    assert second.cache_info().hits == 1, "one file for both"


def times(rate: int) -> tuple[Callable[[int], int], Callable[[int], None]]:
    def f(x: int) -> int:
        CALLS.append(x)
        return x * rate

    def rebind(value: int) -> None:
        nonlocal rate
        rate = value

    return f, rebind


def test_from_then_on_it_is_private_and_caches() -> None:
    """What has changed has a cache all the same: its own."""
    function, rebind = times(2)
    cached = cache(backend="shared")(function)
    CALLS.clear()
    assert [cached(1), cached(1), CALLS] == [2, 2, [1]]
    rebind(3)
    assert [cached(2), cached(2), CALLS] == [6, 6, [1, 2]]
    assert cached.cache_info()[:2] == (1, 1)
    fresh = cache(backend="shared")(times(2)[0])
    assert fresh(1) == 2 and CALLS == [1, 2], "from the public file"
    assert fresh(2) == 4, "what the changed one has stored is its own"


def test_a_change_during_the_computation() -> None:
    """What was computed half before and half after is not stored."""

    def made() -> tuple[Callable[[int], Any], Callable[[int], None]]:
        rate = 1

        def f(x: int) -> Any:
            before = rate
            HOOK[0]()
            return before, rate

        def rebind(value: int) -> None:
            nonlocal rate
            rate = value

        return f, rebind

    function, rebind = made()
    HOOK[0] = lambda: rebind(2)
    assert cache(backend="shared")(function)(1) == (1, 2)
    HOOK[0] = lambda: None
    assert cache(backend="shared")(made()[0])(1) == (1, 1)


HOOK: list[Callable[[], None]] = [lambda: None]


def test_the_recipe_for_methods() -> None:
    """Each instance makes its cache in ``__init__``, when its attributes are yet to come."""
    seen = []
    for factor in (3, 5):

        class Meter:
            def __init__(self, factor: int) -> None:
                self.reading = cache(backend="shared")(self.compute)
                self.factor = factor

            def __eq__(self, other: object) -> bool:
                return isinstance(other, Meter) and self.factor == other.factor

            def __hash__(self) -> int:
                return hash(self.factor)

            def compute(self, pulses: int) -> int:
                return self.factor * pulses

        seen.append(Meter(factor).reading(10))
    assert seen == [30, 50]


def test_what_is_set_on_a_cached_function_is_its_own() -> None:
    def made(rate: int) -> Any:
        @cache(backend="shared")
        def price(x: int) -> Any:
            return x * price.rate  # type: ignore[attr-defined]

        price.rate = rate  # type: ignore[attr-defined]
        return price

    assert [made(rate)(10) for rate in (3, 5)] == [30, 50]


def test_a_frozen_dataclass_says_nothing_of_what_its_base_holds() -> None:
    texts = [
        changing_holders.FrozenText.__new__(changing_holders.FrozenText, text)
        for text in ("a", "b")
    ]
    for text in texts:
        text.__init__("")  # type: ignore[misc]
    assert all(describe(zoo.in_closure(text, str.__str__))[1] for text in texts)


def test_nothing_is_kept_alive() -> None:
    import gc
    import weakref

    class Marker:
        pass

    def made() -> Any:
        marker = Marker()
        rate = 1

        @cache(backend="shared")
        def f(x: int) -> int:
            return x + rate + len(f.__name__)

        f.marker = marker
        return f, weakref.ref(marker)

    function, reference = made()
    function(1)
    del function
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("kind", ["attrs", "numpy", "pandas"])
def test_objects_of_other_packages(kind: str) -> None:
    package: Any = pytest.importorskip("attr" if kind == "attrs" else kind)
    if kind == "attrs":
        made = package.make_class("Made", ["rate"], unsafe_hash=True, frozen=False)
        made.__module__, made.__qualname__ = __name__, "Made"
        sys.modules[__name__].Made = made
        holders = [made(1), made(1)]
        holders[1].rate = 2
        read: Callable[[Any], Any] = changing_holders.attribute
    elif kind == "numpy":
        holders = [package.zeros(1), package.zeros(1)]
        holders[1][0] = 2
        read = changing_holders.first
    else:
        holders = [package.Series([0]), package.Series([0])]
        holders[1][0] = 2
        read = changing_holders.first
    assert all(describe(zoo.in_closure(holder, read))[1] for holder in holders)
