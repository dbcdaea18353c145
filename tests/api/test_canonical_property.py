"""`cache` on random signatures and calls: two share an entry exactly if they bind alike."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st

from warp_cache import cache

Parameter = inspect.Parameter
EXTRA_NAMES = ["p0", "p1", "k0", "k1", "x", "y"]
VALUES = st.integers(0, 2)


def source(
    posonly: int, plain: int, defaults: int, star: bool, keyword: list[bool], kwargs: bool
) -> str:
    """A parameter list; the last `defaults` of the positional ones have a default."""
    count = posonly + plain
    parts: list[str] = []
    for number in range(count):
        parts.append(f"p{number}" + (f"={number % 3}" if number >= count - defaults else ""))
        if number + 1 == posonly:
            parts.append("/")
    if star:
        parts.append("*args")
    elif keyword:
        parts.append("*")
    parts += [f"k{n}" + (f"={n % 3}" if default else "") for n, default in enumerate(keyword)]
    if kwargs:
        parts.append("**kwargs")
    return ", ".join(parts)


@st.composite
def parameter_lists(draw: st.DrawFn) -> str:
    posonly, plain = draw(st.integers(0, 2)), draw(st.integers(0, 3))
    return source(
        posonly,
        plain,
        draw(st.integers(0, posonly + plain)),
        draw(st.booleans()),
        draw(st.lists(st.booleans(), max_size=3)),
        draw(st.booleans()),
    )


def make(parameters: str) -> Any:
    """A function that returns all that it got, in the order in which it can see it."""
    scope: dict[str, Any] = {}
    exec(f"def function({parameters}): return list(locals().items())", scope)
    function = scope["function"]
    return function


def seen_by_function(result: list[tuple[str, Any]]) -> Any:
    """What decides about the entry: each parameter's value, gathered keywords in their order.

    The function itself tells: inspect's bind() errs where a positional-only name is gathered too.
    """
    return tuple((n, tuple(v.items()) if isinstance(v, dict) else v) for n, v in result)


@st.composite
def call_lists(draw: st.DrawFn, signature: inspect.Signature) -> list[tuple[Any, Any]]:
    """Calls, most of them right: names and numbers of arguments follow the signature."""
    kinds = list(signature.parameters.values())
    positional = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in kinds)
    can_be_named = [p.name for p in kinds if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = [p.name for p in kinds if p.name in can_be_named and p.default is p.empty]
    calls = []
    for _ in range(draw(st.integers(1, 12))):
        args = tuple(draw(st.lists(VALUES, max_size=positional + 1)))
        given = list(signature.parameters)[: len(args)]
        free = [name for name in can_be_named if name not in given]
        wanted = [name for name in free if name in required or draw(st.booleans())]
        if draw(st.integers(0, 5)) == 0:  # may be wrong, may be gathered
            wanted.append(draw(st.sampled_from(EXTRA_NAMES)))
        names = draw(st.permutations(list(dict.fromkeys(wanted))))
        calls.append((args, {name: draw(VALUES) for name in names}))
    return calls


@settings(max_examples=support.examples(400))
@given(st.data(), st.booleans())
def test_entries_are_shared_exactly_by_calls_that_bind_alike(data: Any, typed: bool) -> None:
    parameters = data.draw(parameter_lists())
    function = make(parameters)
    signature = inspect.signature(function)
    cached = cache(max_size=None, typed=typed)(function)
    seen: set[Any] = set()
    hits = misses = 0
    for args, kwargs in data.draw(call_lists(signature)):
        try:
            expected = function(*args, **kwargs)
        except TypeError as wrong:
            with pytest.raises(TypeError) as ours:
                cached(*args, **kwargs)
            assert str(ours.value) == str(wrong)
            misses += 1
        else:
            key = seen_by_function(expected)
            hits += key in seen
            misses += key not in seen
            seen.add(key)
            assert cached(*args, **kwargs) == expected
            assert cached.get(*args, **kwargs) == expected
        assert cached.cache_info() == (hits, misses, None, len(seen)), (parameters, args, kwargs)
