"""The cache object with a server: between hosts, in trouble, and without any."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import servers
import support

import warp_cache
from warp_cache import Cache, RemoteError, _adapting
from warp_cache._remote import opening

Start = Callable[..., Any]

# Near copies are in each process alone, or in a file of the host as well.
pytestmark = pytest.mark.usefixtures("objects_near_by")

SOURCE = """
from pathlib import Path
FOLDER = Path({folder!r})
c = Cache(ttl=600, name="c", remote=True, wait_timeout=60)

def compute(key):
    (FOLDER / f"began-{{key}}-{{os.getpid()}}-{{time.monotonic_ns()}}").touch()
    while not (FOLDER / f"go-{{key}}").exists():
        time.sleep(0.001)
    return f"{{key}}-{{os.getpid()}}-{{time.monotonic_ns()}}"

@c.memoize(tags="group")
def square(x):
    (FOLDER / f"began-square-{{os.getpid()}}-{{time.monotonic_ns()}}").touch()
    return x * x

def count(n):
    for _ in range(n):
        c.incr("n", default=0, ttl=300)
    return True

lock = c.lock("l")
"""


def _began(folder: Path, key: str) -> int:
    return len(list(folder.glob(f"began-{key}-*")))


@pytest.fixture
def hosts(start: Start, tmp_path: Path) -> tuple[Any, Any, Path]:
    source = SOURCE.format(folder=str(tmp_path))
    return start(source, "a"), start(source, "b"), tmp_path


def test_what_one_host_writes_the_other_reads(hosts: tuple[Any, Any, Path]) -> None:
    one, other, _ = hosts
    for number in range(20):
        one.ask(f"c.set('k', {number})")
        support.eventually(lambda number=number: other.ask("c['k']") == str(number))
        # Near there.
        other.ask("[c.get('k') for _ in range(10)]")
    assert int(other.ask("c.info().hits")) > int(other.ask("c.info().remote_hits"))
    one.ask("c.delete('k')")
    support.eventually(lambda: other.ask("c.get('k')") == "None")
    one.ask("c.set_many({str(n): n for n in range(50)}, tags='some')")
    assert other.ask("len(c.get_many(map(str, range(60))))") == "50"
    assert other.ask("c.delete_many(['1', '2', 'x'])") == "2"
    one.ask("c.invalidate_tags('some')")
    support.eventually(lambda: other.ask("c.get_many(map(str, range(60)))") == "{}")
    one.ask("c.set('k', 1)")
    other.ask("c.clear()")
    support.eventually(lambda: one.ask("c.get('k')") == "None")


def test_of_many_that_add_and_count_none_is_lost(start: Start, tmp_path: Path) -> None:
    source = SOURCE.format(folder=str(tmp_path))
    children = [start(source, host) for host in "abab"]
    counting = [child.start("count(25)") for child in children]
    assert [asked.answer() for asked in counting] == ["True"] * 4
    assert children[0].ask("c['n']") == "100"
    adding = [child.start(f"c.add('first', {n})") for n, child in enumerate(children)]
    assert sorted(asked.answer() for asked in adding) == ["False"] * 3 + ["True"]
    popping = [child.start("c.pop('first', None)") for child in children]
    assert [asked.answer() for asked in popping].count("None") == 3


def test_a_computation_is_one_among_all_hosts(hosts: tuple[Any, Any, Path]) -> None:
    one, other, folder = hosts
    asked = [child.start("c.get_or_set('k', lambda: compute('k'))") for child in (one, other)]
    support.eventually(lambda: _began(folder, "k") == 1)
    (folder / "go-k").touch()
    assert len({asked.answer() for asked in asked}) == 1 and _began(folder, "k") == 1
    # What is changed meanwhile stays.
    under_way = one.start("c.get_or_set('m', lambda: compute('m'))")
    support.eventually(lambda: _began(folder, "m") == 1)
    assert other.ask("c.set('m', 'set')") == "True"
    (folder / "go-m").touch()
    assert under_way.answer() != "'set'"
    assert one.ask("c['m']") == other.ask("c['m']") == "'set'"


def test_memoized_functions_are_the_same_on_all_hosts(hosts: tuple[Any, Any, Path]) -> None:
    one, other, folder = hosts
    assert one.ask("square(3)") == other.ask("square(3)") == "9"
    assert _began(folder, "square") == 1
    assert other.ask("square.cache_contains(3)") == "True"
    one.ask("square.cache_clear()")
    support.eventually(lambda: other.ask("square.cache_contains(3)") == "False")
    assert other.ask("square.cache_refresh(3)") == "9"
    one.ask("c.invalidate_tags('group')")
    support.eventually(lambda: other.ask("square.get(3)") == "None")


def test_locks_reach_across_hosts(hosts: tuple[Any, Any, Path]) -> None:
    one, other, _ = hosts
    assert one.ask("lock.acquire()") == "True"
    assert other.ask("lock.acquire(blocking=False)") == "False"
    assert other.ask("lock.locked()") == one.ask("lock.locked()") == "True"
    assert other.ask("lock.release()").startswith("!RuntimeError")
    one.ask("c.clear()")
    waiting = other.start("lock.acquire()")
    assert one.ask("lock.release()") == "None"
    assert waiting.answer() == "True"
    assert one.ask("lock.acquire(timeout=0.01)") == "False"
    # A dead holder's falls free.
    waiting = one.start("lock.acquire()")
    other.process.send_signal(signal.SIGKILL)
    assert waiting.answer() == "True"
    assert one.ask("lock.release()") == "None"


def test_a_lock_with_a_lease_is_lost_in_time(hosts: tuple[Any, Any, Path]) -> None:
    one, other, _ = hosts
    one.ask("globals().update(lease=c.lock('x', lease=0.2))")
    assert one.ask("lease.acquire()") == "True"
    assert other.ask("c.lock('x', lease=600).acquire()") == "True"
    assert one.ask("lease.release()").startswith("!RuntimeError")
    assert one.ask("c.lock('x').locked()") == "True"


# Within the bound of a call.
TROUBLED: dict[str, Callable[[Cache[Any, Any]], Any]] = {
    "set": lambda cache: cache.set("k", 2),
    "assignment": lambda cache: cache.__setitem__("k", 2),
    "add": lambda cache: cache.add("k", 2),
    "incr": lambda cache: cache.incr("k"),
    "replace": lambda cache: cache.replace("k", 1, 2),
    "discard": lambda cache: cache.discard("k", 1),
    "compute": lambda cache: cache.compute("k", lambda old: 2),
    "touch": lambda cache: cache.touch("k", 100),
    "renew": lambda cache: cache.get("k", renew=100),
    "pop": lambda cache: cache.pop("k"),
    "del": lambda cache: cache.__delitem__("k"),
    "delete": lambda cache: cache.delete("k"),
    "set_many": lambda cache: cache.set_many({"k": 2}),
    "delete_many": lambda cache: cache.delete_many(["k"]),
    "clear": lambda cache: cache.clear(),
    "invalidate_tags": lambda cache: cache.invalidate_tags("tag"),
    "lock": lambda cache: cache.lock("k").acquire(),
    "locked": lambda cache: cache.lock("k").locked(),
}
# What changes the key.
CHANGES = TROUBLED.keys() - {"lock", "locked"}


@pytest.mark.parametrize("method", TROUBLED)
def test_what_is_not_acknowledged_is_told(configured: servers.Server, method: str) -> None:
    warp_cache.configure(timeout=0.2)
    cache = Cache[str, int](ttl=600, name=method, remote=True)
    configured.stop()
    try:
        with pytest.raises(RemoteError):
            TROUBLED[method](cache)
        assert cache.info().remote_errors > 0 or method in ("lock", "locked")
    finally:
        configured.resume()


def test_adapters_do_not_take_it_for_a_value_that_is_lost(server: servers.Server) -> None:
    """The server may have the older one still. What is told by a result is told so."""
    assert issubclass(RemoteError, warp_cache.CacheUnavailable)
    warp_cache.configure(remote=server.url, timeout=0.2)
    kept = _adapting.kept(f"adapted {server.port}", {"remote": True, "ttl": 600})
    kept.set("k", 1, 60)
    server.kill()
    for change in (
        lambda: kept.set("k", 2, 60),
        lambda: kept.set_many({"k": 2}, 60),
        lambda: _adapting.dropped(kept.cache, ["k"]),
    ):
        with pytest.raises(RemoteError):
            change()


@pytest.mark.parametrize("method", sorted(CHANGES))
def test_what_is_near_is_dropped_though_nobody_acknowledged(
    server: servers.Server, method: str
) -> None:
    """Seen by the copies that are near: the server is gone for good."""
    warp_cache.configure(remote=server.url, timeout=5.0, staleness=600.0)
    cache = Cache[str, int](ttl=600, name=f"near {method}", remote=True)
    cache.set("k", 1, tags="tag")

    def is_near() -> bool:
        return cache.get("k") == 1 and "k" in list(cache)

    support.eventually(is_near)
    server.kill()
    with pytest.raises(RemoteError):
        TROUBLED[method](cache)
    assert list(cache) == []
    assert cache.get("k") is None


def test_reads_never_raise_and_computations_go_on(configured: servers.Server) -> None:
    warp_cache.configure(timeout=0.2)
    cache = Cache[str, int](ttl=600, name="reads", remote=True)
    cache["k"] = 1
    configured.stop()
    assert cache.get("k") is None or cache.get("k") == 1
    assert cache.get("other") is None
    assert "other" not in cache
    assert cache.peek("other", 5) == 5
    assert cache.get_many(["other", "k"]).keys() <= {"k"}
    with pytest.raises(KeyError):
        cache["other"]
    with pytest.raises(KeyError):
        cache.ttl("other")
    assert cache.get_or_set("computed", lambda: 7) == 7
    assert cache.info().remote_errors > 0
    configured.resume()
    support.eventually(lambda: cache.get("k") == 1)


def test_a_server_that_begins_anew_is_empty(configured: servers.Server) -> None:
    cache = Cache[str, int](ttl=600, name="anew", remote=True)
    cache["k"] = 1
    assert cache["k"] == 1
    configured.kill()
    configured.start()

    def comes_back() -> bool:
        try:
            return cache.get("k") is None and cache.add("k", 2)
        except RemoteError:
            return False

    support.eventually(comes_back)
    assert cache["k"] == 2


def test_many_keys_are_one_round_trip(configured: servers.Server) -> None:
    cache = Cache[int, int](None, ttl=600, name="many", remote=True)
    assert cache.set_many({0: 0}) == []

    def reads() -> int:
        lines = configured.say("INFO", "stats").splitlines()
        found = [line for line in lines if line.startswith("total_reads_processed:")]
        return int(found[0].partition(":")[2])

    for many in (
        lambda: cache.set_many({n: n for n in range(500)}) == [],
        lambda: len(cache.get_many(range(500))) == 500,
        lambda: cache.delete_many(range(600)) == 500,
    ):
        before = reads()
        assert many()
        # (Heartbeats, this question and pieces of a large one are some more.)
        assert reads() - before < 200
    assert cache.get_many(range(500)) == {}


def test_lifetimes_on_the_server(configured: servers.Server) -> None:
    cache = Cache[str, int](ttl=60, name="lives", remote=True)
    assert cache.incr("n", default=0, ttl=100) == 1
    for _ in range(30):
        cache.incr("n")
    assert 0 < cache.ttl("n") <= 100
    month = 30 * 24 * 3600
    cache.set("long", 1, ttl=month)
    generation = int(configured.say("PTTL", "wc1::k:#g:@lives").strip(":\r\n"))
    assert generation >= month * 1000, "else the entry would end with it"
    cache.set("endless", 1, ttl=None)
    assert cache.get("endless", renew=5) == 1
    assert cache.ttl("endless") == float("inf")
    assert int(configured.say("PTTL", "wc1::k:@lives:{=}").strip(":\r\n")) == -2
    cache.set("windows", 1)
    assert cache.get("windows", renew=500) == 1
    assert 60 < cache.ttl("windows") <= 500


class Own:
    """A class of one's own."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    __hash__ = None  # type: ignore[assignment]


