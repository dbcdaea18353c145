"""A newer value that a server cannot have leaves no older one there (§2.3, §2.7)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import servers
import support

from warp_cache import cache

pytestmark = [
    pytest.mark.usefixtures("near_by"),
    pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning"),
]

LOCK = threading.Lock()


class Body:
    """A function whose first value has bytes, and no later one."""

    def __init__(self, is_async: bool) -> None:
        self.calls = 0
        self.is_async = is_async

    def function(self, **options: Any) -> Any:
        def value() -> Any:
            self.calls += 1
            return "old" if self.calls == 1 else LOCK

        async def async_function(x: int) -> Any:
            return value()

        def function(x: int) -> Any:
            return value()

        chosen: Any = async_function if self.is_async else function
        return cache(remote=True, name="newer", **{"ttl": 60, **options})(chosen)

    def run(self, function: Any, *args: Any) -> Any:
        if not self.is_async:
            return function(*args)

        async def main() -> Any:
            return await function(*args)

        return asyncio.run(main())


@pytest.fixture(params=["sync", "async"])
def body(request: pytest.FixtureRequest) -> Body:
    return Body(request.param == "async")


@pytest.mark.parametrize("single_flight", [True, False])
def test_after_a_refresh_nobody_gets_the_older_value(
    configured: servers.Server, body: Body, single_flight: bool
) -> None:
    f, g = (body.function(single_flight=single_flight) for _ in range(2))
    assert body.run(f, 1) == body.run(g, 1) == "old"
    assert body.run(f.cache_refresh, 1) is LOCK
    assert f.get(1) is None and not f.cache_contains(1)
    support.eventually(lambda: not g.cache_contains(1))
    assert body.run(f, 1) is LOCK and body.calls == 3


def test_a_refresh_in_the_background_drops_the_older_value(
    configured: servers.Server, body: Body
) -> None:
    f = body.function(ttl=0.1, stale_while_revalidate=1000)

    async def until_it_is_gone() -> None:
        while f.cache_contains(1):
            assert await f(1) in ("old", LOCK)
            await asyncio.sleep(0.01)

    assert body.run(f, 1) == "old"
    if body.is_async:
        asyncio.run(asyncio.wait_for(until_it_is_gone(), support.LIMIT))
    else:
        support.eventually(lambda: f(1) is not None and not f.cache_contains(1))
    assert body.calls >= 2
