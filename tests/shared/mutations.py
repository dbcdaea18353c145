"""Damages cache files in every way it can think of, and uses them: a script that must not crash.

Arguments: a seed, how many mutations, and "closed" (the file is damaged before it is opened),
"mapped" (while it is open) or "busy" (while a thread and another process use it). Prints what was
seen.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from warp_cache import Strategy, cache

PAGE = 4096
HEADER = 0x18000  # the fixed areas: header, candidates, leases, process slots, first index level
KEYS = 60
# Seconds that the work with one damaged file may take: some bounded waits in a row.
LIMIT = 30.0
WORDS = [0, 1, 2, 0xFF, 1 << 16, 1 << 31, 1 << 32, 1 << 47, 1 << 63, (1 << 63) - 1, (1 << 64) - 1]


def payload(x: int) -> dict[str, Any]:
    body = random.Random(x).randbytes(x * x % 700)
    return {"x": x, "body": [body], "sum": zlib.crc32(body, x)}


def check(value: Any, x: int) -> None:
    assert value == payload(x), (x, value)


def open_cache(path: Path, options: dict[str, Any]) -> Any:
    return cache(backend="shared", name=path.stem, **options)(payload)


def use(function: Any, times: int = 1) -> None:
    for _ in range(times):
        for x in range(KEYS):
            check(function(x), x)
    value = function.get(3)
    assert value is None or check(value, 3) is None
    function.set(payload(4), 4)
    function.cache_info()


class Mutator:
    def __init__(self, chance: random.Random, other: bytes) -> None:
        self.chance = chance
        self.other = other

    def place(self, size: int) -> int:
        """A word's place: the header more often than its size says."""
        areas = [min(size, 1024), min(size, HEADER), size]
        return self.chance.randrange(0, max(8, self.chance.choice(areas) - 8)) & ~7

    def mutate(self, file: Path) -> str:
        kinds = ["bits", "word", "word", "word", "burst", "zeros", "noise", "swap", "foreign"]
        kind = self.chance.choice([*kinds, "truncate", "grow", "all"])
        with open(file, "r+b", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            getattr(self, kind)(stream.fileno(), size)
        return kind

    def bits(self, fd: int, size: int) -> None:
        for _ in range(self.chance.choice([1, 1, 2, 30])):
            at = self.place(size)
            byte = os.pread(fd, 1, at) or b"\0"
            os.pwrite(fd, bytes([byte[0] ^ 1 << self.chance.randrange(8)]), at)

    def word(self, fd: int, size: int) -> None:
        value = self.chance.choice(
            [*WORDS, self.chance.getrandbits(64), self.chance.randrange(300)]
        )
        os.pwrite(fd, value.to_bytes(8, "little"), self.place(size))

    def burst(self, fd: int, size: int) -> None:
        at = self.place(size)
        os.pwrite(fd, self.chance.choice(WORDS).to_bytes(8, "little") * 32, min(at, size - 256))

    def page(self, size: int) -> int:
        return self.place(size) // PAGE * PAGE

    def zeros(self, fd: int, size: int) -> None:
        os.pwrite(fd, bytes(min(PAGE, size)), self.page(size))

    def noise(self, fd: int, size: int) -> None:
        os.pwrite(fd, self.chance.randbytes(min(PAGE, size)), self.page(size))

    def swap(self, fd: int, size: int) -> None:
        one, two = self.page(size), self.page(size)
        old = os.pread(fd, PAGE, one), os.pread(fd, PAGE, two)
        os.pwrite(fd, old[1], one)
        os.pwrite(fd, old[0], two)

    def foreign(self, fd: int, size: int) -> None:
        """A page of another cache with the same parameters."""
        at = self.page(min(size, len(self.other)))
        os.pwrite(fd, self.other[at : at + PAGE], at)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, self.chance.choice([0, 8, 100, PAGE, self.chance.randrange(size)]))

    def grow(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size + self.chance.choice([1, 8, PAGE, 1 << 20, 1 << 40]))

    def all(self, fd: int, size: int) -> None:
        size = min(size, 1 << 20)  # it is sparse
        os.pwrite(fd, self.chance.choice([bytes(size), self.chance.randbytes(size)]), 0)


def while_busy(function: Any, path: Path, options: dict[str, Any], mutate: Any) -> str:
    """A thread and a child use the cache before, during and after the damage."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def body() -> None:
        try:
            while not stop.is_set():
                use(function)
        except BaseException as error:
            failures.append(error)

    child = os.fork()
    if child == 0:
        code = 1
        try:
            end = time.monotonic() + 0.05
            while time.monotonic() < end:
                use(function)
            use(open_cache(path, options))
            code = 0
        except OSError as error:
            code = 0 if is_clear(error) else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        os._exit(code)
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    time.sleep(0.005)
    kind: str = mutate()
    time.sleep(0.02)
    stop.set()
    thread.join()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, f"the other process ended with {code}"
    if failures:
        raise failures[0]
    return kind


def is_clear(error: OSError) -> bool:
    return "warp" in str(error) or "cache" in str(error)


def one(chance: random.Random, how: str, path: Path, mutator: Mutator) -> str:
    options = {
        "strategy": chance.choice(list(map(int, Strategy))),
        "max_size": chance.choice([20, 50, 100, None]),
        "ttl": chance.choice([None, None, 0.01, 100]),
        "max_bytes": chance.choice([None, None, 1 << 18]),
        "wait_timeout": 1,
    }
    function = open_cache(path, options)
    use(function)
    if how == "busy":
        kind = while_busy(function, path, options, lambda: mutator.mutate(path))
    elif how == "mapped":
        kind = mutator.mutate(path)
    else:
        del function
        kind = mutator.mutate(path)
        function = None
    try:
        if how == "closed":
            function = open_cache(path, options)
        use(function, 2)
        second = open_cache(path, options)
        use(second)
        function.cache_clear()
        use(function)
        use(second)
    except OSError as error:
        assert is_clear(error), error
        kind += ", refused"
    return kind


def main(seed: int, count: int, how: str) -> None:
    folder = Path(os.environ["WARP_CACHE_DIR"])
    options: dict[str, Any] = {"strategy": 0, "max_size": 100}
    function = open_cache(folder / "other.cache", options)
    use(function)
    other = (folder / "other.cache").read_bytes()
    seen: Counter[str] = Counter()
    for number in range(seed, seed + count):
        chance = random.Random(number)
        print(f"mutation {number}", file=sys.stderr, flush=True)
        signal.alarm(int(2 * LIMIT))
        began = time.monotonic()
        path = folder / f"file{number}.cache"
        seen[one(chance, how, path, Mutator(chance, other))] += 1
        took = time.monotonic() - began
        assert took < LIMIT, f"mutation {number} took {took} s"
        for file in folder.glob(f"file{number}*"):
            file.unlink()
    print(dict(sorted(seen.items())))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
