"""Names of caches that nobody has used: a suite's caches are new ones, as those of a process would
be.
"""

from __future__ import annotations

import itertools
import os

_numbers = itertools.count()


def name() -> str:
    return f"fresh-{os.getpid()}-{next(_numbers)}"
