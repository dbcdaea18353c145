"""Classes of every kind whose method has a cache for each instance."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
from control import cache


class Plain:
    """At module level, so that it can be pickled; so are those below."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    @cache(per_instance=True)
    def method(self, x: int) -> tuple[int, int]:
        return (self.number, x)


@dataclasses.dataclass
class Data:
    """Compared by value, and so not hashable."""

    number: int = 0

    @cache(per_instance=True)
    def method(self, x: int) -> tuple[int, int]:
        return (self.number, x)


@dataclasses.dataclass(frozen=True)
class Frozen:
    number: int = 0

    @cache(per_instance=True)
    def method(self, x: int) -> tuple[int, int]:
        return (self.number, x)


class Reducing(Plain):
    def __reduce__(self) -> Any:
        return Reducing, (self.number,)


class ReducingEx(Plain):
    def __reduce_ex__(self, protocol: Any) -> Any:
        return ReducingEx, (self.number,), {"protocol": int(protocol)}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.state = state


class Stateful(Plain):
    def __getstate__(self) -> Any:
        return {"number": self.number, "kept": True}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class Wholesale(Plain):
    """Its state is all that it has."""

    def __getstate__(self) -> Any:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class Own(Plain):
    def __copy__(self) -> Own:
        new = Own.__new__(Own)
        new.__dict__.update(self.__dict__)
        return new

    def __deepcopy__(self, memo: Any) -> Own:
        new = Own.__new__(Own)
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return new


class Slots:
    __slots__ = ("number", "__weakref__")

    def __init__(self, number: int = 0) -> None:
        self.number = number

    @cache(per_instance=True)
    def method(self, x: int) -> tuple[int, int]:
        return (self.number, x)


class SlotsWithDict:
    __slots__ = ("number", "__dict__")

    def __init__(self, number: int = 0) -> None:
        self.number = number

    @cache(per_instance=True)
    def method(self, x: int) -> tuple[int, int]:
        return (self.number, x)


class Sub(Plain):
    @cache(per_instance=True)
    def method(self, x: int) -> Any:
        return ("sub", super().method(x))


ALL = [
    Plain,
    Data,
    Frozen,
    Reducing,
    ReducingEx,
    Stateful,
    Wholesale,
    Own,
    Slots,
    SlotsWithDict,
    Sub,
]
each_class = pytest.mark.parametrize("make", ALL)
USUAL = [make for make in ALL if make is not Sub]
