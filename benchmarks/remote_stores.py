"""A server for the part `remote`, and what users would put before it instead: clients and caches.

The server is Valkey (`scripts/test-servers`), or the redis-server on PATH; it listens on loopback,
keeps nothing on disk, and is stopped after the run.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT, stores
from benchmarks.contenders import Peer
from benchmarks.harness import Harness
from benchmarks.model import CASHEWS, GLIDE_NEAR, REDIS_PY, REDIS_PY_NEAR
from benchmarks.peers import TTL
from benchmarks.workloads import Decorator, Function

HOST = "127.0.0.1"
# Seconds that a lock of theirs outlives its holder, and for which they wait for the server.
_LOCK = 60


@dataclass(frozen=True)
class Address:
    """Where the server listens."""

    port: int

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"


@contextlib.contextmanager
def running(harness: Harness, folder: Path) -> Iterator[Address | None]:
    """A server of the run's own; None, and a line in the report, where there is none."""
    told = subprocess.run(
        [ROOT / "scripts" / "test-servers"], stdout=subprocess.PIPE, text=True, check=False
    )
    program = told.stdout or shutil.which("redis-server") or "valkey-server"
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    path = folder / "server.sock"
    command = [program, "--port", str(port), "--bind", HOST, "--unixsocket", str(path)]
    command += ["--dir", str(folder), "--save", "", "--appendonly", "no"]
    with stores.server(harness, "the server", command, path) as is_running:
        yield Address(port) if is_running else None


def redis_client(module: Any, address: Address, **options: Any) -> Any:
    """A client of redis-py, or of redis.asyncio, whichever the module is."""
    return module.Redis(host=HOST, port=address.port, **options)


def _redis_py(address: Address) -> Callable[[Any, int | None], Decorator]:
    return lambda module, size: _got(redis_client(module, address).get)


def _redis_py_near(address: Address) -> Callable[[Any, int | None], Decorator]:
    def make(module: Any, size: int | None) -> Decorator:
        # It refuses a Valkey, which can do the same.
        proxy = importlib.import_module("redis.connection").CacheProxyConnection
        about = redis_client(module, address).info("server")
        proxy.DEFAULT_SERVER_NAME = about.get("server_name", proxy.DEFAULT_SERVER_NAME)
        proxy.MIN_ALLOWED_VERSION = "6.0"
        config = importlib.import_module("redis.cache").CacheConfig(max_size=size)
        return _got(redis_client(module, address, protocol=3, cache_config=config).get)

    return make


def _glide_near(address: Address) -> Callable[[Any, int | None], Decorator]:
    def make(module: Any, size: int | None) -> Decorator:
        near = importlib.import_module("glide_shared.cache").ClientSideCache.create(
            max_cache_kb=1024, entry_ttl_ms=TTL * 1000, server_assisted=True
        )
        configuration = module.GlideClientConfiguration(
            [module.NodeAddress(HOST, address.port)], client_side_cache=near
        )
        return _got(module.GlideClient.create(configuration).get)

    return make


def _got(get: Callable[[str], Any]) -> Decorator:
    """What a key's GET gives, as it comes: nothing is decoded."""
    return lambda function: lambda a: get(key_of(a))


def key_of(a: int) -> str:
    """The name of what the clients read."""
    return f"bench:{a}"


def fill(address: Address, values: Mapping[int, bytes]) -> None:
    """Store what the clients read, under their own keys, without any of them."""
    with socket.create_connection((HOST, address.port)) as connection:
        answers = connection.makefile("rb")
        for a, value in values.items():
            key = key_of(a).encode()
            connection.sendall(
                b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
                % (len(key), key, len(value), value)
            )
            answer = answers.readline()
            if answer != b"+OK\r\n":
                raise RuntimeError(f"the server said {answer!r}")


def _redis_asyncio(address: Address) -> Callable[[Any, int | None], Decorator]:
    def make(module: Any, size: int | None) -> Decorator:
        get = redis_client(module, address).get

        def decorator(function: Function) -> Function:
            async def hit(a: int) -> Any:
                return await get(key_of(a))

            return hit

        return decorator

    return make


def cashews_near(address: Address) -> Callable[[Any, int | None], Decorator]:
    """Its decorator with its near cache, which the server's pushes void."""

    def make(module: Any, size: int | None) -> Decorator:
        cache = module.Cache()
        cache.setup(
            address.url, client_side=True, socket_timeout=_LOCK, socket_connect_timeout=_LOCK
        )
        decorator: Decorator = cache(ttl=TTL, key="{a}", protected=False)
        return decorator

    return make


def cashews_locked(module: Any, address: Address) -> Decorator:
    """Its decorator with a lock on the server."""
    cache = module.Cache()
    # After a second it would go on without the server, and without a word.
    cache.setup(address.url, socket_timeout=_LOCK, socket_connect_timeout=_LOCK)
    decorator: Decorator = cache(ttl=TTL, key="once:{a}", lock=True)
    return decorator


def dogpile_locked(module: Any, address: Address) -> Decorator:
    """Its decorator with a lock on the server."""
    region = module.make_region().configure(
        "dogpile.cache.redis",
        expiration_time=TTL,
        arguments={
            "host": HOST,
            "port": address.port,
            "distributed_lock": True,
            "thread_local_lock": False,
            "lock_timeout": _LOCK,
        },
    )
    decorator: Decorator = region.cache_on_arguments()
    return decorator


def far_peer(address: Address) -> Peer:
    note = "with hiredis; GET alone, nothing is decoded"
    return Peer(REDIS_PY, "redis", "redis", _redis_py(address), note)


def far_peer_async(address: Address) -> Peer:
    note = "asyncio, with hiredis; GET alone, nothing is decoded"
    return Peer(REDIS_PY, "redis", "redis.asyncio", _redis_asyncio(address), note)


def near_peers(address: Address) -> tuple[Peer, ...]:
    told = "GET alone, nothing is decoded"
    return (
        Peer(REDIS_PY_NEAR, "redis", "redis", _redis_py_near(address), f"with hiredis; {told}"),
        Peer(GLIDE_NEAR, "valkey-glide-sync", "glide_sync", _glide_near(address), told),
    )


def near_peer_async(address: Address) -> Peer:
    note = "client_side=True; protected=False, no single-flight: does less; keys as text"
    return Peer(CASHEWS, "cashews", "cashews", cashews_near(address), note)


def require_hiredis(harness: Harness) -> bool:
    """Whether redis-py is there at its fastest; if not, a line in the report says so."""
    for name in ("redis", "hiredis"):
        try:
            importlib.import_module(name)
        except ImportError:
            line = f"{REDIS_PY}: {name} is not installed"
            if line not in harness.result.missing:
                harness.result.missing.append(line)
            return False
    return True
