"""Functions whose server is a cluster: three masters, each of which has a part of the keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import clusters
import pytest
import support

import warp_cache
from warp_cache import cache


@pytest.fixture
def cluster(program: str) -> Iterator[clusters.Cluster]:
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


def test_all_of_a_cache_works_on_a_cluster(cluster: clusters.Cluster) -> None:
    calls: list[int] = []

    def made() -> Any:
        @cache(remote=cluster.url, ttl=600, name="f", tags=lambda x: (f"t{x % 2}",))
        def f(x: int) -> str:
            calls.append(x)
            return f"{x}-{calls.count(x)}"

        return f

    f, g = made(), made()
    keys = range(30)
    assert [f(x) for x in keys] == [f"{x}-1" for x in keys]
    assert [g(x) for x in keys] == [f"{x}-1" for x in keys] and len(calls) == 30
    # (A tag or a value at the least on each.)
    assert all(size > 3 for size in cluster.sizes())
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
