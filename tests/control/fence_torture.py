"""The fence under load: threads, tasks and processes that call and invalidate the same few keys.

Run as a script with the seconds, a seed, and names of configurations, each perhaps with a mutant's
name behind a colon; each is run in a process of its own. Its history is judged afterwards
(`histories`). Processes are stopped, continued and killed meanwhile.
"""

from __future__ import annotations

import logging
import mmap
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fence_mutants
from fence_world import Answer, Configuration, World
from histories import Recorder, Verdict, judge, read

import warp_cache

# Histories at most until one has what is looked for.
ROUNDS = 30


def _tags(*args: Any) -> list[str]:
    return [f"key:{args[-1]}", "all"]


_TAGS = {"tags": ("key:{k}", "all")}
_BRIEF = {"ttl": 0.004, "stale_while_revalidate": 1000, "jitter": 0.5}
_SHARED = {"backend": "shared", "wait_timeout": 5.0}
_SPARE = {"ttl": 0.003, "stale_if_error": 1000}

CONFIGURATIONS: dict[str, Configuration] = {
    "threads": Configuration({**_TAGS}),
    "threads_alone": Configuration({**_TAGS, "single_flight": False}),
    "threads_stale": Configuration({**_TAGS, **_BRIEF}, raises=True),
    "threads_spare": Configuration({"tags": _tags, **_SPARE}, raises=True),
    "threads_raising": Configuration(
        {**_TAGS, "cache_exceptions": Answer, "tti": 0.005}, raises=True
    ),
    "threads_copies": Configuration({**_TAGS, "copy": "pickle", "max_size": 6}, mutable=True),
    "threads_takeover": Configuration({"tags": _tags, "wait_timeout": 0.002}),
    "lru": Configuration({"single_flight": True}, decorate=warp_cache.lru_cache),
    "lru_alone": Configuration({}, decorate=warp_cache.lru_cache, clear_fences=False),
    "tasks": Configuration({**_TAGS}, threads=0, loops=3),
    "tasks_alone": Configuration({**_TAGS, "single_flight": False}, threads=0, loops=2),
    "tasks_stale": Configuration({"tags": _tags, **_BRIEF}, threads=1, loops=2, raises=True),
    "tasks_takeover": Configuration({**_TAGS, "wait_timeout": 0.002}, threads=0, loops=2),
    "shared": Configuration({**_SHARED, **_TAGS}, threads=2, loops=1, processes=3),
    "shared_stale": Configuration(
        {**_SHARED, **_TAGS, **_BRIEF, "cache_exceptions": Answer},
        threads=2,
        loops=1,
        processes=3,
        raises=True,
    ),
    "shared_spare": Configuration(
        {**_SHARED, **_SPARE, "tags": _tags}, threads=2, loops=1, processes=2, raises=True
    ),
    "shared_copies": Configuration(
        {**_SHARED, **_TAGS, "copy": False, "tti": 0.01}, threads=3, processes=2
    ),
    "shared_alone": Configuration(
        {**_SHARED, **_TAGS, "single_flight": False, "max_size": 6},
        threads=2,
        loops=1,
        processes=2,
        mutable=True,
    ),
    "shared_takeover": Configuration(
        {**_SHARED, **_TAGS, "wait_timeout": 0.003}, threads=2, loops=1, processes=2, mutable=True
    ),
    "shared_without_lease": Configuration(
        {**_SHARED, **_TAGS}, threads=0, loops=2, processes=2, between=("without_lease",)
    ),
    "shared_crowd": Configuration(
        {**_SHARED, **_TAGS}, threads=4, loops=1, tasks=8, processes=2, keys=1
    ),
}


