"""Calls while the server does not answer: what is computed, kept, fenced, and not done at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import servers
import support

import warp_cache
from warp_cache import cache
from warp_cache._threads import DaemonThreads

# With a file of the host the calls of all its processes wait for each other, as with the server.
pytestmark = [pytest.mark.parametrize("backend", ["memory"]), pytest.mark.usefixtures("near_by")]

Start = Callable[..., Any]

CHANGES = """
@cache(remote=True, ttl=600, name="f")
def f(x):
    return x

def change(x):
    try:
        f.cache_invalidate(x)
    except warp_cache.RemoteError:
        return "not acknowledged"
"""


def named(body: Any, **options: Any) -> Any:
    return cache(remote=True, ttl=60, **{"name": "f", **options})(body)


@pytest.fixture
def down(server: servers.Server, tmp_path: Path) -> servers.Server:
    """A server that was there, and is no more; what is kept here stays as long as a test takes."""
    warp_cache.configure(
        remote=server.url, timeout=5.0, staleness=60.0, secret="s" * 32, directory=tmp_path / "host"
    )
    assert named(lambda x: x, name="opens")(1) == 1
    server.kill()
    assert named(lambda x: x, name="opens")(2) == 2
    return server


def counting() -> tuple[list[Any], Any]:
    calls: list[Any] = []

    def body(x: Any) -> Any:
        calls.append(x)
        return [x]

    return calls, body


def test_a_result_is_kept_near_and_counted(down: servers.Server) -> None:
    calls, body = counting()
    f = named(body)
    for _ in range(3):
        assert [f(x) for x in range(100)] == [[x] for x in range(100)]
    assert calls == list(range(100))
    info = f.cache_info()
    assert (info.hits, info.misses) == (200, 100)
    assert info.remote_misses == info.remote_errors == 100


def test_nothing_is_encoded_that_nobody_gets(down: servers.Server) -> None:
    class Value:
        pickled = 0

        def __reduce__(self) -> Any:
            Value.pickled += 1
            return Value, ()

    f = named(lambda x: Value())
    for i in range(100):
        f(i)
    assert Value.pickled == 0


def test_own_changes_drop_what_is_kept(down: servers.Server) -> None:
    calls, body = counting()
    f = named(body, tags=("tag",))
    for change in (lambda: f.cache_invalidate(1), lambda: f.cache_invalidate_tags("tag")):
        f(1)
        before = len(calls)
        with pytest.raises(warp_cache.RemoteError):
            change()
        f(1)
        assert len(calls) == before + 1


def test_changes_of_another_process_void_what_is_kept(
    down: servers.Server, start: Start, tmp_path: Path
) -> None:
    calls, body = counting()
    f = named(body)
    directory = str(tmp_path / "host")
    child = start(CHANGES, directory=directory, staleness=60.0, secret="s" * 32)
    f(1)
    f(1)
    assert len(calls) == 1
    assert child.ask("change(1)") == "'not acknowledged'"
    f(1)
    assert len(calls) == 2


def test_a_computation_is_fenced_by_another_process(
    down: servers.Server, start: Start, tmp_path: Path
) -> None:
    calls: list[int] = []
    began, go_on = Event(), Event()

    def body(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            began.set()
            assert go_on.wait(60)
        return len(calls)

    f = named(body)
    child = start(CHANGES, directory=str(tmp_path / "host"), staleness=60.0, secret="s" * 32)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(f, 1)
        try:
            assert began.wait(30)
            child.ask("change(1)")
            # It does not join what began before the change, and what that brings is not kept.
            assert f(1) == 2
        finally:
            go_on.set()
        first.result(30)
    assert f(1) == 2 and calls == [1, 1]


def test_threads_compute_once(down: servers.Server) -> None:
    calls: list[int] = []
    began, go_on = Event(), Event()

    def body(x: int) -> list[int]:
        calls.append(x)
        began.set()
        assert go_on.wait(60)
        return [x]

    f = named(body, wait_timeout=60.0)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(f, 1)
        assert began.wait(30)
        others = [pool.submit(f, 1) for _ in range(3)]
        support.eventually(lambda: f.cache_info().misses == 4)
        go_on.set()
        assert [future.result(30) for future in (first, *others)] == [[1]] * 4
    assert calls == [1]


def test_exceptions_conditions_and_lifetimes_are_as_ever(down: servers.Server) -> None:
    calls, body = counting()

    def fails(x: int) -> Any:
        body(x)
        raise KeyError(x)

    f = named(fails, cache_exceptions=KeyError)
    for _ in range(2):
        with pytest.raises(KeyError, match="1"):
            f(1)
    assert calls == [1]
    g = named(body, name="g", cache_if=lambda value: value != [2])
    assert [g(2), g(2), g(3), g(3)] == [[2], [2], [3], [3]]
    assert calls == [1, 2, 2, 3]
    h = named(body, name="h", tags=lambda x: (f"tag-{x}",))
    assert [h(4), h(4)] == [[4], [4]] and calls[4:] == [4]
    with pytest.raises(warp_cache.RemoteError):
        h.cache_invalidate_tags("tag-4")
    assert h(4) == [4] and calls[4:] == [4, 4]


def test_it_is_asked_again_when_it_answers(down: servers.Server) -> None:
    _, body = counting()
    f, g = named(body), named(body)
    assert f(1) == g(1) == [1]
    assert f.cache_info().remote_hits == g.cache_info().remote_hits == 0
    down.start()

    def is_shared() -> bool:
        # One of them stores it, and the other one finds it.
        assert f(1) == g(1) == [1]
        return f.cache_info().remote_hits + g.cache_info().remote_hits > 0

    support.eventually(is_shared)


def test_coroutines_wait_for_no_thread(
    down: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[object] = []
    submit = DaemonThreads.submit

    def noting(threads: DaemonThreads, job: Callable[[], object]) -> bool:
        jobs.append(job)
        return submit(threads, job)

    monkeypatch.setattr(DaemonThreads, "submit", noting)
    calls: list[int] = []

    async def body(x: int) -> int:
        calls.append(x)
        return x

    f = named(body)

    async def run() -> list[int]:
        return [await f(x) for x in range(500) for _ in range(2)]

    assert asyncio.run(run()) == [x for x in range(500) for _ in range(2)]
    assert calls == list(range(500))
    # (A probe goes there now and then.)
    assert len(jobs) < 100
