"""What type checkers must conclude about right uses. Never run: three of them read it."""

from __future__ import annotations

import asyncio
import functools
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import Unpack, assert_type

from warp_cache import (
    Backend,
    Cache,
    CacheInfo,
    CacheOptions,
    LruCacheOptions,
    SharedCacheInfo,
    SkipReason,
    Strategy,
    UncacheableWarning,
    cache,
    caches,
    clear_all,
    configure,
    disabled,
    invalidate_tags,
    lru_cache,
    record,
)
from warp_cache._decorators import AsyncCachedFunction
from warp_cache._warp_cache_rs import CachedFunction
from warp_cache.testing import Clock, clock, isolated

T = TypeVar("T")

# mypy takes this for true, and no other checker does.
MYPY = False

# --- functions ------------------------------------------------------------------------------


@cache
def bare(x: int, /, y: str = "", *more: bytes, key: float = 1.0) -> list[str]:
    return [y]


@cache(Strategy.LFU, max_size=1000, ttl=60, typed=True, single_flight=False, wait_timeout=None)
def called(x: int, y: str = "") -> list[str]:
    return [y]


@lru_cache
def lru_bare(x: int, y: str = "") -> list[str]:
    return [y]


@lru_cache(maxsize=None, typed=True)
def lru_called(x: int, y: str = "") -> list[str]:
    return [y]


@lru_cache(128, True)
def lru_positional(x: int, y: str = "") -> list[str]:
    return [y]


def plain(x: int, y: str = "") -> list[str]:
    return [y]


def check_functions() -> None:
    assert_type(bare(1), list[str])
    assert_type(bare(1, "", b"", b"", key=2), list[str])
    assert_type(called(1, y=""), list[str])
    assert_type(called(x=1), list[str])
    assert_type(lru_bare(x=1, y=""), list[str])
    assert_type(lru_called(1), list[str])
    assert_type(lru_positional(1, ""), list[str])
    as_callback: Callable[[int], list[str]] = called
    assert_type(list(map(called, [1, 2])), list[list[str]])
    assert_type(functools.partial(called, 1)(), list[str])
    del as_callback


def check_operations() -> None:
    for cached in (called, lru_called):
        assert_type(cached.get(1, y=""), list[str] | None)
        assert_type(cached.set([""], 1, y=""), None)
        assert_type(cached.cache_clear(), None)
        assert_type(cached.__wrapped__(1, y=""), list[str])
        assert_type(cached.__name__, str)
        assert_type(cached.cache_parameters()["maxsize"], int | None)
        assert_type(cached.cache_parameters()["typed"], bool)
        info: CacheInfo = cached.cache_info()
        hits, _misses, maxsize, _currsize = info
        assert_type(hits, int)
        assert_type(maxsize, int | None)
        assert_type(info.misses, int)
        assert_type(info.max_size, int | None)
        assert_type(info.current_size, int)


def check_shared_info(info: SharedCacheInfo) -> int:
    assert_type(info.oversize_skips, int)
    assert_type(info.repairs, int)
    assert_type(info.skips["argument"], int)
    assert_type(sum(info.skips.values()), int)
    reasons: list[SkipReason] = list(info.skips)
    return len(reasons) + info.hits


@cache(backend="shared")
def shared(x: int, y: str = "") -> list[str]:
    return [y] * x


@lru_cache(10, 0.5, Backend.SHARED)
def shared_by_position(x: int) -> int:
    return x


def check_shared_functions() -> None:
    assert_type(shared(1, y=""), list[str])
    assert_type(shared.cache_info().skips["value_size"], int)
    assert_type(shared_by_position(1), int)
    assert_type(shared_by_position.cache_info().oversize_skips, int)
    assert_type(cache(called, backend="shared").cache_info().oversize_skips, int)
    decorate = cache(Strategy.LRU, 10, None, "shared", name="n")
    assert_type(decorate(called).cache_info().skips["space"], int)


def check_unknown_backend(which: Backend) -> None:
    assert_type(cache(called, backend=which).cache_info(), CacheInfo)


def check_warning() -> None:
    warnings.simplefilter("error", UncacheableWarning)


