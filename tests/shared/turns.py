"""One process's hold on a shared cache, done by hand: in this process or over a pipe."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from warp_cache import Strategy, cache, lru_cache


class Refused(Exception):
    """What the function raises when it is told to."""


class Actor:
    """A decorated `function(x, y=0)` whose results are numbered by whoever asks."""

    def __init__(self) -> None:
        self.cached: Any = None
        self.number = 0
        self.refuse = False
        self.computed = False

    def make(self, name: str, kind: str, strategy: int, size: int | None, **options: Any) -> None:
        self.cached = None
        options = {"backend": "shared", "name": name, "max_size": size, **options}
        decorate = (
            lru_cache(**options) if kind == "lru_cache" else cache(Strategy(strategy), **options)
        )
        self.cached = decorate(self._function)

    def _function(self, x: Any, y: Any = 0) -> Any:
        self.computed = True
        if self.refuse:
            raise Refused
        return (self.number, [self.number])

    def do(
        self,
        what: str,
        number: int,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> tuple[Any, bool]:
        """The result (or the name of the exception), and whether the function ran."""
        kwargs = kwargs or {}
        self.number, self.refuse, self.computed = number, what == "raise", False
        result: Any
        try:
            if what in ("call", "raise"):
                result = self.cached(*args, **kwargs)
            elif what == "get":
                result = self.cached.get(*args, **kwargs)
            elif what == "set":
                result = self.cached.set((number, [number]), *args, **kwargs)
            else:
                result = self.cached.cache_clear()
        except (Refused, TypeError) as error:
            result = type(error).__name__
        if isinstance(result, tuple):
            # Whoever changes what they got changes nobody else's.
            result[1].append("changed")
            result = result[0]
        return result, self.computed

    def info(self) -> tuple[Any, ...]:
        return tuple(self.cached.cache_info())


class Remote:
    """An actor in a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def _ask(self, question: str) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the other process has ended: {self.process.wait()}"
        return eval(answer)

    def make(self, *args: Any, **options: Any) -> None:
        self._ask(f"actor.make(*{args!r}, **{options!r})")

    def do(self, *args: Any) -> Any:
        return self._ask(f"actor.do(*{args!r})")

    def info(self) -> Any:
        return self._ask("actor.info()")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


if __name__ == "__main__":
    actor = Actor()
    for line in sys.stdin:
        print(repr(eval(line)), flush=True)
