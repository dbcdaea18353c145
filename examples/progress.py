"""A progress bar in one line of a terminal; without a terminal, one line when it is done."""

from __future__ import annotations

import sys
import threading
import time

WIDTH = 32
# Drawing costs time too, so it happens ten times a second at most.
INTERVAL = 0.1


class Progress:
    """Counts ticks, from any thread: `with Progress("title", total) as bar: bar.tick()`."""

    def __init__(self, title: str, total: int) -> None:
        self.title = title
        self.total = total
        self.done = 0
        self._lock = threading.Lock()
        self._drawn = 0.0
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        self._start = time.perf_counter()
        self._draw()
        return self

    def __exit__(self, *exception: object) -> None:
        seconds = time.perf_counter() - self._start
        clear = "\r\x1b[K" if self._terminal else ""
        sys.stderr.write(f"{clear}{self.title}: {self.done:,} calls in {seconds:.1f} s\n")
        sys.stderr.flush()

    def tick(self) -> None:
        with self._lock:
            self.done += 1
            now = time.perf_counter()
            if now - self._drawn < INTERVAL:
                return
            self._drawn = now
        self._draw()

    def _draw(self) -> None:
        if not self._terminal:
            return
        share = min(self.done / self.total, 1.0)
        full = round(WIDTH * share)
        bar = "█" * full + "░" * (WIDTH - full)
        sys.stderr.write(f"\r\x1b[K{self.title}  {bar} {share:4.0%}")
        sys.stderr.flush()