class Processes:
    """The processes of a configuration: stopped, continued, killed and made anew."""

    def __init__(self, config: Configuration, folder: Path, wrap: Any, chance: random.Random):
        self.config, self.folder, self.wrap, self.chance = config, folder, wrap, chance
        self.stop = mmap.mmap(-1, mmap.PAGESIZE)
        self.alive: list[int] = []
        self.made = self.killed = self.stops = 0

    def start(self) -> None:
        self.made += 1
        seed = self.chance.getrandbits(32)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(self.config, self.folder, self.wrap, seed, lambda: self.stop[0] != 0)
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
            os._exit(code)
        self.alive.append(pid)

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        try:
            for _ in range(self.config.processes):
                self.start()
            while time.monotonic() < end:
                time.sleep(min(self.chance.expovariate(8), max(0, end - time.monotonic())))
                pid = self.chance.choice(self.alive)
                if self.chance.random() < 0.4:
                    os.kill(pid, signal.SIGKILL)
                    self.ended(pid, -signal.SIGKILL)
                    self.killed += 1
                    self.start()
                else:
                    os.kill(pid, signal.SIGSTOP)
                    # At times for longer than others wait for its lock.
                    time.sleep(self.chance.choice([0.001, 0.01, 0.05, 0.4]))
                    os.kill(pid, signal.SIGCONT)
                    self.stops += 1
            self.stop[0] = 1
            for pid in list(self.alive):
                self.ended(pid, 0)
        finally:
            for pid in self.alive:
                os.kill(pid, signal.SIGKILL)

    def ended(self, pid: int, right: int) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.alive.remove(pid)
        assert code == right, f"a process ended with {code}"


def work(
    config: Configuration, folder: Path, wrap: Any, seed: int, stopped: Callable[[], bool]
) -> None:
    random.seed(seed)
    sys.setswitchinterval(1e-4)
    recorder = Recorder(folder / f"{os.getpid()}-{seed:x}.events")
    World(config, recorder, wrap).run(stopped)


def history(
    config: Configuration, seconds: float, wrap: Any, chance: random.Random
) -> tuple[Verdict, str]:
    """What has happened in so many seconds, judged; and what became of processes."""
    with tempfile.TemporaryDirectory(prefix="warp_cache_fence_") as folder:
        if config.processes:
            processes = Processes(config, Path(folder), wrap, chance)
            processes.run(seconds)
            deaths = f", {processes.killed} kills, {processes.stops} stops"
        else:
            end = time.monotonic() + seconds
            work(
                config, Path(folder), wrap, chance.getrandbits(32), lambda: time.monotonic() >= end
            )
            deaths = ""
        return judge(read(Path(folder))), deaths


def torture(name: str, seconds: float, seed: int, mutant: str | None) -> bool:
    """Whether all is right: no violations, or with a mutant some."""
    config = CONFIGURATIONS[name]
    if folder := os.environ.get("WARP_CACHE_DIR"):
        # Values of another configuration may have another form.
        os.environ["WARP_CACHE_DIR"] = os.path.join(folder, name)
    # Refreshes that fail are meant to.
    logging.getLogger("warp_cache").setLevel(logging.CRITICAL)
    wrap: Any = lambda cached: cached  # noqa: E731
    for each in (*config.between, *([mutant] if mutant else [])):
        wrap = fence_mutants.install(each)
    chance = random.Random(f"{seed} {name}")
    # Until a history has what is looked for: without hits and crossed calls it proves nothing. On a
    # busy machine little crosses: each is longer than the one before.
    for number in range(ROUNDS):
        seconds *= 1.1 if number else 1.0
        verdict, deaths = history(config, seconds, wrap, chance)
        of_mutant = f" with {mutant}" if mutant else ""
        print(
            f"{name}{of_mutant}, seed {seed}: {verdict.calls} calls, {verdict.hits} hits, "
            f"{verdict.fences} invalidations, {verdict.crossed} calls crossed by one{deaths}; "
            f"{len(verdict.violations)} violations"
        )
        if verdict.violations:
            for violation in verdict.violations[: 0 if mutant else 5]:
                print(violation)
            return mutant is not None
        if mutant is None and verdict.hits and verdict.crossed and verdict.fences:
            return True
    return False


def main(seconds: float, seed: int, names: list[str]) -> int:
    """How many went wrong."""
    wrong = 0
    for name in names:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                name, _, mutant = name.partition(":")
                code = 0 if torture(name, seconds, seed, mutant or None) else 3
                sys.stdout.flush()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            print(f"WRONG: {name} ended with {code}")
            wrong += 1
    return wrong


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
