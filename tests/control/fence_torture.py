"""The fence under load: threads, tasks and processes that call and invalidate the same few keys.

Run as a script with the seconds, a seed, and names of configurations, each perhaps with a mutant's
name behind a colon; each is run in a process of its own. Its history is judged afterwards
(`histories`). Processes are stopped, continued and killed meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fence_mutants
from histories import CALL, FENCE, SET, Event, Recorder, Verdict, judge, read

import warp_cache

# Functions: plain, a method, a coroutine function, a coroutine method.
PLAIN, METHOD, TASK, TASK_METHOD = range(4)
# Far above what any part needs on a loaded machine.
LIMIT = 60.0
# Histories at most until one has what is looked for.
ROUNDS = 30


class Answer(Exception):
    """What a computation raises: it bears what a value would."""


@dataclass(frozen=True)
class Configuration:
    """Which caches, and who uses them."""

    options: dict[str, Any]
    threads: int = 4
    # Event loops, each in a thread of its own, with so many tasks.
    loops: int = 0
    tasks: int = 5
    processes: int = 0
    decorate: Any = warp_cache.cache
    # Whether computations raise now and then.
    raises: bool = False
    # Whether `cache_clear` fences: see §2.7.
    clear_fences: bool = True
    mutable: bool = False
    keys: int = 5
    # What stands between, of `fence_mutants`, that is no fault.
    between: tuple[str, ...] = ()

    @property
    def has_tags(self) -> bool:
        return "tags" in self.options


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


class World:
    """One process's functions, and the operations on them that are recorded."""

    def __init__(self, config: Configuration, recorder: Recorder, wrap: Callable[[Any], Any]):
        self.config = config
        self.recorder = recorder
        self.every_key = (1 << config.keys) - 1
        self.numbers = iter(range(os.getpid() << 32, (os.getpid() + 1) << 32))

        def decorated(function: Any, name: str, **more: Any) -> Any:
            named = {"name": f"fence_{name}"} if "backend" in config.options else {}
            return wrap(config.decorate(**config.options, **named, **more)(function))

        ignoring = {"ignore": ("self",)} if config.decorate is warp_cache.cache else {}
        world = self

        def plain(k: int) -> Any:
            return world.compute()

        async def task(k: int) -> Any:
            return await world.compute_async()

        class Shop:
            method = decorated(lambda self, k: world.compute(), "method", **ignoring)

            async def _task(self, k: int) -> Any:
                return await world.compute_async()

            task = decorated(_task, "task_method", **ignoring)

        shop = Shop()
        self.functions = [decorated(plain, "plain"), shop, decorated(task, "task"), shop]

    def function(self, number: int) -> Any:
        if number == METHOD:
            return self.functions[number].method
        if number == TASK_METHOD:
            return self.functions[number].task
        return self.functions[number]

    # --- values -----------------------------------------------------------------------------

    def value(self, moment: int, by_hand: int = 0) -> Any:
        if self.config.mutable:
            return {"made": [moment], "by_hand": by_hand}
        return (moment, by_hand)

    def read(self, value: Any) -> tuple[int, int]:
        if self.config.mutable:
            return value["made"][0], value["by_hand"]
        return value[0], value[1]

    def _ends(self, moment: int) -> Any:
        if self.config.raises and random.random() < 0.3:
            raise Answer(self.value(moment))
        return self.value(moment)

    def compute(self) -> Any:
        moment = time.monotonic_ns()
        kind = random.random()
        if kind < 0.5:
            time.sleep(0)
        elif kind < 0.9:
            time.sleep(random.random() * 0.002)
        else:
            time.sleep(random.random() * 0.01)
        return self._ends(moment)

    async def compute_async(self) -> Any:
        moment = time.monotonic_ns()
        if random.random() < 0.5:
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(random.random() * 0.005)
        return self._ends(moment)

    # --- operations -------------------------------------------------------------------------

    def called(self, number: int, key: int, start: int, value: Any) -> None:
        if value is not None:
            end = time.monotonic_ns()
            self.recorder.write(Event(CALL, number, 1 << key, start, end, *self.read(value)))

    def fenced(self, number: int, keys: int, start: int, by_hand: int = 0) -> None:
        kind = SET if by_hand else FENCE
        end = time.monotonic_ns()
        self.recorder.write(Event(kind, number, keys, start, end, 0, by_hand))

    def reading(self, f: Any, key: int) -> Any:
        """A call: its value, or what is to be awaited for it."""
        kind = random.random()
        if kind < 0.1:
            return f.get(key)
        if kind < 0.17:
            return f.cache_refresh(key)
        return f(key)

    def writing(self, number: int, key: int) -> Any:
        """An invalidation; what is to be awaited for its end, if it is a twin's."""
        f, kind = self.function(number), random.random()
        start, keys, by_hand = time.monotonic_ns(), 1 << key, 0
        twin = number in (TASK, TASK_METHOD) and random.random() < 0.5
        a = "a" if twin else ""

        def operation(name: str) -> Any:
            return getattr(f, a + name)

        if kind < 0.35:
            done = operation("cache_invalidate")(key)
        elif kind < 0.65 and self.config.has_tags:
            tags = [f"key:{key}"] if kind < 0.55 else [f"key:{key}", "none"]
            if kind > 0.63:
                tags, keys = ["all"], self.every_key
            if kind < 0.4:
                # In every cache of this process; so many more than this one are not recorded.
                done, twin = warp_cache.invalidate_tags(*tags), False  # type: ignore[attr-defined]
            else:
                done = operation("cache_invalidate_tags")(*tags)
        elif kind < 0.68:
            keys = self.every_key if self.config.clear_fences else 0
            done = operation("cache_clear")()
        elif kind < 0.75:
            done = operation("cache_put")(self.value(0), (key,), ttl=0)
        else:
            by_hand = next(self.numbers)
            value = self.value(start, by_hand)
            if kind < 0.88:
                done = operation("set")(value, key)
            else:
                done = operation("cache_put")(value, (key,))

        def end() -> None:
            self.fenced(number, keys, start, by_hand)

        return (done if twin else None), end

    def act(self, number: int) -> None:
        key = random.randrange(self.config.keys)
        if random.random() < 0.2:
            _, end = self.writing(number, key)
            end()
            return
        start = time.monotonic_ns()
        try:
            value = self.reading(self.function(number), key)
        except Answer as error:
            value = error.args[0]
        self.called(number, key, start, value)

    async def act_async(self, number: int) -> None:
        key = random.randrange(self.config.keys)
        if random.random() < 0.2:
            done, end = self.writing(number, key)
            if done is not None:
                await done
            end()
            return
        start = time.monotonic_ns()
        try:
            value = self.reading(self.function(number), key)
            if hasattr(value, "__await__"):
                value = await value
        except Answer as error:
            value = error.args[0]
        self.called(number, key, start, value)

    # --- workers ----------------------------------------------------------------------------

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work in all threads until it is `stopped`; an exception of any of them is raised."""
        errors: list[BaseException] = []

        def thread(number: int) -> None:
            try:
                while not stopped() and not errors:
                    self.act(number)
            except BaseException as error:  # noqa: B036 - handed on
                errors.append(error)

        async def task(number: int) -> None:
            while not stopped() and not errors:
                await self.act_async(number)
                await asyncio.sleep(0)

        async def tasks() -> None:
            count = self.config.tasks
            await asyncio.gather(*(task((TASK, TASK_METHOD)[n % 3 == 2]) for n in range(count)))

        def loop() -> None:
            try:
                asyncio.run(tasks())
            except BaseException as error:  # noqa: B036 - handed on
                errors.append(error)

        threads = [
            threading.Thread(target=thread, args=((PLAIN, METHOD)[n % 3 == 2],), daemon=True)
            for n in range(self.config.threads)
        ]
        threads += [threading.Thread(target=loop, daemon=True) for _ in range(self.config.loops)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(LIMIT)
            assert not each.is_alive(), "a worker hangs"
        if errors:
            raise errors[0]


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
