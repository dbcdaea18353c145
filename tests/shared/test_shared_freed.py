"""Several callers in each of several processes: what ends without a value frees them all at once.

Within a process, callers wait for one who waits for the other process. What that one learns, they
all learn: nobody waits for a second computation. Where what the next one brings is shared by the
callers of a process (an exception, a value that cannot be stored), one of them computes for all;
else each computes. The proof is a meeting: each computation after the first waits inside until as
many are inside as there have to be, so who waited for one of them would be missed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import support
from children import Child, Children

PROCESSES = 4
CALLERS = 5

SOURCE = """
import asyncio, os, sys, textwrap, threading, time
from pathlib import Path
from warp_cache import cache
folder = Path(sys.argv[1])

def enter(kind):
    with open(folder / f"{kind}.inside", "a") as file:
        file.write(".")
    return inside(kind)

def inside(kind):
    return (folder / f"{kind}.inside").stat().st_size

def may_leave(kind, first):
    party = int((folder / f"{kind}.party").read_text())
    return (folder / f"{kind}.go").exists() and (first or inside(kind) >= party)

def meet(kind):
    first, end = enter(kind) == 1, time.monotonic() + 20
    while not may_leave(kind, first):
        assert time.monotonic() < end, "they take turns"
        time.sleep(0.01)

async def meet_async(kind):
    first, end = enter(kind) == 1, time.monotonic() + 20
    while not may_leave(kind, first):
        assert time.monotonic() < end, "they take turns"
        await asyncio.sleep(0.01)

class Interrupt(KeyboardInterrupt):
    pass

class Halt(BaseException):
    pass

class Unloadable:
    def __reduce__(self):
        return (explode, ())

def explode():
    raise ValueError("not to be loaded")

class Homely:
    def __reduce__(self):
        return (come_home, (os.getpid(),))

def come_home(pid):
    if pid != os.getpid():
        raise ValueError("not at home")
    return Homely()

ENDS = {
    "exception": ValueError("no"),
    "exit": SystemExit("no"),
    "interrupt": Interrupt("no"),
    "halt": Halt("no"),
    "generator_exit": GeneratorExit("no"),
    "cancelled": asyncio.CancelledError("no"),
    "cancels_itself": None,
    "too_large": lambda: bytes(5000),
    "unpicklable": lambda: lambda: None,
    "unloadable": Unloadable,
    "homely": Homely,
}

def end(kind):
    end = ENDS[kind.removesuffix("_async")]
    if isinstance(end, BaseException):
        raise type(end)(*end.args)
    return end()

def make(kind):
    def function(key):
        meet(kind)
        return end(kind)
    async def function_async(key):
        await meet_async(kind)
        if kind == "cancels_itself_async":
            asyncio.current_task().cancel("no")
            await asyncio.sleep(10)
        return end(kind)
    decorate = cache(backend="shared", name=kind, wait_timeout=60, max_value_size=1000)
    return decorate(function_async if kind.endswith("_async") else function)

# A call with a function is known by its bytes.
KEYS = {"plain": 1, "editable": textwrap.dedent}

functions = {kind + suffix: make(kind + suffix) for kind in ENDS for suffix in ("", "_async")}

def name_of(answer):
    # A task's cancellation has no message before 3.11.
    is_said = isinstance(answer, BaseException) and not isinstance(answer, asyncio.CancelledError)
    return f"{type(answer).__name__}: {answer}" if is_said else type(answer).__name__

