"""How long a call waits for the server, and for whom of its own process."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import forwarder
import pytest
import servers
import support
from children import FORKED

import warp_cache
from warp_cache import cache
from warp_cache.testing import clock

pytestmark = pytest.mark.usefixtures("near_by")

CLAIM = re.compile(rb"SET\r\n\$\d+\r\n[^\r]*:k:f:\{[^\r]*\r\n.*\r\nNX\r\n", re.DOTALL)


def named(body: Any, **options: Any) -> Any:
    return cache(remote=True, ttl=60, **{"name": "f", **options})(body)


def claims(request: bytes) -> bool:
    """Whether a request asks for the lease of a key of f."""
    return CLAIM.search(request) is not None


@pytest.fixture
def slow_claim(server: servers.Server, tmp_path: Path) -> Iterator[forwarder.Forwarder]:
    """A server, configured, that answers to no claim of f's keys until it is released."""
    before = forwarder.Forwarder(server.port, claims)
    warp_cache.configure(remote=before.url, timeout=20.0, directory=tmp_path / "host")
    yield before
    before.close()


class Slow:
    """A function that counts its calls, and computes until it is let go on."""

    def __init__(self) -> None:
        self.calls = 0
        self.go_on = threading.Event()

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        assert self.go_on.wait(60)
        return [x, self.calls]


def is_told(server: servers.Server) -> None:
    """Waits until what the server has told so far is known here."""
    calls = []
    other = named(lambda x: calls.append(x) or x, name="other")
    support.eventually(lambda: other(1) == 1 and is_near(other))
    key = next(word for word in re.findall(r"\S+:k:other:\S+", server.say("KEYS", "*other:{*")))
    server.say("DEL", key)
    support.eventually(lambda: other(1) == 1 and len(calls) > 1)


def is_near(f: Any) -> bool:
    before = f.cache_info().remote_hits
    f(1)
    return bool(f.cache_info().remote_hits == before)


def test_who_calls_before_the_lease_is_answered_waits_for_the_flight(
    slow_claim: forwarder.Forwarder, server: servers.Server
) -> None:
    """The lease is told to this host before its answer comes: it fences nobody's own flight."""
    body = Slow()
    f = named(body)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(f, 1)
        assert slow_claim.held.wait(30)
        is_told(server)
        others = [pool.submit(f, 1) for _ in range(2)]
        # They would compute at once, had the lease fenced the flight.
        time.sleep(0.3)
        calls = body.calls
        slow_claim.release()
        body.go_on.set()
        assert calls == 0
        assert [future.result(60) for future in (first, *others)] == [[1, 1]] * 3
    assert body.calls == 1


FORKS = (
    FORKED
    + """
me, go_on = os.getpid(), threading.Event()

@cache(remote=True, ttl=60, name="f", wait_timeout=0.1)
def f(x):
    if os.getpid() == me:
        go_on.wait(60)
    return x
"""
)


def test_a_fork_s_child_does_not_wait_for_what_a_thread_of_its_parent_asked(
    server: servers.Server, tmp_path: Path, start: Callable[..., Any]
) -> None:
    asked: list[bytes] = []

    def first(request: bytes) -> bool:
        if claims(request):
            asked.append(request)
        return claims(request) and len(asked) == 1

    between = forwarder.Forwarder(server.port, first)
    try:
        settings = {"remote": between.url, "timeout": 150.0, "directory": str(tmp_path / "host")}
        warp_cache.configure(**settings)
        child = start(FORKS, **settings)
        called = child.start("f(1)")
        assert between.held.wait(30)
        is_told(server)
        assert child.ask("forked('f(1)')") == "'1'"
        child.ask("go_on.set()")
        between.release()
        assert called.answer() == "1"
    finally:
        between.close()


def test_coroutines_that_come_before_the_lease_is_answered_wait_for_the_flight(
    slow_claim: forwarder.Forwarder, server: servers.Server
) -> None:
    calls = []

    async def body(x: int) -> int:
        calls.append(x)
        await asyncio.sleep(0)
        return x

    f = named(body)

    async def run() -> list[int]:
        first = asyncio.ensure_future(f(1))
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, slow_claim.held.wait, 30)
        await loop.run_in_executor(None, is_told, server)
        others = [asyncio.ensure_future(f(1)) for _ in range(2)]
        await asyncio.sleep(0.3)
        slow_claim.release()
        return list(await asyncio.gather(first, *others))

    assert asyncio.run(run()) == [1, 1, 1]
    assert calls == [1]


