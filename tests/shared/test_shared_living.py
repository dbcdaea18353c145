"""Whose computation goes on: processes that become other programs, leave children behind, stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import support
from children import Child, Children

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

# Computes while a file "open" is missing. `replace` and SIGUSR1 make the process another program:
# in a thread, and in the main one.
SOURCE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from warp_cache import cache
folder = Path(sys.argv[1])

@cache(backend="shared", name="gated", wait_timeout=25)
def gated(x):
    with open(folder / "calls", "a") as file:
        file.write(f"{os.getpid()} {x}\\n")
    end = time.monotonic() + 50
    while not (folder / "open").exists() and time.monotonic() < end:
        time.sleep(0.005)
    return x

def replace():
    os.execv("/bin/sleep", ["sleep", "50"])

def again():
    os.execv(sys.executable, [sys.executable, *sys.argv])

def leave(child):
    # Its process id; the child outlives us, with everything that it was given.
    if child == "fork":
        pid = os.fork()
        if not pid:
            time.sleep(50)
            os._exit(0)
        return pid
    if child == "spawn":
        return os.posix_spawn("/bin/sleep", ["sleep", "50"], os.environ)
    return subprocess.Popen(["/bin/sleep", "50"], close_fds=child != "popen with descriptors").pid

signal.signal(signal.SIGUSR1, lambda *_: replace())
"""


def begin(children: Children, folder: Path) -> Child:
    """A process that computes."""
    first = children.start(SOURCE)[0]
    first.start("gated(1)")
    calls = folder / "calls"
    # The whole line: it may be stopped next.
    support.eventually(lambda: calls.exists() and calls.read_text().endswith("\n"))
    return first


def is_taken_over(children: Children, folder: Path) -> bool:
    """Whether another process computes at once, far within the bound of its wait."""
    (folder / "open").touch()
    began = time.monotonic()
    assert children.start(SOURCE)[0].ask("gated(1)") == "1"
    return time.monotonic() - began < 15


@pytest.mark.parametrize("how", ["in a thread", "in the main thread", "as itself"])
def test_a_leader_that_becomes_another_program(
    children: Children, tmp_path: Path, how: str
) -> None:
    first = begin(children, tmp_path)
    if how == "in the main thread":
        first.signal(signal.SIGUSR1)
    else:
        first.start("replace()" if how == "in a thread" else "again()")
    assert is_taken_over(children, tmp_path)
    assert first.process.poll() is None


@pytest.mark.parametrize("child", ["fork", "spawn", "popen", "popen with descriptors"])
def test_a_leader_whose_child_outlives_it(children: Children, tmp_path: Path, child: str) -> None:
    first = begin(children, tmp_path)
    left = int(first.ask(f"leave({child!r})"))
    try:
        first.process.kill()  # and nobody waits for it
        assert is_taken_over(children, tmp_path)
        os.kill(left, 0)
    finally:
        os.kill(left, signal.SIGKILL)


@pytest.mark.parametrize("then", ["os.closerange(3, 4096)", "os.kill(os.getpid(), signal.SIGSTOP)"])
def test_a_leader_that_lives_on_is_waited_for(
    children: Children, tmp_path: Path, then: str
) -> None:
    first = begin(children, tmp_path)
    first.start(then)
    other = children.start(SOURCE)[0]
    asked = other.start("gated(1)")
    time.sleep(0.7)
    assert not asked.is_answered() and len((tmp_path / "calls").read_text().splitlines()) == 1
    first.process.kill()
    (tmp_path / "open").touch()
    assert asked.answer() == "1"


# Each replacement may end a thread in the lock.
@pytest.mark.deaths(2 * 6)
def test_programs_that_are_replaced_while_they_store(children: Children, tmp_path: Path) -> None:
    source = """
import os, sys, threading, time
from warp_cache import cache
store = cache(backend="shared", name="store", max_size=50)(lambda x: [x])
def work():
    while True:
        for x in range(200):
            assert store(x) == [x]
def begin(lives):
    for _ in range(2):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.02)
    if lives:
        os.execv(sys.executable, [sys.executable, *sys.argv[:2], str(lives - 1)])
if len(sys.argv) > 2:
    begin(int(sys.argv[2]))
    print("0 done", flush=True)  # as an answer
"""
    group = children.start(source, 2)
    for child in group:
        child.start("begin(6)")
    here = children.start(source)[0]
    for child in group:
        assert child.await_answer(0, 60) == "done"
    for child in group:
        child.kill()
    # Nobody of those who have gone is in anybody's way.
    began = time.monotonic()
    assert here.ask("[store.set(x, x) for x in range(50)] and store.cache_info().currsize") == "50"
    assert here.ask("[store.get(x) for x in range(50)] == list(range(50))") == "True"
    assert time.monotonic() - began < 10


def run(source: str, **options: Any) -> None:
    support.check_clean(support.run_python(source, options=["-Wignore"], **options))


def test_no_descriptor_is_free_at_the_first_call() -> None:
    run(
        """
import resource
from warp_cache import cache
calls = []
f = cache(backend="shared", name="f")(calls.append)
f.cache_info()  # opens it
resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
assert [f(x) for x in (1, 2, 1, 2)] and calls == [1, 2], calls
"""
    )


@pytest.mark.parametrize("name", [None, "named"])
def test_a_daemons_child_closes_all_descriptors(name: str | None) -> None:
    run(
        f"""
import os, signal, time
from warp_cache import cache
calls = []
state = object()  # which makes a cache without a name private
f = cache(backend="shared", name={name!r})(lambda x: calls.append(x) or (state and x))
f(1)
pid = os.fork()
if not pid:
    signal.alarm(30)
    os.closerange(3, 4096)
    assert [f(x) for x in (1, 2, 2, 3)] == [1, 2, 2, 3]
    time.sleep(1.1)  # another file is opened once a second
    del calls[:]
    assert [f(x) for x in (4, 5, 4, 5)] == [4, 5, 4, 5]
    os._exit(0 if calls == [4, 5] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
f(6), f(6)
assert calls == [1, 6], calls
"""
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
def test_processes_of_two_pid_namespaces() -> None:
    source = """
import ctypes, os, signal, threading, time
from warp_cache import cache
r, w = os.pipe()

@cache(backend="shared", name="f", wait_timeout=25)
def f(x):
    if os.getpid() == 1:
        os.write(w, b"x")
        time.sleep(20)
    return x

helper = os.fork()
if not helper:
    if ctypes.CDLL(None).unshare(0x20000000):  # CLONE_NEWPID
        os._exit(os.write(w, b"skipped"))
    pid = os.fork()
    if not pid:
        f(1)
        os._exit(0)
    os.write(w, b"%d\\n" % pid)
    time.sleep(30)
said = b""
while not {*b"x\\n"} <= {*said} and said != b"skipped":
    said += os.read(r, 100)
if said != b"skipped":
    waiter = threading.Thread(target=f, args=(1,))
    waiter.start()
    waiter.join(0.5)
    assert waiter.is_alive(), "the computation of a living process was taken over"
    os.kill(int(said.replace(b"x", b"")), signal.SIGKILL)  # and its parent does not look
    waiter.join(15)
    assert not waiter.is_alive()
os.kill(helper, signal.SIGKILL)
print("skipped" if said == b"skipped" else "done")
"""
    done = support.run_python(source, options=["-Wignore"])
    if done.stdout.strip() == "skipped":
        pytest.skip("a pid namespace needs root")
    support.check_clean(done, out="done")
