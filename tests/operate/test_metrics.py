"""What Prometheus and OpenTelemetry get of the caches, by the real libraries."""

from __future__ import annotations

import contextlib
import gc
import logging
from pathlib import Path
from typing import Any

import pytest
import support

import warp_cache
from tests.package.documents import REFERENCE, rows
from warp_cache import cache, lru_cache
from warp_cache._metrics import METRICS, samples

prometheus_client = pytest.importorskip("prometheus_client")
sdk = pytest.importorskip("opentelemetry.sdk.metrics")


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache with remote= has its counters without one, too."""
    monkeypatch.setenv("WARP_CACHE_REMOTE", "off")


def scraped(registry: Any) -> dict[str, float]:
    """The samples of this test's caches, as Prometheus reads them."""
    text = prometheus_client.generate_latest(registry).decode()
    lines = [line for line in text.splitlines() if "#" not in line and __name__ in line]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def made() -> list[Any]:
    @cache(max_size=3)
    def short(x: int) -> int:
        return 10 // x

    @cache(backend="shared", max_size=50)
    def shared(x: Any) -> int:
        return 1

    @cache(max_weight=100, weigher=lambda value: 7)
    def weighed(x: int) -> int:
        return x

    @cache(remote=True, ttl=60)
    def far(x: int) -> int:
        return x

    for at in (1, 2, 3, 4, 5, 5, 0):
        with contextlib.suppress(ZeroDivisionError):
            short(at)
    shared(1), shared(1), weighed(1), far(1)
    with pytest.warns(warp_cache.UncacheableWarning):
        shared(object())
    return [short, shared, weighed, far]


def label(of: str, backend: str, **more: str) -> str:
    rest = "".join(f',{name}="{value}"' for name, value in more.items())
    return f'{{backend="{backend}",cache="{__name__}.made.<locals>.{of}"{rest}}}'


def test_prometheus_reads_what_was_counted() -> None:
    from warp_cache.prometheus import register

    kept = made()
    registry = prometheus_client.CollectorRegistry()
    register(registry)
    found = scraped(registry)
    memory, shared = label("short", "memory"), label("shared", "shared")
    for result, number in (("hit", 1), ("miss", 6)):
        assert found[f"cache_gets_total{label('short', 'memory', result=result)}"] == number
    assert found[f"cache_size{memory}"] == found[f"cache_max_size{memory}"] == 3
    assert found[f"cache_evictions_total{memory}"] == 2
    assert found[f"cache_size{shared}"] == 1 and found[f"cache_max_size{shared}"] == 50
    assert found[f"cache_repairs_total{shared}"] == 0
    failure = label("short", "memory", result="failure")
    assert found[f"cache_load_total{failure}"] == 1
    skip = label("shared", "shared", reason="argument")
    assert found[f"cache_skips_total{skip}"] == 1
    assert found[f"cache_weight{label('weighed', 'memory')}"] == 7
    assert found[f"cache_load_duration_seconds_total{memory}"] > 0
    assert f"cache_repairs_total{memory}" not in found
    for result in ("hit", "miss"):
        assert found[f"cache_remote_gets_total{label('far', 'memory', result=result)}"] == 0
    assert found[f"cache_remote_errors_total{label('far', 'memory')}"] == 0
    assert f"cache_remote_errors_total{memory}" not in found
    del kept


def test_all_names_are_documented_and_given(caplog: pytest.LogCaptureFixture) -> None:
    from warp_cache.prometheus import CacheCollector

    described = rows(REFERENCE / "metrics.md")
    families = {family.name: family for family in CacheCollector().describe()}
    assert len(families) == len(METRICS)
    for metric in METRICS:
        row = described[f"`{metric.name}`"]
        name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
        family = families.pop(name)
        prometheus_name = name + ("_total" if family.type == "counter" else "")
        assert f"`{prometheus_name}`" in row[0]
        assert (metric.label is None) == (f"`{metric.label}`" not in row[1])
    assert not families
    kept = made()
    assert {sample.metric.name for sample in samples()} == {metric.name for metric in METRICS}
    assert not caplog.records
    del kept