def check_options() -> None:
    """All of these are spellings that both checkers must accept."""
    for decorate in (
        cache(),
        cache(Strategy.MRU, 10, 0.5, "memory", None, None, False, True, None, 10.0),
        cache(1, max_size=None),
        cache(backend=Backend.MEMORY),
        cache(backend="shared", name="n", max_key_size=64, max_value_size=1 << 20),
        cache(maxsize=10),
        lru_cache(),
        lru_cache(None),
        lru_cache(10, 0.5),
        lru_cache(single_flight=True),
        lru_cache(maxsize=10),
    ):
        assert_type(decorate(plain)(1, ""), list[str])
    assert_type(cache(plain, max_size=3)(1, ""), list[str])
    assert_type(lru_cache(plain, True)(1, ""), list[str])


def check_handed_on(options: CacheOptions, least: LruCacheOptions, some: dict[str, Any]) -> None:
    assert_type(cache(**options)(plain)(1, y=""), list[str])
    assert_type(cache(plain, **options)(1, y=""), list[str])
    assert_type(cache(backend="shared", max_size=1)(plain).cache_info().repairs, int)
    assert_type(lru_cache(**least)(plain)(1), list[str])
    assert_type(lru_cache(plain, **least).get(1), list[str] | None)
    cache(**some)(plain)(1)
    written: CacheOptions = {"max_size": None, "backend": "memory", "strategy": Strategy.SIEVE}
    assert_type(cache(plain, **written)(1), list[str])


def for_a_minute(
    function: Callable[[int], T], **options: Unpack[CacheOptions]
) -> Callable[[int], T]:
    """A decorator of one's own that hands its options on."""
    options.setdefault("ttl", 60.0)
    return cache(function, **options)


memoize = functools.partial(cache, max_size=1000, ttl=60)
memoize_lru = functools.partial(lru_cache, maxsize=None)


@memoize
def partially(x: int, y: str = "") -> list[str]:
    return [y]


@memoize_lru
def lru_partially(x: int, y: str = "") -> list[str]:
    return [y]


kept = cache(max_size=1000, ttl=60)
kept_lru = lru_cache(maxsize=None)
kept_shared = cache(backend="shared", ttl=60)


@kept
def decorated_by_kept(x: int, y: str = "") -> list[str]:
    return [y]


def check_kept() -> None:
    """What all checkers understand, where mypy does not understand a partial."""
    assert_type(decorated_by_kept(1, y=""), list[str])
    assert_type(kept(len)(""), int)
    assert_type(kept_lru(plain)(1, y=""), list[str])
    assert_type(kept_shared(plain)(1), list[str])
    assert_type(kept_shared(plain).cache_info().repairs, int)


def check_partial() -> None:
    assert_type(for_a_minute(bytes, max_size=10)(1), bytes)
    called: list[str] = partially(1, y="")
    lru_called: list[str] = lru_partially(1, y="")
    assert_type(partially.cache_info(), CacheInfo)
    assert_type(functools.partial(cache, plain, ttl=1)().cache_info(), CacheInfo)
    if not MYPY:  # of a partial of overloads it keeps the class, and not the function's parameters
        assert_type(partially(1, y=""), list[str])
        assert_type(lru_partially(1, y=""), list[str])
        assert_type(memoize(ttl=5)(plain)(1), list[str])
        assert_type(functools.partial(cache, plain, ttl=1)()(1), list[str])
    del called, lru_called


# --- what is not a plain function ------------------------------------------------------------


@cache
def untold(x: int) -> Any:
    return x


@cache
def identity(x: T) -> T:
    return x


@lru_cache(maxsize=3)
def wrapped_in_list(x: T) -> list[T]:
    return [x]


def check_others(number: int, text: str) -> None:
    assert_type(untold(1), Any)
    assert_type(identity(number), int)
    assert_type(identity(text), str)
    assert_type(wrapped_in_list(1), list[int])
    assert_type(wrapped_in_list.get(1), list[int] | None)
    assert_type(cache(lambda: 1)(), int)
    assert_type(cache(len)("abc"), int)
    assert_type(cache(functools.partial(called, 1))(), list[str])
    assert_type(cache(called)(1, y=""), list[str])


