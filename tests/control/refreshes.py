"""Functions whose refreshes wait at a gate, for the tests of those who join one."""

from __future__ import annotations

from typing import Any

import support
from control import Gate, cache


def gated(gate: Gate) -> Any:
    """A function of x with a gate. (A name makes it one that processes know.)"""

    def function(x: int) -> Any:
        return gate(x)

    return function


def made(backend: str, function: Any, **options: Any) -> Any:
    return cache(backend=backend, name="refreshed", **options)(function)


def until_waited_for(f: Any, number: int) -> None:
    """Wait until so many wait for the one refresh that is under way."""
    (flight,) = f._refreshes.values()
    support.eventually(lambda: flight.waiters == number)
