"""Who is measured: the standard library, this package, and how a peer from PyPI is brought in."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import warp_cache
from benchmarks.harness import Harness
from benchmarks.workloads import Decorator

# Makes a decorator for a cache of the given size (None: without bound).
Factory = Callable[["int | None"], Decorator]


def functools_lru(size: int | None) -> Decorator:
    return functools.lru_cache(maxsize=size)


def warp_lru(size: int | None) -> Decorator:
    return warp_cache.lru_cache(max_size=size)


def warp_cached(size: int | None) -> Decorator:
    return warp_cache.cache(max_size=size)


def warp_strategy(strategy: str, size: int | None) -> Decorator:
    return warp_cache.cache(strategy=warp_cache.Strategy[strategy], max_size=size)


DISTRIBUTIONS = (
    "cachebox",
    "moka-py",
    "cachetools",
    "theine",
    "async-lru",
    "aiocache",
    "cashews",
    "dogpile.cache",
    "diskcache",
    "lmdb",
    "pymemcache",
    "redis",
    "hiredis",
    "valkey-glide-sync",
    "django",
    "limits",
)


@dataclass(frozen=True)
class Peer:
    """A package from PyPI, imported only when its turn comes."""

    name: str
    distribution: str
    module: str
    make: Callable[[Any, int | None], Decorator]
    note: str = ""


def load(harness: Harness, peer: Peer, size: int | None) -> Decorator | None:
    """The peer's decorator; None, and a line in the report, where it cannot be had."""
    try:
        return peer.make(importlib.import_module(peer.module), size)
    except Exception as error:  # whatever a foreign package does, the others are still measured
        reason = "not installed" if isinstance(error, ModuleNotFoundError) else repr(error)
        line = f"{peer.name}: {reason}"
        if line not in harness.result.missing:
            harness.result.missing.append(line)
        return None


def versions() -> dict[str, str]:
    """Version of each package that is installed, this one included."""
    from importlib import metadata  # slow to import, and workers do without

    found = {"warp_cache": warp_cache.__version__}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
