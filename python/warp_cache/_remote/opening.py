"""What is configured for remote caches, asked for when one is used for the first time."""

from __future__ import annotations

import logging
import os
import warnings

# (Errors: what may be raised where no file can be opened any more is imported before.)
import warp_cache._remote.errors  # noqa: F401
from warp_cache import _configuration
from warp_cache._naming.identity import directories
from warp_cache._uncacheable import _frame
from warp_cache._warp_cache_rs import ServerAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from warp_cache._threads import DaemonThreads
    from warp_cache._warp_cache_rs import LoginTurn

__all__ = [
    "Settings",
    "begin_login",
    "cannot_open",
    "fails",
    "fileless",
    "login",
    "refused",
    "settings",
    "untold",
]

_logger = logging.getLogger("warp_cache")
_STALENESS = 1.0
_TIMEOUT = 0.25

# Threads at most that ask `credentials`; those that never come back are as many at most.
_THREADS = 4
_threads: DaemonThreads | None = None

# What was said in this process.
_said: set[str] = set()
# Where `cannot_open` puts it, for who has asked for it (`doctor`), instead of saying it.
unsaid: list[str] | None = None


class Settings:
    """What a remote cache is opened with. Shows nothing of it."""

    __slots__ = (
        "address",
        "credentials",
        "directories",
        "namespace",
        "secrets",
        "staleness",
        "timeout",
        "trusted",
    )

    def __init__(self, address: ServerAddress, namespace: str | None) -> None:
        given = _configuration.settings
        chosen = _configuration.namespace() if namespace is None else namespace
        secrets = given.get("secret")
        self.address = address
        self.namespace = (chosen or "").encode("utf-8", "surrogatepass")
        self.directories = directories()[0]
        self.secrets: list[bytes] = [] if secrets is None else secrets.expose()
        self.staleness: float = given.get("staleness", _STALENESS)
        self.timeout: float = given.get("timeout", _TIMEOUT)
        self.credentials: Any = given.get("credentials")
        self.trusted = given.get("pickle") == "trusted"


def settings(address: ServerAddress | None, namespace: str | None) -> Settings | None:
    """What a cache is opened with; None if it is this host's alone.

    address: the cache's own, or None for the one that is configured. namespace: likewise.
    """
    if address is None:
        address = _configured()
    return None if address is None else Settings(address, namespace)


def _configured() -> ServerAddress | None:
    address: ServerAddress | None = _configuration.settings.get("remote")
    if address is not None:
        return address
    given = os.environ.get(_configuration.VARIABLES["remote"], "")
    if given.lower() == "off":
        return None
    if not given:
        say(
            "remote=True works on this host alone, as no server is configured: name one by "
            "warp_cache.configure(remote=...) or WARP_CACHE_REMOTE, or set WARP_CACHE_REMOTE=off"
        )
        return None
    try:
        return ServerAddress(given, "WARP_CACHE_REMOTE")
    except (TypeError, ValueError) as error:
        # (It says what is wrong without showing the address.)
        say(f"remote=True works on this host alone: {error}")
        return None


def cannot_open(why: str) -> None:
    """Say that the server of a cache cannot be used; why: without anything of its address."""
    if unsaid is None:
        say(f"a cache with remote= works on this host alone: {why}")
    else:
        unsaid.append(why)


def fileless(why: str) -> None:
    """Say that processes of the host share no near copies; why: what is wrong with their file."""
    say(
        "a cache with backend='shared' and remote= has no file on this host, so each process keeps "
        f"near copies of its own: {why}"
    )


def untold() -> None:
    """Say that the server has no client-side caching."""
    say(
        "the server of a cache with remote= does not tell what changes (client-side caching): near "
        "copies last for the staleness only"
    )


