"""Tracers, profilers, debug allocators, tiny stacks and keys of absurd depth."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fighters import VARIANTS
from support import FREE_THREADED, check_clean, results, run_python, start

from warp_cache import cache, lru_cache


@contextlib.contextmanager
def watching(setter: Callable[[Any], None], watcher: Any) -> Iterator[None]:
    """Install a trace or profile function, and put back what was there (a coverage tool, say)."""
    getter = sys.gettrace if setter is sys.settrace else sys.getprofile
    before = getter()
    setter(watcher)
    try:
        yield
    finally:
        setter(before)


SETTERS = {"settrace": sys.settrace, "setprofile": sys.setprofile}


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_tracer_sees_the_function_when_it_runs_and_only_then(variant: str, setter: str) -> None:
    seen = []

    def watcher(frame: Any, event: str, argument: Any) -> Any:
        if event == "call" and frame.f_code is body.__code__:
            seen.append(frame.f_locals["i"])
        return None

    def body(i: int) -> int:
        return i

    f = VARIANTS[variant](max_size=8)(body)
    with watching(SETTERS[setter], watcher):
        answers = [f(i) for i in (1, 2, 1, 2, 3)]
    assert answers == [1, 2, 1, 2, 3]
    assert seen == [1, 2, 3]
    assert tuple(f.cache_info()) == (2, 3, 8, 3)


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_tracer_that_calls_the_cached_function(variant: str, setter: str) -> None:
    inside = False
    traced = 0

    def watcher(frame: Any, event: str, argument: Any) -> Any:
        nonlocal inside, traced
        if not inside:
            inside = True
            traced += 1
            assert f(1) == 1
            f(1000 + traced)
            f.cache_info()
            if traced % 7 == 0:
                f.cache_clear()
            inside = False
        return watcher

    f = VARIANTS[variant](max_size=8)(lambda i: i)
    with watching(SETTERS[setter], watcher):
        answers = [f(i % 12) for i in range(100)]
    assert answers == [i % 12 for i in range(100)]
    assert traced > 8
    assert f.cache_info().currsize <= 8


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_tracer_that_raises_fails_the_call_and_leaves_nothing_behind(
    variant: str, setter: str
) -> None:
    def watcher(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is body.__code__:
            raise LookupError("from the tracer")
        return watcher

    def body(i: int) -> list[int]:
        return [i]

    f = VARIANTS[variant](max_size=8)(body)
    with watching(SETTERS[setter], watcher), pytest.raises(LookupError, match="from the tracer"):
        f(1)
    assert f.cache_info().currsize == 0
    # A record of the failed computation would make another thread wait.
    assert results([start(f, 1), start(f, 1)], 5) == [[1], [1]]
    assert f(1) is f(1)


def test_recursion_deeper_than_the_limit_is_a_recursion_error_and_cleans_up() -> None:
    for decorator in (cache(max_size=None), lru_cache(max_size=None)):

        @decorator
        def f(i: int) -> int:
            return f(i + 1) + 1  # noqa: B023 - the f of this round

        for _ in range(3):
            with pytest.raises(RecursionError):
                f(0)
        assert f.cache_info().currsize == 0
        # The records of hundreds of broken computations are gone: nobody waits for them.
        f.set(1, 500)
        assert results([start(f, 490)], 5) == [11]


def test_unbounded_recursion_through_hash_and_eq_is_a_recursion_error() -> None:
    class Endless:
        def __hash__(self) -> int:
            if self.through == "hash":
                f(self)
            return 1

        def __eq__(self, other: object) -> bool:
            if self.through == "eq":
                f(Endless())
            return self is other

        through = ""

    for decorator in (cache, lru_cache):
        f = decorator(lambda key: "value")
        first = Endless()
        assert f(first) == "value"
        for through in ("hash", "eq"):
            Endless.through = through
            with pytest.raises(RecursionError):
                f(Endless())
            Endless.through = ""
        assert f(first) == "value"
        assert f.cache_info().currsize <= 2


DEEP = """
import sys, threading
from warp_cache import cache, lru_cache

depth, stack, how = DEPTH, STACK, HOW

def nested():
    key = ()
    for _ in range(depth):
        key = (key, 1)
    return key

def control():
    hash(nested())
    try:
        nested() == nested()
    except RecursionError:
        pass

def work():
    for decorator in (cache, lru_cache, cache(typed=True)):
        f = decorator(lambda *args, **kwargs: "value")
        first, equal = nested(), nested()
        for call in (lambda: f(first), lambda: f(first), lambda: f(equal), lambda: f(1, equal),
                     lambda: f(1, first), lambda: f(word=first), lambda: f.get(equal),
                     lambda: f.set("value", equal)):
            try:
                assert call() in ("value", None)
            except RecursionError:
                pass
        f.cache_clear()
        assert f(1) == f(1) == "value"

if stack:
    threading.stack_size(stack)
failed = []
def run(body):
    try:
        body()
    except BaseException as error:
        failed.append(error)
