"""Django's ``SharedCache`` with ``REMOTE``: one cache for all hosts."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import support

pytest.importorskip("django")

from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.utils.functional import empty  # noqa: E402

import warp_cache  # noqa: E402
from warp_cache import RemoteError, _adapting, _configuration  # noqa: E402
from warp_cache.django import SharedCache  # noqa: E402
from warp_cache.django._checks import check_caches  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parents[1] / "remote"))

import servers  # noqa: E402
from children import Child  # noqa: E402

SOURCE = """
import asyncio, os, time
import warp_cache
warp_cache.configure(remote={url!r}, directory={directory!r}, timeout=5.0)
import django
from django.conf import settings
settings.configure(
    CACHES={{
        "default": {{
            "BACKEND": "warp_cache.django.SharedCache",
            "LOCATION": "site",
            "TIMEOUT": None,
            "OPTIONS": {{"REMOTE": True}},
        }}
    }}
)
django.setup()
from django.core.cache import cache

def remote_hits():
    return cache._cache.info().remote_hits

def counts(times):
    for _ in range(times):
        cache.incr("n")
"""

Start = Callable[..., Child]


@pytest.fixture
def server() -> Iterator[servers.Server]:
    with servers.one_of_any_kind() as server:
        yield server


@pytest.fixture
def start(server: servers.Server, tmp_path: Path) -> Iterator[Start]:
    """Starts a process of a host, which is a directory."""
    children: list[Child] = []

    def start(host: str) -> Child:
        from children import _LOOP as LOOP

        script = tmp_path / f"program_{len(children)}.py"
        script.write_text(SOURCE.format(url=server.url, directory=str(tmp_path / host)) + LOOP)
        children.append(Child(script, ()))
        return children[-1]

    yield start
    for child in children:
        child.close()


@pytest.fixture
def made(server: servers.Server, tmp_path: Path) -> Iterator[Any]:
    before = dict(_configuration.settings), settings._wrapped
    settings._wrapped = empty
    settings.configure(SECRET_KEY="not a secret", CACHES={})
    warp_cache.configure(remote=server.url, timeout=5.0, directory=tmp_path / "host")
    _adapting._kept.clear()
    yield lambda **params: SharedCache("made", {"OPTIONS": {"REMOTE": True}, **params})
    _adapting._kept.clear()
    _configuration.settings.clear()
    _configuration.settings.update(before[0])
    settings._wrapped = before[1]


def test_processes_of_two_hosts_have_one_cache(start: Start) -> None:
    one, two, other = start("a"), start("a"), start("b")
    other.ask("cache.set_many({str(n): [n] for n in range(20)})")
    assert one.ask("len(cache.get_many(map(str, range(30))))") == "20"

    def finds_them() -> bool:
        one.ask("cache.get_many(map(str, range(20)))")
        before = int(two.ask("remote_hits()"))
        assert two.ask("[cache.get(str(n)) for n in range(20)]") == str([[n] for n in range(20)])
        return int(two.ask("remote_hits()")) < before + 20

    # (A heartbeat may come late on a loaded machine.)
    support.eventually(finds_them)
    for number in range(10):
        one.ask(f"cache.set('k', {number})")
        # At once on its host, on another one as soon as it is told.
        assert two.ask("cache.get('k')") == one.ask("asyncio.run(cache.aget('k'))") == str(number)
        support.eventually(lambda number=number: other.ask("cache.get('k')") == str(number))
    two.ask("cache.delete('k')")
    assert one.ask("(cache.get('k'), cache.has_key('k'))") == "(None, False)"
    one.ask("cache.set('n', 0)")
    counting = [child.start("counts(50)") for child in (one, two, other)]
    assert [asked.answer() for asked in counting] == ["None"] * 3
    assert other.ask("cache.incr('n', 0)") == two.ask("cache.incr('n', 0)") == "150"
    adding = [child.start("cache.add('first', os.getpid())") for child in (one, two, other)]
    assert sorted(asked.answer() for asked in adding) == ["False", "False", "True"]
    other.ask("cache.clear()")
    support.eventually(lambda: one.ask("cache.get('first')") == "None")


def test_one_that_is_killed_takes_nothing_with_it(start: Start) -> None:
    one, two = start("a"), start("a")
    one.ask("cache.set('k', 'stays')")
    one.start("[cache.set('n', n) for n in range(10**9)]")
    support.eventually(lambda: two.ask("cache.get('n', 0) > 10") == "True")
    one.kill()
    assert two.ask("cache.get('k')") == "'stays'"
    two.ask("cache.set('n', 'new')")
    assert start("a").ask("cache.get('n')") == two.ask("cache.get('n')") == "'new'"


def test_a_lock_is_one_of_all_hosts(start: Start) -> None:
    one, other = start("a"), start("b")
    one.ask("globals().update(lock=cache.lock('l', timeout=600))")
    assert one.ask("lock.acquire()") == "True"
    assert other.ask("cache.lock('l').acquire(blocking=False)") == "False"
    assert other.ask("(cache.lock('l').locked(), cache.has_key('l'))") == "(True, True)"
    assert one.ask("lock.extend(5)").startswith("!RuntimeError")
    assert one.ask("asyncio.run(lock.arelease())") == "None"
    assert other.ask("cache.lock('l').acquire(blocking=False)") == "True"


def test_timeouts(made: Any) -> None:
    cache = made()
    assert cache.default_timeout == 300
    cache.set("k", 1)
    assert 0 < cache.ttl("k") <= 300
    cache.set("k", 2, timeout=None)
    assert cache.ttl("k") is None and cache.get("k") == 2
    assert cache.touch("k", 50) and 0 < cache.ttl("k") <= 50
    assert cache.persist("k") and cache.ttl("k") is None
    cache.set("k", 3, timeout=0)
    assert cache.get("k") is None
    cache.set("short", 1, timeout=0.05)
    time.sleep(0.06)
    assert cache.get("short") is None
    endless = made(TIMEOUT=None)
    endless.set("k", 1)
    assert endless.ttl("k") is None
    assert endless.incr_version("k") == 2 and endless.get("k", version=2) == 1


def test_the_a_methods_wait_beside_the_loop(made: Any) -> None:
    cache = made()

    async def main() -> None:
        await cache.aset("k", [1])
        assert await cache.aget("k") == [1] and await cache.ahas_key("k")
        assert await cache.aadd("k", 2) is False and await cache.aadd("n", 1) is True
        assert await cache.aincr("n") == 2
        assert await cache.aincr("n", 0.5) == 2.5
        assert await cache.aget_many(["k", "n", "x"]) == {"k": [1], "n": 2.5}
        assert await cache.aincr_version("n") == 2 and await cache.aget("n", version=2) == 2.5
        assert await cache.aget_or_set("new", lambda: 5) == 5
        assert await cache.aset("k", 6, xx=True) is True and await cache.aget("k") == 6
        assert await cache.adelete_many(["k", "x"]) == 1
        async with cache.lock("l", timeout=60) as lock:
            assert lock.owned()
        assert not await cache.ahas_key("l")
        await cache.aclear()
        assert await cache.aget("new", "none") == "none"

    asyncio.run(main())


def test_the_keys_of_a_server_are_not_told_by_a_pattern(made: Any) -> None:
    cache = made()
    cache.set("k", 1)
    for ask in (
        lambda: cache.keys("*"),
        lambda: cache.iter_keys("*"),
        lambda: cache.delete_pattern("*"),
    ):
        with pytest.raises(ValueError, match="nobody knows all keys"):
            ask()
    assert cache.get("k") == 1


def test_without_a_server_it_is_a_cache_of_the_process(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _configuration.settings.pop("remote")
    monkeypatch.setenv("WARP_CACHE_REMOTE", "off")
    cache = made()
    cache.set_many({"a": [1], "b": 2}, timeout=None)
    assert cache.get("a") == [1] and cache.incr("b") == 3 and sorted(cache.keys("*")) == ["a", "b"]
    assert cache.delete_pattern("a") == 1 and cache.ttl("b") is None


def test_a_server_that_does_not_answer_is_told(made: Any, server: servers.Server) -> None:
    cache = made()
    cache.set("k", 1)
    server.kill()
    for change in (
        lambda: cache.set("k", 2),
        lambda: cache.set_many({"k": 2}),
        lambda: cache.delete("k"),
        lambda: cache.clear(),
    ):
        with pytest.raises(RemoteError):
            change()
    assert cache.get("k", "none") == "none"
    assert cache.add("k", 2) is False and cache.touch("k") is False
    with pytest.raises(ValueError, match="cannot be reached"):
        cache.incr("k")
    assert cache.get_or_set("k", lambda: 7) == 7


@pytest.mark.parametrize("given", ["http://s3cret@host", False, 5])
def test_a_wrong_address_is_told_without_it(made: Any, given: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="REMOTE") as raised:
        made(OPTIONS={"REMOTE": given})
    assert "s3cret" not in str(raised.value)
    settings.CACHES = {
        "default": {
            "BACKEND": "warp_cache.django.SharedCache",
            "OPTIONS": {"REMOTE": given},
        }
    }
    (told,) = check_caches()
    assert told.id == "warp_cache.E001" and "s3cret" not in str(told)


def test_an_address_of_its_own(made: Any, server: servers.Server) -> None:
    cache = made(OPTIONS={"REMOTE": server.url, "MAX_ENTRIES": 5})
    cache.set("k", 1)
    _configuration.settings.pop("remote")
    assert cache.get("k") == 1
