"""Greenlets on one thread count as that thread: what one computes, another must not wait for."""

from __future__ import annotations

import importlib.util

import pytest
from support import check_clean, run_python

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("greenlet") is None, reason="needs greenlet"
)

START = """
import gc, threading, time
from greenlet import GreenletExit, getcurrent, greenlet
from warp_cache import cache, lru_cache

def daemon(target, *args):
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread

def join(*threads):
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "a thread hangs"
"""

SCRIPTS: dict[str, str] = {}

SCRIPTS["a second greenlet asks for the key"] = """
calls = []

@cache(wait_timeout=None)
def f(key):
    calls.append(key)
    if len(calls) == 1:
        main.switch("first is inside")
    return len(calls)

main = getcurrent()
first = greenlet(f)
assert first.switch(1) == "first is inside"
second = greenlet(f)
assert second.switch(1) == 2
assert first.switch() == 2
assert len(calls) == 2
assert f(1) == 2
"""

SCRIPTS["hundreds of greenlets ask for a few keys"] = """
computed = []

@cache(wait_timeout=None)
def f(key):
    computed.append(key)
    main.switch()
    return key

main = getcurrent()
waiting = [greenlet(lambda key: values.append(f(key))) for _ in range(300)]
values = []
for i, one in enumerate(waiting):
    one.switch(i % 7)
while any(not one.dead for one in waiting):
    for one in waiting:
        if not one.dead:
            one.switch()
assert sorted(values) == sorted(i % 7 for i in range(300))
assert all(f(i) == i for i in range(7))
assert f.cache_info().currsize == 7
"""

SCRIPTS["a greenlet is killed in its computation"] = """
@cache(wait_timeout=None)
def f(key):
    if switching:
        main.switch()
    return key

main = getcurrent()
switching = True
killed, abandoned = greenlet(f), greenlet(f)
killed.switch(1)
killed.throw(GreenletExit)
abandoned.switch(2)
del abandoned
gc.collect()
switching = False
answers = []
threads = [daemon(lambda key: answers.append(f(key)), key) for key in (1, 2, 1, 2)]
join(*threads)
assert sorted(answers) == [1, 1, 2, 2]
"""

SCRIPTS["a circle through greenlets and a thread"] = """
inside = threading.Event()
go = threading.Event()

@cache(wait_timeout=None)
def f(key):
    # First run: greenlet 1 of the main thread leaves in the middle.
    if not inside.is_set():
        inside.set()
        main.switch()
    return "f"

@cache(wait_timeout=None)
def g(key):
    go.set()
    return "g of " + f(1)

main = getcurrent()
first = greenlet(f)
first.switch(1)
# The other thread computes g and waits for f, which this thread computes.
other = daemon(g, 1)
go.wait(20)
time.sleep(0.1)
# So a wait of this thread for g would never end, whichever greenlet it is in.
second = greenlet(g)
assert second.switch(1) == "g of f"
assert first.switch() == "f"
join(other)
assert g(1) == "g of f" and f(1) == "f"
"""

SCRIPTS["other threads wait for a greenlet"] = """
@cache(wait_timeout=None)
def f(key):
    if threading.current_thread() is threading.main_thread():
        main.switch()
    return "value"

main = getcurrent()
first = greenlet(f)
first.switch(1)
answers = []
threads = [daemon(lambda: answers.append(f(1))) for _ in range(4)]
time.sleep(0.1)
assert not answers
assert first.switch() == "value"
join(*threads)
assert answers == ["value"] * 4
assert f.cache_info()[:2] == (0, 5)
"""


@pytest.mark.parametrize("what", SCRIPTS)
def test_greenlets(what: str) -> None:
    check_clean(run_python(START + SCRIPTS[what] + "\nprint('done')\n"), out="done")
