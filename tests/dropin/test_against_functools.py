"""Random programs on functools.lru_cache and on warp_cache.lru_cache: equal at each step."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st

import warp_cache

SIZES = (None, 0, -1, 1, 2, 5)
MAX_DEPTH = 3


class Boom(Exception):
    """What a program raises from inside the cached function."""


LONE: list[Any] = [0, 1, 2, -1, "a", "b", "", None, (), (1,), ("a", 1), b"a", frozenset({1}), 2.5]


class Text(str):
    """A str of another type, which is equal to one; functools tells lone ones apart."""


MIXED: list[Any] = [*LONE, 1.0, True, False, 0.0, complex(1, 0), Text("a"), Text("b")]
UNHASHABLE: list[Any] = [[], {}, [1, 2]]
# Calls that a careless key would take for one another.
ALIKE: list[tuple[tuple[Any, ...], tuple[tuple[str, Any], ...]]] = [
    ((), (("x", 1), ("y", 2))),
    ((), (("y", 2), ("x", 1))),
    (("x", 1), (("y", 2),)),
    ((("x", 1), ("y", 2)), ()),
    ((("x", 1),), ()),
    (("x", 1), ()),
    ((), (("x", 1),)),
    ((), (("x", (1, "y", 2)),)),
]


@dataclass(frozen=True)
class Call:
    """A call; a computation that it causes does what `inside` says, then returns or raises."""

    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    inside: tuple[Any, ...] = ()
    raises: bool = False


@dataclass(frozen=True)
class Clear:
    """cache_clear(), at the top or from inside a computation."""


Step = Call | Clear


def calls(typed: bool, inside: st.SearchStrategy[tuple[Any, ...]]) -> st.SearchStrategy[Call]:
    lone = st.sampled_from(MIXED)
    mixed = st.sampled_from(MIXED)
    rarely_unhashable = st.one_of(*[mixed] * 8, st.sampled_from(UNHASHABLE))
    names = st.lists(st.sampled_from(["x", "y", "z"]), max_size=3, unique=True)
    positional = st.one_of(
        lone.map(lambda value: (value,)),
        lone.map(lambda value: (value,)),
        st.tuples(),
        st.tuples(mixed, rarely_unhashable),
        st.tuples(mixed, mixed, mixed),
    )

    @st.composite
    def build(draw: st.DrawFn) -> Call:
        if draw(st.booleans()):
            args, kwargs = draw(st.sampled_from(ALIKE))
        else:
            args = draw(positional)
            kwargs = tuple((name, draw(mixed)) for name in draw(names))
        return Call(args, kwargs, draw(inside), draw(st.integers(0, 9)) == 9)

    return build()


def programs(typed: bool) -> st.SearchStrategy[list[Step]]:
    clear = st.just(Clear())
    steps: st.SearchStrategy[Step] = calls(typed, st.just(()))
    for _ in range(MAX_DEPTH - 1):
        inner = st.one_of(st.just(()), st.lists(st.one_of(steps, clear), max_size=3).map(tuple))
        steps = calls(typed, inner)
    return st.lists(st.one_of(steps, steps, steps, steps, clear), min_size=1, max_size=25)


@dataclass
class Runner:
    """Runs programs on one of the two, and keeps everything that can be seen from outside."""

    lru_cache: Any
    maxsize: int | None
    typed: bool
    log: list[Any] = field(default_factory=list)
    # What a computation does depends on the call that caused it, which is not an argument.
    current: list[Call] = field(default_factory=list)
    computed: int = 0

    def __post_init__(self) -> None:
        self.cached = self.lru_cache(maxsize=self.maxsize, typed=self.typed)(self._function)

    def _function(self, *args: Any, **kwargs: Any) -> Any:
        call = self.current[-1]
        self.computed += 1
        number = self.computed
        self.log.append(("computes", number, args, tuple(kwargs.items())))
        for step in call.inside:
            self.run(step)
        if call.raises:
            raise Boom(number)
        return (number, args, tuple(kwargs.items()))

    def run(self, step: Step) -> None:
        if isinstance(step, Clear):
            self.cached.cache_clear()
        else:
            self.current.append(step)
            try:
                self.log.append(("returns", self.cached(*step.args, **dict(step.kwargs))))
            except Boom as error:
                self.log.append(("raises", error.args))
            except TypeError as error:
                self.log.append(("refuses", str(error)))
            finally:
                self.current.pop()
        self.log.append(tuple(self.cached.cache_info()))


def describe(log: list[Any]) -> list[tuple[Any, Any]]:
    """Values with their types: 1 and True are equal, but not the same answer."""
    return [(entry, repr(entry)) for entry in log]


@pytest.mark.parametrize("typed", [False, True], ids=["untyped", "typed"])
@pytest.mark.parametrize("maxsize", SIZES)
def test_same_as_functools(maxsize: int | None, typed: bool) -> None:
    @settings(max_examples=support.examples(30))
    @given(programs(typed))
    def same(program: list[Step]) -> None:
        theirs = Runner(functools.lru_cache, maxsize, typed)
        ours = Runner(warp_cache.lru_cache, maxsize, typed)
        assert ours.cached.cache_parameters() == theirs.cached.cache_parameters()
        for step in program:
            theirs.run(step)
            ours.run(step)
            assert describe(ours.log) == describe(theirs.log)
            theirs.log.clear()
            ours.log.clear()

    same()


@pytest.mark.parametrize("backend", ["memory", "shared"])
@pytest.mark.parametrize("maxsize", [None, 3, 5])
def test_lone_arguments_that_are_equal(maxsize: int | None, backend: str) -> None:
    """functools keeps a lone int or str apart from what equals it; with company they are one."""

    def function(*args: Any, **kwargs: Any) -> str:
        return f"{args} {[type(arg).__name__ for arg in args]} {kwargs}"

    ours = warp_cache.lru_cache(function, max_size=maxsize, backend=backend, name="lone")
    theirs = functools.lru_cache(maxsize=maxsize)(function)
    lone = [1, 1.0, True, "a", Text("a"), 1, Fraction(1), Text("a"), "a", 2**70, 2.0**70, 2**70]
    for program in (
        [((value,), {}) for value in lone],
        [((value, 0), {}) for value in lone],
        [((), {"x": value}) for value in lone],
        [((value,), {"x": 1}) for value in lone],
    ):
        ours.cache_clear()
        theirs.cache_clear()
        for args, kwargs in program:
            assert ours(*args, **kwargs) == theirs(*args, **kwargs)
            assert ours.cache_info() == theirs.cache_info()


def test_lone_arguments_of_coroutine_functions_and_methods() -> None:
    @warp_cache.lru_cache
    async def kind(value: Any) -> str:
        await asyncio.sleep(0)
        return type(value).__name__

    async def main() -> list[str]:
        return await asyncio.gather(kind(1), kind(1.0), kind(1), kind("a"), kind(Text("a")))

    for _ in range(2):
        assert asyncio.run(main()) == ["int", "float", "int", "str", "Text"]
    assert (kind.get(1), kind.get(True), kind.get(Text("a"))) == ("int", "float", "Text")
    kind.set("set", 1.0)
    assert (kind.get(1), kind.get(1.0)) == ("int", "set")
    by_meaning = warp_cache.cache(lambda value: type(value).__name__)
    assert [by_meaning(value) for value in ("a", Text("a"), 1.0, 1)] == [
        "str",
        "str",
        "float",
        "float",
    ]


def test_values_of_inner_computations_of_one_key() -> None:
    """A function that calls itself with its own key: functools, bounded, keeps the inner value,
    unbounded the outer."""
    for maxsize in (None, 1, 2):
        seen = []
        for lru_cache in (functools.lru_cache, warp_cache.lru_cache):
            depth = 0

            @lru_cache(maxsize=maxsize)
            def cached(key: str) -> int:
                nonlocal depth
                depth += 1
                mine = depth
                if depth < 3:
                    cached(key)  # noqa: B023 - it is called before the loop goes on
                return mine

            seen.append((cached("k"), cached("k"), tuple(cached.cache_info())))
        assert seen[0] == seen[1], f"maxsize={maxsize}"
