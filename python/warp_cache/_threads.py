"""Daemon threads that do jobs, made when there is work for them."""

from __future__ import annotations

import os
import threading
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DaemonThreads"]

# Seconds after which a thread that has nothing to do ends.
_IDLE = 10.0


class DaemonThreads:
    """At most so many threads of one name, and jobs that wait for one."""

    def __init__(self, name: str, most: int, queue: int | None = None) -> None:
        self.name = name
        self.most = most
        # Of how many jobs more may wait; None: of any number.
        self.queue = queue
        # A fork's child has none of its parent's threads.
        self.pid = os.getpid()
        self.jobs: deque[Callable[[], object]] = deque()
        self.condition = threading.Condition(threading.Lock())
        self.threads = 0
        self.idle = 0

    def submit(self, job: Callable[[], object]) -> bool:
        """Have a thread do the job; False if too many wait already, or no thread can be had."""
        with self.condition:
            if self.queue is not None and len(self.jobs) >= self.queue:
                return False
            self.jobs.append(job)
            if self.idle >= len(self.jobs):
                self.condition.notify()
                return True
            if self.threads == self.most:
                return True
            self.threads += 1
        try:
            threading.Thread(target=self.work, name=self.name, daemon=True).start()
        except RuntimeError:
            # No thread can be had, now or at the interpreter's exit.
            with self.condition:
                self.threads -= 1
                if self.threads == 0 and job in self.jobs:
                    self.jobs.remove(job)
                    return False
        return True

    def work(self) -> None:
        while True:
            with self.condition:
                while not self.jobs:
                    self.idle += 1
                    try:
                        if not self.condition.wait(_IDLE) and not self.jobs:
                            self.threads -= 1
                            return
                    finally:
                        self.idle -= 1
                job = self.jobs.popleft()
            job()
            # What the job refers to is not kept until the next one.
            del job
