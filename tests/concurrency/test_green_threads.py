"""Green threads: while one waits for a computation, the others of its thread go on.

With gevent and eventlet, where they are installed, and with stand-ins that patch `time.sleep`.
"""

from __future__ import annotations

import importlib.util
from importlib.util import find_spec

import pytest
from support import check_clean, run_python

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("greenlet") is None, reason="needs greenlet"
)

GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys, time
import gevent
from gevent.threadpool import ThreadPool
pool = ThreadPool(4)
native = lambda f, *args: pool.apply_async(f, args)
spawn, kill = gevent.spawn, gevent.kill

def join(*tasks):
    for task in tasks:
        task.get(timeout=20)

native_sleep = monkey.get_original("time", "sleep")
native_event = monkey.get_original("threading", "Event")
"""

EVENTLET = """
import warnings
warnings.simplefilter("ignore")  # it is deprecated
import eventlet
eventlet.monkey_patch()
import sys, time
native_event = eventlet.patcher.original("threading").Event
spawn, kill = eventlet.spawn, eventlet.kill

def native(f, *args):
    thread = eventlet.patcher.original("threading").Thread(target=f, args=args, daemon=True)
    thread.start()
    return thread

def join(*tasks):
    for task in tasks:
        if hasattr(task, "wait"):
            task.wait()
        while hasattr(task, "is_alive") and task.is_alive():
            time.sleep(0.002)
"""

STAND_IN = """
import sys, threading, time, types
from greenlet import GreenletExit, getcurrent, greenlet

sys.modules[LIBRARY] = types.ModuleType(LIBRARY)
native_sleep, native_event = time.sleep, threading.Event
main_thread = threading.get_ident()
due = []

def sleep(seconds):
    if threading.get_ident() != main_thread:
        return native_sleep(seconds)
    due.append((time.monotonic() + seconds, getcurrent()))
    hub.switch()

def run():
    while True:
        due.sort(key=lambda entry: entry[0])
        when, task = due.pop(0)
        native_sleep(max(0, when - time.monotonic()))
        task.switch()

hub = greenlet(run)
time.sleep = sleep

class Task(greenlet):
    error, done = None, False

    def __init__(self, f, *args):
        super().__init__(self.body)
        self.call = (f, args)

    def body(self):
        try:
            self.call[0](*self.call[1])
        except GreenletExit:
            pass
        except BaseException as error:
            self.error = error
        self.done = True
        hub.switch()

def spawn(f, *args):
    task = Task(f, *args)
    due.append((time.monotonic(), task))
    return task

def kill(task):
    due[:] = [entry for entry in due if entry[1] is not task]
    due.append((time.monotonic(), getcurrent()))
    task.throw(GreenletExit)

class Native(threading.Thread):
    error = None

    def run(self):
        try:
            super().run()
        except BaseException as error:
            self.error = error

def native(f, *args):
    thread = Native(target=f, args=args, daemon=True)
    thread.start()
    return thread

def join(*tasks):
    end = time.monotonic() + 20
    for task in tasks:
        while not task.done if isinstance(task, Task) else task.is_alive():
            assert time.monotonic() < end, "a task hangs"
            time.sleep(0.002)
        if task.error is not None:
            raise task.error
"""

START = """
from warp_cache import cache

ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.002)
        ticks += 1

computing, release = native_event(), native_event()
calls, answers = [], []
start_native, natives = native, []

def native(f, *args):
    natives.append(start_native(f, *args))
    return natives[-1]

def held(key):
    calls.append(key)
    computing.set()
    assert release.wait(20)
    return f"value {key}"

def ask(f, *args):
    answers.append(f(*args))

def check(waiters):
    # The computation ends after a while in which green threads have run; it waits for them.
    before, end = ticks, time.monotonic() + 15
    while ticks < before + 20:
        assert time.monotonic() < end
        time.sleep(0.002)
    assert not answers
    release.set()
    join(*waiters)

spawn(tick)
"""

SCRIPTS: dict[str, str] = {}

SCRIPTS["a wait for another thread"] = """
f = cache(wait_timeout=None)(held)
leader = native(f, 1)
computing.wait(20)
check([spawn(ask, f, 1) for _ in range(3)])
assert answers == ["value 1"] * 3 and calls == [1]
"""

SCRIPTS["a wait for whoever has the lease"] = """
# Two functions on one file: they know each other by the lease alone, as two processes do.
one, two = (cache(backend="shared", name="f", wait_timeout=None)(held) for _ in range(2))
leader = native(one, 1)
computing.wait(20)
# One of them represents this thread; the others wait beside it.
check([spawn(ask, two, 1) for _ in range(3)])
assert answers == ["value 1"] * 3 and calls == [1]
"""

SCRIPTS["waits for several threads at once"] = """
f = cache(wait_timeout=None)(held)
leaders = [native(f, key) for key in range(3)]
while len(calls) < 3:
    time.sleep(0.002)
check([spawn(ask, f, key) for key in range(3) for _ in range(2)])
assert sorted(answers) == sorted(f"value {key}" for key in range(3) for _ in range(2))
assert sorted(calls) == [0, 1, 2]
"""

SCRIPTS["a circle through a thread and two green threads"] = """
inside = native_event()

@cache(wait_timeout=None)
def f(key):
    # A green thread computes it, and needs g.
    calls.append("f")
    inside.set()
    while not computing.is_set():
        time.sleep(0.002)
    time.sleep(0.1)
    return "f of " + (g(1) if len(calls) < 4 else "nothing")

