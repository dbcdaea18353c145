"""What is measured of the caches, by names as Micrometer has them.

``prometheus`` and ``opentelemetry`` offer it to their libraries. A new metric is a line in
``METRICS``, and a row in docs/reference/metrics.md.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass

from warp_cache._growing import Growing, Steady
from warp_cache._module import caches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["METRICS", "Metric", "Sample", "looked_at", "samples"]

_logger = logging.getLogger("warp_cache")


@dataclass(frozen=True)
class Metric:
    """Something that is measured of each cache."""

    name: str
    """With dots, as OpenTelemetry has it; Prometheus has underscores."""
    unit: str
    help: str
    counts: bool
    """Whether it only ever grows, but for a clear of a shared cache."""
    read: Callable[[Any, dict[str, Any]], Iterable[tuple[str, float]]]
    """From ``cache_info()`` and ``cache_options()``: values, each with that of ``label``."""
    label: str | None = None


@dataclass(frozen=True)
class Sample:
    """A value of a metric."""

    metric: Metric
    cache: str
    backend: str
    label: str
    value: float


class _Collected:
    """What was given at the last collection. The collections of several threads are one by one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.growing = Growing()
        self.steady = Steady()

    def after_fork(self) -> None:
        """In a fork's child no thread of its parent's collects."""
        self.lock = threading.RLock()


_collected = _Collected()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_collected.after_fork)


def _one(name: str) -> Callable[[Any, dict[str, Any]], Iterable[tuple[str, float]]]:
    return lambda info, options: [("", getattr(info, name))]


def _gets(info: Any, options: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return [("hit", info.hits), ("miss", info.misses)]


def _loads(info: Any, options: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return [("success", info.loads - info.load_failures), ("failure", info.load_failures)]


def _most(info: Any, options: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return [] if info.max_size is None else [("", info.max_size)]


def _weight(info: Any, options: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return [] if options.get("max_weight") is None else [("", info.weight)]


def _skips(info: Any, options: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return [(str(reason), number) for reason, number in getattr(info, "skips", {}).items()]


def _repairs(info: Any, options: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return [("", info.repairs)] if hasattr(info, "repairs") else []


def _far_gets(info: Any, options: dict[str, Any]) -> Iterable[tuple[str, float]]:
    if options.get("remote") is None:
        return []
    return [("hit", info.remote_hits), ("miss", info.remote_misses)]


def _far_errors(info: Any, options: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return [] if options.get("remote") is None else [("", info.remote_errors)]


METRICS = (
    Metric("cache.gets", "{call}", "Calls, by whether they were hits.", True, _gets, "result"),
    Metric("cache.size", "{entry}", "Entries.", False, _one("current_size")),
    Metric("cache.max.size", "{entry}", "Entries at most.", False, _most),
    Metric("cache.weight", "1", "The sum of the entries' weights.", False, _weight),
    Metric(
        "cache.evictions",
        "{entry}",
        "Entries that gave way to others.",
        True,
        _one("evictions"),
    ),
    Metric(
        "cache.expirations",
        "{entry}",
        "Entries that were dropped as they had ended.",
        True,
        _one("expirations"),
    ),
    Metric(
        "cache.load",
        "{computation}",
        "Computations that have ended, by whether they raised.",
        True,
        _loads,
        "result",
    ),
    Metric(
        "cache.load.duration",
        "s",
        "The time that computations took, all together.",
        True,
        _one("load_seconds"),
    ),
    Metric(
        "cache.stale.hits",
        "{call}",
        "Calls that got a value which was no longer fresh.",
        True,
        _one("stale_hits"),
    ),
    Metric(
        "cache.refreshes",
        "{computation}",
        "Computations begun while there was a value.",
        True,
        _one("refreshes"),
    ),
    Metric(
        "cache.skips",
        "{call}",
        "Results that were not stored, by reason (shared caches).",
        True,
        _skips,
        "reason",
    ),
    Metric(
        "cache.repairs",
        "{repair}",
        "How often a shared cache's file was put in order.",
        True,
        _repairs,
    ),
    Metric(
        "cache.remote.gets",
        "{call}",
        "Calls with no near copy: answered by the server, or computed (caches with remote=).",
        True,
        _far_gets,
        "result",
    ),
    Metric(
        "cache.remote.errors",
        "{request}",
        "Requests that the server did not answer as it should (caches with remote=).",
        True,
        _far_errors,
    ),
)


def samples(metrics: Iterable[Metric] = METRICS, *, only_of_the_host: bool = False) -> list[Sample]:
    """The values of all caches of this process, with one for each metric, cache and label.

    Caches of one name and backend are added up; several functions of one shared file are one cache.
    What this process counts by itself never falls, whatever is cleared or dies, while a cache of
    the name is left. only_of_the_host: only caches that all processes of the host share. What a
    cache raises is logged, and the others are measured. O(caches), and O(n) of a shared cache in
    which entries have ended.
    """
    chosen = list(metrics)
    with _collected.lock:
        _collected.growing.forget()
        return _collect(chosen, only_of_the_host)


def _collect(metrics: list[Metric], only_of_the_host: bool) -> list[Sample]:
    found: dict[tuple[Metric, str, str, str], float] = {}
    files: set[str] = set()
    for cache in caches():
        try:
            options, info = looked_at(cache)
            backend: str = options["backend"]
            path = options.get("path")
            is_of_the_host = backend == "shared" and not options.get("private")
            if options.get("remote"):
                # Each process counts for itself, with a file or without.
                path, is_of_the_host = None, False
            if path in files or only_of_the_host and not is_of_the_host:
                continue
            name = _name(cache, options)
            if path is not None:
                files.add(path)
            counters = (info.hits, info.misses, info.loads, info.load_failures)
            for metric in metrics:
                for label, value in metric.read(info, options):
                    at = metric, name, backend, label
                    if metric.counts and not is_of_the_host:
                        found[at] = _collected.growing.total(at, cache, value)
                        continue
                    if metric.counts:
                        value = _collected.steady.value(path, at, counters, value)
                    found[at] = found.get(at, 0) + value
        except Exception:
            _logger.warning("a cache cannot be measured: %r", cache, exc_info=True)
    _collected.steady.forget_others(files)
    return [Sample(*at, value) for at, value in found.items()]


def looked_at(cache: Any) -> tuple[dict[str, Any], Any]:
    """The options and counters of a decorated function, or of a cache object."""
    if hasattr(cache, "cache_options"):
        return cache.cache_options(), cache.cache_info()
    return cache.options(), cache.info()


def _name(cache: Any, options: dict[str, Any]) -> str:
    """What the user calls the cache, else its function."""
    if options.get("name") is not None:
        return str(options["name"])
    module = getattr(cache, "__module__", None)
    called = options.get("qualname") or type(cache).__qualname__
    return f"{module}.{called}" if isinstance(module, str) else str(called)
