"""An option is known everywhere: to the types, the decorators, the extension and the documents."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import warp_cache
from warp_cache import CacheOptions, LruCacheOptions, _warp_cache_rs, cache, lru_cache
from warp_cache._decorators import _CONTROL
from warp_cache._options import CommonOptions, ControlOptions

ROOT = Path(__file__).resolve().parents[2]
DECORATORS = [(cache, CacheOptions), (lru_cache, LruCacheOptions)]
# What Python makes of its own: the other name of a size, which backend, and what it is called.
ABOVE = {"maxsize", "backend", "name"}


def names(types: Any) -> set[str]:
    return set(types.__optional_keys__ | types.__required_keys__)


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("decorator, types", DECORATORS)
def test_the_types_are_what_a_decorator_takes(decorator: Any, types: Any) -> None:
    assert names(types) == set(parameters(decorator))
    assert set(get_type_hints(types)) == names(types), "they can be read at run time, too"


def test_the_types_are_what_the_extension_takes() -> None:
    given = set(parameters(_warp_cache_rs.Options)) - {"by_signature"}
    assert given == names(CacheOptions) - ABOVE
    control = names(ControlOptions)
    assert given == names(CommonOptions) | control | {"strategy", "single_flight"}
    defaults = {name: inspect.signature(cache).parameters[name].default for name in control}
    assert defaults == _CONTROL
    shared = set(parameters(_warp_cache_rs.SharedCachedFunction))
    assert shared - {"fn", "shm_name", "by_signature"} == given - control
    assert set(parameters(_warp_cache_rs.CachedFunction)) - {"fn", "by_signature"} <= given


def test_every_option_is_in_the_documents() -> None:
    page = (ROOT / "docs" / "reference" / "parameters.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert names(CacheOptions) | names(LruCacheOptions) <= described


@pytest.mark.parametrize("decorator, types", DECORATORS)
def test_the_stub_names_the_options_that_have_a_place(decorator: Any, types: Any) -> None:
    """stubtest cannot compare overloads with one function."""
    stub = Path(warp_cache.__file__).with_name("__init__.pyi").read_text(encoding="utf-8")
    overloads = [
        node
        for node in ast.parse(stub).body
        if isinstance(node, ast.FunctionDef) and node.name == decorator.__name__
    ]
    places = [
        name
        for name, parameter in inspect.signature(decorator).parameters.items()
        if parameter.kind is not parameter.KEYWORD_ONLY
    ]
    assert len(overloads) == 6
    for overload in overloads:
        told = [argument.arg.lstrip("_") for argument in overload.args.posonlyargs]
        if told[0] == "function":
            # The place of the strategy is the function's.
            assert told[1:] == [name for name in places if name != "strategy"][-len(told) + 1 :]
        else:
            assert told == places
        assert {argument.arg for argument in overload.args.kwonlyargs} <= names(types)
