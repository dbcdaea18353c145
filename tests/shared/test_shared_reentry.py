"""Calls within calls, and within whatever a call runs: pickling, unpickling, comparing, ending."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import support

from warp_cache import cache

# What pickled objects call when they are made or unmade; each test sets its own.
hooks: dict[str, Callable[..., Any]] = {}


def load(name: str, argument: Any) -> Any:
    return hooks[name](argument)


class Loading:
    """A value that is loaded by calling a hook."""

    def __init__(self, name: str, argument: Any) -> None:
        self.call = (name, argument)

    def __reduce__(self) -> Any:
        return (load, self.call)


class Dumping:
    """A value that calls a hook when it is pickled."""

    def __init__(self, argument: Any) -> None:
        self.argument = argument

    def __reduce__(self) -> Any:
        hooks["dump"](self.argument)
        return (Dumping, (self.argument,))


def quickly(function: Callable[..., Any], *args: Any, limit: float = 5.0) -> Any:
    """The result of a call that must not wait for anybody."""
    began = time.monotonic()
    (result,) = support.results([support.start(function, *args)])
    assert time.monotonic() - began < limit
    return result


def handles(body: Callable[..., Any], count: int = 2, **options: Any) -> list[Any]:
    """Several decorated functions on one file."""
    return [cache(backend="shared", name="common", **options)(body) for _ in range(count)]


@pytest.mark.parametrize("other", [0, 1], ids=["the-same-object", "another-object"])
def test_a_call_while_its_own_result_is_pickled(other: int) -> None:
    calls = []

    def body(x: int) -> Any:
        calls.append(x)
        return Dumping(x) if len(calls) < 4 else "plain"

    functions = handles(body)
    hooks["dump"] = lambda x: functions[other](x)
    quickly(functions[0], 1)
    assert 2 <= len(calls) <= 4


@pytest.mark.parametrize("other", [0, 1], ids=["the-same-object", "another-object"])
def test_a_call_while_its_own_value_is_unpickled(other: int) -> None:
    depth = 0

    def again(x: int) -> Any:
        nonlocal depth
        depth += 1
        try:
            return functions[other](x) if depth < 5 else "loaded"
        finally:
            depth -= 1

    functions = handles(lambda x: Loading("again", x))
    hooks["again"] = again
    functions[0](1)
    assert quickly(functions[0], 1) == "loaded"
    assert functions[0].get(1) == "loaded"


def test_a_clear_while_a_value_is_unpickled_or_pickled() -> None:
    functions = handles(lambda x: [Dumping(x), Loading("clear", x)])

    def clear(x: int) -> str:
        functions[1].cache_clear()
        return "loaded"

    hooks["clear"], hooks["dump"] = clear, clear
    for _ in range(5):
        for function in functions:
            found = quickly(function, 1)
            assert type(found) is list and len(found) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_while_a_value_is_unpickled_is_raised(error: type[BaseException]) -> None:
    functions = handles(lambda x: Loading("raise", x))

    def fail(x: int) -> None:
        raise error

    hooks["raise"] = fail
    functions[0](1)
    for call in (functions[0], functions[1], functions[0].get, functions[1].get):
        with pytest.raises(error):
            call(1)
    hooks["raise"] = lambda x: "loaded"
    assert [function(1) for function in functions] == ["loaded"] * 2


@support.uncacheable
@pytest.mark.parametrize("error", [ValueError, RecursionError, ImportError, StopIteration])
def test_an_error_while_a_value_is_unpickled_is_a_miss(error: type[Exception]) -> None:
    calls = []

    def body(x: int) -> Any:
        calls.append(x)
        return Loading("raise", x)

    def fail(x: int) -> None:
        raise error

    functions = handles(body)
    hooks["raise"] = fail
    for number in range(1, 4):
        for function in functions:
            assert type(quickly(function, number)) is Loading
            assert function.get(number) is None
    assert len(calls) == 6
    hits, misses = functions[0].cache_info()[:2]
    assert (hits, misses) == (0, 6)


def test_pickling_that_sets_the_same_key() -> None:
    functions = handles(Dumping)
    hooks["dump"] = lambda x: functions[1].set("by hand", x)
    assert type(quickly(functions[0], 1)) is Dumping
    assert functions[0](1) == functions[1](1) == "by hand"


def test_deep_recursion_takes_and_gives_back_all_leases() -> None:
    functions = handles(lambda x: 0 if x == 0 else functions[x % 2](x - 1) + 1, 2, max_size=None)
    assert quickly(functions[0], 250, limit=20) == 250
    with pytest.raises(RecursionError):
        functions[0](10**6)
    assert quickly(functions[1], 300, limit=20) == 300
    # No lease is left behind by all those levels that failed.
    held = threading.Thread(target=lambda: functions[0].set(7, 10**6 - 1))
    held.start()
    held.join()
    assert quickly(functions[1], 10**6) == 8


class Key:
    """A key that calls a hook when it is compared, hashed, pickled or freed."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        hooks.get("eq", bool)(self)
        return isinstance(other, Key) and other.x == self.x

    def __hash__(self) -> int:
        hooks.get("hash", bool)(self)
        return 5

    def __reduce__(self) -> Any:
        hooks.get("reduce", bool)(self)
        return (Key, (self.x,))

    def __del__(self) -> None:
        hooks.get("del", bool)(self)