thread = threading.Thread(target=run, args=({"control": control, "work": work}[how],))
thread.start()
thread.join()
assert not failed, failed
"""


@pytest.mark.parametrize("stack", [0, 1 << 20], ids=["default stack", "stack of 1 MiB"])
@pytest.mark.parametrize("depth", [1_000, 10_000, 100_000])
def test_deeply_nested_keys_work_or_are_a_recursion_error(depth: int, stack: int) -> None:
    def script(how: str) -> str:
        return (
            DEEP.replace("DEPTH", str(depth)).replace("STACK", str(stack)).replace("HOW", repr(how))
        )

    if run_python(script("control")).returncode:
        pytest.skip("hashing or comparing such tuples crashes this interpreter by itself")
    check_clean(run_python(script("work")))


WORKLOAD = """
import asyncio, gc, threading
from warp_cache import Strategy, cache, lru_cache

class Key:
    def __init__(self, name):
        self.name = name
    def __hash__(self):
        return self.name % 3
    def __eq__(self, other):
        if self.name == 7:
            gc.collect(0)
        return isinstance(other, Key) and self.name == other.name

def use(f):
    for i in range(120):
        f(i % 20), f(str(i)), f(i, "two"), f(1, word=i), f((i, ("nested", i % 4))), f(Key(i % 9))
        f.get(i)
        f.set(i, Key(i % 5))
        try:
            f([])
        except TypeError:
            pass
        if i % 40 == 39:
            f.cache_clear()
    f.cache_info(), f.cache_parameters(), repr(f)

made = [decorator(lambda *args, **kwargs: [args, kwargs]) for decorator in
        (cache, lru_cache, cache(max_size=4), cache(max_size=None, typed=True), cache(max_size=0),
         cache(ttl=0.001), *(cache(strategy=s, max_size=4) for s in Strategy))]
for f in made:
    use(f)
threads = [threading.Thread(target=use, args=(f,)) for f in made[:4] for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()

@cache
async def work(i):
    await asyncio.sleep(0)
    return [i]

async def main():
    # Development mode reports slow steps, and a busy machine has them.
    asyncio.get_running_loop().slow_callback_duration = 60
    for _ in range(3):
        await asyncio.gather(*(work(i % 10) for i in range(50)))

asyncio.run(main())
print("done")
"""


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        ((), {"PYTHONMALLOC": "debug"}),
        ((), {"PYTHONMALLOC": "malloc_debug", "MALLOC_PERTURB_": "165"}),
        (("-X", "dev"), {}),
        (("-X", "dev", "-W", "error"), {}),
        (("-X", "faulthandler", "-O"), {}),
        (("-X", "tracemalloc=5"), {}),
        (("-bb", "-W", "error"), {"PYTHONHASHSEED": "0"}),
    ],
    ids=str,
)
def test_a_mixed_workload_is_clean_under(
    options: tuple[str, ...], environment: dict[str, str]
) -> None:
    if environment.get("PYTHONMALLOC") == "malloc_debug" and FREE_THREADED:
        pytest.skip("a free-threaded build has mimalloc only")
    check_clean(run_python(WORKLOAD, options=options, environment=environment), out="done")


NO_MEMORY = """
import sys
try:
    from _testcapi import remove_mem_hooks, set_nomemory
except ImportError:
    print("done")
    sys.exit()
from warp_cache import cache, lru_cache

def attempt(call, start):
    set_nomemory(start, start + 1)
    try:
        call()
    except MemoryError:
        pass
    finally:
        remove_mem_hooks()

for decorator in (cache(max_size=4), lru_cache(max_size=4), cache(max_size=4, ttl=60)):
    f = decorator(lambda *args, **kwargs: args)
    for start in range(60):
        key, big = (start, "x"), 2**70 + start
        for call in (CALLS):
            attempt(call, start)
            assert f("sane") == f("sane") == ("sane",)
            assert f.cache_info().currsize <= 4
print("done")
"""


@pytest.mark.parametrize(
    "calls",
    [
        "lambda: f(key), lambda: f(key), lambda: f(big, 1), lambda: f(1, word=big)",
        "lambda: f.set(1, big), lambda: f.get(big), f.cache_clear",
        "f.cache_info, f.cache_parameters",
        "lambda: f.__get__(key)(), lambda: repr(f), lambda: f.__wrapped__",
    ],
)
def test_calls_under_a_failing_allocator(calls: str) -> None:
    """`_testcapi.set_nomemory` makes one allocation fail: a MemoryError, no crash, no panic."""
    check_clean(run_python(NO_MEMORY.replace("CALLS", calls)), out="done")


def test_calls_from_a_thread_with_a_tiny_stack() -> None:
    before = threading.stack_size(64 * 1024)
    try:
        f = cache(lambda i, *more, word=None: i)
        thread = start(lambda: [f(i, "a", word=i) for i in range(100)])
    finally:
        threading.stack_size(before)
    assert results([thread]) == [list(range(100))]
