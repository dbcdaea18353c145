# pyright: reportMissingImports=false
"""What ``manage.py check`` says about the caches in the settings that are this package's."""

from __future__ import annotations

import os

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from warp_cache import _configuration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["check_caches"]

_OURS = {"warp_cache.django.SharedCache": "shared", "warp_cache.django.MemoryCache": "memory"}
_OF_A_PROCESS = frozenset(
    {"warp_cache.django.MemoryCache", "django.core.cache.backends.locmem.LocMemCache"}
)


@checks.register(checks.Tags.caches)
def check_caches(**_options: Any) -> list[checks.CheckMessage]:
    """Wrong options and directories (E001, E002), files larger than there is room for (W001),
    sessions in local memory (W002).
    """
    return [*_of_each(), *_of_sessions()]


def _of_each() -> Iterator[checks.CheckMessage]:
    from warp_cache.django._options import options_of

    for alias, params in settings.CACHES.items():
        where = _OURS.get(params.get("BACKEND"))
        if where is None:
            continue
        try:
            options = options_of(where, params)
        except ImproperlyConfigured as error:
            yield checks.Error(f"CACHES[{alias!r}]: {error}", id="warp_cache.E001")
            continue
        if where == "shared":
            yield from _of_directory(alias, options)


def _of_directory(alias: str, options: dict[str, Any]) -> Iterator[checks.CheckMessage]:
    directory = options.get("directory") or _configuration.directory()
    if directory is None:
        return
    there = directory
    while not os.path.exists(there) and there != os.path.dirname(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        yield checks.Error(
            f"CACHES[{alias!r}]: the directory {directory!r} cannot be written: always a miss",
            hint="Give OPTIONS['DIRECTORY'] (or WARP_CACHE_DIR) one that only this user can write.",
            id="warp_cache.E002",
        )
        return
    room = os.statvfs(there)
    free = room.f_bavail * room.f_frsize
    if options.get("max_bytes", 0) > free:
        yield checks.Warning(
            f"CACHES[{alias!r}]: MAX_BYTES is {options['max_bytes']}, "
            f"and {there!r} has room for {free} bytes",
            hint="Make MAX_BYTES smaller, or the file system larger.",
            id="warp_cache.W001",
        )


def _of_sessions() -> Iterator[checks.CheckMessage]:
    if getattr(settings, "SESSION_ENGINE", None) != "django.contrib.sessions.backends.cache":
        return
    alias = getattr(settings, "SESSION_CACHE_ALIAS", "default")
    if settings.CACHES.get(alias, {}).get("BACKEND") in _OF_A_PROCESS:
        yield checks.Warning(
            f"sessions are kept in CACHES[{alias!r}], which each process has for itself: "
            "another worker does not know them, and a restart ends them",
            hint="Use warp_cache.django.SharedCache for sessions.",
            id="warp_cache.W002",
        )
