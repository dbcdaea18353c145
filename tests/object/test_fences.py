"""What is computed while somebody invalidates its key is not stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from warp_cache import DELETE, Cache

Make = Callable[..., Cache[Any, Any]]

_INVALIDATE: dict[str, Callable[[Cache[Any, Any]], Any]] = {
    "prefix": lambda cache: cache.clear("user:"),
    "compute": lambda cache: cache.compute("user:1", lambda old: DELETE),
    "clear": lambda cache: cache.clear(),
    "delete": lambda cache: cache.delete("user:1"),
    "delete_many": lambda cache: cache.delete_many(["user:1"]),
}


def _needs_all_keys(cache: Cache[Any, Any], invalidate: Callable[[Any], Any]) -> None:
    if cache.options()["remote"] and invalidate is _INVALIDATE["prefix"]:
        pytest.skip("nobody knows all keys that a server has")


by_each = pytest.mark.parametrize("invalidate", _INVALIDATE.values(), ids=_INVALIDATE)


@by_each
@pytest.mark.parametrize("others", [False, True], ids=["own handle", "another handle"])
def test_threads(make: Make, invalidate: Callable[[Any], Any], others: bool) -> None:
    cache = make()
    _needs_all_keys(cache, invalidate)
    reaches = cache.options()["backend"] == "shared" or cache.options()["remote"]
    other = cache.copy() if others and reaches else cache
    begun, go_on = threading.Event(), threading.Event()
    given: list[str] = []

    def compute() -> str:
        begun.set()
        assert go_on.wait(60)
        return "before"

    thread = threading.Thread(target=lambda: given.append(cache.get_or_set("user:1", compute)))
    thread.start()
    assert begun.wait(60)
    invalidate(other)
    # Who asks now waits for nobody, and keeps what it has computed.
    assert cache.get_or_set("user:1", lambda: "after") == "after"
    go_on.set()
    thread.join()
    assert given == ["before"]
    assert cache.get("user:1") == other.get("user:1") == "after"


@by_each
def test_coroutines(make: Make, invalidate: Callable[[Any], Any]) -> None:
    cache = make()
    _needs_all_keys(cache, invalidate)

    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def compute() -> str:
            begun.set()
            await go_on.wait()
            return "before"

        async def after() -> str:
            return "after"

        task = asyncio.ensure_future(cache.get_or_set("user:1", compute))
        await begun.wait()
        invalidate(cache)
        assert await cache.get_or_set("user:1", after) == "after"
        go_on.set()
        assert await task == "before"
        assert cache["user:1"] == "after"

    asyncio.run(main())


def test_a_prefix_leaves_entries_of_other_keys(make_here: Make) -> None:
    cache = make_here()
    cache.update({"user:1": 1, "user:2": 2, "group:1": 3, b"user:1": 4, ("user:",): 5})
    assert cache.get_or_set("group:2", lambda: 6) == 6

    class Prefix(str):
        pass

    assert cache.clear(Prefix("user:")) == 2
    assert sorted(map(str, cache.values())) == ["3", "4", "5", "6"]
    assert cache.get_or_set("user:1", lambda: 7) == cache["user:1"] == 7


def test_a_deletion_by_compute_runs_again_where_there_is_an_entry_by_now(make: Make) -> None:
    cache = make()
    seen: list[Any] = []

    def delete(old: Any) -> Any:
        seen.append(old)
        if old is None:
            cache["a"] = 1
        return DELETE

    assert cache.compute("a", delete) is None
    assert seen == [None, 1]
    assert "a" not in cache
