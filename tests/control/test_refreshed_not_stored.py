"""A newer value that a shared cache cannot have leaves no older one in its place (§2.3, §2.7)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from control import Body, Kind, cache, the_testing

# What has no bytes, what has too many, and what is larger than the whole file.
UNFIT: dict[str, Any] = {
    "no bytes": threading.Lock(),
    "too large": "x" * 5000,
    "larger than the file": b"x" * (8 << 20),
}

pytestmark = pytest.mark.filterwarnings("ignore::warp_cache.UncacheableWarning")


@pytest.fixture(autouse=True)
def isolated() -> Iterator[None]:
    with the_testing().isolated():
        yield


def made(kind: Kind, newer: str, **options: Any) -> tuple[Any, Body]:
    body = Body()
    body.make = lambda x: "old" if body.count == 1 else UNFIT[newer]
    options = {
        "max_value_size": None if newer == "larger than the file" else 4096,
        "max_bytes": 1 << 20,
        **options,
    }
    return cache(backend="shared", name="unfit", **options)(kind.one(body)), body


@pytest.mark.parametrize("single_flight", [True, False])
@pytest.mark.parametrize("newer", UNFIT)
def test_after_a_refresh_nobody_gets_the_older_value(
    kind: Kind, newer: str, single_flight: bool
) -> None:
    f, body = made(kind, newer, single_flight=single_flight)
    assert kind.call(f, 1) == "old"
    assert kind.call(f.cache_refresh, 1) == UNFIT[newer]
    assert f.get(1) is None and not f.cache_contains(1)
    assert kind.call(f, 1) == UNFIT[newer] and body.count == 3


@pytest.mark.parametrize("newer", UNFIT)
def test_a_refresh_in_the_background_drops_the_older_value(kind: Kind, newer: str) -> None:
    f, body = made(kind, newer, ttl=0.001, stale_while_revalidate=10_000)
    kind.call(f, 1)
    kind.eventually(lambda: f.cache_ttl(1) < 0)
    assert kind.call(f, 1) == "old"
    kind.eventually(lambda: not f.cache_contains(1))
    assert body.count == 2


@pytest.mark.parametrize("newer", UNFIT)
def test_no_failure_brings_the_older_value_back(kind: Kind, newer: str) -> None:
    f, body = made(kind, newer, ttl=0.001, stale_if_error=10_000)
    kind.call(f, 1)
    kind.eventually(lambda: f.cache_ttl(1) < 0)
    assert kind.call(f, 1) == UNFIT[newer]
    body.fail = KeyError("fails")
    with pytest.raises(KeyError, match="fails"):
        kind.call(f, 1)


def test_a_refresh_that_fails_leaves_what_was_there(kind: Kind) -> None:
    f, body = made(kind, "no bytes")
    kind.call(f, 1)
    body.fail = KeyError("fails")
    with pytest.raises(KeyError, match="fails"):
        kind.call(f.cache_refresh, 1)
    assert f.get(1) == "old"
