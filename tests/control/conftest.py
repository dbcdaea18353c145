"""Gives the tests of control over entries their kinds of functions and a clock they can advance."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import support
from control import Kind, the_testing

HERE = Path(__file__).resolve().parent
# Where `children` is, which starts the processes of the tests of the shared backend.
sys.path.append(str(HERE.parent / "shared"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, HERE)


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Plain functions, then coroutine functions in a loop that lasts as long as the test."""
    kind = Kind(is_async=request.param == "async")
    yield kind
    kind.close()


@pytest.fixture(params=["memory", "shared"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """In memory, then in a file of the test's own."""
    with the_testing().isolated():
        yield request.param


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock for the caches in memory, which `advance(seconds)` moves.

    Whether it stands still between two advances or goes on with the machine's is not specified:
    tests use lifetimes of hundreds of seconds, beside which the run itself takes no time.
    """
    with the_testing().clock() as clock:
        yield clock


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Any]:
    """Starts Python processes that are told what to do; none outlives the test."""
    from children import Children

    with Children(tmp_path) as children:
        yield children
