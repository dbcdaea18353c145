"""What a function's cache is called on every host: where it stands and what it is made of.

As in ``_naming.identity``, but for what differs between hosts: files, lines, and when a file of
machine code was written.
"""

from __future__ import annotations

from warp_cache._naming.description import Description
from warp_cache._naming.identity import head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["name_of"]


def name_of(function: Callable[..., Any], key: Callable[..., Any] | None, name: str | None) -> str:
    """The name; name: what the user calls the cache, key: what gives the keys of its calls.

    Raises ValueError where no name would be sound in another process.
    """
    if name is not None:
        if key is None:
            return name
        try:
            return f"{name}-{_digest(key)}"
        except Exception:
            # Whatever tells it apart, it is not seen: the name has to.
            return name
    try:
        return f"{head(function)}-{_digest(function, key)}"
    except Exception as error:
        from warp_cache._uncacheable import _name

        raise ValueError(
            f"remote needs a name for {_name(function)}(), as nothing tells what it is on another "
            f"host ({error}): give name='...'"
        ) from None


def _digest(*parts: Any) -> str:
    description = Description(anywhere=True)
    for part in parts:
        if part is not None:
            description.value(part)
    return description.digest().hex()
