"""Packages that only some need: what to install is said where one is missing."""

from __future__ import annotations

from importlib import import_module

from warp_cache._cli.output import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["MissingExtra", "load"]


# The lower bounds are those of pyproject.toml.
_PACKAGES = {"plot": "matplotlib>=3.8", "cli": "rich>=13"}


class MissingExtra(UserError):
    """An extra of warp_cache that is not installed."""


def load(module: str, extra: str, wanted: str) -> ModuleType:
    """Import a module of this package that needs an extra.

    wanted: what it is needed for. Raises MissingExtra, whose message does not name the extra, but
    what is in it: in the Python Package Index, this package's name is another project's. By name,
    so that whoever collects an app's modules does not take the extras in.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name == "warp_cache":
            raise
        raise MissingExtra(
            f'{wanted} needs {name}, which is not installed: pip install "{_PACKAGES[extra]}"'
        ) from None
