"""What `on_removal` was told, for the tests of it."""

from __future__ import annotations

import inspect
from typing import Any

from control import warp


class Told:
    """What `on_removal` was called with, as (x, value, name of the cause)."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, Any, Any]] = []

    def __call__(self, call: Any, value: Any, cause: Any) -> None:
        assert isinstance(cause, warp.RemovalCause)
        self.all.append((call, value, cause))

    @property
    def causes(self) -> list[str]:
        return [cause.name for _, _, cause in self.all]

    @property
    def short(self) -> list[tuple[Any, Any, str]]:
        return [(bound(call), value, cause.name) for call, value, cause in self.all]


def bound(call: Any) -> Any:
    """The x of a call of f(x): which of the forms a call is told in, is not specified."""
    args, kwargs = call
    assert type(args) is tuple and type(kwargs) is dict
    return inspect.signature(lambda x: x).bind(*args, **kwargs).arguments["x"]
