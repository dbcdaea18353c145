"""The interpreter ends with live caches and live threads: exit code as asked, no word on stderr.

Each script runs many times: what goes wrong at the end of a process is a race.
"""

from __future__ import annotations

import sys

import pytest
from support import check_clean_often, examples

REPEATS = examples(20)

START = """
import atexit, gc, itertools, os, random, sys, threading, time, weakref
from warp_cache import Strategy, cache, lru_cache

def daemon(target, *args):
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread
"""

SCRIPTS: dict[str, str] = {}

SCRIPTS["live caches"] = """
class Value:
    def __del__(self):
        # By now the modules may be half gone; whatever a call does, it must not be fatal.
        try:
            f(-1), g(-1), h.cache_info(), f.cache_clear()
        except Exception:
            pass

f = cache(max_size=None)(lambda i: Value() if i >= 0 else i)
g = lru_cache(ttl=60)(lambda i: Value() if i >= 0 else i)

@cache
async def h(i):
    return Value()

for i in range(100):
    f(i), g(i)
    try:
        h(i).send(None)
    except StopIteration:
        pass
"""

SCRIPTS["caches in cycles"] = """
class Node:
    def __init__(self, held):
        self.held = held
    def __del__(self):
        try:
            self.held(1)
        except Exception:
            pass

def build():
    f = cache(max_size=10)(lambda i: Node(f))
    f.itself = f
    for i in range(30):
        f(i)
    return f

kept = [build() for _ in range(20)]
for _ in range(20):
    build()
sys.modules["somewhere.else"] = kept[0]
sys.kept = kept[1]
"""

SCRIPTS["functions and keys kept by builtins and by types"] = """
import builtins

class Owner:
    @cache
    def method(self, i):
        return self

    @classmethod
    @lru_cache
    def of_class(cls, i):
        return cls

    @staticmethod
    @cache(ttl=5)
    def free(i):
        return Owner

builtins.kept = Owner()
builtins.kept.method(1), Owner.of_class(2), Owner.free(3)
Owner.method(builtins.kept, Owner)
"""

SCRIPTS["atexit handlers that call"] = """
f = cache(lambda i: [i])
g = cache(ttl=9)(lambda i: f(i))

def last():
    assert f(1) is f(1)
    assert g(5) == [5]
    f.cache_clear()
    assert f("late") == ["late"]

f(1)
atexit.register(last)
atexit.register(f, "as a handler itself")
atexit.register(f.cache_clear)
weakref.finalize(f, print, end="")
"""

SCRIPTS["daemon threads that hit"] = """
caches = [
    decorator(lambda i: (i, i)) for decorator in
    (cache, lru_cache, cache(ttl=60), *map(cache, Strategy), cache(max_size=None))
]
running = threading.Semaphore(0)

def hammer(f):
    running.release()
    for i in itertools.count():
        f(i % 50)

for f in caches[:4]:
    daemon(hammer, f)
for _ in range(4):
    running.acquire()
time.sleep(0.02)
"""

SCRIPTS["daemon threads that miss, evict, clear and fail"] = """
running = threading.Semaphore(0)

class Value:
    def __del__(self):
        pass

# 3.13t itself may hang at exit where daemon threads drop each other's objects: its queue for
# these has a lock that it can hand to a thread which is parked for ever.
make = Value if getattr(sys, "_is_gil_enabled", lambda: True)() else int

@cache(max_size=8)
def f(i):
    if i % 5 == 0:
        raise ValueError(i)
    return make()

def hammer(seed):
    running.release()
    for i in itertools.count(seed):
        try:
            f(i % 40)
        except ValueError:
            pass
        if i % 100 == 0:
            f.cache_clear()

for seed in range(4):
    daemon(hammer, seed)
for _ in range(4):
    running.acquire()
time.sleep(0.02)
"""

SCRIPTS["a computation that sleeps"] = """
started = threading.Event()

@cache
def f(i):
    started.set()
    while True:
        time.sleep(0.001)

daemon(f, 1)
started.wait()
"""

SCRIPTS["a computation that never leaves Python"] = """
started = threading.Event()

@cache
def f(i):
    started.set()
    while True:
        i += 1

daemon(f, 1)
started.wait()
"""