def test_values_that_the_server_cannot_have(configured: servers.Server) -> None:
    cache = Cache[str, Any](ttl=600, name="values", remote=True)
    cache["k"] = 1
    for store in (
        lambda: cache.set("k", Own()),
        lambda: cache.add("other", Own()),
        lambda: cache.set_many({"new": 1, "k": Own()}),
        lambda: cache.compute("k", lambda old: Own()),
    ):
        with pytest.raises(TypeError, match="secret"):
            store()
    with pytest.raises(TypeError, match="key of a shared or remote cache"):
        cache.set(Own, 1)  # type: ignore[arg-type]
    assert cache.get_many(["k", "other", "new"]) == {"k": 1}
    warp_cache.configure(secret="s3cret")
    signed = Cache[str, Any](ttl=600, name="signed", remote=True)
    signed["k"] = Own()
    assert signed["k"] == Own()
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        signed["k"] = lambda: 1
    assert signed["k"] == Own()


def test_what_is_near_is_iterated_over(configured: servers.Server) -> None:
    cache = Cache[str, int](ttl=600, name="walk", remote=True)
    other = cache.copy()
    cache.update(a=1, b=2)
    assert len(cache) == 0
    assert other.get_many("ab") == {"a": 1, "b": 2}
    assert {**other} == {} or dict(other.items()).items() <= {"a": 1, "b": 2}.items()

    def is_near() -> bool:
        return other.get_many("ab") == {"a": 1, "b": 2} == dict(other.items())

    support.eventually(is_near)
    with pytest.raises(ValueError, match="tags"):
        other.clear("a")
    popped: dict[str, int] = {}

    def is_popped() -> bool:
        # A machine that is busy for a second has nothing near.
        other.get_many("ab")
        with contextlib.suppress(KeyError):
            popped.update([other.popitem()])
        return len(popped) == 2

    support.eventually(is_popped)
    assert popped == {"a": 1, "b": 2}
    assert cache.get_many("ab") == {}


