"""`doctor` tries the server behind caches with ``remote=``, and says what keeps them from it."""

from __future__ import annotations

import gc
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from warp_cache import _configuration

sys.path.append(str(Path(__file__).resolve().parents[1] / "remote"))
import servers  # noqa: E402

PROGRAM = next(iter(servers.programs().values()), None)
PASSWORD = "hunter2secret"
needs_server = pytest.mark.skipif(PROGRAM is None, reason="NO SERVER: install redis-server")
Start = Callable[..., servers.Server]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is configured but by the test."""
    monkeypatch.setattr(_configuration, "settings", {})
    monkeypatch.delenv("WARP_CACHE_REMOTE", raising=False)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers, which end with the test."""
    started: list[servers.Server] = []

    def start(*arguments: str) -> servers.Server:
        assert PROGRAM is not None
        started.append(servers.Server(PROGRAM, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(autouse=True)
def gone() -> Iterator[None]:
    """No later test has caches of these servers: it would hear that they cannot be cleared."""
    yield
    gc.collect()  # after `app` has forgotten their module


@pytest.fixture
def found(run: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """The level of the one finding on the server, and its words; url: what the environment says."""

    def found(url: str | None, *arguments: str) -> tuple[str, str]:
        if url is not None:
            monkeypatch.setenv("WARP_CACHE_REMOTE", url)
        before = dict(_configuration.settings)
        status, out, errors = run("doctor", "--json", *arguments)
        assert errors == "" and _configuration.settings == before
        assert PASSWORD not in out and "127.0.0.1" not in out, "an address is nobody's business"
        (one,) = (one for one in json.loads(out)["findings"] if one["about"] == "server")
        assert (status == 1) is (one["level"] == "problem")
        return one["level"], f"{one['text']} -> {one['remedy']}"

    return found


@needs_server
def test_a_server_that_is_of_use(start: Start, found: Any) -> None:
    server = start()
    level, text = found(server.url)
    assert level == "ok" and "takes and gives up values" in text
    left = server.say("KEYS", "wc1::k:warp_cache%20doctor:*")
    assert left == "*0\r\n", "what was tried is taken away"


def test_nobody_listens(found: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        level, text = found(f"redis://user:{PASSWORD}@127.0.0.1:{taken.getsockname()[1]}")
    assert level == "problem" and "connection refused" in text and "see that it runs" in text


def test_something_else_listens(found: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        level, text = found(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert level == "problem" and "no answer of" in text and "look at the port" in text


@needs_server
@pytest.mark.parametrize("login, code", [("", "NOAUTH"), (f":{PASSWORD}@", "WRONGPASS")])
def test_a_wrong_login(start: Start, found: Any, login: str, code: str) -> None:
    server = start()
    server.say("CONFIG", "SET", "requirepass", "another")
    level, text = found(server.url.replace("//", f"//{login}"))
    assert level == "problem" and code in text and "give user and password" in text


@needs_server
def test_a_user_who_may_not(start: Start, found: Any) -> None:
    server = start()
    rights = ["+hello", "+auth", "+select", "+role", "+client", "+get", "+mget"]
    server.say("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~*", *rights)
    level, text = found(server.url.replace("//", f"//reader:{PASSWORD}@"))
    assert level == "problem" and "NOPERM" in text and "the commands and the keys" in text
    assert "its user lacks +" in text


@needs_server
def test_a_server_that_is_full(start: Start, found: Any) -> None:
    level, text = found(start("--maxmemory", "1", "--maxmemory-policy", "noeviction").url)
    assert level == "problem" and "OOM" in text and "maxmemory" in text


@needs_server
def test_a_replica(start: Start, found: Any) -> None:
    level, text = found(start("--replicaof", "127.0.0.1", "1").url)
    assert level == "problem" and "READONLY" in text and "name the master" in text


def test_an_address_that_is_none(found: Any) -> None:
    level, text = found(f"http://{PASSWORD}@127.0.0.1")
    assert level == "problem" and "WARP_CACHE_REMOTE" in text and "this host alone" in text


def test_no_server_is_asked_for(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARP_CACHE_REMOTE", "off")
    assert "server" not in run("doctor")[1]


REMOTE = """
from warp_cache import Cache, cache

@cache(remote=True, ttl=60)
def configured(x):
    return x

@cache(remote={url!r}, ttl=60)
def own(x):
    return x

@cache(remote={url!r}, backend="shared", ttl=60)
def both(x):
    return x

box = Cache(name="box", remote={url!r}, ttl=60)
"""


def test_a_function_without_a_server(app: Path, found: Any, run: Any) -> None:
    (app / "remote_app.py").write_text(REMOTE.format(url="redis://127.0.0.1"))
    level, text = found(None, "remote_app:configured")
    assert level == "note" and "no server is configured" in text


@needs_server
@pytest.mark.parametrize("name", ["own", "both", "box"])
def test_a_server_of_its_own(app: Path, found: Any, start: Start, run: Any, name: str) -> None:
    server = start()
    (app / "remote_app.py").write_text(REMOTE.format(url=server.url))
    assert found(None, f"remote_app:{name}")[0] == "ok"
    text = run("doctor", f"remote_app:{name}")[1]
    assert "do not share" not in text and ("file: " in text) is (name == "both")
    server.kill()
    assert found(None, f"remote_app:{name}")[0] == "problem"
