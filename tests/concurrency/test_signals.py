"""Ctrl-C and other signals, while the main thread waits and while it computes."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
from support import check_clean, run_python

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")

START = """
import itertools, os, signal, sys, threading, time
from warp_cache import Strategy, cache, lru_cache

# Started in the background of a shell, the tests inherit an ignored SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

def daemon(target, *args):
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread

def join(*threads):
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "a thread hangs"
"""

WAITING = """
started, release = threading.Event(), threading.Event()
calls = []

@cache(wait_timeout=WAIT)
def f(key):
    calls.append(key)
    started.set()
    assert release.wait(30)
    return "value"

leader = daemon(f, 1)
started.wait(20)
print("waiting", flush=True)
before = time.monotonic()
try:
    f(1)
except KeyboardInterrupt:
    print("interrupted", flush=True)
else:
    print("not interrupted", flush=True)
assert len(calls) == 1, "the waiter computed for itself"
# The computation and its other waiters go on as if nothing had happened.
others = [daemon(f, 1) for _ in range(2)]
time.sleep(0.05)
release.set()
join(leader, *others)
assert f(1) == "value" and len(calls) == 1
print("done", flush=True)
"""


@pytest.mark.parametrize("wait_timeout", ["None", "25", "1e12"])
def test_ctrl_c_ends_the_wait_of_the_main_thread_within_a_second(wait_timeout: str) -> None:
    took: list[float] = []

    def interrupt(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.3)
        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        took.append(time.monotonic() - before)
        assert process.stdout.readline() == "done\n"

    check_clean(run_python(START + WAITING.replace("WAIT", wait_timeout), talk=interrupt))
    assert took[0] < 1.5, took


HANDLER = """
started, release = threading.Event(), threading.Event()
seen = []

@cache(wait_timeout=None)
def f(key):
    if key == 1:
        started.set()
        assert release.wait(30)
    return key

def handler(number, frame):
    # Runs in the middle of the wait, and uses the same cache.
    assert f(2) == 2 and f.get(1) is None
    f.cache_info()
    seen.append(time.monotonic())
    if len(seen) == 3:
        release.set()

signal.signal(signal.SIGALRM, handler)
leader = daemon(f, 1)
started.wait(20)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
assert f(1) == 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert len(seen) >= 3
join(leader)
print("done")
"""


def test_a_handler_that_returns_lets_the_wait_go_on() -> None:
    check_clean(run_python(START + HANDLER), out="done")


SAME_KEY = """
started, release = threading.Event(), threading.Event()
nested = []

@cache(wait_timeout=None)
def f(key):
    started.set()
    assert release.wait(30)
    return "value"

def handler(number, frame):
    if not nested:
        nested.append("asked")
        release.set()
        nested.append(f(1))

signal.signal(signal.SIGALRM, handler)
leader = daemon(f, 1)
started.wait(20)
signal.setitimer(signal.ITIMER_REAL, 0.2)
assert f(1) == "value"
join(leader)
assert nested == ["asked", "value"], nested
print("done")
"""


def test_a_handler_may_wait_for_the_key_its_thread_is_waiting_for() -> None:
    check_clean(run_python(START + SAME_KEY), out="done")


COMPUTING = """
waits = []

@cache(wait_timeout=None)
def f(key):
    if key == "slow" and not waits:
        waits.append(1)
        print("computing", flush=True)
        while True:
            time.sleep(0.01)
    return key

try:
    f("slow")
except KeyboardInterrupt:
    print("interrupted", flush=True)
thread = daemon(f, "slow")
join(thread)
assert f("slow") == "slow"
assert tuple(f.cache_info()) == (1, 2, 128, 1), f.cache_info()
print("done", flush=True)
"""


def test_ctrl_c_in_the_computation_leaves_no_record_behind() -> None:
    def interrupt(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stdout.readline() == "computing\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.stdout.readline() == "done\n"

    check_clean(run_python(START + COMPUTING, talk=interrupt))


TAKE_OVER = """
started = threading.Event()
calls = []

@cache(wait_timeout=None)
def f(key):
    calls.append(threading.current_thread() is threading.main_thread())
    if len(calls) == 1:
        started.set()
        print("computing", flush=True)
        while True:
            time.sleep(0.01)
    return "value"