def test_the_loop_goes_on_while_a_server_is_waited_for(configured: servers.Server) -> None:
    warp_cache.configure(timeout=1.0)
    cache = Cache[str, int](ttl=600, name="loop", remote=True)
    cache["k"] = 1

    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.ensure_future(tick())
        waited = 0
        for work in (
            lambda: cache.aget("other"),
            lambda: cache.aget_many(["other"]),
            lambda: cache.aset("k", 2),
            lambda: cache.aincr("k"),
            lambda: cache.acompute("k", lambda old: 1),
            lambda: cache.lock("k").aacquire(),
        ):
            ticks, began = 0, time.monotonic()
            with contextlib.suppress(RemoteError):
                await work()
            # (Once the breaker is open, nobody waits any more.)
            if time.monotonic() - began > 0.5:
                waited += 1
                assert ticks > 3
        assert waited > 0
        ticking.cancel()

    configured.stop()
    try:
        asyncio.run(main())
    finally:
        configured.resume()


def test_a_cancelled_wait_for_a_lock_leaves_it_free(configured: servers.Server) -> None:
    cache = Cache[str, int](ttl=600, name="cancel", remote=True)

    async def main() -> None:
        held = cache.lock("k")
        assert await held.aacquire()
        waiting = asyncio.ensure_future(cache.lock("k").aacquire())
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await held.arelease()
        async with cache.lock("k", wait=60):
            assert cache.lock("k").locked()

    asyncio.run(main())


