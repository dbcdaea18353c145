"""The torture itself: a process that forks workers, kills, stops and continues them, and counts.

Run as a script with the number of kills; the last line that it prints is what was survived. Every
worker checks each value it is given and writes down, in a mapped file, what it has begun and ended.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
import zlib
from typing import Any

from warp_cache import cache

# Words of the mapped file: of all, then of each worker.
STOP, EPOCH, WORKERS = 0, 1, 8
BEGUN, DONE, LONGEST, STOPPED, TAKEN, COMPUTED = range(6)
FIELDS = 8

WAIT_TIMEOUT = 1.0
# Far above what a call of a worker that was never stopped needs on a loaded machine.
LIMIT = 15.0
ALIVE = 5


class Caches:
    """The shared functions; each process that makes them opens the files anew."""

    def __init__(self, words: Any) -> None:
        self.words = words
        self.ran = 0
        self.torn = cache(3, 64, backend="shared", name="torn", max_bytes=3 << 20)(self._payload)
        self.brief = cache(0, 50, 0.03, backend="shared", name="brief")(self._payload)
        self.counted = cache(2, 40, backend="shared", name="counted")(self._payload)
        self.fresh = cache(0, 20, backend="shared", name="fresh")(self._epoch)
        self.slow = cache(0, 8, 0.02, backend="shared", name="slow", wait_timeout=WAIT_TIMEOUT)(
            self._slowly
        )

    def _payload(self, x: int) -> dict[str, Any]:
        self.ran += 1
        size = random.choice([0, 10, 100, 1000, 20_000, 100_000])
        body = random.randbytes(size)
        return {"x": x, "body": [body], "sum": zlib.crc32(body, x)}

    def _epoch(self, x: int) -> tuple[int, int]:
        return (x, self.words[EPOCH])

    def _slowly(self, x: int) -> dict[str, Any]:
        time.sleep(random.random() * 0.01)
        return self._payload(x)


def check(value: Any, x: int) -> None:
    assert type(value) is dict and sorted(value) == ["body", "sum", "x"], value
    assert value["x"] == x and value["sum"] == zlib.crc32(value["body"][0], x), (x, value)
    value["body"].append("changed")  # nobody else sees it


def act(caches: Caches, words: Any, base: int) -> None:
    """One random operation, checked."""
    kind, x = random.random(), int(random.paretovariate(0.5)) % 100
    if kind < 0.4:
        check(caches.torn(x), x)
    elif kind < 0.5:
        caches.torn.set(caches._payload(x), x)
    elif kind < 0.55:
        value = caches.torn.get(x)
        assert value is None or check(value, x) is None
    elif kind < 0.65:
        check(caches.brief(x), x)
    elif kind < 0.85:
        words[base + BEGUN] += 1
        check(caches.counted(x), x)
        words[base + DONE] += 1
    elif kind < 0.95:
        before = words[EPOCH]
        found, epoch = caches.fresh(x)
        # What was computed before a clear began is not seen after it has ended.
        assert found == x and epoch >= before - before % 2 - 1, (before, found, epoch)
    elif kind < 0.999:
        check(caches.slow(x % 4), x % 4)
    else:
        caches.torn.cache_clear()


def work(caches: Caches | None, words: Any, base: int) -> None:
    random.seed(base)
    caches = caches or Caches(words)
    while not words[STOP]:
        began = time.monotonic_ns()
        act(caches, words, base)
        words[base + LONGEST] = max(words[base + LONGEST], time.monotonic_ns() - began)
        words[base + TAKEN] += 1
        words[base + COMPUTED] = caches.ran


class Torture:
    def __init__(self, kills: int) -> None:
        self.kills = kills
        self.killed = self.stops = self.killed_stopped = self.clears = 0
        self.memory = mmap.mmap(-1, 8 * (WORKERS + FIELDS * (kills + ALIVE + 1)))
        self.words = memoryview(self.memory).cast("Q")
        self.caches = Caches(self.words)
        self.workers: dict[int, int] = {}
        self.made = 0

    def start(self) -> None:
        base = WORKERS + FIELDS * self.made
        self.made += 1
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                # Half of them use their parent's handles, half open the files themselves.
                work(self.caches if self.made % 2 else None, self.words, base)
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
            os._exit(code)
        self.workers[pid] = base

    def end(self, pid: int, number: int | None) -> None:
        if number is not None:
            os.kill(pid, number)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code == -(number or 0), f"a worker ended with {code}"
        base = self.workers.pop(pid)
        longest = self.words[base + LONGEST] / 1e9
        assert self.words[base + STOPPED] or longest < LIMIT, f"a call took {longest} s"

    def stop(self, pid: int) -> None:
        self.words[self.workers[pid] + STOPPED] = 1
        os.kill(pid, signal.SIGSTOP)
        self.stops += 1

    def clear(self) -> None:
        self.words[EPOCH] += 1
        self.caches.fresh.cache_clear()
        self.words[EPOCH] += 1
        self.clears += 1

    def run(self) -> None:
        chance = random.Random(len(self.words))
        while self.killed < self.kills:
            while len(self.workers) < ALIVE and self.made < self.kills + ALIVE:
                self.start()
            time.sleep(chance.expovariate(1 / 0.02))
            victim = chance.choice(list(self.workers))
            kind = chance.random()
            if kind < 0.7:
                self.end(victim, signal.SIGKILL)
                self.killed += 1
            elif kind < 0.9:
                self.stop(victim)
                time.sleep(chance.random() * 0.1)
                if chance.random() < 0.5:
                    os.kill(victim, signal.SIGCONT)
                else:
                    self.killed_stopped += 1
                    self.killed += 1
                    self.end(victim, signal.SIGKILL)
            else:
                self.clear()

    def finish(self) -> None:
        """All that are left must go on working, then stop when they are told to."""
        before = {pid: self.words[base + TAKEN] for pid, base in self.workers.items()}
        end = time.monotonic() + LIMIT
        while any(self.words[self.workers[pid] + TAKEN] < n + 50 for pid, n in before.items()):
            assert time.monotonic() < end, "a worker hangs"
            time.sleep(0.01)
        self.words[STOP] = 1
        for pid in list(self.workers):
            self.end(pid, None)

    def report(self) -> None:
        def total(field: int) -> int:
            return sum(self.words[WORKERS + field :: FIELDS])

        hits, misses, _, size = self.caches.counted.cache_info()
        begun, done = total(BEGUN), total(DONE)
        assert done <= hits + misses <= begun, (done, hits, misses, begun)
        assert size <= 40 and self.caches.torn.cache_info().currsize <= 64
        for x in range(100):
            check(self.caches.torn(x), x)
            check(self.caches.counted(x), x)
        for name in ("torn", "brief", "counted", "fresh", "slow"):
            repairs = getattr(self.caches, name).cache_info().repairs
            assert repairs <= self.killed, (name, repairs, self.killed)
        after = self.caches.counted.cache_info()
        assert after.hits + after.misses == hits + misses + 100
        longest = max(
            self.words[base + LONGEST]
            for base in range(WORKERS, len(self.words) - FIELDS, FIELDS)
            if not self.words[base + STOPPED]
        )
        rows = {
            "processes killed": self.killed,
            "of which while stopped": self.killed_stopped,
            "processes stopped": self.stops,
            "clears": self.clears,
            "operations, all checked": total(TAKEN),
            "computations": total(COMPUTED),
            "counted calls: ended, counted, begun": f"{done} <= {hits + misses} <= {begun}",
            "longest call, ms": round(longest / 1e6),
        }
        for name, number in rows.items():
            print(f"{name:40} {number}")


if __name__ == "__main__":
    torture = Torture(int(sys.argv[1]))
    try:
        torture.run()
        torture.finish()
    finally:
        for worker in torture.workers:
            os.kill(worker, signal.SIGKILL)
    torture.report()