SCRIPTS["threads that wait for another's computation"] = """
started = threading.Event()

@cache(wait_timeout=None)
def f(i):
    started.set()
    while True:
        time.sleep(0.001)

@cache(wait_timeout=0.01)
def g(i):
    started.set()
    time.sleep(0.002)
    while True:
        time.sleep(0.001)

for function in (f, g):
    daemon(function, 1)
    started.wait()
    started.clear()
    for _ in range(3):
        daemon(function, 1)
time.sleep(0.02)
"""

SCRIPTS["waiting threads whose computation ends with the process"] = """
started = threading.Event()
ending = threading.Event()

@cache
def f(i):
    started.set()
    ending.wait()
    return i

daemon(f, 1)
started.wait()
for _ in range(4):
    daemon(f, 1)
time.sleep(0.01)
# The last handler to run: threads wake while the interpreter goes down.
atexit.register(ending.set)
"""

SCRIPTS["daemon threads in what users are asked and told"] = """
def busy(*_):
    if started.is_set():
        end = time.monotonic() + 5
        while time.monotonic() < end:
            time.sleep(0.0005)
    return True

started = threading.Event()
f = cache(max_size=1, on_removal=busy, tags=lambda i: busy() and ())(lambda i: i)
g = cache(lambda i: busy())
if not getattr(sys, "_is_gil_enabled", lambda: True)():
    # What an operation imports at first is there: in CPython 3.13t a daemon thread that the end finds in
    # importlib may keep the lock of sys.modules, for which the main thread then waits without end.
    f(2), f.cache_invalidate(2), f.cache_put(2, (3,)), g.cache_refresh(1)
f(1)
started.set()
daemon(f, 2), daemon(f.cache_invalidate, 1)
daemon(f.cache_put, 1, (3,)), daemon(g.cache_refresh, 1)
time.sleep(random.random() / 20)
"""

SCRIPTS["a thread that outlives main and uses the cache"] = """
f = cache(lambda i: i)

def late():
    time.sleep(0.02)
    for i in range(200):
        f(i)

threading.Thread(target=late).start()
"""

SCRIPTS["values whose threads still call"] = """
class Worker:
    def __init__(self):
        self.thread = daemon(self.run)
    def run(self):
        while True:
            make(1)
            make(2)
            time.sleep(0)

make = cache(lambda i: Worker())
make(1), make(2)
time.sleep(0.005)
"""


@pytest.mark.parametrize("what", SCRIPTS)
def test_exit_is_clean(what: str) -> None:
    check_clean_often(START + SCRIPTS[what], REPEATS)


ENDINGS = {
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "SystemExit from the cached function": ("f('exit')", 5),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_exit_code_is_the_one_asked_for(ending: str) -> None:
    how, code = ENDINGS[ending]
    script = f"""{START}
started = threading.Event()

@cache
def f(i):
    if i == "exit":
        sys.exit(5)
    started.set()
    while True:
        time.sleep(0.001)

daemon(f, 1)
started.wait()
daemon(f, 1)
{how}
"""
    check_clean_often(script, 6, code)


@pytest.mark.parametrize("what", SCRIPTS)
def test_exit_is_clean_in_development_mode(what: str) -> None:
    """Every memory block is checked, every warning shown."""
    check_clean_often(START + SCRIPTS[what], 3, options=("-X", "dev"))


MODULE_TEARDOWN = """
import sys
from warp_cache import cache

class Late:
    def __del__(self):
        try:
            sys.stdout.write("x" if f(2) == 4 else "?")
        except Exception:
            sys.stdout.write("x")

f = cache(lambda i: i * i)
f(1)
a_first, z_last = Late(), Late()
cache_of_late = cache(lambda i: Late())
cache_of_late(1)
del sys.modules["warp_cache"]
"""


def test_globals_torn_down_in_any_order() -> None:
    check_clean_often(MODULE_TEARDOWN, 10)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="these names exist since 3.12")
def test_import_in_a_subinterpreter_works_or_is_refused() -> None:
    """Sharing nothing or refusing: both are right, a crash is not."""
    script = """
import sys, warp_cache
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters
warp_cache.cache(abs)(1)
inner = interpreters.create()
code = '''
try:
    import warp_cache
except ImportError:
    pass
else:
    assert warp_cache.cache(abs)(-1) == 1
'''
if sys.version_info >= (3, 13):
    assert interpreters.exec(inner, code) is None
else:
    interpreters.run_string(inner, code)
interpreters.destroy(inner)
assert warp_cache.cache(abs)(-1) == 1
"""
    check_clean_often(script, 3)
