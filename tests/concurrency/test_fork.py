"""After a fork the child has none of the other threads: their locks and computations are not its.

Each script ends its children with `os._exit`, and each child that hangs is killed and reported.
"""

from __future__ import annotations

import os

import pytest
from support import check_clean, run_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

START = """
import os, signal, sys, threading, time, traceback, warnings
# Forking with threads alive is what these scripts are about.
warnings.filterwarnings("ignore", category=DeprecationWarning)
from warp_cache import Strategy, cache, lru_cache

def in_child(body, limit=15):
    # Fork, run `body` in the child, and say what became of it.
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, f"the child ended with {status:#x}"
            return
        time.sleep(0.001)
    os.kill(pid, signal.SIGABRT)
    time.sleep(0.5)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    raise SystemExit("the child hung")

def daemon(target, *args):
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread
"""

SCRIPTS: dict[str, str] = {}

SCRIPTS["computations of other threads are forgotten"] = """
started = threading.Semaphore(0)
release = threading.Event()
in_this_process = os.getpid()

def body(key):
    if os.getpid() == in_this_process:
        started.release()
        release.wait(30)
        return "parent"
    return "child"

for decorator in (cache(wait_timeout=None), lru_cache(single_flight=True, wait_timeout=None),
                  cache(wait_timeout=None, ttl=60, max_size=1)):
    f = decorator(body)
    release.clear()
    leaders = [daemon(f, key) for key in range(3)]
    for _ in leaders:
        started.acquire()
    waiters = [daemon(f, key) for key in range(3)]
    time.sleep(0.05)

    def child():
        for key in (0, 1, 2, 0, 1, 2, "new"):
            assert f(key) == "child", key
        threads = [daemon(f, "together") for _ in range(3)]
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()
        f.cache_clear()
        assert f(0) == "child"
        f.set("set", 1)
        assert f(1) == "set"

    for _ in range(5):
        in_child(child)
    release.set()
    for thread in leaders + waiters:
        thread.join(10)
        assert not thread.is_alive()
    assert f("after") == "child" or os.getpid() == in_this_process
"""

SCRIPTS["the leader forks in its own computation"] = """
pids = []

@cache(wait_timeout=None)
def f(key):
    pid = os.fork()
    pids.append(pid)
    return "child" if pid == 0 else "parent"

other = threading.Event()
value = f(1)
if pids[-1] == 0:
    code = 1
    try:
        assert value == "child"
        assert f(1) == "child" and f.cache_info().hits == 1
        f.cache_clear()
        threads = [daemon(f.get, 1) for _ in range(2)]
        for thread in threads:
            thread.join(5)
        code = 0
    finally:
        os._exit(code)
_, status = os.waitpid(pids[0], 0)
assert status == 0, status
assert value == "parent"
assert f(1) == "parent" and tuple(f.cache_info())[:2] == (1, 1)
"""

SCRIPTS["the leader forks while others wait for it"] = """
started = threading.Event()
go = threading.Event()
children = []

@cache(wait_timeout=None)
def f(key):
    started.set()
    go.wait(30)
    pid = os.fork()
    if pid == 0:
        return "child"
    children.append(pid)
    return "parent"

def leader():
    main = os.getpid()
    value = f(1)
    if os.getpid() != main:
        # The waiters are not here; their places in the record must not matter.
        ok = value == "child" and f(1) == "child"
        f.cache_clear()
        os._exit(0 if ok else 1)
    answers.append(value)

answers = []
threads = [daemon(leader)]
started.wait(30)
threads += [daemon(lambda: answers.append(f(1))) for _ in range(4)]
time.sleep(0.1)
go.set()
for thread in threads:
    thread.join(20)
    assert not thread.is_alive()
assert answers == ["parent"] * 5, answers
for pid in children:
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
"""

