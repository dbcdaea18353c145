"""A storage's address as a cache: ``warp://name?max_bytes=1000000&strategy=lru``."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from warp_cache._adapting import kept, whole_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from warp_cache._adapting import Kept

__all__ = ["opened"]

_NUMBERS = frozenset({"max_size", "max_bytes"})
_TEXTS = frozenset({"strategy", "namespace", "version", "directory", "backend"})


def opened(uri: str | None, options: Mapping[str, Any]) -> Kept:
    """The cache; ValueError for an option that it does not know, or that is wrong."""
    parts = urlsplit(uri or "")
    found: dict[str, Any] = {"backend": "shared"}
    for name, given in (*parse_qsl(parts.query, keep_blank_values=True), *options.items()):
        if name in _NUMBERS:
            found[name] = whole_number(name, given)
        elif name in _TEXTS:
            found[name] = given
        else:
            known = ", ".join(sorted(_NUMBERS | _TEXTS))
            raise ValueError(f"options of {parts.scheme}:// are {known}; got {name!r}")
    return kept(unquote(parts.netloc + parts.path).strip("/") or "limits", found)
