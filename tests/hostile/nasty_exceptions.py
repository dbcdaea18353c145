"""Classes of exceptions that hinder whoever copies them. ``NASTY``: by name, what makes one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


# --- nasty ones ----------------------------------------------------------------------------


class Refuses:
    """Every way that leads to a copy ends here."""

    def refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("asked")

    __copy__ = __deepcopy__ = __reduce__ = __reduce_ex__ = __getstate__ = __setstate__ = refuse
    __getnewargs__ = __getnewargs_ex__ = __getinitargs__ = refuse


class RefusesAll(Refuses, Exception):
    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(name)


class Lies(Exception):
    __reduce__ = __reduce_ex__ = lambda self, *args: (ValueError, ("lie",))  # noqa: E731
    __copy__ = lambda self: self  # noqa: E731
    __class__ = KeyError  # type: ignore[assignment]


class Hides(Exception):
    """What Python reads of it is not what it is."""

    args = property(lambda self: ("hidden",))  # type: ignore[assignment]
    __dict__ = property(lambda self: {})  # type: ignore[assignment]
    __traceback__ = property(lambda self: None)  # type: ignore[assignment]
    __context__ = property(lambda self: None)  # type: ignore[assignment]
    __cause__ = property(lambda self: None)  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Compares(Exception):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        raise RuntimeError("printed")

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise RuntimeError("asked for its truth")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    name: str = "name"


@dataclasses.dataclass
class Thawed(Exception):
    code: int


class Mangled(Exception):
    __slots__ = ("__hidden", "other", "__weakref__")

    def __init__(self) -> None:
        self.__hidden = "hidden"

    def hidden(self) -> str:
        return self.__hidden


class Below(Mangled):
    __slots__ = ("other",)

    def __init__(self) -> None:
        super().__init__()
        Mangled.other.__set__(self, "above")  # type: ignore[attr-defined]
        self.other = "below"


class Meta(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            raise TypeError("keywords, please")
        return super().__call__(*args, **kwargs)

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__mro__", "__dict__", "__base__", "__basicsize__"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


class OfMeta(Exception, metaclass=Meta):
    def __init__(self, *, code: int) -> None:
        self.code = code

    def __dir__(self) -> list[str]:
        return ["code"]


class Mixed(KeyError, OSError, Generic[T]):
    def __init__(self, first: Any, *, second: Any) -> None:
        super().__init__(first)
        self.second = second


class Singleton(Exception):
    def __new__(cls) -> Any:
        raise TypeError("there is one already")


class Interns(Exception):
    made: dict[str, Any] = {}

    def __new__(cls, name: str) -> Any:
        return cls.made.setdefault(name, super().__new__(cls, name))


def the_singleton() -> Any:
    return Exception.__new__(Singleton)


def reassigned() -> Any:
    error = ValueError(1, 2)
    error.args = ()
    return error


NASTY: dict[str, Callable[[], BaseException]] = {
    "refuses": lambda: RefusesAll(1, 2),
    "lies": lambda: Lies("truth"),
    "compares": lambda: Compares(1),
    "frozen": lambda: Frozen(3),
    "dataclass": lambda: Thawed(3),
    "mangled slots": Mangled,
    "slots of one name": Below,
    "metaclass": lambda: OfMeta(code=3),
    "mixed": lambda: Mixed(1, second=2),
    "singleton": the_singleton,
    "interned": lambda: Interns("name"),
    "args taken away": reassigned,
}
