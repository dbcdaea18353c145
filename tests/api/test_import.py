"""Importing the package stays fast: it brings in nothing that takes long."""

from __future__ import annotations

from support import check_clean, run_python

LOAD = """
import sys
before = set(sys.modules)
import warp_cache
slow = {"asyncio", "inspect", "re", "threading", "typing", "typing_extensions"}
# What only decorating, failing and warning need.
rooms = ("async", "callables", "exceptions", "flight", "info", "naming", "uncacheable")
slow |= {"warp_cache._" + name for name in rooms}
print(sorted(slow & set(sys.modules) - before))
"""


def test_nothing_slow_is_imported() -> None:
    check_clean(run_python(LOAD), out="[]")
