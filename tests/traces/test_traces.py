"""Real access traces: each strategy's misses equal those of independent simulators, to the unit.

Those of TinyLFU hang on hashes; they are no more than Caffeine's rules give, with a small margin.

The traces belong to their authors and are not part of the project. They are looked for in
$WARP_CACHE_TRACES, else in shared/traces beside the checkout.
"""

from __future__ import annotations

import array
import json
import operator
import os
import sys
from collections.abc import Callable
from functools import lru_cache as remember
from pathlib import Path
from typing import Any

import pytest

from warp_cache import Strategy, cache, lru_cache

lzma = pytest.importorskip("lzma", reason="this interpreter has no lzma: the traces did not run")

FOLDER = Path(
    os.environ.get("WARP_CACHE_TRACES")
    or Path(__file__).resolve().parents[2].parent / "shared" / "traces"
)
FRACTIONS = ("0.001", "0.01", "0.1")
SHORT = ("web07", "web12")
LONG = ("scarab-recs", "orm-busy")
TRACES = [*SHORT, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)]

# Of TinyLFU there is no exact count.
EXACT = [strategy for strategy in Strategy if strategy is not Strategy.TINYLFU]
IN_THE_REFERENCE = {Strategy.S3FIFO: "S3FIFO_paper"}

# Misses in per cent of the requests, by capacity as in FRACTIONS: the worst of ten runs, with other
# hash functions, of a simulator of Caffeine 3's adaptive W-TinyLFU (at first a window of 1 %;
# protected 80 % of the rest; a sketch of 4 rows of 4-bit counters, as many words as the next power
# of two to the capacity, halved after 10 * capacity increments; samples of 10 * capacity requests,
# steps of 6.25 %, decay 0.98, restart at 0.05).
ADAPTIVE = {
    "web07": (76.32, 57.20, 45.55),
    "web12": (87.22, 58.32, 29.96),
    "scarab-recs": (77.85, 58.12, 40.08),
    "orm-busy": (55.49, 27.52, 11.97),
}
# The same of WTinyLFU(capacity, window_size=0.01) of PyPI's libcachesim 0.3.5, whose window keeps
# its size; None where that window has no place for one entry.
FIXED = {
    "web07": (None, 60.887, 44.016),
    "web12": (None, 64.766, 29.438),
    "scarab-recs": (80.118, 59.216, 38.914),
    "orm-busy": (None, 40.796, 11.705),
}
MARGIN = 0.5

# (identifier, strategy, decorator): all must agree on what a strategy is.
DECORATORS: list[tuple[str, Strategy, Callable[..., Any]]] = [
    *((f"cache-{s.name}", s, lambda n, s=s: cache(s, max_size=n)) for s in EXACT),
    ("lru_cache", Strategy.LRU, lambda n: lru_cache(maxsize=n)),
]
# Parameters that cost another path through the engine and must not change which entries stay.
VARIANTS: list[tuple[str, Strategy, Callable[..., Any]]] = [
    *((f"typed-{s.name}", s, lambda n, s=s: cache(s, max_size=n, typed=True)) for s in EXACT),
    *((f"ttl-{s.name}", s, lambda n, s=s: cache(s, max_size=n, ttl=86400)) for s in EXACT),
    *(
        (f"alone-{s.name}", s, lambda n, s=s: cache(s, max_size=n, single_flight=False))
        for s in EXACT
    ),
]


def _file(name: str) -> Path:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"no {name} in WARP_CACHE_TRACES or ../shared/traces: this trace did not run")
    return path


def reference(name: str, fraction: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_file("reference.json").read_text())[f"{name}@{fraction}"]
    return found


@remember(maxsize=1)
def requests(name: str) -> array.array[int]:
    """The keys of a trace in the order of the requests."""
    code = next(code for code in "ILH" if array.array(code).itemsize == 4)
    keys = array.array(code)
    keys.frombytes(lzma.decompress(_file(f"{name}.u32.xz").read_bytes()))
    if sys.byteorder == "big":
        keys.byteswap()
    return keys


def misses(name: str, fraction: str, decorate: Callable[..., Any]) -> int:
    expected = reference(name, fraction)
    keys = requests(name)
    assert len(keys) == expected["requests"]
    cached = decorate(expected["capacity"])(hex)
    assert all(map(operator.eq, map(cached, keys), map(hex, keys)))
    hits, misses, max_size, size = cached.cache_info()
    assert hits + misses == len(keys)
    assert size == max_size == expected["capacity"]
    counted: int = misses
    return counted


def expected_misses(name: str, fraction: str, strategy: Strategy) -> int:
    column = IN_THE_REFERENCE.get(strategy, strategy.name)
    count: int = reference(name, fraction)["misses"][column]
    return count


@pytest.mark.timeout(600)
@pytest.mark.parametrize("decorator", DECORATORS, ids=lambda decorator: decorator[0])
@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("name", TRACES)
def test_misses_equal_the_reference(
    name: str, fraction: str, decorator: tuple[str, Strategy, Callable[..., Any]]
) -> None:
    _, strategy, decorate = decorator
    assert misses(name, fraction, decorate) == expected_misses(name, fraction, strategy)


@pytest.mark.parametrize("decorator", VARIANTS, ids=lambda decorator: decorator[0])
@pytest.mark.parametrize("name", SHORT)
def test_other_parameters_do_not_change_what_stays(
    name: str, decorator: tuple[str, Strategy, Callable[..., Any]]
) -> None:
    _, strategy, decorate = decorator
    assert misses(name, "0.01", decorate) == expected_misses(name, "0.01", strategy)


def tinylfu(capacity: int) -> Any:
    return cache(Strategy.TINYLFU, max_size=capacity)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("name", TRACES)
def test_misses_of_tinylfu(name: str, fraction: str) -> None:
    share = 100 * misses(name, fraction, tinylfu) / len(requests(name))
    at = FRACTIONS.index(fraction)
    others = [share for share in (ADAPTIVE[name][at], FIXED[name][at]) if share is not None]
    assert share <= min(others) + MARGIN
