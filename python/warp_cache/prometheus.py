"""The caches' counters for Prometheus, by ``prometheus_client``.

>>> import warp_cache.prometheus
>>> collector = warp_cache.prometheus.register()
"""

from __future__ import annotations

import os
from weakref import WeakKeyDictionary

from warp_cache._metrics import METRICS, samples

try:
    from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector, CollectorRegistry
except ImportError as _missing:
    raise ImportError(
        "warp_cache.prometheus needs prometheus_client: pip install prometheus-client"
    ) from _missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric as Family

__all__ = ["CacheCollector", "register"]

_registered: WeakKeyDictionary[CollectorRegistry, CacheCollector] = WeakKeyDictionary()


def _is_multiprocess() -> bool:
    names = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
    return any(name in os.environ for name in names)


class CacheCollector(Collector):
    """Gives the counters of ``warp_cache.caches()`` whenever they are collected.

    In the multi-process mode of prometheus_client (``PROMETHEUS_MULTIPROC_DIR``) it gives those of
    shared caches alone: they are the same whichever worker answers, and are so given once a host;
    what is in one worker's memory is not. A collection costs O(caches), and O(n) for a shared cache
    in which entries have ended.
    """

    def describe(self) -> Iterable[Family]:
        """The metrics without values, from which a registry knows their names."""
        return [family for family, _ in _families().values()]

    def collect(self) -> Iterable[Family]:
        """The metrics with the values that they have now."""
        families = _families()
        for sample in samples(only_of_the_host=_is_multiprocess()):
            family, label = families[sample.metric.name]
            labels = [sample.cache, sample.backend, *([sample.label] if label else [])]
            family.add_metric(labels, sample.value)
        return [family for family, _ in families.values()]


def _families() -> dict[str, tuple[CounterMetricFamily | GaugeMetricFamily, str | None]]:
    found: dict[str, tuple[CounterMetricFamily | GaugeMetricFamily, str | None]] = {}
    for metric in METRICS:
        kind = CounterMetricFamily if metric.counts else GaugeMetricFamily
        name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
        labels = ["cache", "backend", *([metric.label] if metric.label else [])]
        found[metric.name] = kind(name, metric.help, labels=labels), metric.label
    return found


def register(registry: CollectorRegistry = REGISTRY) -> CacheCollector:
    """Have a registry collect the counters of this process's caches, those made later included.

    Parameters:
        registry: one of prometheus_client's; in its multi-process mode the one that its
            ``MultiProcessCollector`` was given.

    Returns the collector, which ``registry.unregister`` takes away. A second call for a registry
    gives the same one. Raises ValueError where the registry has other metrics of these names.
    """
    collector = CacheCollector()
    try:
        registry.register(collector)
    except ValueError:
        # The names are taken: by our own, it may be.
        known = _registered.get(registry)
        if known is None:
            raise
        return known
    _registered[registry] = collector
    return collector
