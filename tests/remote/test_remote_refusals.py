"""Servers that answer, and refuse: what users get, what is counted, and what is said, once."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
import support

import warp_cache
from warp_cache import cache

pytestmark = pytest.mark.usefixtures("near_by", "unsaid")

# By what refuses writes: how it begins and ends, and what is said.
WRITES = {
    "full": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "is full .*maxmemory-policy"),
    "replica": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "is a replica .*redis.sentinel"),
    "replicas": (
        "CONFIG SET min-replicas-to-write 1",
        "CONFIG SET min-replicas-to-write 0",
        "min-replicas-to-write",
    ),
}


def named(body: Any, **options: Any) -> Any:
    return cache(remote=True, ttl=60, **{"name": "f", **options})(body)


@pytest.fixture
def one_megabyte(program: str, tmp_path: Path) -> Iterator[servers.Server]:
    """A server that takes no more at once, configured."""
    started = servers.Server(program, "--proto-max-bulk-len", "1mb")
    warp_cache.configure(remote=started.url, timeout=20.0, directory=tmp_path / "host")
    yield started
    started.close()


@pytest.mark.parametrize("how", sorted(WRITES))
def test_what_is_not_kept_is_counted_and_said_once(configured: servers.Server, how: str) -> None:
    refuse, mend, said = WRITES[how]
    f = named(lambda x: [x])
    assert f(0) == [0]
    configured.say(*refuse.split())
    with pytest.warns(UserWarning, match=f"not kept for other hosts.*{said}") as told:
        assert [f(x) for x in range(20)] == [[x] for x in range(20)]
    assert len(told) == 1
    assert f.cache_info().remote_errors == 19
    with pytest.raises(warp_cache.RemoteError, match="refused"):
        f.cache_put([1], (1,))
    configured.say(*mend.split())
    g = named(lambda x: ["another"])

    def is_shared() -> bool:
        f.cache_invalidate(7)
        return bool(f(7) == [7] == g(7))

    support.eventually(is_shared)


def test_coroutines_are_told_once_of_many_keys(configured: servers.Server) -> None:
    async def body(x: int) -> list[int]:
        return [x]

    f = named(body)

    async def ask(keys: range) -> list[list[int]]:
        return list(await asyncio.gather(*map(f, keys)))

    asyncio.run(ask(range(10)))
    configured.say("CONFIG", "SET", "maxmemory", "1")
    with pytest.warns(UserWarning, match="is full") as told:
        assert asyncio.run(ask(range(100))) == [[x] for x in range(100)]
    assert len(told) == 1
    assert f.cache_info().remote_errors == 90


@pytest.mark.usefixtures("one_megabyte")
@pytest.mark.parametrize("is_async", [False, True])
def test_a_result_longer_than_the_server_takes_is_said_once_and_costs_nobody_else(
    is_async: bool,
) -> None:
    def body(length: int) -> bytes:
        return os.urandom(length)

    async def coroutine(length: int) -> bytes:
        return os.urandom(length)

    f = named(coroutine if is_async else body)
    other, same = named(lambda x: [x], name="g"), named(lambda x: ["another"], name="g")

    def call(length: int) -> int:
        result: bytes = asyncio.run(f(length)) if is_async else f(length)
        return len(result)

    with pytest.warns(UserWarning, match=r"body|coroutine.*too large.*proto-max-bulk-len") as told:
        for i in range(6):
            assert call((2 << 20) + i) == (2 << 20) + i
            assert other(i) == same(i) == [i]
    assert len(told) == 1
    assert f.cache_info().remote_errors >= 3
    assert other.cache_info().remote_errors == 0


@pytest.mark.usefixtures("one_megabyte")
def test_what_is_put_and_too_long_takes_the_older_one_with_it() -> None:
    f = named(lambda x: b"computed")
    f.cache_put(b"old", (1,))
    assert f(1) == b"old"
    with pytest.warns(UserWarning, match="too large.*proto-max-bulk-len"):
        f.cache_put(os.urandom(2 << 20), (1,))
    assert f(1) == b"computed"


def test_a_result_beyond_the_bound_names_it(configured: servers.Server) -> None:
    f = named(lambda x: bytes(65 << 20))
    with pytest.warns(UserWarning, match="too large.*64 MiB"):
        f(1)
    assert f.cache_info().remote_errors == 1


def test_an_address_of_a_cluster_that_is_none(server: servers.Server, tmp_path: Path) -> None:
    url = server.url.replace("redis://", "redis+cluster://")
    warp_cache.configure(remote=url, timeout=5.0, directory=tmp_path / "host")
    f = named(lambda x: x)
    with pytest.warns(UserWarning, match="is no cluster: leave .cluster out") as told:
        assert [f(1), f(2)] == [1, 2]
    assert len(told) == 1


def test_a_database_that_is_not_there(server: servers.Server, tmp_path: Path) -> None:
    warp_cache.configure(remote=f"{server.url}/9999", timeout=5.0, directory=tmp_path / "host")
    f = named(lambda x: x)
    with pytest.warns(UserWarning, match="no such database.*number"):
        assert f(1) == 1


def test_no_server_at_all_but_something_that_answers(
    server: servers.Server, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.pem"
    url = server.url.replace("redis://", "rediss://") + f"?ssl_ca_certs={missing}"
    warp_cache.configure(remote=url, timeout=5.0, directory=tmp_path / "host")
    f = named(lambda x: x)
    with pytest.warns(UserWarning, match="ssl_ca_certs") as told:
        assert f(1) == 1
    assert str(missing) not in str(told[0].message)


def test_who_may_not_look_invalidates_all_the_same(server: servers.Server, tmp_path: Path) -> None:
    server.say("ACL", "SETUSER", "reader", "on", ">right", "~*", "+@all", "-getrange")
    url = server.url.replace("//", "//reader:right@")
    warp_cache.configure(remote=url, timeout=5.0, directory=tmp_path / "host")
    f = named(lambda x: [x])
    f.cache_put(["put"], (1,))
    assert f(1) == ["put"]
    assert f.cache_invalidate(1)
    if "valkey_version" in server.say("INFO", "server"):
        # It compares by a command of its own, and lacks nothing.
        assert [f(1), f(2)] == [[1], [2]]
        return
    with pytest.warns(UserWarning, match="lacks .getrange ") as told:
        assert [f(1), f(2)] == [[1], [2]]
    assert len(told) == 1


def test_each_reason_is_said(configured: servers.Server) -> None:
    f = named(lambda x: [x])
    with pytest.warns(UserWarning, match="is full"):
        configured.say("CONFIG", "SET", "maxmemory", "1")
        f(1)
        configured.say("CONFIG", "SET", "maxmemory", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(2)
    with pytest.warns(UserWarning, match="is a replica"):
        configured.say("REPLICAOF", "127.0.0.1", "1")
        f(3)
        f(4)
