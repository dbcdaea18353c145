"""The functions that are cached, their keys, and the proof that hits were hits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.harness import Contender
from benchmarks.loops import UNROLL, Key

Function = Callable[..., Any]
Decorator = Callable[[Function], Any]

MAX_SIZE = 128


@dataclass
class Counted:
    """A function `(a)` or `(a, b)` that returns its first argument and notes each computation."""

    parameters: str
    awaited: bool = False
    computed: list[None] = field(default_factory=list)
    function: Function = field(init=False)

    def __post_init__(self) -> None:
        # Compiled at module level, since free-threaded builds treat nested functions differently.
        namespace: dict[str, Any] = {
            "note": self.computed.append,
            "__name__": "benchmarks.workloads",
        }
        define = "async def" if self.awaited else "def"
        source = f"{define} work({self.parameters}):\n    note(None)\n    return a\n"
        exec(compile(source, "<benchmark>", "exec"), namespace)
        self.function = namespace["work"]


def cached(
    name: str, decorator: Decorator, counted: Counted, keys: Sequence[Key], note: str = ""
) -> Contender:
    """A contender whose cache holds all keys already."""
    target = decorator(counted.function)
    for key in keys:
        value = target(*key)
        if value != key[0]:
            raise AssertionError(f"{name} returned {value!r} for {key!r}")
    return Contender(name, target, note)


def require_computed(name: str, counted: Counted, expected: int) -> None:
    """Fail if the timed calls were not all hits: figures of something else are worse than none."""
    if len(counted.computed) != expected:
        raise AssertionError(
            f"{name}: {len(counted.computed)} computations where {expected} keys were to be cached"
        )


def one_int() -> list[Key]:
    """Ints of several sizes: the interpreter's small ones, one digit, two digits, negative ones."""
    return [(n,) for n in (*_SMALL, *_MEDIUM, *_LARGE)]


def one_str() -> list[Key]:
    """Strings as in programs: names, a path, a URL, some text; not all interned."""
    stems = ("id", "user", "name_of_it", "a/longer/path", "https://example.org/?q=", "Zürich ")
    return [(f"{stems[n % len(stems)]}{n}",) for n in range(UNROLL)]


def int_pairs() -> list[Key]:
    ints = [key[0] for key in one_int()]
    return [(a, b) for a, b in zip(ints, reversed(ints), strict=True)]


def str_int_pairs() -> list[Key]:
    strings = [key[0] for key in one_str()]
    ints = [key[0] for key in one_int()]
    return list(zip(strings, ints, strict=True))


_SMALL = (0, 1, 2, 7, 42)
_MEDIUM = (-1, 1000, 4096, 65_537, 999_983, 123_456_789)
_LARGE = (2**31, 2**40 + 1, 10**15, -(10**12), 2**61 - 2)


def again(keys: Sequence[Key]) -> list[Key]:
    """Equal keys made of other objects, as a program that parses its input has them."""
    return [tuple(_copy(part) for part in key) for key in keys]


def _copy(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode().decode()
    return int(str(value))
