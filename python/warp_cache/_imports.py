"""Modules of the package that are imported at their first use, and who may come in between.

An import statement waits for another thread that is importing the module. A look into
``sys.modules`` does not, and a fork's child would wait for a thread that it does not have.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["imported"]


def imported(name: str) -> "Any | None":
    """A module that has been imported to its end; None where it was not, or is being imported."""
    module = sys.modules.get(name)
    return None if _is_initializing(module) else module


def _is_initializing(module: object) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _end_imports() -> None:
    """Wait for the imports of ours that are under way; a fork is about to be."""
    for name, module in list(sys.modules.items()):
        if name.startswith("warp_cache.") and _is_initializing(module):
            try:
                __import__(name)
            except BaseException:
                # What it raises is the importing thread's; the child begins anew.
                continue


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_end_imports)
