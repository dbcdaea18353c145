"""The server behind caches with ``remote=``, tried as ``doctor`` finds it from here.

What a cache does there is done: a value is set and invalidated, in this environment's namespace,
under a name that no function has. Nothing that is said shows an address or a login.
"""

from __future__ import annotations

import os

from warp_cache import _configuration
from warp_cache._cli.finding import Finding
from warp_cache._remote import opening
from warp_cache._remote.errors import RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["configured", "is_switched_off", "of_function"]

# Whoever asks what is wrong can wait for longer than a call does.
_LONGEST = 5.0
_TIMEOUT = 0.25
_NAME = "warp_cache doctor"
_PERMISSIONS = (
    "give its user the commands and the keys that the page on running the server lists, and the "
    "namespace that they are of (WARP_CACHE_NAMESPACE)"
)
_LOGIN = (
    "give user and password in the address, or by configure(credentials=), which only "
    "`doctor module:function` knows of"
)
# What the server or the way to it says, by a part of the text, and what helps.
_REMEDIES = {
    "NOAUTH": _LOGIN,
    "WRONGPASS": _LOGIN,
    "no login": _LOGIN,
    "NOPERM": _PERMISSIONS,
    "OOM": "raise maxmemory, or set maxmemory-policy to allkeys-lru",
    "READONLY": "name the master, or its Sentinels",
    "MISCONF": "a cache's server needs no disk: save '', appendonly no",
    "TLS": "look at certificates, names and the ssl_ parameters of the address",
    "name has no address": "look at the host's name in the address, and at this host's DNS",
    "no answer of": "look at the port: something else than a Valkey or Redis server listens there",
    "supported": "name at least one server in the address",
}
_UNREACHABLE = (
    "see that it runs, and that this host reaches it (address, port, firewall); until then each "
    "process computes for itself, and invalidations raise RemoteError"
)


def configured() -> Iterator[Finding]:
    """What is to be said of the server that this environment names."""
    given = _configuration.in_use("remote")
    if given is None or (isinstance(given, str) and given.lower() == "off"):
        return
    if isinstance(given, str):
        from warp_cache._warp_cache_rs import ServerAddress

        try:
            given = ServerAddress(given, _configuration.VARIABLES["remote"])
        except (TypeError, ValueError) as error:
            yield Finding(
                "problem",
                "server",
                f"caches with remote=True work on this host alone: {error}",
                "correct it, or set WARP_CACHE_REMOTE=off",
            )
            return
    yield _tried(given, None)


def of_function(remote: Any, namespace: str | None, name: str) -> Finding:
    """The server of a cache; remote: its own, or True for the one that is configured."""
    if remote is True:
        remote = _configuration.in_use("remote")
        if remote is None or (isinstance(remote, str) and remote.lower() == "off"):
            return Finding(
                "note",
                "server",
                f"{name} has remote=True, and no server is configured: it is cached in each "
                "process alone",
                "name one by configure(remote=) or WARP_CACHE_REMOTE",
            )
    return _tried(remote, namespace)


def _tried(remote: Any, namespace: str | None) -> Finding:
    """A finding on a server: an address, text or read, that is in use."""
    if is_switched_off():
        return Finding("note", "server", "it was not tried, as caching is switched off")
    before = dict(_configuration.settings)
    _configuration.settings["timeout"] = max(before.get("timeout", _TIMEOUT), _LONGEST)
    unopened: list[str] = []
    opening.unsaid = unopened
    try:
        _use(remote, namespace)
    except RemoteError as error:
        return _unusable(str(error).rpartition("still take effect: ")[2])
    except ValueError as error:
        return _unusable(str(error))
    finally:
        opening.unsaid = None
        _configuration.settings.clear()
        _configuration.settings.update(before)
    if unopened:
        return _unusable(unopened[0])
    return Finding("ok", "server", "it answers, and takes and gives up values")


def is_switched_off() -> bool:
    """Whether this process computes each call, as its environment may have it."""
    from warp_cache import cache

    calls: list[int] = []
    probe: Any = cache(lambda: calls.append(1))
    for _ in range(2):
        probe()
    return len(calls) > 1


def _use(remote: Any, namespace: str | None) -> None:
    from warp_cache import cache

    def trial(number: int) -> int:
        return number

    cached: Any = cache(remote=remote, name=_NAME, ttl=60, namespace=namespace)(trial)
    number = os.getpid()
    cached.set(number, number)
    cached.cache_invalidate(number)


def _unusable(why: str) -> Finding:
    remedy = next((text for part, text in _REMEDIES.items() if part in why), _UNREACHABLE)
    return Finding(
        "problem", "server", f"the server of caches with remote= is of no use: {why}", remedy
    )
