"""Runs the commands as a user does: in this process, in a pipe, and on a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
import support

from warp_cache.__main__ import main

Run = Callable[..., tuple[int, str, str]]

APP = """
import os, sys
from collections import OrderedDict
from decimal import Decimal
from warp_cache import cache

@cache(backend="shared", max_size=100, ttl=600, tags=("user:{x}",))
def load(x, y=2):
    return {"x": x, "y": y}

@cache(backend="shared", name="named", max_size=50)
def named(x):
    return complex(x, 1)

@cache(backend="shared", name="pickled")
def pickled(x):
    return OrderedDict(x=x)

@cache(backend="shared", name="priced")
def priced(x):
    return Decimal(x)
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process: status, output, errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(list(arguments))
        except SystemExit as exit:
            assert isinstance(exit.code, int)
            status = exit.code
        out, errors = capsys.readouterr()
        return status, out, errors

    return run


def _forget_apps() -> None:
    for name in [name for name in sys.modules if name.endswith("app")]:
        del sys.modules[name]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the module ``app``, which commands run in this folder can import."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    monkeypatch.chdir(folder)
    # Its text changes faster than the times of files tell.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    _forget_apps()
    yield folder
    _forget_apps()


class Worker:
    """A process that has imported ``app``, and evaluates what it is told."""

    def __init__(self, source: str = "from app import *", **environment: str) -> None:
        program = source + (
            "\nimport sys\nprint('ready', flush=True)\n"
            "for line in sys.stdin:\n    print(repr(eval(line)), flush=True)\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.getcwd(),
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
        )
        assert self.read() == "ready"

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, expression: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, expression: str) -> str:
        self.tell(expression)
        return self.read()

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def worker(app: Path) -> Iterator[Callable[..., Worker]]:
    """Starts processes of the app; none outlives the test."""
    workers: list[Worker] = []

    def start(source: str = "from app import *", **environment: str) -> Worker:
        workers.append(Worker(source, **environment))
        return workers[-1]

    yield start
    for one in workers:
        one.close()


class Terminal:
    """A command on a pseudo-terminal of so many columns."""

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24, **more: Any) -> None:
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        environment |= {"TERM": "xterm", **more}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "warp_cache", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
            # Who runs the tests in the background ignores it, and so would this process.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        os.close(theirs)
        self.descriptor = ours
        self.text = ""

    def read_until(self, text: str) -> str:
        """Read until the text has come."""
        support.eventually(lambda: text in self.text or not self._read() or text in self.text)
        assert text in self.text, self.text
        return self.text

    def read_all(self) -> str:
        """Read to the end; the lines have no carriage returns."""
        while self._read():
            pass
        self.process.wait(support.LIMIT)
        return self.text.replace("\r\n", "\n")

    def _read(self) -> bool:
        if not select.select([self.descriptor], [], [], support.LIMIT)[0]:
            return False
        try:
            data = os.read(self.descriptor, 1 << 16)
        except OSError:
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def interrupt(self) -> int:
        # Between a prompt and the wait for its answer readline only notes a signal, and waits on.
        support.eventually(self._sleeps)
        self.process.send_signal(signal.SIGINT)
        self.read_all()
        return self.process.wait(support.LIMIT)

    def _sleeps(self) -> bool:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "S"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.descriptor)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Starts commands on terminals; none outlives the test."""
    terminals: list[Terminal] = []

    def start(*arguments: str, **more: Any) -> Terminal:
        terminals.append(Terminal(*arguments, **more))
        return terminals[-1]

    yield start
    for one in terminals:
        one.close()