# --- coroutine functions ---------------------------------------------------------------------


@cache
async def fetch(url: str, *, retries: int = 3) -> bytes:
    return url.encode()


@cache(ttl=5)
async def fetch_for_seconds(url: str, *, retries: int = 3) -> bytes:
    return url.encode()


@lru_cache
async def lru_fetch(url: str, *, retries: int = 3) -> bytes:
    return url.encode()


@lru_cache(maxsize=10)
async def lru_fetch_ten(url: str, *, retries: int = 3) -> bytes:
    return url.encode()


async def check_coroutine_functions() -> None:
    assert_type(await fetch(""), bytes)
    assert_type(await fetch_for_seconds("", retries=1), bytes)
    assert_type(await lru_fetch(url=""), bytes)
    assert_type(await lru_fetch_ten(""), bytes)
    assert_type(fetch.get("", retries=1), bytes | None)
    assert_type(fetch_for_seconds.set(b"", "", retries=1), None)
    assert_type(lru_fetch.cache_info().hits, int)
    assert_type(await fetch.__wrapped__(""), bytes)
    coroutine: Coroutine[Any, Any, bytes] = fetch("")
    assert_type(await asyncio.create_task(coroutine), bytes)
    assert_type(await asyncio.gather(fetch(""), called_async()), tuple[bytes, int])
    assert_type(await asyncio.wait_for(fetch(""), 1), bytes)


@cache
async def called_async() -> int:
    return 1


def check_run() -> None:
    assert_type(asyncio.run(called_async()), int)


async def check_annotated(
    function: CachedFunction[[int], str], coroutine_function: AsyncCachedFunction[[int], str]
) -> None:
    assert_type(function(1), str)
    assert_type(function.get(1), str | None)
    assert_type(await coroutine_function(1), str)
    assert_type(coroutine_function.get(1), str | None)


# --- operations to be awaited, and with arguments in a tuple ------------------------------------


@cache
def marked(x: int) -> Awaitable[str]:
    return asyncio.get_running_loop().create_future()


async def check_values() -> None:
    assert_type(await fetch.aget("", retries=1), bytes | None)
    assert_type(await fetch.aset(b"", "", retries=1), None)
    assert_type(await fetch.acache_put(b"", ("",), {"retries": 1}, ttl=1, tags=("a",)), None)
    assert_type(fetch.cache_put(b"", ("",)), None)
    assert_type(await marked.aget(1), str | None)
    assert_type(await marked.aset("", 1), None)
    assert_type(await marked.acache_put("", (1,)), None)
    assert_type(called.cache_put([""], (1,), {"y": ""}, ttl=1, tags=["a"]), None)
    assert_type(called.cache_refresh(1), list[str])


def decorated_at_once(x: int, *, y: str = "") -> bytes:
    return b""


def check_functions_with_options_beside_them() -> None:
    by_name = cache(decorated_at_once, strategy=Strategy.LFU, max_size=3, ttl=1.0)
    assert_type(by_name(1, y="a"), bytes)
    assert_type(by_name.get(1), bytes | None)
    by_place = cache(decorated_at_once, 3, 1.0)
    assert_type(by_place(1), bytes)
    least = lru_cache(decorated_at_once, max_size=3, typed=True)
    assert_type(least(x=1), bytes)
    assert_type(lru_cache(decorated_at_once, maxsize=None)(1), bytes)
    assert_type(lru_cache(decorated_at_once, True)(1), bytes)
    assert_type(cache()(decorated_at_once)(1), bytes)


def check_record() -> None:
    with record("calls-{pid}.rec") as recording:
        assert_type(recording, record)
        assert_type(recording.path, str)


def check_the_module() -> None:
    assert_type(caches(), list[CachedFunction[..., Any] | Cache[Any, Any]])
    clear_all()
    invalidate_tags("a", "b")
    configure(directory=Path("caches"), namespace="tests")
    configure(directory=None)
    with disabled():
        pass
    with clock() as now, isolated() as folder:
        assert_type(now, Clock)
        assert_type(now.time(), float)
        assert_type(folder, Path)
