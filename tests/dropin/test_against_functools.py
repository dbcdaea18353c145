"""Random programs on functools.lru_cache and on warp_cache.lru_cache: equal at each step.

One deliberate difference is kept out of the programs: untyped, functools keys a lone `1` apart from
a lone `1.0` or `True`, warp_cache does not. Numbers that are equal across types appear only beside
another argument.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import warp_cache

SIZES = (None, 0, -1, 1, 2, 5)
MAX_DEPTH = 3


class Boom(Exception):
    """What a program raises from inside the cached function."""


LONE: list[Any] = [0, 1, 2, -1, "a", "b", "", None, (), (1,), ("a", 1), b"a", frozenset({1}), 2.5]
MIXED: list[Any] = [*LONE, 1.0, True, False, 0.0, complex(1, 0)]
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
    lone = st.sampled_from(MIXED if typed else LONE)
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
    @settings(max_examples=80)
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


@pytest.mark.parametrize("maxsize", [None, 2, 5])
def test_the_one_difference_is_as_documented(maxsize: int | None) -> None:
    """A lone 1, 1.0 and True: one key here, two in functools; with company one key in both."""

    def function(*args: Any) -> str:
        return repr(args)

    ours = warp_cache.lru_cache(maxsize=maxsize)(function)
    assert [ours(1), ours(1.0), ours(True)] == ["(1,)"] * 3
    assert ours.cache_info()[:2] == (2, 1)

    theirs = functools.lru_cache(maxsize=maxsize)(function)
    ours.cache_clear()
    for cached in (ours, theirs):
        assert [cached(1, 0), cached(1.0, 0), cached(True, False)] == ["(1, 0)"] * 3
        assert cached.cache_info()[:2] == (2, 1)


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
