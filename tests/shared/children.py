"""Python processes that a test talks to: each evaluates what it is sent, line by line."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import support

# Reads `number expression` lines, answers `number repr` lines; each in a thread of its own, so that
# a call that waits leaves the process able to answer.
_LOOP = """
import sys, threading
def _answer(number, text):
    try:
        answer = repr(eval(text, globals()))
    except BaseException as error:
        answer = f"!{type(error).__name__}: {error}"
    sys.stdout.write(f"{number} {answer}\\n")
    sys.stdout.flush()
_threads = []
for _line in sys.stdin:
    _number, _, _text = _line.partition(" ")
    _threads.append(threading.Thread(target=_answer, args=(_number, _text.strip()), daemon=True))
    _threads[-1].start()
"""


# For the end of a source: `_waits` grows with each call that begins to wait for another's
# computation.
WAITS = (
    Path(__file__).parents[1].joinpath("waits.py").read_text(encoding="utf-8")
    + """
_waits = []
tell_waits(_waits.append)
"""
)

# For a source: what an expression is worth in a child that is forked for it.
FORKED = """
def forked(expression):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, repr(eval(expression)).encode())
        finally:
            os._exit(0)
    os.close(write)
    answer = os.read(read, 1 << 16).decode()
    os.close(read)
    os.waitpid(pid, 0)
    return answer
"""


class Asked:
    """A question that a child is working on."""

    def __init__(self, child: Child, number: int) -> None:
        self.child = child
        self.number = number

    def answer(self, limit: float = support.LIMIT) -> str:
        """The repr of the result, or "!Type: message" of an exception."""
        return self.child.await_answer(self.number, limit)

    def is_answered(self) -> bool:
        self.child.read(0)
        return self.number in self.child.answers


class Child:
    """One process."""

    # How many were killed by a test, all told.
    killed = 0

    def __init__(self, script: Path, arguments: tuple[str, ...]) -> None:
        self.answers: dict[int, str] = {}
        self.asked = 0
        self.waited = 0
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=support._environment(None),
        )

    def start(self, expression: str) -> Asked:
        """Have the child evaluate an expression, without waiting for it."""
        assert self.process.stdin is not None
        self.asked += 1
        self.process.stdin.write(f"{self.asked} {expression}\n".encode())
        self.process.stdin.flush()
        return Asked(self, self.asked)

    def ask(self, expression: str) -> Any:
        """The repr of an expression's value."""
        return self.start(expression).answer()

    def await_waits(self, count: int) -> None:
        """Wait until so many more calls wait for others; its source ends with WAITS."""
        self.waited += count
        support.eventually(lambda: int(self.ask("len(_waits)")) >= self.waited)

    def read(self, timeout: float) -> None:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        if select.select([descriptor], [], [], timeout)[0]:
            data = os.read(descriptor, 1 << 16)
            assert data, f"the child has ended: {self.process.wait()}"
            self.text += data.decode()
            *lines, self.text = self.text.split("\n")
            for line in lines:
                number, _, answer = line.partition(" ")
                self.answers[int(number)] = answer

    def await_answer(self, number: int, limit: float) -> str:
        support.eventually(lambda: number in self.answers or self.read(0.05), limit)
        return self.answers.pop(number)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        Child.killed += 1
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.communicate()


class Children:
    """Starts children, and ends them with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all: list[Child] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.all:
            child.close()

    def start(self, source: str, count: int = 1) -> list[Child]:
        """Start processes that run `source` and then answer questions."""
        script = self.folder / "child.py"
        script.write_text(source + _LOOP, encoding="utf-8")
        started = [Child(script, (str(self.folder),)) for _ in range(count)]
        self.all += started
        for child in started:
            assert child.ask("'ready'") == "'ready'"
        return started