def test_a_flight_is_joined_by_connections_that_are_not_proved(
    server: servers.Server, tmp_path: Path
) -> None:
    """The listener's session begins in the midst of a process's first computation, and proves none.

    The server says that the flight's lease is there: that is as good as a value that it gives.
    """

    # (The consent to track names the prefix, too.)
    def beats(request: bytes) -> bool:
        return b":~hb:" in request and b"TRACKING" not in request

    between = forwarder.Forwarder(server.port, beats)
    try:
        warp_cache.configure(remote=between.url, timeout=20.0, directory=tmp_path / "host")
        body = Slow()
        f = named(body)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(f, 1)
            support.eventually(lambda: body.calls == 1)
            assert between.held.wait(30)
            second = pool.submit(f, 1)
            time.sleep(0.3)
            body.go_on.set()
            assert first.result(60) == second.result(60) == [1, 1]
        assert body.calls == 1
    finally:
        between.close()


def test_a_call_has_one_bound_for_all_its_waits(server: servers.Server, tmp_path: Path) -> None:
    """What a store may wait is what the look has left of the timeout."""
    asked: list[float] = []

    def holds(request: bytes) -> bool:
        if not claims(request):
            return False
        # (The claim is answered late, and the store not at all.)
        asked.append(time.monotonic())
        time.sleep(2.0)
        return False

    between = forwarder.Forwarder(server.port, holds)
    try:
        warp_cache.configure(remote=between.url, timeout=3.0, directory=tmp_path / "host")
        waited = []

        def body(x: int) -> int:
            server.stop()
            waited.append(time.monotonic())
            return x

        f = named(body)
        f.get(0)
        f(1)
        ended = time.monotonic()
        server.resume()
    finally:
        between.close()
    assert len(asked) == len(waited) == 1
    # A second at most is left of the bound; a store with one of its own would wait for all of it.
    assert ended - waited[0] < 3.0


def guarded(server: servers.Server, tmp_path: Path, credentials: Any) -> Any:
    """A function of a server that wants a password, which is asked for."""
    server.say("CONFIG", "SET", "requirepass", "secret")
    warp_cache.configure(
        remote=server.url, timeout=0.1, directory=tmp_path / "host", credentials=credentials
    )
    return named(lambda x: [x])


def test_credentials_that_never_answer_hold_nobody_up(
    server: servers.Server, tmp_path: Path
) -> None:
    asked, go_on = [], threading.Event()

    def credentials() -> str:
        asked.append(threading.current_thread().name)
        assert go_on.wait(60)
        return "secret"

    f = guarded(server, tmp_path, credentials)
    try:
        assert f(1) == [1]
        assert f.cache_info().remote_errors > 0
        # (The bound may end before the thread that asks has begun.)
        support.eventually(lambda: asked)
        assert "credentials" in asked[0]
    finally:
        go_on.set()
    # An answer that came too late serves the next connect.
    warp_cache.configure(timeout=5.0)
    support.eventually(lambda: f(2) == [2] and stored(f))


