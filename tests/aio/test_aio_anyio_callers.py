"""Several callers of a cached coroutine in scopes of anyio, and what is not imported for it."""

from __future__ import annotations

import asyncio
import importlib.machinery
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import support
from loops import turns
from test_aio_anyio import LIMIT, Pool, long

from warp_cache import _cancellation, cache

anyio = pytest.importorskip("anyio")


def test_one_of_several_callers_moves_on_at_once() -> None:
    pool = Pool(cache)
    gate = asyncio.Event()
    fetch = pool.function(gate.wait)

    async def main() -> None:
        patient = asyncio.ensure_future(fetch(1))
        with anyio.move_on_after(0.01) as scope:
            await fetch(1)
        assert scope.cancelled_caught and not patient.done() and not pool.free
        gate.set()
        assert await patient == (True, "connection")

    with_limit(main)
    assert pool.free == ["connection"]


@pytest.mark.parametrize("leader", ["in a scope", "outside"])
def test_the_last_of_several_callers_waits_for_what_is_shielded(leader: str) -> None:
    pool = Pool(cache)
    fetch = pool.function(long)

    async def main() -> None:
        scope = anyio.CancelScope()

        async def first() -> None:
            if leader == "outside":
                await fetch(1)
            with scope:
                await fetch(1)

        task = asyncio.ensure_future(first())
        await turns()
        with anyio.move_on_after(0.03) as last:
            task.cancel() if leader == "outside" else scope.cancel()
            await fetch(1)
        assert last.cancelled_caught and pool.free == ["connection"]
        await asyncio.wait([task])

    with_limit(main)
    assert pool.seen == []


def test_who_never_was_in_a_scope_gets_none() -> None:
    """A scope keeps its task, and the loop, alive if it is never left."""
    backend = pytest.importorskip("anyio._backends._asyncio")

    @cache
    async def f(key: int) -> bool:
        await asyncio.sleep(0)
        return asyncio.current_task() in backend._task_states

    async def scoped() -> bool:
        with anyio.CancelScope():
            return await f(2)

    assert asyncio.run(f(1)) is False
    assert asyncio.run(scoped()) is True


def with_limit(main: Any) -> None:
    async def bounded() -> None:
        with anyio.fail_after(LIMIT):
            await main()

    anyio.run(bounded)


# --- what is not imported -------------------------------------------------------------------


NOTHING = """
import asyncio, sys
import anyio
from warp_cache import cache, lru_cache

class Spy:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("anyio", "trio", "sniffio"):
            print("imported", name)

async def cancelled(decorate, callers):
    @decorate
    async def f(key):
        await asyncio.sleep(60)
    tasks = [asyncio.create_task(f(1)) for _ in range(callers)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)

async def main():
    sys.meta_path.insert(0, Spy())
    shared = cache(backend="shared", name="f")
    for decorate in (cache, lru_cache, shared, cache(single_flight=False)):
        for callers in (1, 2):
            await cancelled(decorate, callers)
    assert "anyio._backends._asyncio" not in sys.modules

asyncio.run(main())
"""


def test_a_cancellation_imports_nothing_of_anyio(tmp_path: Path) -> None:
    """Its backend takes a quarter of a second, and would stop the event loop meanwhile."""
    environment = {"WARP_CACHE_DIR": str(tmp_path)}
    support.check_clean(support.run_python(NOTHING, environment=environment), out="")


def test_a_backend_that_is_being_imported_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "anyio._backends._asyncio"
    half = types.ModuleType(name)
    half.__spec__ = importlib.machinery.ModuleSpec(name, None)
    half.__spec__._initializing = True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, half)

    async def main() -> tuple[Any, ...]:
        work = _cancellation.Work()
        return work.scoped, _cancellation.is_in_cancelled_scope()

    assert asyncio.run(main()) == (False, False)
