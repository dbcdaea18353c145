"""A stateful model: the cache object of both tiers does what a dict with lifetimes does."""

from __future__ import annotations

import itertools
import tempfile
from typing import Any

import support
from hypothesis import settings, strategies
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

import warp_cache
from warp_cache import DELETE, Cache

_numbers = itertools.count()
KEYS = strategies.sampled_from(["a", "b", ("a", 1), 1, None, frozenset([1, "x"])])
VALUES = strategies.one_of(strategies.integers(-5, 5), strategies.sampled_from([[1], "v", None]))
TAGS = strategies.sets(strategies.sampled_from(["t", "u"]), max_size=2)


class Model(RuleBasedStateMachine):
    """Every operation beside the same of a dict of value, whether it ends, and tags."""

    caches = Bundle("caches")
    backend = "memory"

    def __init__(self) -> None:
        super().__init__()
        options: dict[str, Any] = {"backend": self.backend}
        if self.backend == "shared":
            options["name"] = f"model{next(_numbers)}"
        self.cache: Cache[Any, Any] = Cache(100, **options)
        self.model: dict[Any, tuple[Any, bool, frozenset[str]]] = {}

    @rule(key=KEYS, value=VALUES, ends=strategies.booleans(), tags=TAGS)
    def set(self, key: Any, value: Any, ends: bool, tags: set[str]) -> None:
        assert self.cache.set(key, value, ttl=1000 if ends else None, tags=tags)
        self.model[key] = (value, ends, frozenset(tags))

    @rule(key=KEYS, value=VALUES, ends=strategies.booleans(), tags=TAGS)
    def add(self, key: Any, value: Any, ends: bool, tags: set[str]) -> None:
        added = self.cache.add(key, value, ttl=1000 if ends else None, tags=tags)
        assert added == (key not in self.model)
        self.model.setdefault(key, (value, ends, frozenset(tags)))

    @rule(key=KEYS, value=VALUES, ends=strategies.booleans(), tags=TAGS)
    def get_or_set(self, key: Any, value: Any, ends: bool, tags: set[str]) -> None:
        ttl = 1000 if ends else None
        got = self.cache.get_or_set(key, lambda: value, ttl=ttl, tags=tags)
        self.model.setdefault(key, (value, ends, frozenset(tags)))
        assert got == self.model[key][0]

    @rule(key=KEYS, delta=strategies.integers(-(2**64), 2**64))
    def incr(self, key: Any, delta: int) -> None:
        old = self.model.get(key, (0, True, frozenset()))
        try:
            total = self.cache.incr(key, delta, default=0, ttl=1000)
        except TypeError:
            assert type(old[0]) is not int
        else:
            assert total == old[0] + delta
            self.model[key] = (total, *old[1:])

    @rule(key=KEYS, old=VALUES, new=VALUES)
    def replace(self, key: Any, old: Any, new: Any) -> None:
        fits = key in self.model and self.model[key][0] == old
        assert self.cache.replace(key, old, new) == fits
        if fits:
            self.model[key] = (new, *self.model[key][1:])

    @rule(key=KEYS, old=VALUES)
    def discard(self, key: Any, old: Any) -> None:
        fits = key in self.model and self.model[key][0] == old
        assert self.cache.discard(key, old) == fits
        if fits:
            del self.model[key]

    @rule(key=KEYS, value=strategies.one_of(VALUES, strategies.just(DELETE)))
    def compute(self, key: Any, value: Any) -> None:
        old = self.model.get(key, (None, False, frozenset[str]()))
        seen: list[Any] = []
        self.cache.compute(key, lambda old: (seen.append(old), value)[1])
        assert seen == [old[0]]
        if value is DELETE:
            self.model.pop(key, None)
        else:
            self.model[key] = (value, *old[1:])

    @rule(key=KEYS, ends=strategies.booleans())
    def touch(self, key: Any, ends: bool) -> None:
        assert self.cache.touch(key, 1000 if ends else None) == (key in self.model)
        if key in self.model:
            value, _, tags = self.model[key]
            self.model[key] = (value, ends, tags)

    @rule(key=KEYS)
    def pop(self, key: Any) -> None:
        assert self.cache.pop(key, "none") == self.model.pop(key, ("none",))[0]

    @rule(key=KEYS)
    def delete(self, key: Any) -> None:
        assert self.cache.delete(key) == (self.model.pop(key, None) is not None)

    @rule()
    def popitem(self) -> None:
        if self.model:
            key, value = self.cache.popitem()
            assert self.model.pop(key)[0] == value

    @rule(tag=strategies.sampled_from(["t", "u", "w"]))
    def invalidate(self, tag: str) -> None:
        self.cache.invalidate_tags(tag)
        self.model = {key: entry for key, entry in self.model.items() if tag not in entry[2]}

    @rule()
    def clear(self) -> None:
        assert self.cache.clear() == len(self.model)
        self.model.clear()

    @rule()
    def copy(self) -> None:
        self.cache = self.cache.copy()

    @invariant()
    def agrees(self) -> None:
        assert len(self.cache) == len(self.model)
        assert dict(self.cache.items()) == {key: entry[0] for key, entry in self.model.items()}
        for key, (value, ends, _) in self.model.items():
            assert key in self.cache
            assert self.cache.peek(key) == value
            assert (self.cache.ttl(key) <= 1000) == ends


class SharedModel(Model):
    backend = "shared"

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        warp_cache.configure(directory=self.folder.name + "/caches")
        super().__init__()

    def teardown(self) -> None:
        warp_cache.configure(directory=None)
        self.folder.cleanup()


TestMemory = Model.TestCase
TestShared = SharedModel.TestCase
for case in (TestMemory, TestShared):
    case.settings = settings(max_examples=support.examples(40), stateful_step_count=30)
