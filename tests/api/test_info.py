"""cache_info, cache_parameters and cache_clear, and what a size means."""

from __future__ import annotations

import ast
import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warp_cache import Backend, CacheInfo, SharedCacheInfo, Strategy, _strategies, cache, lru_cache

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])
each_strategy = pytest.mark.parametrize("strategy", list(Strategy), ids=lambda s: s.name)


def identity(x: Any) -> Any:
    return x


def their_info(*values: Any) -> Any:
    return type(functools.lru_cache(identity).cache_info())(*values)


@both
def test_info_is_a_named_tuple_of_four(decorate: Decorate) -> None:
    cached = decorate(max_size=3)(identity)
    for x in (1, 2, 1):
        cached(x)
    info = cached.cache_info()
    assert isinstance(info, CacheInfo) and isinstance(info, tuple)
    hits, misses, maxsize, currsize = info
    assert (hits, misses, maxsize, currsize) == (1, 2, 3, 2)
    assert (info.hits, info.misses, info.maxsize, info.currsize) == (1, 2, 3, 2)
    assert (info.max_size, info.current_size) == (3, 2)
    assert len(info) == 4 and info[0] == 1 and info[-1] == 2 and info[1:3] == (2, 3)
    assert list(info) == [1, 2, 3, 2]
    assert all(type(value) is int for value in info)


@both
def test_info_equals_the_tuple_of_functools(decorate: Decorate) -> None:
    info = decorate(identity).cache_info()
    theirs, plain = their_info(0, 0, 128, 0), (0, 0, 128, 0)
    for same in (theirs, plain):
        assert info == same and same == info
        assert (info != same, same != info) == (False, False)
    assert hash(info) == hash(theirs) == hash((0, 0, 128, 0))
    assert info != their_info(1, 0, 128, 0) and info < their_info(0, 0, 128, 1)
    assert {info: 1}[(0, 0, 128, 0)] == 1


@both
def test_info_has_what_a_named_tuple_has(decorate: Decorate) -> None:
    """functools documents a named tuple; exporters of metrics use _asdict()."""
    info = decorate(identity).cache_info()
    theirs = their_info(*info)
    assert info._fields == theirs._fields
    assert info._asdict() == theirs._asdict()
    assert info._replace(hits=7) == (7, 0, 128, 0)
    cached = decorate(identity)
    cached(1)
    assert cached.cache_info()._replace(hits=7).loads == 1
    match info:
        case (0, 0, 128, 0):
            pass
        case _:
            pytest.fail("does not match as a sequence")


@both
def test_info_prints_as_functools_does(decorate: Decorate) -> None:
    cached = decorate(max_size=None)(identity)
    cached(1)
    info = cached.cache_info()
    assert repr(info) == str(info) == "CacheInfo(hits=0, misses=1, maxsize=None, currsize=1)"


@both
def test_info_is_a_value(decorate: Decorate) -> None:
    """It does not change afterwards, cannot be changed, can be copied and pickled."""
    cached = decorate(identity)
    before = cached.cache_info()
    cached(1)
    assert before == (0, 0, 128, 0)
    with pytest.raises((AttributeError, TypeError)):
        before.hits = 1
    assert copy.copy(before) == copy.deepcopy(before) == before
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(before, protocol))
        assert again == before and type(again) is type(before)


def test_shared_info_type() -> None:
    assert issubclass(SharedCacheInfo, tuple)
    assert hasattr(SharedCacheInfo, "oversize_skips")
    assert hasattr(SharedCacheInfo, "max_size") and hasattr(SharedCacheInfo, "current_size")
    assert not hasattr(CacheInfo, "oversize_skips")
    assert SharedCacheInfo.repairs == 0 and not hasattr(CacheInfo, "repairs")


@both
@pytest.mark.parametrize("size", [0, 1, 128, None])
@pytest.mark.parametrize("typed", [False, True])
def test_parameters(decorate: Decorate, size: int | None, typed: bool) -> None:
    cached = decorate(max_size=size, typed=typed)(identity)
    parameters = cached.cache_parameters()
    assert parameters == {"maxsize": size, "typed": typed}
    assert type(parameters) is dict and type(parameters["typed"]) is bool
    parameters["maxsize"] = "changed"
    assert cached.cache_parameters() == {"maxsize": size, "typed": typed}
    assert cached.cache_parameters() is not cached.cache_parameters()


@both
def test_parameters_of_the_bare_form(decorate: Decorate) -> None:
    for cached in (decorate(identity), decorate()(identity)):
        assert cached.cache_parameters() == {"maxsize": 128, "typed": False}
        assert cached.cache_info() == (0, 0, 128, 0)


@both
@pytest.mark.parametrize("size", [-1, -10, -(2**31), -(2**63), -(2**70)])
def test_a_negative_size_is_zero(decorate: Decorate, size: int) -> None:
    cached = decorate(max_size=size)(identity)
    assert cached.cache_parameters()["maxsize"] == 0
    assert [cached(1), cached(1)] == [1, 1]
    assert cached.cache_info() == (0, 2, 0, 0)


@both
@pytest.mark.parametrize("size", [2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**48, 2**63 - 1])
def test_a_huge_size_takes_no_memory(decorate: Decorate, size: int) -> None:
    cached = decorate(max_size=size)(identity)
    assert [cached(x) for x in range(100)] == list(range(100))
    assert [cached(x) for x in range(100)] == list(range(100))
    assert cached.cache_info() == (100, 100, size, 100)


