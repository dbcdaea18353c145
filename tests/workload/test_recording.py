"""A recording has every call of every cached function, and a call is none the wiser."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import numbered, read, streams

import warp_cache
from warp_cache import Strategy, cache, lru_cache
from warp_cache._warp_cache_rs import (
    CachedFunction,
    SharedCachedFunction,
    _replay,
)

TRACE = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def entry(function: object) -> int:
    """The pointer through which Python enters a cached function."""
    # tp_vectorcall_offset: after a variable object's head, the name, two sizes and the destructor.
    head = object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)
    place = id(type(function)) + head + 4 * ctypes.sizeof(ctypes.c_void_p)
    offset = ctypes.c_ssize_t.from_address(place).value
    pointer = ctypes.c_void_p.from_address(id(function) + offset).value
    assert pointer is not None
    return pointer


def identity(x: Any, *more: Any, **named: Any) -> Any:
    return x


class Box:
    """Equal by its content; says how often it was hashed."""

    hashed = 0

    def __init__(self, content: int) -> None:
        self.content = content

    def __hash__(self) -> int:
        Box.hashed += 1
        return hash(self.content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and self.content == other.content


def zoo() -> dict[str, Callable[[int], Any]]:
    """One cached function of each kind, by its name, as something to call with a number."""
    found: dict[str, Callable[[int], Any]] = {}

    def named(name: str) -> Callable[..., Any]:
        def function(x: Any, *more: Any) -> Any:
            return more[0] if name in ("method", "of_class") else x

        function.__name__ = function.__qualname__ = name
        return function

    def asynchronous(name: str) -> Callable[..., Any]:
        async def function(x: Any) -> Any:
            return x

        function.__name__ = function.__qualname__ = name
        return function

    class Class:
        method = cache(named("method"))
        static = staticmethod(lru_cache(named("static")))
        of_class = classmethod(cache(named("of_class")))

    instance = Class()
    found["plain"] = cache(max_size=3)(named("plain"))
    found["typed"] = cache(typed=True, max_size=5)(named("typed"))
    found["aging"] = cache(ttl=1000)(named("aging"))
    found["fifo"] = cache(strategy=Strategy.FIFO, max_size=2)(named("fifo"))
    found["lru"] = lru_cache(maxsize=4)(named("lru"))
    found["nothing"] = cache(max_size=0)(named("nothing"))
    found["direct"] = CachedFunction(named("direct"), Strategy.LRU, 10)
    shared = SharedCachedFunction(named("shared_direct"), Strategy.LRU, 10)
    found["shared_direct"] = shared
    found["shared"] = cache(backend="shared", max_size=3)(named("shared"))
    two = cache(max_size=3)(named("two"))
    found["two"] = lambda x: two(x, "second")
    words = lru_cache(max_size=3)(identity_of("words"))
    found["words"] = lambda x: words(x, word=1)
    through_call = cache(named("through_call"))
    found["through_call"] = lambda x: through_call.__call__(x)
    partial = cache(named("partial"))
    found["partial"] = lambda x: functools.partial(partial, x)()
    found["method"] = instance.method
    found["static"] = Class.static
    found["of_class"] = Class.of_class
    boxes = cache(max_size=3)(named("boxes"))
    found["boxes"] = lambda x: boxes(Box(x))
    for name, options in [("later", {}), ("later_shared", {"backend": "shared"})]:
        decorated = cache(max_size=3, **options)(asynchronous(name))  # type: ignore[arg-type]
        found[name] = lambda x, decorated=decorated: asyncio.run(decorated(x))  # type: ignore[misc]
    return found


def identity_of(name: str) -> Callable[..., Any]:
    def function(x: Any, **named: Any) -> Any:
        return x

    function.__name__ = function.__qualname__ = name
    return function


KINDS = sorted(zoo())


@TRACE
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 6)), max_size=60),
    st.sets(st.sampled_from(KINDS)),
)
def test_every_call_of_every_kind_is_recorded(
    tmp_path: Path, calls: list[tuple[str, int]], used_before: set[str]
) -> None:
    functions = zoo()
    for name in used_before:
        functions[name](100)
    path = tmp_path / "calls.rec"
    with warp_cache.record(path):
        for name, key in calls:
            result = functions[name](key)
            assert (result.content if isinstance(result, Box) else result) == key
    for name in KINDS:
        functions[name](3)  # no longer recorded
    found = streams(path)
    assert set(found) == {name for name, _ in calls}
    for name, keys in found.items():
        assert keys == numbered(key for called, key in calls if called == name)


def test_the_entries_are_the_same_before_and_after(tmp_path: Path) -> None:
    def functions() -> list[CachedFunction[..., Any]]:
        # (Not by isinstance: what other tests have left alive may lie about its class.)
        return [f for f in gc.get_objects() if issubclass(type(f), CachedFunction)]

    others = {id(f) for f in functions()}
    kinds = zoo()
    for call in kinds.values():
        call(1)
    made = [f for f in functions() if id(f) not in others]
    assert len(made) == len(KINDS)
    before = [entry(f) for f in made]
    with warp_cache.record(tmp_path / "calls.rec"):
        during = [entry(f) for f in made]
    assert [entry(f) for f in made] == before
    assert not set(before) & set(during)


def test_functions_that_the_collector_does_not_show_are_found(tmp_path: Path) -> None:
    frozen = cache(identity)
    frozen(1)
    gc.freeze()
    try:
        with warp_cache.record(tmp_path / "calls.rec"):
            frozen(1)
    finally:
        gc.unfreeze()
    assert streams(tmp_path / "calls.rec") == {"identity": [0]}


@pytest.mark.parametrize("strategy", Strategy)
@TRACE
@given(keys=st.lists(st.integers(0, 12), max_size=200), size=st.integers(1, 10))
def test_a_replay_misses_what_the_cache_missed(
    tmp_path: Path, strategy: Strategy, keys: list[int], size: int
) -> None:
    cached = cache(strategy=strategy, max_size=size)(identity)
    with warp_cache.record(tmp_path / "calls.rec"):
        for key in keys:
            cached(key)
    recorded = read(tmp_path / "calls.rec")
    if not keys:
        assert recorded == []
        return
    assert recorded[0][1:4] == (strategy, size, len(set(keys)))
    stream = array("I", recorded[0].keys)
    assert _replay(stream, [(strategy, size)]) == [cached.cache_info().misses]


def test_hits_and_misses_are_those_of_a_program_that_is_not_recorded(tmp_path: Path) -> None:
    def run() -> list[Any]:
        functions = zoo()
        for key in [1, 2, 1, 3, 4, 5, 1, 2, 2]:
            for call in functions.values():
                call(key)
        plain: Any = functions["plain"]
        lru: Any = functions["lru"]
        aging: Any = functions["aging"]
        nothing: Any = functions["nothing"]
        return [f.cache_info() for f in (plain, lru, aging, nothing)]

    expected = run()
    with warp_cache.record(tmp_path / "calls.rec"):
        assert run() == expected


@pytest.mark.parametrize("kind", [cache, lru_cache, cache(typed=True), cache(backend="shared")])
def test_an_argument_is_hashed_once(tmp_path: Path, kind: Any) -> None:
    def of(box: Box) -> int:
        return box.content

    cached = kind(of)
    before = Box.hashed
    cached(Box(1))
    usual = Box.hashed - before
    with warp_cache.record(tmp_path / "calls.rec"):
        cached(Box(2))
    assert Box.hashed - before == 2 * usual


def test_unhashable_arguments_behave_as_without(tmp_path: Path) -> None:
    kinds = [cache(identity), lru_cache(identity), cache(backend="shared")(identity)]
    for cached in kinds:
        with pytest.raises(TypeError) as usual:
            cached([])
        with warp_cache.record(tmp_path / "calls.rec"), pytest.raises(TypeError) as recorded:
            cached([])
        assert str(usual.value) == str(recorded.value)
        assert read(tmp_path / "calls.rec") == []


def test_a_wrong_call_is_the_functions_business(tmp_path: Path) -> None:
    @cache
    def one(x: int) -> int:
        return x

    wrong: Any = one
    with warp_cache.record(tmp_path / "calls.rec"):
        for arguments in [(), (1, 2)]:
            with pytest.raises(TypeError, match="positional argument"):
                wrong(*arguments)
        assert one(1) == one(x=1) == 1
    assert streams(tmp_path / "calls.rec") == {"one": [0, 0]}


def test_a_cache_of_size_0_takes_what_cannot_be_hashed(tmp_path: Path) -> None:
    class Interrupted:
        def __hash__(self) -> int:
            raise KeyboardInterrupt

    cached = cache(max_size=0)(identity)
    with warp_cache.record(tmp_path / "calls.rec"):
        assert [cached(x) for x in (1, [], 2, {}, 1)] == [1, [], 2, {}, 1]
        with pytest.raises(KeyboardInterrupt):
            cached(Interrupted())
    assert streams(tmp_path / "calls.rec") == {"identity": [0, 1, 0]}


def test_an_exception_passes(tmp_path: Path) -> None:
    @cache
    def fails(x: int) -> int:
        raise KeyError(x)

    with warp_cache.record(tmp_path / "calls.rec"):
        for _ in range(3):
            with pytest.raises(KeyError):
                fails(1)
    assert streams(tmp_path / "calls.rec") == {"fails": [0, 0, 0]}


def test_a_recursive_function(tmp_path: Path) -> None:
    @cache(max_size=None)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    with warp_cache.record(tmp_path / "calls.rec"):
        assert fibonacci(60) == 1548008755920
    info = fibonacci.cache_info()
    assert len(streams(tmp_path / "calls.rec")["fibonacci"]) == info.hits + info.misses


def test_a_name_that_calls_the_function(tmp_path: Path) -> None:
    class Strange:
        def __call__(self, x: int) -> int:
            return x

        def __getattr__(self, name: str) -> str:
            if name == "__qualname__":
                cached(7)
            raise AttributeError(name)

    cached = CachedFunction(Strange(), Strategy.LRU, 10)
    with warp_cache.record(tmp_path / "calls.rec"):
        assert cached(1) == 1
    (recorded,) = read(tmp_path / "calls.rec")
    assert recorded.keys == [0, 1] and "Strange object" in str(recorded.name)


def test_functions_that_come_and_go(tmp_path: Path) -> None:
    with warp_cache.record(tmp_path / "calls.rec"):
        for round in range(200):
            cached = cache(identity_of(f"f{round}"))
            for key in (1, 2, round):
                cached(key)
            if round % 3:
                del cached
            if round % 50 == 0:
                gc.collect()
    found = streams(tmp_path / "calls.rec")
    assert found == {f"f{round}": numbered((1, 2, round)) for round in range(200)}


def test_several_recordings_after_one_another(tmp_path: Path) -> None:
    cached = cache(identity)
    cached(5)
    for round in range(5):
        with warp_cache.record(str(tmp_path / "calls.rec")) as recording:
            for key in range(round):
                cached(key)
                cached(key)
        assert recording.path == str(tmp_path / "calls.rec")
        expected = numbered(key // 2 for key in range(2 * round))
        assert [f.keys for f in read(tmp_path / "calls.rec")] == ([expected] if round else [])


def test_threads(tmp_path: Path) -> None:
    """Each thread has keys of its own, numbered beforehand, so its part of a stream is known."""
    threads, calls, keys = 6, 3000, 90
    functions = [cache(max_size=50)(identity_of(f"f{at}")) for at in range(3)]

    def work(thread: int) -> None:
        for at in range(calls):
            functions[at % 3](thread * keys + at * 7 % keys)
            if at % 10 == 0:
                cache(identity_of("short"))(at)

    with warp_cache.record(tmp_path / "calls.rec"):
        for function in functions:
            for key in range(threads * keys):
                function(key)
        works = [functools.partial(work, thread) for thread in range(threads)]
        for future in support.start_together(works):
            future.result(support.LIMIT)
    recorded = [f for f in read(tmp_path / "calls.rec") if "short" not in str(f.name)]
    assert [f.name for f in recorded] == [
        "test_recording.f0",
        "test_recording.f1",
        "test_recording.f2",
    ]
    for at, function_ in enumerate(recorded):
        stream = function_.keys[threads * keys :]
        expected = [key * 7 % keys for key in range(at, calls, 3)]
        for thread in range(threads):
            assert [key % keys for key in stream if key // keys == thread] == expected


def test_begin_and_end_while_threads_call(tmp_path: Path) -> None:
    cached = cache(max_size=20)(identity)
    stop = threading.Event()

    def work() -> int:
        calls = 0
        while not stop.is_set():
            assert cached(calls % 30) == calls % 30
            assert cache(identity)(calls) == calls
            calls += 1
        return calls

    futures = support.start_together([work] * 4)
    try:
        for round in range(30):
            with warp_cache.record(tmp_path / f"{round}.rec"):
                cached(round)
            read(tmp_path / f"{round}.rec")
    finally:
        stop.set()
    assert all(future.result(support.LIMIT) >= 0 for future in futures)


def test_bytes_a_call(tmp_path: Path) -> None:
    cached = cache(max_size=10)(identity)
    with warp_cache.record(tmp_path / "calls.rec"):
        for at in range(50_000):
            cached(at * at % 9001)
    assert (tmp_path / "calls.rec").stat().st_size < 2 * 50_000 + 200
