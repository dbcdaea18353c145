"""The shared tier: against PyPI's package of this name, the in-process cache, and other stores."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import dumps, loads
from types import ModuleType
from typing import Any

import warp_cache
from benchmarks import ROOT, stores, upstream
from benchmarks.contenders import warp_cached, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.loops import Key, Loop
from benchmarks.model import SHARED_CACHE, SHARED_LRU, WARP_CACHE, WARP_LRU
from benchmarks.parts import shared_processes
from benchmarks.parts.misses import KEYS
from benchmarks.parts.shared_worker import FIRST_HITS, first_hit_cache, made
from benchmarks.workloads import MAX_SIZE, Function, one_int

TITLE = "Shared between processes"

# What is measured first in a row is what the goal compares with; where it is missing, the row has
# another key, so that nothing is held against a goal that says something else.
WITHOUT = "-without-first"
OURS: dict[str, Any] = {SHARED_CACHE: warp_cache.cache, SHARED_LRU: warp_cache.lru_cache}


@dataclass
class Values:
    """A function `f(a)` that gives a value for a key, and notes each computation."""

    name: str
    value: Callable[[int], Any]

    def __post_init__(self) -> None:
        self.computed: list[int] = []

    def function(self) -> Function:
        value, note = self.value, self.computed.append

        def work(a: int) -> Any:
            note(a)
            return value(a)

        # Caches that go by the function's name must not take one for another.
        work.__qualname__ = work.__name__ = f"work_{self.name}_{os.getpid()}"
        return work


def run(harness: Harness) -> None:
    """Hits by kind of value; a first hit; misses; then several processes."""
    if sys.platform == "win32":
        harness.result.notes.append("shared: there is no shared tier on this platform")
        return
    with private_folder(harness) as folder, upstream.leaving_nothing():
        theirs = upstream.load(harness)
        _hits(harness, folder, theirs, Values("int", lambda a: a), "1 int")
        _hits(harness, folder, theirs, Values("dict", made), "dict of 3 keys with a list")
        _hits(harness, folder, theirs, Values("bytes", _kilobyte), "1 kB of bytes")
        _against_memory(harness)
        _dataclasses(harness)
        _first_hits(harness, folder)
        with stores.redis_server(harness, folder) as redis:
            _against_servers(harness, folder, redis)
            _writes(harness, theirs, redis)
        _misses(harness, theirs)
        shared_processes.run(harness, theirs is not None)
    _figures(harness)


def _figures(harness: Harness) -> None:
    rows = {row.key.removeprefix("shared/") for row in harness.result.rows}
    for key, title, shown in (
        ("shared-hits", "A hit in caches that processes share", ["int", "dict", "bytes"]),
        ("shared-servers", "A hit, beside servers", ["servers"]),
    ):
        # Where something is missing the rows have other keys.
        shown = [one for row in shown for one in (row, row + WITHOUT) if one in rows]
        if shown:
            harness.figure(key, title, kind="bars", y_label="ns", y_log=True, rows=shown)


def _kilobyte(a: int) -> bytes:
    return b"%08d" % (a % 10**8) * 128


@contextlib.contextmanager
def private_folder(harness: Harness) -> Iterator[Path]:
    """A private folder in memory, where there is room: for our caches, and for the stores'."""
    memory = Path("/dev/shm")
    enough = memory.is_dir() and shutil.disk_usage(memory).free > 1 << 28
    if not enough:
        harness.result.notes.append("/dev/shm has no room, so files lie in the temp folder")
    where = memory if enough and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="warp_cache-bench-", dir=where) as name:
        os.environ["WARP_CACHE_DIR"] = os.path.join(name, "caches")
        yield Path(name)


def _shared(
    name: str, values: Values, keys: list[Key], label: str = "", **options: Any
) -> Contender:
    label = label or name
    decorator = OURS[name](
        max_size=MAX_SIZE, backend="shared", name=f"{values.name}-{label}", **options
    )
    return _filled(label, decorator(values.function()), values, keys)


def _upstream(module: ModuleType, values: Values, keys: list[Key]) -> Contender:
    decorator = module.cache(max_size=MAX_SIZE, backend="shared")
    return _filled(upstream.NAME, decorator(values.function()), values, keys)


def _filled(name: str, target: Any, values: Values, keys: list[Key], note: str = "") -> Contender:
    """Twice: what the first call returns is what was computed, the second shows what is stored."""
    for _ in range(2):
        for (key,) in keys:
            value = target(key)
            if value != values.value(key):
                raise AssertionError(f"{name} returned {value!r} for {key!r}")
    return Contender(name, target, note)


def _hits(
    harness: Harness, folder: Path, theirs: ModuleType | None, values: Values, work: str
) -> None:
    keys = one_int()
    contenders = [] if theirs is None else [_upstream(theirs, values, keys)]
    contenders += [_shared(name, values, keys) for name in OURS]
    stored = {a: values.value(a) for (a,) in keys}
    for make in (stores.lmdb_hit, stores.diskcache_hit):
        store = make(harness, folder, values.name, stored)
        if store is not None:
            contenders.append(store)
    before = len(values.computed)
    key = values.name if theirs is not None else values.name + WITHOUT
    harness.calls(key, f"hit, {work}", contenders, keys)
    _require(values, before)


def _require(values: Values, before: int) -> None:
    if len(values.computed) != before:
        raise AssertionError(f"{values.name}: {len(values.computed) - before} hits were none")


