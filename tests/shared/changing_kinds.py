"""Kinds of functions that can change: what makes one, and what changes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Function = Callable[[int], Any]
Change = Callable[[int], object]


class Kinds(dict[str, Callable[[], tuple[Function, Change]]]):
    """By kind, what makes a function and what changes it."""

    def add(
        self, make: Callable[[], tuple[Function, Change]]
    ) -> Callable[[], tuple[Function, Change]]:
        self[make.__name__.strip("_").replace("_", " ")] = make
        return make
