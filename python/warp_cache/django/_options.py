# pyright: reportMissingImports=false
"""The settings of a cache in ``CACHES`` as options of ``warp_cache.Cache``."""

from __future__ import annotations

import os

from django.core.exceptions import ImproperlyConfigured

from warp_cache._adapting import whole_number
from warp_cache._warp_cache_rs import ServerAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["options_of"]

# By what OPTIONS calls it: what the cache calls it, and whether it is a number.
_BOTH = {"MAX_ENTRIES": ("max_size", True), "STRATEGY": ("strategy", False)}
_SHARED = {
    **_BOTH,
    "MAX_BYTES": ("max_bytes", True),
    "DIRECTORY": ("directory", False),
    "REMOTE": ("remote", False),
}
# The longest lifetime that a server takes: ten years, in seconds.
_LONGEST = 10 * 365 * 24 * 3600
# Django's own, which has no meaning where one entry makes room for one; the other is for the
# backend itself.
_OTHERS = frozenset({"CULL_FREQUENCY", "REVERSE_KEY_FUNCTION"})


def options_of(backend: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the cache: those that were given. ImproperlyConfigured names one that is
    wrong, and what is right.
    """
    known = _SHARED if backend == "shared" else _BOTH
    options: dict[str, Any] = {"backend": backend}
    for name, given in (params.get("OPTIONS") or {}).items():
        if name in _OTHERS:
            continue
        if name not in known:
            right = ", ".join(sorted({*known, *_OTHERS}))
            raise ImproperlyConfigured(f"OPTIONS of a {backend} cache are {right}; got {name!r}")
        option, number = known[name]
        if given is None:
            continue
        if number:
            try:
                given = whole_number(name, given, 0 if name == "MAX_ENTRIES" else 1)
            except ValueError as error:
                raise ImproperlyConfigured(str(error)) from None
        elif name == "DIRECTORY":
            try:
                given = os.fspath(given)
            except TypeError:
                raise ImproperlyConfigured(f"DIRECTORY must be a path, got {given!r}") from None
        elif name == "REMOTE":
            # Each entry has a timeout of its own; what has none is kept as long as may be.
            options["ttl"] = _LONGEST
            try:
                given if given is True else ServerAddress(given)
            except (TypeError, ValueError) as error:
                # (It says what is wrong without showing the address.)
                raise ImproperlyConfigured(f"REMOTE: {error}") from None
        options[option] = given
    return options
