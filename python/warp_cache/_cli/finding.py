"""What ``doctor`` says: one thing that is as it should be, to be known, or wrong."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """Something that is as it should be ("ok"), to be known ("note"), or wrong ("problem")."""

    level: str
    about: str
    text: str
    remedy: str | None = None
