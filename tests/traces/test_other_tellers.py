"""The traces told to others than the engine of this process: the naive models and the shared tier.

That the models give the reference's counts makes what is compared with them exact, not just alike.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from test_traces import SHORT, expected_misses, misses, reference, requests

from warp_cache import Strategy, cache

sys.path.append(str(Path(__file__).resolve().parents[1] / "models"))

from naive_model import NaiveCache
from naive_policies import EXACT

# Counts and times of uses that follow each other within about a microsecond are not exact there.
SHARED = [Strategy.FIFO, Strategy.SIEVE]

traces = pytest.mark.parametrize("name", SHORT)
fractions = pytest.mark.parametrize("fraction", ("0.001", "0.01"))


@pytest.mark.parametrize("strategy", EXACT, ids=lambda strategy: strategy.name)
@fractions
@traces
def test_naive_models(name: str, fraction: str, strategy: Strategy) -> None:
    model = NaiveCache(strategy, reference(name, fraction)["capacity"])
    for key in requests(name):
        model.call(key, lambda: None)
    assert model.misses == expected_misses(name, fraction, strategy)


@pytest.mark.parametrize("strategy", SHARED, ids=lambda strategy: strategy.name)
@fractions
@traces
def test_shared_tier(name: str, fraction: str, strategy: Strategy) -> None:
    def decorate(capacity: int) -> Any:
        return cache(strategy, max_size=capacity, backend="shared", name="trace")

    assert misses(name, fraction, decorate) == expected_misses(name, fraction, strategy)