def test_opentelemetry_observes_the_same() -> None:
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from warp_cache.opentelemetry import instrument

    reader = InMemoryMetricReader()
    provider = sdk.MeterProvider([reader])
    instrument(provider)
    instrument(provider)
    kept = made()
    data = reader.get_metrics_data()
    (scope,) = data.resource_metrics[0].scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("warp_cache", warp_cache.__version__)
    observed = {}
    for metric in scope.metrics:
        (known,) = (one for one in METRICS if one.name == metric.name)
        assert (metric.unit, metric.description) == (known.unit, known.help)
        assert metric.data.is_monotonic is known.counts
        for point in metric.data.data_points:
            attributes = dict(point.attributes)
            at = attributes["cache.name"], attributes["cache.backend"]
            observed[(metric.name, *at, attributes.get(known.label or "", ""))] = point.value
    expected = {(s.metric.name, s.cache, s.backend, s.label): s.value for s in samples()}
    assert observed == expected
    provider.shutdown()
    del kept


def test_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from warp_cache.prometheus import register

    registry = prometheus_client.CollectorRegistry()
    collector = register(registry)
    assert register(registry) is collector
    registry.unregister(collector)
    again = register(registry)
    assert again is not collector
    other = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("cache_size", "taken", registry=other)
    with pytest.raises(ValueError, match="cache_size"):
        register(other)


def test_caches_that_come_and_go_and_share_names() -> None:
    def make() -> Any:
        @lru_cache(max_size=10)
        def twin(x: int) -> int:
            return x

        return twin

    one, two = make(), make()
    one(1), two(1), two(2)
    (size,) = (s.value for s in samples() if s.metric.name == "cache.size" and "twin" in s.cache)
    assert size == 3, "caches of one name are added up"
    del one, two
    assert not [sample for sample in samples() if "twin" in sample.cache]


def counted(name: str) -> dict[tuple[str, str], float]:
    """The counters of the cache that is called so."""
    return {
        (s.metric.name, s.label): s.value
        for s in samples()
        if s.metric.counts and s.cache.endswith(name)
    }


def test_counters_of_a_process_never_fall() -> None:
    class Owner:
        @cache(per_instance=True)
        def owned(self, x: int) -> int:
            return x

    def make() -> Any:
        @cache
        def twin(x: int) -> int:
            return 10 // x

        return twin

    owners, twins = [Owner(), Owner()], [make(), make()]
    for x in (1, 2, 2, 2):
        owners[0].owned(x), twins[0](x)
    owners[1].owned(1), twins[1](1)
    with pytest.raises(ZeroDivisionError):
        twins[1](0)
    before = {name: counted(name) for name in (".owned", ".twin")}
    assert before[".owned"]["cache.gets", "hit"] == before[".twin"]["cache.gets", "hit"] == 2
    assert before[".twin"]["cache.gets", "miss"] == 4
    del owners[0], twins[0]
    gc.collect()
    assert {name: counted(name) for name in before} == before, "one of several has died"
    twins[0].cache_clear()
    Owner.owned.cache_clear()
    assert {name: counted(name) for name in before} == before, "they were cleared"
    twins[0](1), owners[0].owned(1)
    for name, old in before.items():
        new = counted(name)
        assert all(new[at] >= value for at, value in old.items())
        assert new["cache.gets", "miss"] == old["cache.gets", "miss"] + 1
        assert new["cache.load", "success"] == old["cache.load", "success"] + 1
    del twins[0]
    gc.collect()
    assert not counted(".twin"), "nobody is left"
    twins.append(make())
    twins[0](1)
    assert counted(".twin")["cache.gets", "miss"] == 1


