"""Real access traces: each strategy's misses equal those of independent simulators, to the unit.

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

# (identifier, strategy, decorator): all must agree on what a strategy is.
DECORATORS: list[tuple[str, Strategy, Callable[..., Any]]] = [
    *((f"cache-{s.name}", s, lambda n, s=s: cache(s, max_size=n)) for s in Strategy),
    ("lru_cache", Strategy.LRU, lambda n: lru_cache(maxsize=n)),
]
# Parameters that cost another path through the engine and must not change which entries stay.
VARIANTS: list[tuple[str, Strategy, Callable[..., Any]]] = [
    *((f"typed-{s.name}", s, lambda n, s=s: cache(s, max_size=n, typed=True)) for s in Strategy),
    *((f"ttl-{s.name}", s, lambda n, s=s: cache(s, max_size=n, ttl=86400)) for s in Strategy),
    *(
        (f"alone-{s.name}", s, lambda n, s=s: cache(s, max_size=n, single_flight=False))
        for s in Strategy
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


def replay(name: str, fraction: str, strategy: Strategy, decorate: Callable[..., Any]) -> None:
    expected = reference(name, fraction)
    keys = requests(name)
    assert len(keys) == expected["requests"]
    cached = decorate(expected["capacity"])(hex)
    assert all(map(operator.eq, map(cached, keys), map(hex, keys)))
    hits, misses, max_size, size = cached.cache_info()
    assert misses == expected["misses"][strategy.name]
    assert hits + misses == len(keys)
    assert size == max_size == expected["capacity"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("decorator", DECORATORS, ids=lambda decorator: decorator[0])
@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("name", TRACES)
def test_misses_equal_the_reference(
    name: str, fraction: str, decorator: tuple[str, Strategy, Callable[..., Any]]
) -> None:
    _, strategy, decorate = decorator
    replay(name, fraction, strategy, decorate)


@pytest.mark.parametrize("decorator", VARIANTS, ids=lambda decorator: decorator[0])
@pytest.mark.parametrize("name", SHORT)
def test_other_parameters_do_not_change_what_stays(
    name: str, decorator: tuple[str, Strategy, Callable[..., Any]]
) -> None:
    _, strategy, decorate = decorator
    replay(name, "0.01", strategy, decorate)