def _against_memory(harness: Harness) -> None:
    """Each decorator's shared hit over its in-process hit."""
    keys, values = one_int(), Values("memory", lambda a: a)
    contenders = [
        _filled(WARP_CACHE, warp_cached(MAX_SIZE)(values.function()), values, keys, "in memory"),
        _filled(WARP_LRU, warp_lru(MAX_SIZE)(values.function()), values, keys, "in memory"),
    ]
    contenders += [_shared(name, values, keys) for name in OURS]
    before = len(values.computed)
    harness.calls("memory", "hit, 1 int, shared and in memory", contenders, keys)
    _require(values, before)


@dataclass(frozen=True)
class Record:
    """What a service may keep of a row of a table."""

    id: int
    name: str
    balance: float


def _record(a: int) -> Record:
    return Record(a, f"user {a}", a / 4)


def _dataclasses(harness: Harness) -> None:
    """A frozen object: in memory, handed out as it is, and copied at each hit."""
    keys, values = one_int(), Values("dataclass", _record)
    contenders = [
        _filled(WARP_CACHE, warp_cached(MAX_SIZE)(values.function()), values, keys, "in memory"),
        _shared(SHARED_CACHE, values, keys, f"{SHARED_CACHE}, copy=False", copy=False),
        _shared(SHARED_CACHE, values, keys),
    ]
    before = len(values.computed)
    harness.calls("dataclass", "hit, frozen dataclass, shared and in memory", contenders, keys)
    _require(values, before)


def _first_hits(harness: Harness, folder: Path) -> None:
    """Values that another process has written, each read once by functions that know none yet."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.parts.shared_worker", "fill"], cwd=ROOT, check=True
    )
    numbers = range(FIRST_HITS)
    keys: list[Key] = [(n,) for n in numbers]
    pickles: list[Key] = [(dumps(made(n)),) for n in numbers]
    loops = {name: Loop("f({0})", keys) for name in OURS}
    pickle_loop = Loop("f({0})", pickles)
    # While one is there the file stays open, and those made for a turn come cheap.
    kept = {name: first_hit_cache(name) for name in OURS}
    for cached in kept.values():
        if cached(7) != made(7) or cached.cache_info().currsize != FIRST_HITS:
            raise AssertionError("the other process has not filled the cache")

    def first_hits(name: str) -> Callable[[int], int]:
        # A function made anew has decoded nothing, and fails where it must compute.
        return lambda turns: sum(loops[name].time(first_hit_cache(name), 1) for _ in range(turns))

    contenders = [Contender("pickle.loads", loads, "of the same values; no lookup")]
    contenders += [Contender(name, cached) for name, cached in kept.items()]
    runs = [lambda turns: pickle_loop.time(loads, turns), *map(first_hits, OURS)]
    lmdb = stores.lmdb_hit(harness, folder, "first", {n: made(n) for n in numbers})
    if lmdb is not None:
        loop = Loop("f({0})", keys)
        hit = lmdb.target
        contenders.append(lmdb)
        runs.append(lambda turns: loop.time(hit, turns))
    work = "first hit of another process's value, dict of 3 keys"
    harness.runs("first", work, contenders, runs, Loop("f({0})", keys, empty=True))


def _against_servers(harness: Harness, folder: Path, redis: stores.Redis | None) -> None:
    """Hits, in time on the wall: servers work in processes of their own."""
    keys, values = one_int(), Values("servers", lambda a: a)
    stored = {a: a for (a,) in keys}
    contenders = [_shared(SHARED_CACHE, values, keys)]
    for make in (stores.lmdb_hit, stores.diskcache_hit):
        store = make(harness, folder, "servers", stored)
        if store is not None:
            contenders.append(store)
    with stores.memcached_server(harness, folder) as memcached:
        if memcached is not None:
            contenders.append(stores.memcached_hit(memcached, stored))
        if redis is not None:
            contenders.append(stores.redis_hit(redis, stored))
        before = len(values.computed)
        harness.calls("servers", "hit, 1 int, wall time", contenders, keys, wall=True)
        _require(values, before)


def _writes(harness: Harness, theirs: ModuleType | None, redis: stores.Redis | None) -> None:
    """A full cache and a key that is never in it, in time on the wall, as redis is a server."""
    values = Values("write", lambda a: a)
    contenders = []
    if redis is not None:
        set_ = redis.set

        def write(a: int) -> None:
            set_(b"%d" % a, b"%d" % a)

        contenders.append(Contender(stores.REDIS, write, "SET, Unix socket, no client library"))
    ours = [_shared(name, values, []) for name in OURS]
    contenders += ours
    if theirs is not None:
        contenders.append(_upstream(theirs, values, []))
    key = "write" if redis is not None else "write" + WITHOUT
    work = "miss + write + evict, int, wall time"
    if harness.calls(key, work, contenders, KEYS, wall=True) is not None:
        _require_misses(ours)


def _misses(harness: Harness, theirs: ModuleType | None) -> None:
    """The same beside the package of this name alone, in CPU time."""
    values = Values("miss", lambda a: a)
    ours = [_shared(name, values, []) for name in OURS]
    contenders = ours if theirs is None else [_upstream(theirs, values, []), *ours]
    key = "miss" if theirs is not None else "miss" + WITHOUT
    if harness.calls(key, "miss + write + evict, int", contenders, KEYS) is not None:
        _require_misses(ours)


def _require_misses(ours: Sequence[Contender]) -> None:
    for contender in ours:
        hits, misses, _, size = contender.target.cache_info()
        if hits or not misses or size != MAX_SIZE:
            raise AssertionError(f"{contender.name}: {contender.target.cache_info()}")