def call(kind, key, callers):
    function, key, answers = functions[kind], KEYS[key], []
    def work():
        try:
            answers.append(function(key))
        except BaseException as error:
            answers.append(error)
    async def works():
        # Not gather: it takes a cancelled child for its own cancellation.
        tasks = [asyncio.ensure_future(function(key)) for _ in range(callers)]
        await asyncio.wait(tasks)
        for task in tasks:
            try:
                answers.append(task.result())
            except BaseException as error:
                answers.append(error)
    if kind.endswith("_async"):
        asyncio.run(works())
    else:
        threads = [threading.Thread(target=work) for _ in range(callers)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    return sorted({name_of(answer) for answer in answers}), len(answers)
"""

# What all callers get, and how many compute after the first.
ALONE = PROCESSES * CALLERS - 1
ONE_EACH = PROCESSES - 1
ENDS = {
    "exception": ("ValueError: no", ONE_EACH),
    "exit": ("SystemExit: no", ALONE),
    "interrupt": ("Interrupt: no", ALONE),
    "halt": ("Halt: no", ALONE),
    "generator_exit": ("GeneratorExit: no", ALONE),
    "cancelled": ("CancelledError", ALONE),
    "cancels_itself": ("CancelledError", ALONE),
    "too_large": ("bytes", ONE_EACH),
    "unpicklable": ("function", ONE_EACH),
    "unloadable": ("Unloadable", ALONE),
    # It loads in the process that has computed it.
    "homely": ("Homely", (PROCESSES - 1) * CALLERS),
}
# These end the loop from the caller's task, and the other tasks with it.
FATAL = {"exit", "interrupt"}
# A task's cancellations are counted since then.
FOR_TASKS = {"cancels_itself"} if sys.version_info >= (3, 11) else set()
FOR_THREADS = set(ENDS) - {"cancels_itself"}


def count(folder: Path, kind: str) -> int:
    path = folder / f"{kind}.inside"
    return path.stat().st_size if path.exists() else 0


def check(group: list[Child], folder: Path, kind: str, key: str, answer: str, others: int) -> None:
    question = f"call({kind!r}, {key!r}, {CALLERS})"
    (folder / f"{kind}.party").write_text(str(1 + others))
    asked = [group[0].start(question)]
    support.eventually(lambda: count(folder, kind) == 1)
    asked += [child.start(question) for child in group[1:]]
    misses = f"functions[{kind!r}].cache_info().misses"
    support.eventually(lambda: group[0].ask(misses) == str(PROCESSES * CALLERS))
    # They have looked, and are about to wait.
    time.sleep(3 * support.PAUSE)
    assert count(folder, kind) == 1, f"{kind}: computed beside the leader"
    (folder / f"{kind}.go").touch()
    for answered in asked:
        assert answered.answer() == repr(([answer], CALLERS)), kind
    computed = count(folder, kind)
    if kind.startswith("homely"):
        # Who is late finds another's value in the file, and computes as well.
        assert 1 + others <= computed <= PROCESSES * CALLERS
    else:
        assert computed == 1 + others, kind


@support.uncacheable
@pytest.mark.parametrize("key", ["plain", "editable"])
@pytest.mark.parametrize("suffix", ["", "_async"], ids=["threads", "tasks"])
def test_all_who_wait_are_free_at_once(
    suffix: str, key: str, children: Children, tmp_path: Path
) -> None:
    group = children.start(SOURCE, PROCESSES)
    for kind, (answer, others) in ENDS.items():
        if kind in ((FOR_THREADS - FATAL) | FOR_TASKS if suffix else FOR_THREADS):
            check(group, tmp_path, kind + suffix, key, answer, others)


@support.uncacheable
@pytest.mark.parametrize("suffix", ["", "_async"], ids=["threads", "tasks"])
@pytest.mark.parametrize("key", ["plain", "editable"])
@pytest.mark.parametrize("kind", ["unloadable", "homely"])
def test_what_does_not_load_is_counted_for_each_caller(
    suffix: str, kind: str, key: str, children: Children, tmp_path: Path
) -> None:
    answer, others = ENDS[kind]
    group = children.start(SOURCE, PROCESSES)
    check(group, tmp_path, kind + suffix, key, answer, others)
    skips = group[0].ask(f"functions[{kind + suffix!r}].cache_info().skips['unreadable']")
    assert int(skips) == count(tmp_path, kind + suffix) - 1
