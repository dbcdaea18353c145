"""A forwarder before a server, which holds back what the server answers to chosen requests."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Forwarder:
    """Forwards connections to a port; ``holds(request)`` names a request whose answers wait.

    ``held`` is set when such a request has gone to the server; ``release`` lets all answers pass.
    """

    def __init__(self, port: int, holds: Callable[[bytes], bool]) -> None:
        self.target = port
        self.holds = holds
        self.held = threading.Event()
        self.released = threading.Event()
        self.sockets: list[socket.socket] = []
        self.threads: list[threading.Thread] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self._run(self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def _run(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self.sockets += [near, far]
            holding = threading.Event()
            self._run(self._requests, near, far, holding)
            self._run(self._answers, far, near, holding)

    def _requests(self, near: socket.socket, far: socket.socket, holding: threading.Event) -> None:
        try:
            while data := near.recv(1 << 16):
                is_held = not self.released.is_set() and self.holds(data)
                if is_held:
                    holding.set()
                far.sendall(data)
                if is_held:
                    self.held.set()
            far.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _answers(self, far: socket.socket, near: socket.socket, holding: threading.Event) -> None:
        try:
            while data := far.recv(1 << 16):
                if holding.is_set():
                    self.released.wait()
                near.sendall(data)
            near.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def release(self) -> None:
        self.released.set()

    def close(self) -> None:
        self.release()
        # (A thread that waits in accept does not hear of a close.)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self.threads:
            thread.join(30)