answers = []
def wait():
    started.wait(20)
    answers.append(f(1))
threads = [daemon(wait) for _ in range(4)]
try:
    f(1)
except KeyboardInterrupt:
    pass
join(*threads)
assert answers == ["value"] * 4
assert calls[0] and not any(calls[1:]) and len(calls) in range(2, 6), calls
print("done")
"""


def test_ctrl_c_in_the_leader_frees_its_waiters() -> None:
    def interrupt(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stdout.readline() == "computing\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)

    check_clean(run_python(START + TAKE_OVER, talk=interrupt), out="done")


STORM = """
class Alarm(BaseException):
    pass

armed = False

def handler(number, frame):
    # One exception a round, and none outside of the try.
    global armed
    if armed:
        armed = False
        raise Alarm

signal.signal(signal.SIGALRM, handler)

class Key:
    def __init__(self, name):
        self.name = name
    def __hash__(self):
        return self.name % 5
    def __eq__(self, other):
        return isinstance(other, Key) and self.name == other.name

@cache(max_size=16, wait_timeout=None)
def f(key):
    for _ in range(3):
        pass
    return key.name

@cache(max_size=16, wait_timeout=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def use():
    global armed
    armed = True
    for i in range(200):
        assert f(Key(i % 30)) == i % 30
        f.get(Key(i % 7))
        fib(25)
        if i % 10 == 0:
            fib.cache_clear()
        if i % 50 == 0:
            f.cache_clear()
    armed = False

alarms = 0
end = time.monotonic() + 1.5
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
while time.monotonic() < end:
    try:
        use()
    except Alarm:
        alarms += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert alarms > 20, alarms

# No computation may have been left behind: another thread would wait for it for ever.
def check():
    for i in range(30):
        assert f(Key(i)) == i
    assert fib(60) == 1548008755920
join(*[daemon(check) for _ in range(3)])
assert f.cache_info().currsize <= 16
print("done")
"""


def test_exceptions_from_a_storm_of_signals_leave_no_record_behind() -> None:
    check_clean(run_python(START + STORM), out="done")


ASYNC_EXCEPTION = """
import ctypes
raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

class Halt(BaseException):
    pass

@cache(max_size=None, wait_timeout=None)
def f(i):
    for _ in range(2000):
        pass
    return i

halts = 0
def work():
    global halts
    for i in itertools.count():
        try:
            for j in range(10):
                assert f(j) == j
            f.cache_clear()
        except Halt:
            halts += 1
        if halts > 100:
            return

threads = [daemon(work) for _ in range(2)]
while any(thread.is_alive() for thread in threads):
    time.sleep(0.001)
    for thread in threads:
        raise_in(ctypes.c_ulong(thread.ident), ctypes.py_object(Halt))
    if halts > 100:
        break
halts = 1000
for thread in threads:
    thread.join(20)
# A Halt may end a thread outside its try; what matters is that nobody waits for what it left.
def check():
    for i in range(10):
        assert f(i) == i
join(*[daemon(check) for _ in range(3)])
print("done")
"""


def test_exceptions_thrown_into_threads_leave_no_record_behind() -> None:
    quiet = "import threading\nthreading.excepthook = lambda args: None\n"
    check_clean(run_python(quiet + START + ASYNC_EXCEPTION), out="done")


def test_a_signal_while_another_thread_waits_disturbs_it_not() -> None:
    """Signals are the main thread's business: a waiting thread goes on, with or without them."""
    script = (
        START
        + """
started, release = threading.Event(), threading.Event()

@cache(wait_timeout=None)
def f(key):
    started.set()
    assert release.wait(30)
    return "value"

seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
leader = daemon(f, 1)
started.wait(20)
answers = []
waiters = [daemon(lambda: answers.append(f(1))) for _ in range(3)]
time.sleep(0.1)
for thread in waiters * 20:
    signal.pthread_kill(thread.ident, signal.SIGUSR1)
    time.sleep(0.001)
assert seen and not answers
release.set()
join(leader, *waiters)
assert answers == ["value"] * 3
print("done")
"""
    )
    check_clean(run_python(script), out="done")
