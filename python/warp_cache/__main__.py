"""``python -m warp_cache``: the package's commands, which ``_cli`` has."""

from __future__ import annotations

import sys

from warp_cache._cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
