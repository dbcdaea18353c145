"""The parts of a run; each is a module with `TITLE` and `run(harness)`.

A module that starts processes itself says so with `OWN_PROCESSES = True`; the other parts are run
in several processes one after the other, so that no accident of memory layout passes for a result.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.harness import Harness

NAMES = (
    "hits",
    "strategies",
    "methods",
    "keys",
    "peers",
    "async",
    "ttl",
    "lifetimes",
    "misses",
    "invalidation",
    "memory",
    "growth",
    "latency",
    "hit_ratio",
    "imports",
    "threads",
    "shared",
    "object",
    "processes",
    "remote",
)

# A part's name is not always a module's name: `async` is a keyword.
_MODULES = {"async": "async_hits"}


@dataclass(frozen=True)
class Part:
    name: str
    title: str
    run: Callable[[Harness], None]
    own_processes: bool


def load(name: str) -> Part:
    if name not in NAMES:
        raise ValueError(f"part must be one of {', '.join(NAMES)}, got {name!r}")
    module = importlib.import_module(f"benchmarks.parts.{_MODULES.get(name, name)}")
    return Part(name, module.TITLE, module.run, getattr(module, "OWN_PROCESSES", False))