@pytest.mark.parametrize("where", ["eq", "hash", "reduce", "del"])
@pytest.mark.parametrize("what", ["call", "clear", "set", "collect"])
def test_keys_that_use_the_cache(where: str, what: str) -> None:
    functions = handles(lambda key: (key.x if isinstance(key, Key) else key, "value"), max_size=3)
    inside = False
    operations: dict[str, Callable[[], Any]] = {
        "call": lambda: functions[1](Key(1)),
        "clear": lambda: functions[0].cache_clear(),
        "set": lambda: functions[0].set((1, "value"), Key(1)),
        "collect": gc.collect,
    }

    def hook(key: Key) -> None:
        nonlocal inside
        if not inside:
            inside = True
            try:
                operations[what]()
            finally:
                inside = False

    hooks.clear()
    hooks[where] = hook
    try:
        for x in list(range(6)) * (2 if what == "collect" else 10):
            assert functions[x % 2](Key(x)) == (x, "value")
    finally:
        hooks.clear()
    support.merge_counts()
    assert functions[0](Key(1)) == (1, "value")


@support.uncacheable
@pytest.mark.parametrize("where", ["eq", "hash", "reduce"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, RecursionError])
def test_keys_that_raise(where: str, error: type[BaseException]) -> None:
    """A key that cannot be spelled is none."""
    functions = handles(lambda key: key.x)
    hooks.clear()
    assert functions[0](Key(1)) == functions[1](Key(1)) == 1

    def fail(key: Key) -> None:
        raise error("from the key")

    hooks[where] = fail
    try:
        for function in functions:
            with suppress(error):
                assert function(Key(1)) == 1
    finally:
        hooks.clear()
    assert quickly(functions[0], Key(1)) == quickly(functions[1], Key(2)) - 1 == 1


def test_what_anybody_does_to_a_value_reaches_nobody() -> None:
    """Leader, waiting threads, later callers, `get` and whoever gave it to `set` change theirs."""
    stop = time.monotonic() + 1.0
    kept: dict[str, Any] = {"all": [1, {"deep": [2]}]}

    def body(x: int) -> Any:
        time.sleep(0.001)
        return {"all": [1, {"deep": [2]}]}

    functions = handles(body, 2, max_size=2, ttl=0.02)

    def spoil(value: Any) -> None:
        assert value == {"all": [1, {"deep": [2]}]}, value
        value["all"][1]["deep"].append("spoilt")
        value["all"].clear()
        value["more"] = 1

    def work(number: int) -> None:
        count = 0
        while time.monotonic() < stop:
            count += 1
            function = functions[(number + count) % 2]
            spoil(function(count % 3))
            found = function.get(count % 3)
            if found is not None:
                spoil(found)
            if count % 5 == 0:
                mine: dict[str, Any] = {"all": [1, {"deep": [2]}]}
                function.set(mine, count % 3)
                spoil(mine)

    support.results([support.start(work, number) for number in range(4)])
    functions[0].set(kept, 9)
    assert functions[1].get(9) is not kept


def test_the_function_goes_while_others_wait_in_it() -> None:
    held = support.Held(lambda x: ("value", x))
    functions = handles(held)
    gone = weakref.ref(functions[0])
    futures = [support.start(functions[0], 1)]
    held.await_start()
    futures += [support.start(functions[number % 2], 1) for number in range(4)]
    time.sleep(support.PAUSE)
    functions.clear()
    gc.collect()
    held.release()
    assert support.results(futures) == [("value", 1)] * 5
    del futures
    support.eventually(lambda: gc.collect() >= 0 and gone() is None)


def test_threads_behind_a_process_that_is_stopped(children: Any, tmp_path: Any) -> None:
    """Whoever waits, directly or behind another thread, is through after its own bound."""
    source = """
import os, sys, time, threading
from pathlib import Path
from warp_cache import cache
folder = Path(sys.argv[1])
@cache(backend="shared", name="f", wait_timeout=1.0)
def f(x):
    if not (folder / "stopped").exists():
        (folder / "stopped").touch()
        time.sleep(60)
    return ["value"]
def timed():
    began = time.monotonic()
    assert f(1) == ["value"]
    return time.monotonic() - began
"""
    one, two = children.start(source, 2)
    one.start("f(1)")
    support.eventually((tmp_path / "stopped").exists)
    one.signal(19)
    asked = []
    for _ in range(4):
        asked.append(two.start("timed()"))
        time.sleep(0.2)
    times = [float(question.answer()) for question in asked]
    assert max(times) < 1.5, times


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("end", ["raise LookupError", "return 'child'"])
def test_a_computation_that_forks(end: str, children: Any, tmp_path: Any) -> None:
    """What becomes of the child's copy of it does not let others compute beside the parent."""
    source = f"""
import os, sys, time
from pathlib import Path
from warp_cache import cache
folder = Path(sys.argv[1])
@cache(backend="shared", name="f", wait_timeout=20)
def f(x):
    with open(folder / "calls", "a") as file:
        file.write("call\\n")
    pid = os.fork()
    if pid == 0:
        {end}
    os.waitpid(pid, 0)
    (folder / "forked").touch()
    time.sleep(0.5)
    return "parent"
def run():
    me = os.getpid()
    try:
        return f(1)
    finally:
        if os.getpid() != me:
            os._exit(0)
"""
    one, two = children.start(source, 2)
    asked = [one.start("run()")]
    support.eventually((tmp_path / "forked").exists)
    asked.append(two.start("run()"))
    expected = "'parent'" if "raise" in end else "'child'"
    assert [question.answer() for question in asked] == ["'parent'", expected]
    assert (tmp_path / "calls").read_text().split() == ["call"]
