"""What users would share between processes instead: LMDB, diskcache, memcached and redis.

Servers are started for the run, listen on a Unix socket in the run's own folder, keep nothing on
disk, and are stopped after it. Each store is asked as its users ask it: bytes for the key, pickle
for the value; diskcache does that by itself.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import dumps, loads
from typing import Any

from benchmarks.harness import Contender, Harness

LMDB = "LMDB"
DISKCACHE = "diskcache"
MEMCACHED = "memcached"
REDIS = "redis"
MEMCACHED_SOCKET = "memcached.sock"
REDIS_SOCKET = "redis.sock"
# Seconds until a server is up or down; bytes for what a store keeps.
_LIMIT = 10.0
_ROOM = 1 << 26


class Redis:
    """The least a client can do: a command, one answer, no library in between."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))

    def set(self, key: bytes, value: bytes) -> None:
        self._socket.sendall(
            b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value)
        )
        answer = self._socket.recv(4096)
        if answer != b"+OK\r\n":
            raise RuntimeError(f"redis said {answer!r}")

    def get(self, key: bytes) -> bytes:
        self._socket.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key))
        answer = self._socket.recv(4096)
        # Small values come in one piece: `$length`, the bytes, and an end of line; `$-1` is none.
        return answer[answer.index(b"\n") + 1 : -2]

    def close(self) -> None:
        self._socket.close()


def lmdb_hit(harness: Harness, folder: Path, name: str, values: dict[int, Any]) -> Contender | None:
    """A hit in LMDB: one read transaction, as its documentation has it."""
    lmdb = _imported(harness, LMDB)
    if lmdb is None:
        return None
    environment = lmdb.open(str(folder / f"lmdb-{name}"), map_size=_ROOM, sync=False)
    with environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(b"%d" % key, dumps(value))

    def hit(a: int) -> Any:
        with environment.begin() as transaction:
            return loads(transaction.get(b"%d" % a))

    return _checked(LMDB, hit, values, "one process; pickle")


def diskcache_hit(
    harness: Harness, folder: Path, name: str, values: dict[int, Any]
) -> Contender | None:
    """A hit in diskcache: `get`, which its documentation calls the fastest way to read."""
    diskcache = _imported(harness, DISKCACHE)
    if diskcache is None:
        return None
    cache = diskcache.Cache(str(folder / f"diskcache-{name}"))
    for key, value in values.items():
        cache.set(key, value)
    return _checked(DISKCACHE, cache.get, values, "one SQLite file")


def memcached_hit(socket_path: Path, values: dict[int, Any]) -> Contender:
    client = importlib.import_module("pymemcache.client.base").Client(str(socket_path))
    for key, value in values.items():
        client.set(b"%d" % key, dumps(value), noreply=False)
    get = client.get

    def hit(a: int) -> Any:
        return loads(get(b"%d" % a))

    return _checked(MEMCACHED, hit, values, "Unix socket, pymemcache; pickle")


def redis_hit(redis: Redis, values: dict[int, Any]) -> Contender:
    for key, value in values.items():
        redis.set(b"%d" % key, dumps(value))
    get = redis.get

    def hit(a: int) -> Any:
        return loads(get(b"%d" % a))

    return _checked(REDIS, hit, values, "Unix socket, no client library; pickle")


def _lmdb_memoized(folder: Path, function: Callable[[int], int]) -> Callable[[int], int]:
    """It evicts nothing: who finds it full empties it."""
    lmdb = importlib.import_module("lmdb")
    environment = lmdb.open(str(folder / "lmdb"), map_size=_ROOM, sync=False)
    everything = environment.open_db()

    def memoized(a: int) -> int:
        key = b"%d" % a
        with environment.begin() as transaction:
            found = transaction.get(key)
        if found is not None:
            value: int = loads(found)
            return value
        value = function(a)
        try:
            with environment.begin(write=True) as transaction:
                transaction.put(key, dumps(value))
        except lmdb.MapFullError:
            with environment.begin(write=True) as transaction:
                transaction.drop(everything, delete=False)
        return value

    return memoized


def _diskcache_memoized(folder: Path, function: Callable[[int], int]) -> Callable[[int], int]:
    cache = importlib.import_module("diskcache").Cache(str(folder / "diskcache"), size_limit=_ROOM)
    return _memoized(cache.get, cache.set, function)