@each_strategy
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 15, 16, 17, 100, 128, 129, 1000])
def test_capacity_is_exact(strategy: Strategy, size: int) -> None:
    cached = cache(strategy, max_size=size)(identity)
    for _ in range(3):
        assert [cached(x) for x in range(size)] == list(range(size))
    assert cached.cache_info() == (2 * size, size, size, size)
    cached(size)
    assert cached.cache_info() == (2 * size, size + 1, size, size)
    assert sum(cached.get(x) is not None for x in range(size + 1)) == size


@each_strategy
def test_size_zero_counts_and_stores_nothing(strategy: Strategy) -> None:
    calls = []
    cached = cache(strategy, max_size=0)(calls.append)
    for _ in range(3):
        cached(1)
    assert calls == [1, 1, 1]
    assert cached.cache_info() == (0, 3, 0, 0)
    assert cached.set("value", 1) is None
    assert cached.get(1) is None
    cached(1)
    assert cached.cache_info() == (0, 4, 0, 0)
    cached.cache_clear()
    assert cached.cache_info() == (0, 0, 0, 0)


def test_size_zero_of_lru_cache_takes_unhashable_arguments_as_functools_does() -> None:
    for decorate in (functools.lru_cache, lru_cache):
        cached = decorate(maxsize=0)(identity)
        assert cached([1]) == [1]
        assert cached.cache_info() == (0, 1, 0, 0)


@each_strategy
def test_size_none_keeps_everything(strategy: Strategy) -> None:
    cached = cache(strategy, max_size=None)(str)
    for _ in range(2):
        assert all(cached(x) == str(x) for x in range(10_000))
    assert cached.cache_info() == (10_000, 10_000, None, 10_000)
    cached.cache_clear()
    assert cached.cache_info() == (0, 0, None, 0)
    assert cached(5) == "5"
    assert cached.cache_info() == (0, 1, None, 1)


@both
@pytest.mark.parametrize("spelling", ["max_size", "maxsize"])
@pytest.mark.parametrize("size", [0, 3, None, -1])
def test_both_spellings_of_the_size(decorate: Decorate, spelling: str, size: int | None) -> None:
    cached = decorate(**{spelling: size})(identity)
    assert cached.cache_parameters()["maxsize"] == (0 if size == -1 else size)


@both
def test_clear_drops_values_and_counts_and_leaves_a_working_cache(decorate: Decorate) -> None:
    calls = []

    @decorate(max_size=2)
    def cached(x: int) -> int:
        calls.append(x)
        return x

    for round_number in range(3):
        for x in (1, 2, 3, 3):
            cached(x)
        assert cached.cache_info() == (1, 3, 2, 2)
        assert cached.cache_clear() is None
        assert cached.cache_info() == (0, 0, 2, 0)
        assert cached.get(3) is None
        assert calls == [1, 2, 3] * (round_number + 1)


@both
def test_what_counts_as_what(decorate: Decorate) -> None:
    """hits + misses = calls; a call that raises is a miss, one without a key does not count."""

    @decorate
    def cached(x: Any) -> Any:
        if x == "raise":
            raise LookupError(x)
        return x

    cached(1)
    cached(1)
    for _ in range(2):
        with pytest.raises(LookupError, match="raise"):
            cached("raise")
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        cached([])
    cached.get(1)
    cached.get(2)
    cached.set(3, 3)
    assert cached.cache_info() == (1, 3, 128, 2)


@both
def test_an_exception_passes_through_unchanged(decorate: Decorate) -> None:
    error = LookupError("mine")

    @decorate
    def cached(x: int) -> int:
        raise error

    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            cached(1)
        assert caught.value is error
        assert caught.value.__context__ is None and caught.value.__cause__ is None
    names = [entry.name for entry in caught.traceback]
    assert names[-1] == "cached"


@both
@pytest.mark.parametrize("value", [None, False, 0, "", (), NotImplemented, ..., StopIteration()])
def test_any_value_is_a_value(decorate: Decorate, value: Any) -> None:
    cached = decorate(lambda: value)
    assert cached() is value and cached() is value
    assert cached.cache_info()[:2] == (1, 1)


def test_type_checkers_know_each_backend() -> None:
    """They read members in the source; those of the class come from the extension module's list."""
    tree = ast.parse(Path(_strategies.__file__).read_text())
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    (said,) = (node.body for node in classes if node.name == "Backend")
    values = {
        ast.unparse(n.targets[0]): ast.unparse(n.value) for n in said if isinstance(n, ast.Assign)
    }
    assert values == {backend.name: str(backend.value) for backend in Backend}


def test_enums() -> None:
    names = ("LRU", "MRU", "FIFO", "LFU", "SIEVE", "S3FIFO", "TINYLFU")
    assert [(s.name, s.value) for s in Strategy] == [(n, i) for i, n in enumerate(names)]
    # Pickles and fingerprints have these numbers.
    assert (Backend.MEMORY, Backend.SHARED) == (0, 1)
    assert isinstance(Strategy.LFU, int) and Strategy(3) is Strategy.LFU
    for value in (*Strategy, *Backend):
        assert pickle.loads(pickle.dumps(value)) is value
    for strategy in Strategy:
        assert cache(int(strategy))(identity)(1) == 1  # type: ignore[call-overload]
