"""What `key` and `tags` invalidate while they run fences the call that asked them (§2.7)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from control import Body, Kind, cache

ACTS = {
    "invalidate": lambda f: f.cache_invalidate(1),
    "tags": lambda f: f.cache_invalidate_tags("t1"),
    "clear": lambda f: f.cache_clear(),
}


class Armed:
    """A function whose `key` or `tags` does something, once each time it is armed."""

    def __init__(self, kind: Kind, parameter: str, act: Any, **options: Any) -> None:
        self.body = Body()
        self.act: Any = None

        def callable_(x: Any) -> Any:
            act, self.act = self.act, None
            if act is not None:
                act(self.f)
            return x if parameter == "key" else [f"t{x}"]

        options = {"tags": "t{x}", **options, parameter: callable_}
        self.f: Any = cache(name="inside", **options)(kind.one(self.body))
        self.kind = kind
        self.to_do = act

    def call(self, x: Any = 1) -> Any:
        self.act = self.to_do
        return self.kind.call(self.f, x)

    def refresh(self, x: Any = 1) -> Any:
        self.act = self.to_do
        return self.kind.call(self.f.cache_refresh, x)


@pytest.mark.parametrize("single_flight", [True, False])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("parameter", ["key", "tags"])
def test_the_value_of_its_call_is_not_stored(
    kind: Kind, backend: str, parameter: str, act: str, single_flight: bool
) -> None:
    armed = Armed(kind, parameter, ACTS[act], backend=backend, single_flight=single_flight)
    assert armed.call() == (1, 1)
    assert not armed.f.cache_contains(1)
    # Where nothing is invalidated, the next one is.
    assert kind.call(armed.f, 1) == (1, 2)
    assert kind.call(armed.f, 1) == (1, 2) and armed.f.cache_contains(1)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("parameter", ["key", "tags"])
def test_the_value_of_its_refresh_is_not_stored(
    kind: Kind, backend: str, parameter: str, act: str
) -> None:
    armed = Armed(kind, parameter, ACTS[act], backend=backend)
    kind.call(armed.f, 1)
    assert armed.refresh() == (1, 2)
    assert not armed.f.cache_contains(1)
    assert kind.call(armed.f.cache_refresh, 1) == (1, 3) and armed.f.cache_contains(1)


@pytest.mark.parametrize("parameter", ["key", "tags"])
@pytest.mark.parametrize(
    "act",
    [lambda f: f.cache_invalidate(2), lambda f: f.cache_invalidate_tags("t2")],
    ids=["key", "tag"],
)
def test_what_concerns_another_key_fences_nothing(
    kind: Kind, backend: str, parameter: str, act: Any
) -> None:
    armed = Armed(kind, parameter, act, backend=backend)
    assert armed.call() == (1, 1)
    assert armed.f.cache_contains(1)
    assert armed.refresh() == (1, 2)
    assert armed.f.cache_contains(1) and kind.call(armed.f, 1) == (1, 2)


@pytest.mark.parametrize("parameter", ["key", "tags"])
def test_another_function_is_no_concern_of_it(kind: Kind, backend: str, parameter: str) -> None:
    other: Any = cache(lambda x: x)
    armed = Armed(kind, parameter, lambda _: other.cache_invalidate(1), backend=backend)
    assert armed.call() == (1, 1) and armed.f.cache_contains(1)


def test_nothing_stays_behind_of_another_function(kind: Kind) -> None:
    """A function may lie where one was that is gone."""
    others: list[Any] = [None]
    for _ in range(20):
        others[0] = cache(lambda x: x)
        armed = Armed(kind, "tags", lambda _: others[0].cache_invalidate(1))
        assert armed.call() == (1, 1) and armed.f.cache_contains(1)
        # Else it is part of a circle, and stays for a while.
        armed.f = None


def test_nothing_is_left_of_a_call_that_computes_nothing(kind: Kind, backend: str) -> None:
    armed = Armed(kind, "tags", ACTS["invalidate"], backend=backend)
    armed.act = ACTS["invalidate"]
    armed.f.set("by hand", 1)
    armed.act = None
    assert kind.call(armed.f, 1) == "by hand"
    armed.f.cache_invalidate(1)
    assert kind.call(armed.f, 1) == (1, 1) and armed.f.cache_contains(1)


def test_in_a_call_within_the_callable_it_fences_both() -> None:
    """The inner call has ended by the time that the outer one computes."""
    inside: list[Any] = []

    def tags(x: int) -> list[str]:
        if x == 1 and not inside:
            inside.append(f(2))
        elif x == 2:
            f.cache_clear()
        return ["t"]

    f: Any = cache(tags=tags)(lambda x: [x])
    assert f(1) == [1] and inside == [[2]]
    assert not f.cache_contains(2) and not f.cache_contains(1)


@pytest.mark.parametrize("other", ["call", "put", "failing call"])
def test_another_call_in_between_takes_nothing_of_it(backend: str, other: str) -> None:
    """What `key` has invalidated is its call's, whatever the thread calls before that computes."""
    to_do, failing, calls = ["key", "tags"], [True], list[int]()

    def key(x: int) -> int:
        if x == 1 and to_do[:1] == ["key"]:
            to_do.pop(0)
            f.cache_invalidate(1)
        return x

    def tags(x: int) -> list[str]:
        if x == 1 and to_do == ["tags"]:
            to_do.clear()
            if other == "put":
                f.set("by hand", 2)
            else:
                with suppress(ValueError):
                    f(2)
        return ["t"]

    def function(x: int) -> int:
        calls.append(x)
        if x == 2 and other == "failing call" and failing[0]:
            failing[0] = False
            raise ValueError(x)
        return x

    f: Any = cache(name="between", backend=backend, key=key, tags=tags)(function)
    assert f(1) == 1 and not f.cache_contains(1)
    # The other one is fenced by nothing.
    assert f.cache_contains(2) is (other != "failing call")
    assert f(1) == 1 and f(2) == (2 if other != "put" else "by hand")
    assert f.cache_contains(1) and f.cache_contains(2) and calls.count(1) == 2


@pytest.mark.parametrize("parameter", ["key", "tags"])
@pytest.mark.parametrize("ending", ["raises in it", "raises later", "is a hit"])
def test_nothing_is_left_for_the_threads_next_call(
    kind: Kind, backend: str, parameter: str, ending: str
) -> None:
    acts = list[str]()

    def callable_(x: int) -> Any:
        if acts:
            acts.pop()
            f.cache_invalidate(2)
            if ending == "raises in it":
                raise ValueError(x)
        return x if parameter == "key" else [f"t{x}"]

    def body(x: int) -> int:
        if ending == "raises later" and x == 1:
            raise ValueError(x)
        return x

    options: dict[str, Any] = {parameter: callable_}
    f: Any = cache(name="next", backend=backend, **options)(kind.one(body))
    if ending == "is a hit":
        kind.call(f, 1)
    acts.append("invalidate")
    with suppress(ValueError):
        kind.call(f, 1)
    acts.clear()
    assert kind.call(f, 2) == 2 and f.cache_contains(2)


def test_a_coroutine_that_runs_later_is_fenced_too() -> None:
    """The key is asked when the call is made, whenever what it gives is awaited."""
    armed = [True]

    def key(x: int) -> int:
        if armed[0]:
            armed[0] = False
            f.cache_invalidate(x)
        return x

    async def function(x: int) -> list[int]:
        return [x]

    f: Any = cache(key=key)(function)

    async def main() -> None:
        first, second = f(1), f(2)
        assert await second == [2] and f.cache_contains(2)
        assert await first == [1] and not f.cache_contains(1)

    asyncio.run(main())