SCRIPTS["others hammer"] = """
caches = [
    decorator(lambda i: (i, i)) for decorator in
    (cache, cache(max_size=8), lru_cache(max_size=8), cache(ttl=0.002),
     *(cache(s, max_size=4) for s in Strategy), cache(max_size=None))
]
stop = False

def hammer(seed):
    i = seed
    while not stop:
        i += 1
        f = caches[i % len(caches)]
        assert f(i % 40) == (i % 40, i % 40)
        f.get(i % 13)
        if i % 7 == 0:
            f.set((1, 1), 1)
        if i % 101 == 0:
            f.cache_clear()
        if i % 50 == 0:
            f.cache_info()

threads = [daemon(hammer, seed) for seed in range(4)]

def child():
    for f in caches:
        for i in range(60):
            assert f(i) == (i, i)
        f.set((1, 1), 1)
        f.cache_info()
        f.get(5)
        f.cache_clear()
        assert f.cache_info()[:2] == (0, 0)
    more = [threading.Thread(target=f, args=(i,), daemon=True) for f in caches for i in range(3)]
    for thread in more:
        thread.start()
    for thread in more:
        thread.join(5)
        assert not thread.is_alive()

for _ in range(25):
    in_child(child)
stop = True
for thread in threads:
    thread.join(10)
    assert not thread.is_alive()
for f in caches:
    info = f.cache_info()
    assert info.maxsize is None or info.currsize <= info.maxsize
"""

SCRIPTS["a child of a child"] = """
started, release = threading.Event(), threading.Event()

@cache(wait_timeout=None)
def f(key):
    if os.getpid() == parent:
        started.set()
        release.wait(30)
    return os.getpid()

parent = os.getpid()
thread = daemon(f, 1)
started.wait(30)

def child():
    assert f(2) == os.getpid()
    mine = os.getpid()
    def grandchild():
        assert f(2) == mine, "what the child had stored comes along"
        assert f(1) == os.getpid()
        assert f(3) == os.getpid()
    in_child(grandchild)
    assert f(1) == mine

in_child(child)
release.set()
thread.join(10)
assert f(1) == parent
"""

SCRIPTS["entries and counters come along"] = """
f = cache(max_size=4)(lambda i: [i])
values = [f(i) for i in range(4)]
f(3)
before = tuple(f.cache_info())

def child():
    assert tuple(f.cache_info()) == before
    assert [f(i) for i in range(4)] == values
    f(9)
    assert f.cache_info().currsize == 4
    f.cache_clear()

in_child(child)
assert tuple(f.cache_info()) == before
assert f(0) is values[0]
"""

SCRIPTS["an asynchronous computation is under way"] = """
import asyncio

@cache
async def f(i):
    await asyncio.sleep(0.1)
    return os.getpid()

async def main():
    task = asyncio.ensure_future(f(1))
    await asyncio.sleep(0.02)
    loop_pid = os.getpid()

    def child():
        asyncio.events._set_running_loop(None)
        # A loop of the child's own: the parent's computation is not there.
        assert asyncio.run(f(1)) == os.getpid()
        assert asyncio.run(f(2)) == os.getpid()

    in_child(child)
    assert await task == loop_pid

asyncio.run(main())
"""


@pytest.mark.parametrize("what", SCRIPTS)
def test_fork_when(what: str) -> None:
    check_clean(run_python(START + SCRIPTS[what], limit=60))


MULTIPROCESSING = """
import multiprocessing, sys, threading, time, warnings
warnings.filterwarnings("ignore", category=DeprecationWarning)
from warp_cache import cache, lru_cache

started, release = threading.Event(), threading.Event()

@cache(wait_timeout=None)
def slow(i):
    if i == "hold":
        started.set()
        release.wait(30)
    return i

@cache
def square(i):
    return slow(i) ** 2

@lru_cache
def twice(i):
    return square(i) * 2

if __name__ == "__main__":
    holder = threading.Thread(target=slow, args=("hold",), daemon=True)
    holder.start()
    started.wait(30)
    twice(3)
    context = multiprocessing.get_context(METHOD)
    with context.Pool(2) as pool:
        # The function itself travels by name; the cache of each process is its own.
        assert pool.map_async(twice, range(20)).get(30) == [2 * i * i for i in range(20)]
        assert pool.apply_async(square, (5,)).get(30) == 25
        assert pool.apply_async(twice.cache_info).get(30).misses >= 0
    release.set()
    holder.join(10)
    print("done")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str) -> None:
    script = MULTIPROCESSING.replace("METHOD", repr(method))
    check_clean(run_python(script, limit=90), out="done")
