"""The caches' counters for OpenTelemetry, by its API (``opentelemetry-api``).

>>> import warp_cache.opentelemetry
>>> warp_cache.opentelemetry.instrument()
"""

from __future__ import annotations

from weakref import WeakSet

from warp_cache import __version__
from warp_cache._metrics import METRICS, Metric, samples

try:
    from opentelemetry.metrics import (
        CallbackOptions,
        MeterProvider,
        Observation,
        get_meter_provider,
    )
except ImportError as _missing:
    raise ImportError(
        "warp_cache.opentelemetry needs opentelemetry-api: pip install opentelemetry-api"
    ) from _missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypedDict

    class _About(TypedDict):
        unit: str
        description: str


__all__ = ["instrument"]

_instrumented: WeakSet[MeterProvider] = WeakSet()


def instrument(meter_provider: MeterProvider | None = None) -> None:
    """Have a meter provider observe the counters of this process's caches, later ones included.

    Parameters:
        meter_provider: one of OpenTelemetry's; None for the global one.

    A second call for a provider does nothing. Nothing runs until the provider's reader collects;
    then it costs O(caches) for each metric, and O(n) for a shared cache in which entries have
    ended.
    """
    provider = get_meter_provider() if meter_provider is None else meter_provider
    if provider in _instrumented:
        return
    meter = provider.get_meter("warp_cache", __version__)
    for metric in METRICS:
        about: _About = {"unit": metric.unit, "description": metric.help}
        if metric.counts:
            meter.create_observable_counter(metric.name, [_callback(metric)], **about)
        else:
            meter.create_observable_up_down_counter(metric.name, [_callback(metric)], **about)
    _instrumented.add(provider)


def _callback(metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        for sample in samples([metric]):
            attributes = {"cache.name": sample.cache, "cache.backend": sample.backend}
            if metric.label is not None:
                attributes[metric.label] = sample.label
            yield Observation(sample.value, attributes)

    return observe
