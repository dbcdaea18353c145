"""What ``remote=`` means together with other options, checked at decoration.

The address itself is checked by the extension module. No message shows it: it may hold a password.
"""

from __future__ import annotations

from warp_cache._control import _shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["check"]

# What cannot be where other hosts have the values, too, and why.
_WITHOUT = {
    "tti": "the server does not know when an entry was last used here: give a shorter ttl",
    "per_instance": "an instance is of this process alone: give a key that names it",
    "on_removal": "the server tells nobody of what leaves: clean up where values are made",
}


def check(options: dict[str, Any]) -> None:
    """Check what goes with ``remote``; options: those given, by name.

    Raises ValueError that names the option and the remedy.
    """
    if options["ttl"] is None:
        raise ValueError(
            "remote needs a ttl, got ttl=None: it is what bounds the memory of the server; "
            "give the seconds after which a value may be forgotten"
        )
    for name, why in _WITHOUT.items():
        if name in options:
            got = f"got {name}={_shown(options[name])}"
            raise ValueError(f"{name} cannot be together with remote, {got}: {why}")