def test_credentials_that_once_did_not_answer_are_asked_again(
    server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, for_ever = [], threading.Event()

    def credentials() -> str:
        asked.append(1)
        if len(asked) == 1:
            for_ever.wait()
        return "secret"

    f = guarded(server, tmp_path, credentials)
    try:
        with clock() as time_there:
            assert f(1) == [1]
            support.eventually(lambda: len(asked) == 1)
            time_there.advance(61)
            # The first question was waited for again until then.
            support.eventually(lambda: stored(f))
        assert len(asked) > 1
    finally:
        for_ever.set()


def stored(f: Any) -> bool:
    before = f.cache_info().remote_errors
    f.cache_contains(2)
    return bool(f.cache_info().remote_errors == before)


@pytest.mark.usefixtures("unsaid")
def test_a_refusal_is_said_also_where_another_operation_met_it(
    server: servers.Server, tmp_path: Path
) -> None:
    server.say("CONFIG", "SET", "requirepass", "right")
    warp_cache.configure(
        remote=server.url.replace("//", "//:wrong@"), timeout=5.0, directory=tmp_path / "host"
    )
    f = named(lambda x: x)
    assert not f.cache_contains(1)
    with pytest.warns(UserWarning, match="refuses the login"):
        f(1)


@pytest.mark.usefixtures("unsaid")
def test_a_wrong_password_is_said_once_with_what_mends_it(
    server: servers.Server, tmp_path: Path
) -> None:
    server.say("CONFIG", "SET", "requirepass", "right")
    warp_cache.configure(
        remote=server.url.replace("//", "//:wrong@"), timeout=5.0, directory=tmp_path / "host"
    )
    f, g = named(lambda x: x), named(lambda x: x, name="g")
    with pytest.warns(UserWarning, match="refuses the login.*password") as told:
        assert [f(1), f(2), g(1)] == [1, 2, 1]
    assert len(told) == 1
    assert "wrong" not in str(told[0].message)


# What a user is allowed, and the rule that is missing.
LACKING = [
    (("~*", "+@all", "-set"), "+set"),
    (("~*", "+@all", "-pttl"), "+pttl"),
    (("~other:*", "+@all"), "~wc1:<namespace>:*"),
    # Read and claimed, but never stored.
    (("~*", "+@all", "-eval", "-watch"), "+watch"),
    (("~*", "+@all", "-eval", "-multi"), "+multi"),
]


@pytest.mark.usefixtures("unsaid")
@pytest.mark.parametrize("rules, missing", LACKING)
def test_missing_rights_are_said(
    server: servers.Server, tmp_path: Path, rules: tuple[str, ...], missing: str
) -> None:
    if "-eval" in rules and "valkey_version" in server.say("INFO", "server"):
        pytest.skip("it compares by a command of its own")
    server.say("ACL", "SETUSER", "reader", "reset", "on", ">right", *rules)
    warp_cache.configure(
        remote=server.url.replace("//", "//reader:right@"), timeout=5.0, directory=tmp_path / "host"
    )
    f = named(lambda x: x)
    with pytest.warns(UserWarning, match="does not allow.*Access") as told:
        assert [f(x) for x in (1, 2, 3)] == [1, 2, 3]
    assert len(told) == 1
    assert f"its user lacks {missing} " in str(told[0].message)


@pytest.mark.usefixtures("unsaid")
def test_a_change_that_is_refused_names_what_is_missing(
    server: servers.Server, tmp_path: Path
) -> None:
    server.say("ACL", "SETUSER", "reader", "on", ">right", "~*", "+@all", "-del")
    warp_cache.configure(
        remote=server.url.replace("//", "//reader:right@"), timeout=5.0, directory=tmp_path / "host"
    )
    f = named(lambda x: x)
    with pytest.raises(warp_cache.RemoteError, match=r"lacks \+del\)"):
        f.cache_invalidate(1)


def test_results_that_cannot_be_stored_are_not_asked_about_for_a_while(
    configured: servers.Server,
) -> None:
    def commands() -> int:
        found = re.search(r"total_commands_processed:(\d+)", configured.say("INFO", "stats"))
        assert found
        return int(found[1])

    f = named(lambda x: object())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(5):
            f(i)
    counted = f.cache_info().remote_misses
    assert counted == 5
    # (Heartbeats are commands, too: fewer than two for each of so many calls.)
    before = commands()
    for i in range(5, 2005):
        f(i)
    assert commands() - before < 1000
    assert f.cache_info().remote_misses == 2005


def test_what_is_stored_in_between_has_all_asked_about(configured: servers.Server) -> None:
    f = named(lambda x: x if isinstance(x, int) else object())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(20):
            f(str(i))
            f(str(-i))
            f(i)
    g = named(lambda x: None)
    assert [g(i) for i in range(20)] == list(range(20))


def test_a_value_that_is_set_is_asked_for_again(configured: servers.Server) -> None:
    f = named(lambda x: object())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(5):
            f(i)
    f.set("set", 7)
    assert f(7) == "set"
