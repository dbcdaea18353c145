"""Every strategy, size, lifetime and typing against the naive model: results, victims, counts."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from naive_model import NaiveCache

from warp_cache import Strategy, cache, lru_cache

SIZES = (0, 1, 2, 5, None)
LONG_TTL = 3600.0

# Equal numbers of different types, so that `typed` shows; few enough keys to hit and to evict.
FIRSTS: list[Any] = [0, 1, 2, 3, 4, True, 1.0, 2.0, "a", "b", None, (1, "x"), (1.0, "x"), b"a"]
SECONDS: list[Any] = [0, 1, 0.0]


class Value:
    """A result that can be told apart from any other and watched with a weak reference."""


class Refused(Exception):
    """What the function raises when it is told to."""


def canonical_key(args: tuple[Any, ...], kwargs: dict[str, Any], typed: bool) -> Hashable:
    """The key of a call of `function(x, y=0)` for `cache`: one for all spellings of a call."""
    bound = {"y": 0, **dict(zip(("x", "y"), args, strict=False)), **kwargs}
    values = (bound["x"], bound["y"])
    return (values, tuple(map(type, values))) if typed else values


def literal_key(args: tuple[Any, ...], kwargs: dict[str, Any], typed: bool) -> Hashable:
    """The key of a call for `lru_cache`: every spelling is a call of its own."""
    key = (args, tuple(kwargs.items()))
    types = (*map(type, args), *map(type, kwargs.values()))
    return (key, types) if typed else key


@st.composite
def spellings(draw: st.DrawFn) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = draw(st.sampled_from(FIRSTS))
    y = draw(st.sampled_from(SECONDS))
    return draw(
        st.sampled_from(
            [
                ((x,), {}),
                ((x,), {}),
                ((x, y), {}),
                ((), {"x": x}),
                ((x,), {"y": y}),
                ((), {"x": x, "y": y}),
                ((), {"y": y, "x": x}),
            ]
        )
    )


class CacheMachine(RuleBasedStateMachine):
    def __init__(
        self,
        decorate: Callable[..., Any],
        key: Callable[..., Hashable],
        strategy: Strategy,
        size: int | None,
        ttl: float | None,
        typed: bool,
    ) -> None:
        super().__init__()
        self.typed = typed
        self.key = key
        self.size = size
        self.computed: Value | None = None
        self.refuse = False
        self.alive: weakref.WeakSet[Value] = weakref.WeakSet()
        self.model = NaiveCache(strategy, size)
        self.cached = decorate(max_size=size, ttl=ttl, typed=typed)(self._function)

    def _function(self, x: Any, y: Any = 0) -> Value:
        if self.refuse:
            raise Refused(x, y)
        self.computed = Value()
        self.alive.add(self.computed)
        return self.computed

    def _key_of(self, call: tuple[tuple[Any, ...], dict[str, Any]]) -> Hashable:
        return self.key(*call, self.typed)

    def _computed(self) -> Value:
        assert self.computed is not None, "the model says miss, but nothing was computed"
        return self.computed

    @rule(call=spellings())
    def call(self, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        args, kwargs = call
        self.computed = None
        result = self.cached(*args, **kwargs)
        was_hit = self.model.hits
        expected = self.model.call(self._key_of(call), self._computed)
        assert result is expected
        if self.model.hits > was_hit:
            assert self.computed is None, "the model says hit, but the function ran"
        self.computed = None

    @rule(call=spellings())
    def call_that_raises(self, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        args, kwargs = call
        self.refuse = True

        def refuse() -> None:
            raise Refused

        try:
            expected = self.model.call(self._key_of(call), refuse)
        except Refused:
            with pytest.raises(Refused):
                self.cached(*args, **kwargs)
        else:
            assert self.cached(*args, **kwargs) is expected
        finally:
            self.refuse = False

    @rule(call=spellings())
    def get(self, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        args, kwargs = call
        assert self.cached.get(*args, **kwargs) is self.model.get(self._key_of(call))

    @rule(call=spellings())
    def set(self, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        args, kwargs = call
        value = Value()
        self.alive.add(value)
        assert self.cached.set(value, *args, **kwargs) is None
        self.model.set(self._key_of(call), value)

    # Where nothing is stored functools does not even hash.
    @precondition(lambda self: self.size != 0)
    @rule()
    def unhashable(self) -> None:
        with pytest.raises(TypeError, match="unhashable type: 'list'"):
            self.cached([])
        with pytest.raises(TypeError, match="unhashable type: 'dict'"):
            self.cached(1, y={})

    @rule(args=st.sampled_from([(), (1, 2, 3)]))
    def wrong_call(self, args: tuple[Any, ...]) -> None:
        with pytest.raises(TypeError, match="argument"):
            self.cached(*args)
        self.model.misses += 1

    # Rare: a program that is cleared all the time never fills.
    @precondition(lambda self: self.model.misses + self.model.hits > 12)
    @rule()
    def clear(self) -> None:
        self.cached.cache_clear()
        self.model.clear()

    @invariant()
    def counts_agree(self) -> None:
        assert self.cached.cache_info() == self.model.info

    @invariant()
    def contents_agree(self) -> None:
        """Only cache and model hold values: what the model has let go of, the cache has too."""
        if len(self.alive) != len(self.model.values):
            gc.collect()
        assert set(self.alive) == set(self.model.values)

    def teardown(self) -> None:
        for x in FIRSTS:
            for call in (((x,), {}), ((), {"x": x})):
                args, kwargs = call
                assert self.cached.get(*args, **kwargs) is self.model.get(self._key_of(call))
        self.counts_agree()


def run(decorate: Callable[..., Any], key: Callable[..., Hashable], *parameters: Any) -> None:
    run_state_machine_as_test(
        lambda: CacheMachine(decorate, key, *parameters),
        settings=settings(max_examples=15, stateful_step_count=40),
    )


@pytest.mark.parametrize("typed", [False, True], ids=["untyped", "typed"])
@pytest.mark.parametrize("ttl", [None, LONG_TTL], ids=["forever", "ttl"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strategy", list(Strategy), ids=lambda strategy: strategy.name)
def test_cache(strategy: Strategy, size: int | None, ttl: float | None, typed: bool) -> None:
    def decorate(**parameters: Any) -> Any:
        return cache(strategy, **parameters)

    run(decorate, canonical_key, strategy, size, ttl, typed)


@pytest.mark.parametrize("typed", [False, True], ids=["untyped", "typed"])
@pytest.mark.parametrize("ttl", [None, LONG_TTL], ids=["forever", "ttl"])
@pytest.mark.parametrize("size", SIZES)
def test_lru_cache(size: int | None, ttl: float | None, typed: bool) -> None:
    run(lru_cache, literal_key, Strategy.LRU, size, ttl, typed)