# What a server refuses of all that it is asked, and what mends it.
_REFUSED = {
    "login": "refuses the login: correct user and password of the address, or what credentials= "
    "gives",
    "rights": "does not allow what it is asked: give its user the commands and keys that "
    "the documentation names (Access, in the page on operations)",
    "single": "is no cluster: leave +cluster out of the address",
    "database": "has no such database: correct the number at the end of the address (a cluster has "
    "0 alone), or raise its databases",
    "clients": "takes no more connections: raise its maxclients, or close what nobody needs",
    "protected": "answers its own host only (DENIED): give it a password, or see its "
    "protected-mode",
    "slots": "has keys that no master serves (CLUSTERDOWN): mend the cluster",
    "loading": "is reading its data from a disk (LOADING): that passes, and with save '' and "
    "appendonly no there is nothing to read",
    "busy": "is busy with somebody's script (BUSY): end that by SCRIPT KILL",
    "cluster": "is a node of a cluster, and has some of the keys only: name the cluster, by "
    "redis+cluster://host:port (or rediss+cluster, valkey+cluster, valkeys+cluster)",
}

# The same, where it refuses what is written alone.
_UNKEPT = {
    "memory": "is full (OOM): raise its maxmemory, or set maxmemory-policy allkeys-lru",
    "replica": "is a replica (READONLY): name the master, or the Sentinels, by "
    "redis+sentinel://host:port/service",
    "disk": "cannot save to its disk (MISCONF): mend that, or set save '', as nothing of a cache "
    "is worth a disk",
    "replicas": "has fewer replicas than its min-replicas-to-write asks for (NOREPLICAS)",
}


def refused(what: str) -> None:
    """Say why the server refuses what it is asked; what: one of ``_REFUSED`` or ``_UNKEPT``."""
    if what in _UNKEPT:
        say(
            "results are not kept for other hosts, as the server of a cache with remote= "
            f"{_UNKEPT[what]}"
        )
        return
    say(f"every host computes for itself, as the server of a cache with remote= {_REFUSED[what]}")


def fails(how: str) -> None:
    """Say that the server of a cache is of no use; how: its error, without anything of it."""
    say(f"every host computes for itself what the server of a cache with remote= fails at: {how}")


def lacks(rule: str) -> None:
    """Say that the server refuses what it is asked; rule: what its access list lacks."""
    say(
        "every host computes for itself, as the server of a cache with remote= does not allow what "
        f"it is asked: its user lacks {rule} (Access, in the page on operations, has all)"
    )


def say(text: str) -> None:
    """Warn, once a process for each text, and note it in the log.

    As no warning of the log's: where nobody has set up logging, those are printed, and it was said
    twice.
    """
    if text in _said:
        return
    _said.add(text)
    _logger.info(text)
    frame = _frame()
    if frame is None:
        warnings.warn_explicit(text, UserWarning, "sys", 1)
        return
    scope = frame.f_globals
    warnings.warn_explicit(
        text,
        UserWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=scope.get("__name__") or "<unknown>",
        registry=scope.setdefault("__warningregistry__", {}),
    )


def begin_login(credentials: Any, turn: LoginTurn) -> None:
    """Have a thread ask for user and password, and give them to the turn."""
    global _threads
    if _threads is None or _threads.pid != os.getpid():
        from warp_cache._threads import DaemonThreads

        _threads = DaemonThreads("warp_cache credentials", _THREADS)

    def job() -> None:
        given = None
        try:
            given = login(credentials)
        finally:
            turn.give(given)

    if not _threads.submit(job):
        job()


def login(credentials: Any) -> tuple[bytes | None, bytes] | None:
    """What ``credentials`` gives now: user and password, as bytes; None if that is of no use."""
    try:
        given = credentials()
        user, password = given if isinstance(given, (tuple, list)) else (None, given)
        return None if user is None else _bytes(user), _bytes(password)
    except BaseException as error:
        # (In a thread of its own: there is nobody whom an exit or an interrupt would reach.)
        # What it says may have the password in it.
        _logger.warning("credentials gave no login: %s", type(error).__name__)
        return None


def _bytes(text: Any) -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    raise TypeError("a user or password must be str or bytes")
