"""What was imported once is not looked for again by each call."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from typing import Any

import pytest

from warp_cache import Cache, cache


def body(x: int) -> int:
    return x


async def coroutine(x: int) -> int:
    return x


class Holder:
    @cache(per_instance=True)
    def method(self, x: int) -> int:
        return x

    @cache
    def shared(self, x: int) -> int:
        return x


def _stored(error: type[Exception]) -> Any:
    async def fail(x: int) -> int:
        raise error(x)

    return cache(cache_exceptions=error)(fail)


def _caught(awaited: Callable[[], Any]) -> None:
    async def main() -> None:
        with pytest.raises(KeyError):
            await awaited()

    LOOP.run_until_complete(main())


LOOP = asyncio.new_event_loop()
CACHE: Any = Cache()
PLAIN: Any = cache(body)
AWAITED: Any = cache(coroutine)
NOTHING: Any = cache(max_size=0)(coroutine)
LEAVING: Any = cache(max_size=1, on_removal=lambda call, value, cause: None)(body)
MEMOIZED: Any = CACHE.memoize(body)
FAILING: Any = _stored(KeyError)
HOLDER: Any = Holder()

CALLS: dict[str, Callable[[], object]] = {
    "cache_refresh": lambda: PLAIN.cache_refresh(1),
    "cache_refresh of a coroutine function": lambda: LOOP.run_until_complete(
        AWAITED.cache_refresh(1)
    ),
    "cache_refresh where nothing is kept": lambda: LOOP.run_until_complete(
        NOTHING.cache_refresh(1)
    ),
    "cache_refresh of a memoized function": lambda: MEMOIZED.cache_refresh(1),
    "cache_options": lambda: PLAIN.cache_options(),
    "lock": lambda: CACHE.lock("key"),
    "memoize": lambda: CACHE.memoize(ttl=5),
    "on_removal": lambda: (LEAVING(1), LEAVING(2)),
    "a stored exception": lambda: _caught(lambda: FAILING(1)),
    "a method's operation": lambda: (
        HOLDER.method.cache_invalidate(1),
        HOLDER.shared.cache_invalidate(1),
        HOLDER.shared.set(3, 1),
    ),
    "an operation on the class": lambda: Holder.method.cache_invalidate(HOLDER, 1),
}


@pytest.mark.parametrize("call", CALLS)
def test_nothing_of_the_package_is_imported_again(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, asked = CALLS[call], []
    for _ in range(2):
        act()
    original = builtins.__import__

    def counting(name: str, *arguments: Any, **keywords: Any) -> Any:
        asked.append(name)
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", counting)
    act()
    monkeypatch.undo()
    assert [name for name in asked if name.startswith(("warp_cache", "functools"))] == []