def test_what_two_counters_of_a_file_make_does_not_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failures are read a moment after the computations, and others compute meanwhile."""
    from warp_cache import _metrics

    @cache(backend="shared", name="shared-by-all")
    def shared(x: int) -> int:
        return x

    shared(1)
    options, info = _metrics.looked_at(shared)

    class Info:
        def __init__(self, loads: int, failures: int) -> None:
            self.loads, self.load_failures = loads, failures

        def __getattr__(self, name: str) -> Any:
            return getattr(info, name)

    def given(loads: int, failures: int) -> float:
        monkeypatch.setattr(_metrics, "caches", lambda: [shared])
        monkeypatch.setattr(_metrics, "looked_at", lambda _: (options, Info(loads, failures)))
        return counted("shared-by-all")["cache.load", "success"]

    assert [given(10, 2), given(11, 4), given(12, 4), given(13, 4)] == [8, 8, 8, 9]
    assert given(1, 0) == 1, "it was cleared"


def test_two_functions_of_one_file_are_one_cache() -> None:
    def make() -> Any:
        @cache(backend="shared", name="one-file")
        def same(x: int) -> int:
            return x

        return same

    one, two = make(), make()
    one(1), two(1)
    found = {
        s.label: s.value
        for s in samples()
        if s.cache == "one-file" and s.metric.label == "result" and s.metric.name == "cache.gets"
    }
    assert found == {"hit": 1, "miss": 1}


def test_a_cache_that_cannot_be_measured_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = made()
    from warp_cache import _metrics

    class Broken:
        def cache_options(self) -> Any:
            raise OSError("broken")

    monkeypatch.setattr(_metrics, "caches", lambda: [Broken(), *kept])
    with caplog.at_level(logging.WARNING, "warp_cache"):
        assert len({sample.cache for sample in samples()}) == len(kept)
    (record,) = caplog.records
    assert record.name == "warp_cache" and "cannot be measured" in record.getMessage()


MULTIPROCESS = """
import os, sys
from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess
import warp_cache.prometheus
from warp_cache import cache

@cache(backend="shared", name="of_the_host")
def of_the_host(x): return x
@cache
def of_the_worker(x): return x
def private():
    seen = []
    @cache(backend="shared")
    def alone(x):
        seen.append(x)
        return x
    return alone
alone = private()
requests = Counter("requests", "of all workers")

def work():
    requests.inc()
    of_the_host(1), of_the_worker(1), alone(1)

def scrape():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    warp_cache.prometheus.register(registry)
    return generate_latest(registry).decode()

work()
for _ in range(3):
    if not os.fork():
        try:
            work()
            text = scrape()
            assert "of_the_host" in text and "of_the_worker" not in text and "alone" not in text
        except BaseException as error:
            sys.stderr.write(repr(error))
            os._exit(1)
        os._exit(0)
    assert os.wait()[1] == 0
for line in scrape().splitlines():
    if "gets_total{" in line or line.startswith("requests_total"):
        print(line)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="workers are forked")
def test_the_multi_process_mode_has_what_is_the_hosts(tmp_path: Path) -> None:
    done = support.run_python(MULTIPROCESS, environment={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    assert done.stdout.splitlines() == [
        "requests_total 4.0",
        'cache_gets_total{backend="shared",cache="of_the_host",result="hit"} 3.0',
        'cache_gets_total{backend="shared",cache="of_the_host",result="miss"} 1.0',
    ], done.stderr


def test_what_is_missing_is_named() -> None:
    for module, package in (
        ("prometheus", "prometheus-client"),
        ("opentelemetry", "opentelemetry-api"),
    ):
        source = (
            "import sys\n"
            "for name in 'prometheus_client.core', 'opentelemetry.metrics':\n"
            "    sys.modules[name] = None\n"
            f"import warp_cache.{module}"
        )
        done = support.run_python(source)
        assert f"pip install {package}" in done.stderr


def test_importing_the_package_loads_neither() -> None:
    source = (
        "import sys, warp_cache\nprint([m for m in sys.modules if 'prom' in m or 'telem' in m])"
    )
    assert support.run_python(source).stdout == "[]\n"
