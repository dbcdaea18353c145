"""The measuring harness of warp_cache: `python -m benchmarks`, or one part of it with `--part`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# `python -m benchmarks` puts the checkout first on the path. What is to be measured is the package
# as installed, which for another interpreter than the last one built is not the one in the
# checkout; so the checkout goes last.
if sys.path and sys.path[0] in ("", str(ROOT)):
    del sys.path[0]
    sys.path.append(str(ROOT))
