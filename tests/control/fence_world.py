"""The functions of one process under the fence's torture, and the operations on them."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from histories import CALL, FENCE, SET, Event, Recorder

import warp_cache

# Far above what any part needs on a loaded machine.
LIMIT = 60.0
# Functions: plain, a method, a coroutine function, a coroutine method.
PLAIN, METHOD, TASK, TASK_METHOD = range(4)


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