def test_without_a_server_it_is_this_host_s_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARP_CACHE_REMOTE", raising=False)
    opening._said.clear()
    with pytest.warns(UserWarning, match="this host alone") as told:
        cache = Cache[str, int](ttl=600, name="alone", remote=True)
        cache["a"] = 1
        assert cache["a"] == cache.incr("a", 0) == 1
        assert cache.set_many({"b": 2}) == [] and cache.get_many("ab") == {"a": 1, "b": 2}
        assert sorted(cache) == ["a", "b"]
        assert cache.get_or_set("c", lambda: 3) == 3
        assert not cache.add("c", 4) and cache.replace("c", 3, 4) and cache.pop("c") == 4
        with cache.lock("x"):
            assert cache.lock("x").locked()
        assert cache.clear("a") == 1 and cache.delete_many("ab") == 1
        cache["k"] = 5
        assert cache.copy() == {"k": 5} == pickle.loads(pickle.dumps(cache))
        cache.memoize(abs)(-1)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "x"}, "remote needs a ttl"),
        ({"ttl": 60}, "name must be given with"),
        ({"ttl": 60, "name": "x", "tti": 5}, "tti cannot be together with remote"),
        ({"ttl": 60, "name": "x", "on_removal": print}, "on_removal cannot be together"),
        ({"ttl": 60, "name": "x", "remote": "http://s3cret@host"}, "remote must be the URL"),
        ({"ttl": 60, "name": "x", "remote": False}, "remote must be the URL"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as raised:
        Cache(**{"remote": True, **options})
    assert "s3cret" not in str(raised.value)


def test_an_address_is_shown_nowhere() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache = Cache[str, int](ttl=60, name="x", remote="redis://:s3cret@127.0.0.1:1/0")
    assert "s3cret" not in repr(cache) + repr(cache.options()) + repr(cache._given)  # type: ignore[attr-defined]
    assert cache.options()["remote"] is True
    with pytest.raises(TypeError, match="remote=True"):
        pickle.dumps(cache)
    cache.copy()


def test_a_handle_is_pickled_by_name(configured: servers.Server) -> None:
    cache = Cache[str, int](ttl=600, name="handle", remote=True)
    cache["a"] = 1
    other = pickle.loads(pickle.dumps(cache))
    assert other["a"] == 1 and "s3cret" not in repr(other)
    other["a"] = 2
    support.eventually(lambda: cache["a"] == 2)
    lock = pickle.loads(pickle.dumps(cache.lock("k")))
    with lock:
        assert cache.lock("k").locked()


def test_a_fork_s_child_has_none_of_its_parent_s_locks(configured: servers.Server) -> None:
    import os

    cache = Cache[str, int](ttl=600, name="fork", remote=True)
    lock, lasting = cache.lock("k"), cache.lock("m", lease=600)
    assert lock.acquire() and lasting.acquire()
    pid = os.fork()
    if pid == 0:
        lost = 0
        for held in (lock, lasting):
            try:
                held.release()
            except RuntimeError:
                lost += 1
        os._exit(lost)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    lock.release()
    lasting.release()
    assert not cache.lock("k").locked() and not cache.lock("m").locked()


def test_stale_entries_are_refreshed(configured: servers.Server) -> None:
    cache = Cache[str, int](ttl=0.05, name="stale", remote=True, stale_while_revalidate=600)
    cache["k"] = 1
    time.sleep(0.06)
    assert cache["k"] == 1 and "k" in cache
    assert cache.get_or_set("k", lambda: 2) in (1, 2)
    support.eventually(lambda: cache.get_or_set("k", lambda: 3) in (2, 3))
