"""Modules with the names of peers, for suites that import these also in processes of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["prefer"]


def prefer() -> None:
    """Have them found before what is installed, here and in processes that are started."""
    here = str(Path(__file__).parent)
    sys.path.insert(0, here)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
