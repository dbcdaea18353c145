"""Functions whose server is a cluster: three masters, each of which has a part of the keys."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import clusters
import pytest
import support

import warp_cache
from warp_cache import cache
from warp_cache._remote import opening


@pytest.fixture
def server(program: str) -> Iterator[clusters.Cluster]:
    """In the place of one server, also for the processes of a test."""
    started = clusters.Cluster(program)
    # Tests are no place for a bound that a loaded machine may miss.
    warp_cache.configure(timeout=5.0)
    yield started
    started.close()


def near(f: Any, *key: Any) -> bool:
    """Whether a call is answered without the server."""
    before = f.cache_info().remote_hits
    f(*key)
    return bool(f.cache_info().remote_hits == before)


def test_all_of_a_cache_works_on_a_cluster(server: clusters.Cluster) -> None:
    calls: list[int] = []

    def made() -> Any:
        @cache(remote=server.url, ttl=600, name="f", tags=lambda x: (f"t{x % 2}",))
        def f(x: int) -> str:
            calls.append(x)
            return f"{x}-{calls.count(x)}"

        return f

    f, g = made(), made()
    keys = range(30)
    assert [f(x) for x in keys] == [f"{x}-1" for x in keys]
    assert [g(x) for x in keys] == [f"{x}-1" for x in keys] and len(calls) == 30
    # (A tag or a value at the least on each.)
    assert all(size > 3 for size in server.sizes())
    support.eventually(lambda: all(near(g, x) for x in keys))

    for x in keys:
        f.cache_invalidate(x)
    assert [g(x) for x in keys] == [f"{x}-2" for x in keys]
    f.cache_invalidate_tags("t1")
    assert [g(x) for x in keys] == [f"{x}-{3 if x % 2 else 2}" for x in keys]
    f.set("put", 7)
    assert g.get(7) == "put"
    f.cache_clear()
    assert g(2) == "2-3" and f(2) == "2-3"
    info = g.cache_info()
    assert info.remote_errors == 0


SOURCE = """
@cache(remote=True, ttl=600, name="g")
def g(x):
    return time.monotonic_ns()
"""


def test_a_stopped_listener_is_replaced_at_every_node(start: Callable[..., Any]) -> None:
    one, two, other = start(SOURCE, "a"), start(SOURCE, "a"), start(SOURCE, "b")
    keys = range(6)
    for child in (one, two, other):
        for key in keys:
            child.ask(f"g({key})")
    one.signal(signal.SIGSTOP)
    for key in keys:
        other.ask(f"g.cache_invalidate({key})")
        new = other.ask(f"g({key})")
        support.eventually(lambda key=key, new=new: two.ask(f"g({key})") == new)
    one.signal(signal.SIGCONT)
    for key in keys:
        support.eventually(
            lambda key=key: one.ask(f"g({key})") == other.ask(f"g({key})"),
        )


def test_a_node_that_is_addressed_as_a_server_is_told(
    server: clusters.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_said", set())
    f = cache(remote=server.masters[0].url, ttl=600, name="f")(lambda x: x)
    with pytest.warns(UserWarning, match=r"node of a cluster.*redis\+cluster://") as told:
        assert [f(x) for x in range(30)] == list(range(30))
    assert len(told) == 1
