"""What changes many functions at once asks a server once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import servers

import warp_cache
from warp_cache import _module, cache

pytestmark = pytest.mark.usefixtures("near_by")

Function = Callable[[int], tuple[int, int]]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of other tests, whose servers are gone, are none of these tests' caches."""
    every, before = _module.caches, _module.caches()

    def made_since() -> list[Any]:
        return [cached for cached in every() if all(cached is not old for old in before)]

    monkeypatch.setattr(_module, "caches", made_since)


def _deletions(server: servers.Server) -> int:
    """How many DEL the server has had."""
    statistics = server.say("INFO", "commandstats")
    _, found, after = statistics.partition("cmdstat_del:calls=")
    return int(after.partition(",")[0]) if found else 0


def _functions(number: int) -> list[Function]:
    made: list[Function] = []
    for index in range(number):

        @cache(remote=True, ttl=600, name=f"f{index}", tags=("tag", "of:{x}"))
        def function(x: int, index: int = index) -> tuple[int, int]:
            return index, time.monotonic_ns()

        made.append(function)
    return made


def test_a_tag_is_invalidated_once_for_all_functions_of_a_server(
    configured: servers.Server,
) -> None:
    functions = _functions(20)
    before = [function(1) for function in functions]
    others = [function(2) for function in functions]
    deleted = _deletions(configured)
    warp_cache.invalidate_tags("of:1")
    assert _deletions(configured) == deleted + 1
    after = [function(1) for function in functions]
    assert all(new[1] > old[1] for new, old in zip(after, before, strict=True))
    assert [function(2) for function in functions] == others


def test_all_are_cleared_in_one_trip_those_without_a_server_too(
    configured: servers.Server,
) -> None:
    functions = _functions(20)

    @cache(ttl=600)
    def here(x: int) -> int:
        return time.monotonic_ns()

    @cache(remote=True, ttl=600, name="coroutine")
    async def awaited(x: int) -> int:
        return time.monotonic_ns()

    def results() -> list[object]:
        found = [function(1) for function in functions]
        return [*found, here(1), asyncio.run(awaited(1))]

    before = results()
    assert results() == before
    warp_cache.clear_all()
    assert all(new != old for new, old in zip(results(), before, strict=True))


@pytest.mark.parametrize(
    "change", [lambda: warp_cache.clear_all(), lambda: warp_cache.invalidate_tags("tag")]
)
def test_a_server_that_acknowledges_nothing_spares_no_function(
    server: servers.Server, change: Callable[[], None]
) -> None:
    """One exception; what is near is dropped, and functions without a server are changed."""
    warp_cache.configure(remote=server.url, timeout=5.0)
    functions = _functions(20)

    @cache(ttl=600, tags=("tag",))
    def here(x: int) -> int:
        return time.monotonic_ns()

    before, near = here(1), [function(1) for function in functions]
    assert [function(1) for function in functions] == near
    server.kill()
    with pytest.raises(warp_cache.RemoteError):
        change()
    assert here(1) != before
    assert all(function(1) != old for function, old in zip(functions, near, strict=True))
