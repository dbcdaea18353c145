"""A decorated function and its naive model: every operation is done to both and compared."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from naive_model import NaiveCache
from naive_policies import Record
from support import merge_counts

from warp_cache import Strategy

Decorate = Callable[..., Any]
MakeKey = Callable[[tuple[Any, ...], dict[str, Any], bool], Hashable]


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
    """The key of a call for `lru_cache`: every spelling is a call of its own.

    As in functools, a lone exact int or str is apart from what equals it.
    """
    apart = len(args) == 1 and not kwargs and type(args[0]) in (int, str)
    key = (args, tuple(kwargs.items()), apart)
    types = (*map(type, args), *map(type, kwargs.values()))
    return (key, types) if typed else key


class Twins:
    def __init__(
        self,
        decorate: Decorate,
        key: MakeKey,
        strategy: Strategy,
        size: int | None,
        ttl: float | None,
        typed: bool,
    ) -> None:
        self.typed = typed
        self.key = key
        self.size = size
        self.computed: Value | None = None
        self.refuse = False
        self.alive: weakref.WeakSet[Value] = weakref.WeakSet()
        self.model = NaiveCache(strategy, size, gone=self._gone)
        self.cached = decorate(max_size=size, ttl=ttl, typed=typed)(self._function)

    def _function(self, x: Any, y: Any = 0) -> Value:
        if self.refuse:
            raise Refused(x, y)
        self.computed = Value()
        self.alive.add(self.computed)
        return self.computed

    def _gone(self, records: list[Record]) -> list[Record]:
        """Whose value dies once the model lets go of it."""
        values = [weakref.ref(record.value) for record in records]
        for record in records:
            record.value = None
        # (A collection, and a slow one without a GIL: only if nobody seems to have left.)
        if all(value() is not None for value in values):
            merge_counts()
        for record, value in zip(records, values, strict=True):
            record.value = value()
        return [record for record in records if record.value is None]

    def _key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        return self.key(args, kwargs, self.typed)

    def _computed(self) -> Value:
        assert self.computed is not None, "the model says miss, but nothing was computed"
        return self.computed

    def call(self, *args: Any, **kwargs: Any) -> None:
        self.computed = None
        result = self.cached(*args, **kwargs)
        hits = self.model.hits
        assert result is self.model.call(self._key_of(args, kwargs), self._computed)
        if self.model.hits > hits:
            assert self.computed is None, "the model says hit, but the function ran"
        self.computed = None

    def call_that_raises(self, *args: Any, **kwargs: Any) -> None:
        self.refuse = True

        def refuse() -> None:
            raise Refused

        try:
            expected = self.model.call(self._key_of(args, kwargs), refuse)
        except Refused:
            with pytest.raises(Refused):
                self.cached(*args, **kwargs)
        else:
            assert self.cached(*args, **kwargs) is expected
        finally:
            self.refuse = False

    def get(self, *args: Any, **kwargs: Any) -> None:
        expected = self.model.get(self._key_of(args, kwargs))
        assert self.cached.get(*args, **kwargs) is expected

    def set(self, *args: Any, **kwargs: Any) -> None:
        value = Value()
        self.alive.add(value)
        assert self.cached.set(value, *args, **kwargs) is None
        self.model.set(self._key_of(args, kwargs), value)

    def unhashable(self) -> None:
        """Changes nothing; where nothing is stored functools does not even hash."""
        if self.size == 0:
            return
        with pytest.raises(TypeError, match="unhashable type: 'list'"):
            self.cached([])
        with pytest.raises(TypeError, match="unhashable type: 'dict'"):
            self.cached(1, y={})

    def wrong_call(self) -> None:
        for args in ((), (1, 2, 3)):
            with pytest.raises(TypeError, match="argument"):
                self.cached(*args)
            self.model.misses += 1

    def clear(self) -> None:
        self.cached.cache_clear()
        self.model.clear()

    def compare(self) -> None:
        """Counters and contents; weak references tell who lives, since to look is to use."""
        assert self.cached.cache_info() == self.model.info
        # Only the two caches hold values: what the model has let go of, the other must have too.
        values = self.model.values
        if len(self.alive) != len(values):
            gc.collect()
        assert set(self.alive) == set(values)
