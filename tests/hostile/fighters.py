"""Keys and values that fight back, and a cached function that counts what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warp_cache import Strategy, cache, lru_cache

# Every way into the engine that differs: strategy, deadline, single-flight, signature handling.
VARIANTS: dict[str, Callable[..., Any]] = {
    **{
        strategy.name.lower(): lambda strategy=strategy, **options: cache(strategy, **options)
        for strategy in Strategy
    },
    "ttl": lambda **options: cache(ttl=3600, **options),
    "typed": lambda **options: cache(typed=True, **options),
    "no-single-flight": lambda **options: cache(single_flight=False, **options),
    "lru_cache": lambda **options: lru_cache(**options),
}
CAPACITIES = [1, 2, 128, None]


class Trap:
    """What a fighter does when it is touched: once armed, `action`, but never inside itself."""

    def __init__(self, action: Callable[[], Any] | None = None) -> None:
        self.action = action
        self.armed = False
        self.fired = 0
        self._inside = False

    def __call__(self) -> Any:
        if not self.armed or self._inside or self.action is None:
            return None
        self.fired += 1
        self._inside = True
        try:
            return self.action()
        finally:
            self._inside = False


class Key:
    """A key whose `__hash__` and `__eq__` spring traps; all collide unless told otherwise."""

    def __init__(
        self,
        name: object,
        *,
        on_eq: Callable[[], Any] | None = None,
        on_hash: Callable[[], Any] | None = None,
        value: int = 1,
    ) -> None:
        self.name = name
        self.on_eq = on_eq
        self.on_hash = on_hash
        self.value = value

    def __hash__(self) -> int:
        if self.on_hash is not None:
            self.on_hash()
        return self.value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        if self.on_eq is not None:
            self.on_eq()
        return self.name == other.name

    def __repr__(self) -> str:
        return f"Key({self.name!r})"


class Counted:
    """A cached function that counts calls and checks every answer against its argument."""

    def __init__(self, decorator: Callable[..., Any], max_size: int | None = 128) -> None:
        self.max_size = max_size
        self.calls = 0
        self.computed = 0

        def compute(key: object) -> tuple[str, object]:
            self.computed += 1
            return ("value", getattr(key, "name", key))

        self.cached = decorator(max_size=max_size)(compute)

    def __call__(self, key: object) -> tuple[str, object]:
        self.calls += 1
        value = self.cached(key)
        assert value == ("value", getattr(key, "name", key))
        return value

    def put(self, key: object) -> None:
        self.cached.set(("value", getattr(key, "name", key)), key)

    def check(self, *, failed: int = 0, cleared: bool = False) -> None:
        """The invariants: counters add up, the size is in bounds, and the cache still caches.

        A call that failed in a comparison or a hash is not a call that was answered; whether it
        counts is left open, so up to `failed` calls may be missing from the counters.
        """
        info = self.cached.cache_info()
        counted = info.hits + info.misses
        assert counted <= self.calls
        if not cleared:
            assert counted >= self.calls - failed
        assert info.currsize >= 0
        assert self.max_size is None or info.currsize <= self.max_size
        self("a key of its own")
        before = self.cached.cache_info().hits
        self("a key of its own")
        after = self.cached.cache_info()
        assert after.hits == before + (1 if self.max_size != 0 else 0)
        assert self.max_size is None or after.currsize <= self.max_size
        self.cached.cache_clear()
        assert tuple(self.cached.cache_info()) == (0, 0, self.max_size, 0)