@cache(wait_timeout=None)
def g(key):
    # Another thread computes it, and needs f.
    calls.append("g")
    computing.set()
    inside.wait(20)
    return "g of " + (f(1) if len(calls) < 4 else "nothing")

@cache(wait_timeout=None)
def h(key):
    assert release.wait(20)
    return "h"

third = native(h, 1)
waiter = spawn(ask, h, 1)
time.sleep(0.05)
green = spawn(ask, f, 1)
while not inside.is_set():
    time.sleep(0.002)
thread = native(g, 1)
join(green)
assert answers and answers[0].startswith("f of g"), answers
release.set()
join(waiter, thread, third)
"""

SCRIPTS["a green thread is killed while it waits"] = """
f = cache(wait_timeout=None)(held)
leader = native(f, 1)
computing.wait(20)
waiters = [spawn(ask, f, 1) for _ in range(3)]
for _ in range(10):
    time.sleep(0.002)
kill(waiters[1])
check(waiters[::2])
assert answers == ["value 1"] * 2 and calls == [1]
# Nothing is left of the wait that was given up: this thread may block in another.
time.sleep(0.01)
assert f(1) == "value 1"
"""

SCRIPTS["the time of a wait is bounded"] = """
f = cache(wait_timeout=0.3)(lambda key: held(key) if not calls else key)
leader = native(f, 1)
computing.wait(20)
join(spawn(ask, f, 1))
assert answers == [1] and ticks > 20
release.set()
"""

LIBRARIES = {
    "gevent": GEVENT,
    "eventlet": EVENTLET,
    "gevent's stand-in": STAND_IN.replace("LIBRARY", "'gevent'"),
    "eventlet's stand-in": STAND_IN.replace("LIBRARY", "'eventlet'"),
}


# The native threads' tasks end before the interpreter does: a leader that waits for `release` may
# do so in a hub of its thread (gevent patches the lock of the event), and greenlet cannot bear that
# the interpreter ends a thread in there. Before 3.14 CPython does it by pthread_exit, whose
# unwinding runs the destructors of greenlet's g_switch that started the hub (of its `err`, a
# reference), in a frame that other greenlets of the thread have written over since: the heap is
# corrupted, and the process aborts now and then after the last script. (Seen with greenlet 3.5.6;
# it takes a few daemon threads with two greenlets each, and nothing of this package.)
END = """
join(*natives)
"""

# All in one process: it takes longer to start than most of them to run.
RUN = """
for name, script in SCRIPTS.items():
    print(name, flush=True)
    exec(script, dict(globals()))
"""


@pytest.mark.parametrize("library", LIBRARIES)
def test_other_green_threads_go_on(library: str) -> None:
    # (It is not imported here: eventlet makes every fork of its process a warning.)
    if "stand-in" not in library and find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    # One script is enough for each further way to find a library.
    chosen = [name for name in SCRIPTS if library != "eventlet's stand-in" or "lease" in name]
    scripts = {name: START + SCRIPTS[name] + END for name in chosen}
    source = LIBRARIES[library] + RUN.replace("SCRIPTS", repr(scripts))
    check_clean(run_python(source, limit=60), out="\n".join(chosen))


HUB = """
import gevent, threading, time
from warp_cache import cache

computing, release = threading.Event(), threading.Event()

@cache(wait_timeout=None)
def f(key):
    computing.set()
    assert release.wait(20)
    return "value"

answers = []
thread = threading.Thread(target=f, args=(1,))
thread.start()
computing.wait(20)
threading.Timer(0.3, release.set).start()
gevent.get_hub().loop.run_callback(lambda: answers.append(f(1)))
gevent.sleep(0.01)
assert answers == ["value"], answers
thread.join()
print("done")
"""

IDLE = """
import sys, threading, time, types
sys.modules["gevent"] = sys.modules["eventlet"] = types.ModuleType("idle")
from warp_cache import cache
PATCH
computing, release = threading.Event(), threading.Event()

@cache(wait_timeout=None)
def f(key):
    computing.set()
    assert release.wait(20)
    return "value"

thread = threading.Thread(target=f, args=(1,))
thread.start()
computing.wait(20)
threading.Timer(0.3, release.set).start()
began = time.process_time()
assert f(1) == "value"
assert time.process_time() - began < 0.2, "it is busy while it waits"
thread.join()
print("done")
"""


def test_what_a_hub_calls_waits_without_it() -> None:
    pytest.importorskip("gevent")
    check_clean(run_python(HUB), out="done")


@pytest.mark.parametrize("patch", ["", "time.sleep = lambda seconds: None"])
def test_a_library_that_is_loaded_and_not_used(patch: str) -> None:
    check_clean(run_python(IDLE.replace("PATCH", patch)), out="done")


PROCESSES = """
import os
WORK
@cache(backend="shared", name="page", wait_timeout=25)
def page(key):
    time.sleep(0.5)
    return (key, os.getpid())

pid = os.fork()
mine, other = ("a", "b") if pid else ("b", "a")
began = time.monotonic()
pages = [spawn(ask, page, mine)]
time.sleep(0.2)
pages.append(spawn(ask, page, other))
join(*pages)
assert time.monotonic() - began < 10, "each waits for the other"
assert len({page(key) for key in "ab"}) == 2
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.parametrize("library", ["gevent", "gevent's stand-in"])
def test_two_processes_that_wait_for_each_other(library: str) -> None:
    """No circle: the green threads that compute are not those that wait."""
    if library == "gevent":
        pytest.importorskip("gevent")
    script = LIBRARIES[library] + START.replace("spawn(tick)", "") + PROCESSES.replace("WORK", "")
    check_clean(run_python(script + "\nprint('done')\n", options=["-Wignore"]), out="done")