def _memcached_memoized(folder: Path, function: Callable[[int], int]) -> Callable[[int], int]:
    client = importlib.import_module("pymemcache.client.base").Client(
        str(folder / MEMCACHED_SOCKET)
    )
    return _memoized(client.get, client.set, function, pickled=True)


def _redis_memoized(folder: Path, function: Callable[[int], int]) -> Callable[[int], int]:
    client = Redis(folder / REDIS_SOCKET)
    return _memoized(client.get, client.set, function, pickled=True)


def _memoized(
    get: Callable[[Any], Any],
    set_: Callable[[Any, Any], Any],
    function: Callable[[int], int],
    *,
    pickled: bool = False,
) -> Callable[[int], int]:
    def memoized(a: int) -> int:
        found: int | None = get(a)
        if found is None:
            found = function(a)
            set_(a, found)
        return found

    def memoized_as_bytes(a: int) -> int:
        key = b"%d" % a
        found: bytes = get(key)
        if found:
            value: int = loads(found)
            return value
        value = function(a)
        set_(key, dumps(value))
        return value

    return memoized_as_bytes if pickled else memoized


# What makes, in the store's folder, a function of ints that is memoized there.
MEMOIZED = {
    LMDB: _lmdb_memoized,
    DISKCACHE: _diskcache_memoized,
    MEMCACHED: _memcached_memoized,
    REDIS: _redis_memoized,
}


def embedded(harness: Harness) -> list[str]:
    """Those that need no server, and are installed."""
    return [name for name in (LMDB, DISKCACHE) if _imported(harness, name) is not None]


def _imported(harness: Harness, name: str) -> Any:
    """The module; None, and a line in the report, where it is not to be had."""
    try:
        return importlib.import_module(name.lower())
    except ImportError as error:
        reason = "not installed" if isinstance(error, ModuleNotFoundError) else str(error)
        _miss(harness, f"{name}: {reason}")
        return None


def _checked(name: str, hit: Callable[[int], Any], values: dict[int, Any], note: str) -> Contender:
    for key, value in values.items():
        if hit(key) != value:
            raise AssertionError(f"{name} returned {hit(key)!r} for {key}")
    return Contender(name, hit, note)


@contextlib.contextmanager
def redis_server(harness: Harness, folder: Path) -> Iterator[Redis | None]:
    path = folder / REDIS_SOCKET
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--maxmemory", "64mb"]
    command += ["--maxmemory-policy", "allkeys-lru"]
    with server(harness, REDIS, command, path) as running:
        if not running:
            yield None
            return
        client = Redis(path)
        try:
            yield client
        finally:
            client.close()


@contextlib.contextmanager
def memcached_server(harness: Harness, folder: Path) -> Iterator[Path | None]:
    import pwd  # not on every platform

    path = folder / MEMCACHED_SOCKET
    # It wants to be told, where root starts it.
    user = pwd.getpwuid(os.getuid()).pw_name
    command = ["memcached", "-s", str(path), "-m", "64", "-u", user]
    try:
        importlib.import_module("pymemcache")
    except ImportError:
        _miss(harness, f"{MEMCACHED}: pymemcache is not installed")
        yield None
        return
    with server(harness, MEMCACHED, command, path) as running:
        yield path if running else None


@contextlib.contextmanager
def server(harness: Harness, name: str, command: list[str], path: Path) -> Iterator[bool]:
    """Run a server, until it answers on its socket; False, and a line in the report, if not."""
    if shutil.which(command[0]) is None:
        _miss(harness, f"{name}: {command[0]} is not installed")
        yield False
        return
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if _answers(process, path):
            _note_version(harness, name, command[0])
            yield True
        else:
            _miss(harness, f"{name}: {command[0]} does not start")
            yield False
    finally:
        process.terminate()
        try:
            process.wait(_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(process: subprocess.Popen[bytes], path: Path) -> bool:
    end = time.monotonic() + _LIMIT
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            return True
        time.sleep(0.01)
    return False


def _note_version(harness: Harness, name: str, program: str) -> None:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\d+(\.\d+)+", told.stdout)
    line = f"{name} is version {version[0]}" if version else f"{name} tells no version"
    if line not in harness.result.notes:
        harness.result.notes.append(line)


def _miss(harness: Harness, line: str) -> None:
    if line not in harness.result.missing:
        harness.result.missing.append(line)
