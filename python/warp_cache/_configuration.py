"""What was configured for this process: ``_module`` checks and changes it.

A new setting is a line here, its check in ``_module.configure``, and what reads it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["VARIABLES", "directory", "in_use", "namespace", "settings"]

# By name; what is not there was not configured, or was taken back.
settings: dict[str, Any] = {}

# The environment variable that says the same, for where it was not configured.
VARIABLES = {
    "directory": "WARP_CACHE_DIR",
    "namespace": "WARP_CACHE_NAMESPACE",
    "remote": "WARP_CACHE_REMOTE",
}


def in_use(name: str) -> Any:
    """What was configured, or else what the environment says; None if neither says anything."""
    return settings.get(name) or os.environ.get(VARIABLES[name]) or None


def directory() -> str | None:
    """The directory of shared caches, as an absolute path."""
    given = in_use("directory")
    return None if given is None else os.path.abspath(given)


def namespace() -> str | None:
    """The namespace of shared and remote caches that have none of their own."""
    given: str | None = in_use("namespace")
    return given
