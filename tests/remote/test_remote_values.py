"""One process and a server: values, lifetimes, invalidations, what is stored and what is not."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import fractions
import math
import time
import uuid
import warnings
from typing import Any

import pytest
import servers
import support

import warp_cache
from warp_cache import cache

pytestmark = pytest.mark.usefixtures("near_by")


class Body:
    """A function that counts its calls, and doubles what it is given."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return [x, self.calls]


def named(body: Any, **options: Any) -> Any:
    return cache(remote=True, ttl=60, **{"name": "f", **options})(body)


def test_another_cache_of_the_name_has_what_was_stored(
    configured: servers.Server, backend: str
) -> None:
    body = Body()
    f = named(body)
    assert f(1) == [1, 1]
    assert f(1) == [1, 1] and body.calls == 1
    other = Body()
    g = named(other)
    assert g(1) == [1, 1] and other.calls == 0
    info = g.cache_info()
    assert (info.hits, info.misses, info.remote_misses) == (1, 0, 0)
    # The file of the host may have it, since f has read it.
    assert info.remote_hits == 1 if backend == "memory" else info.remote_hits <= 1
    info = f.cache_info()
    assert (info.hits, info.misses, info.remote_hits, info.remote_misses) == (1, 1, 1, 1)


def test_a_hit_is_near_after_the_first_far_one(configured: servers.Server) -> None:
    f = named(Body())
    f(1)
    support.eventually(lambda: near(f, 1))
    before = f.cache_info()
    assert f(1) == [1, 1]
    after = f.cache_info()
    assert after.hits == before.hits + 1 and after.remote_hits == before.remote_hits


def near(f: Any, *args: Any) -> bool:
    """Whether a call is answered without the server, once it was made."""
    f(*args)
    before = f.cache_info().remote_hits
    f(*args)
    return bool(f.cache_info().remote_hits == before)


def test_methods(configured: servers.Server) -> None:
    f, g = named(Body()), named(Body())
    assert f.get(1) is None and not f.cache_contains(1) and f.cache_ttl(1) is None
    f.set("set", 1)
    assert g.get(1) == f.get(1) == g(1) == f(1) == "set"
    assert f.cache_contains(1) and g.cache_contains(1)
    assert 50 < f.cache_ttl(1) <= 60 and 50 < g.cache_ttl(1) <= 60
    assert f.cache_invalidate(1) is True
    assert f.cache_invalidate(1) is False
    assert g.get(1) is None
    g.cache_put("put", (1,), ttl=30)
    assert f.get(1) == "put" and f.cache_ttl(1) <= 30


def test_an_invalidation_is_seen_by_the_other_cache_at_once(configured: servers.Server) -> None:
    body = Body()
    f, g = named(body), named(body)
    for number in range(50):
        old = f(number)
        assert g(number) == g(number) == old
        f.cache_invalidate(number)
        # The same process: at once, whatever g has near.
        new = g(number)
        assert new == f(number) != old


def test_clear_and_tags_reach_the_other_cache(configured: servers.Server) -> None:
    f, g = (named(Body(), tags=("all", "n:{x}")) for _ in range(2))
    assert f(1) == g(1) == [1, 1] and f(2) == g(2) == [2, 2]
    f.cache_invalidate_tags("n:1")
    assert f.get(1) is None and g.get(1) is None
    assert g.get(2) == f.get(2) == [2, 2]
    f(1)
    warp_cache.invalidate_tags("all")
    assert g.get(1) is None and g.get(2) is None
    f.set(5, 1)
    f.cache_clear()
    assert g.get(1) is None and f.get(1) is None
    assert f.cache_info().hits == 0


def test_an_invalidation_during_a_computation_fences_it(configured: servers.Server) -> None:
    def body(x: int) -> int:
        if other:
            other.pop().cache_invalidate(x)
        return next(numbers)

    other: list[Any] = []
    numbers = iter(range(1000))
    f, g = named(body), named(body)
    for key in range(30):
        other.append(g)
        old = f(key)
        assert g.get(key) is None and f.get(key) is None
        assert f(key) == g(key) == old + 1


def test_a_ttl_ends_it_everywhere(configured: servers.Server) -> None:
    body = Body()
    f = cache(remote=True, ttl=0.2, name="short")(body)
    assert f(1) == [1, 1]
    support.eventually(lambda: f(1) != [1, 1])


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [1, 2.5, (3, b"4")], 5: {6}, None: frozenset([7])},
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 10, 27, 2, 30, 1, 999, fold=1),
        datetime.datetime(
            2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-3.5), "x")
        ),
        datetime.time(23, 59, 59, 999999, tzinfo=datetime.timezone.utc),
        datetime.timedelta(days=-3, microseconds=1),
        decimal.Decimal("-0.000"),
        decimal.Decimal("sNaN123"),
        fractions.Fraction(-22, 7),
        uuid.UUID(int=5),
        [datetime.date.min, datetime.date.max] * 3,
        "x" * 100_000,
    ],
    ids=support.name_of,
)
def test_safe_values_are_stored_without_a_secret(configured: servers.Server, value: Any) -> None:
    f = named(lambda x: value)
    first, second = f(1), named(lambda x: "not the same")(1)
    assert type(first) is type(second) and repr(first) == repr(second)


class Own:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    __hash__ = None  # type: ignore[assignment]


def test_what_only_pickle_can_store_needs_a_secret(configured: servers.Server) -> None:
    f = named(lambda x: Own())
    with pytest.warns(warp_cache.UncacheableWarning, match="configure.secret"):
        f(1)
    assert f.get(1) is None or isinstance(f.get(1), Own)
    assert named(lambda x: "computed")(1) == "computed"
    for given in ({"secret": "s" * 16}, {"pickle": "trusted"}):
        warp_cache.configure(**given)  # type: ignore[arg-type]
        name = next(iter(given))
        assert named(lambda x: Own(), name=name)(1) == Own()
        assert named(lambda x: "computed", name=name)(1) == Own()
        warp_cache.configure(secret=None, pickle=None)


def test_exceptions_that_nobody_signs_are_told_of_and_raised_anew(
    configured: servers.Server,
) -> None:
    raised: list[int] = []

    @cache(remote=True, ttl=600, name="plain", cache_exceptions=LookupError)
    def plain(x: int) -> None:
        raised.append(x)
        raise LookupError(x)

    @cache(remote=True, ttl=600, name="awaited", cache_exceptions=LookupError)
    async def awaited(x: int) -> None:
        raised.append(x)
        raise LookupError(x)

    for call in (plain, lambda x: asyncio.run(awaited(x))):
        raised.clear()
        with (
            pytest.warns(warp_cache.UncacheableWarning, match=r"exceptions of .*configure.secret"),
            pytest.raises(LookupError),
        ):
            call(1)
        with warnings.catch_warnings(), pytest.raises(LookupError):
            warnings.simplefilter("error")  # it is told once
            call(1)
        assert raised == [1, 1]
    warp_cache.configure(secret="s" * 16)

    @cache(remote=True, ttl=600, name="signed", cache_exceptions=LookupError)
    def signed(x: int) -> None:
        raised.append(x)
        raise LookupError(x)

    raised.clear()
    for _ in range(3):
        with pytest.raises(LookupError):
            signed(1)
    assert raised == [1]


def test_who_has_no_secret_never_unpickles(configured: servers.Server) -> None:
    warp_cache.configure(pickle="trusted")
    assert named(lambda x: Own())(1) == Own()
    warp_cache.configure(pickle=None)
    f = named(lambda x: "computed")
    assert f(1) == "computed"
    assert f.cache_info().remote_errors == 1


def test_secrets_rotate(configured: servers.Server) -> None:
    def store(secret: Any, value: str) -> str:
        warp_cache.configure(secret=secret)
        result: str = named(lambda x: value)(1)
        return result

    assert store("old", "first") == "first"
    assert store(["new", "old"], "second") == "first"
    # Who cannot read it computes, and does not replace it.
    assert store("new", "third") == "third"
    assert store("old", "fourth") == "first"


class Negative(Exception):
    pass


def test_exceptions_are_stored_where_they_are_signed(configured: servers.Server) -> None:
    def body(x: int) -> int:
        calls.append(x)
        raise LookupError(x)

    calls: list[int] = []
    warp_cache.configure(secret="s")
    for _ in range(2):
        with pytest.raises(LookupError, match="5"):
            named(body, cache_exceptions=LookupError)(5)
    assert calls == [5]


def test_a_stale_value_is_refreshed_once_for_all(configured: servers.Server) -> None:
    bodies = [Body(), Body()]
    f, g = (cache(remote=True, ttl=0.1, stale_while_revalidate=60, name="stale")(b) for b in bodies)
    assert f(1) == [1, 1]
    time.sleep(0.15)
    assert g(1) == [1, 1], "the old value meanwhile"
    support.eventually(lambda: g(1) != [1, 1] or f(1) != [1, 1])


def test_who_calls_once_sees_to_a_refresh_too(configured: servers.Server) -> None:
    """What the server has is not fresh, and this process has no copy that a hit could find."""
    old, new = Body(), Body()
    f, g = (named(body, stale_while_revalidate=60) for body in (old, new))
    f.cache_put("old", (1,), ttl=0.01)
    time.sleep(0.05)
    assert g(1) == "old"
    support.eventually(lambda: f.get(1) == [1, 1])
    assert (old.calls, new.calls, g.cache_info().refreshes) == (0, 1, 1)


def test_a_coroutine_that_is_awaited_once_sees_to_a_refresh_too(configured: servers.Server) -> None:
    calls = []

    async def body(x: int) -> str:
        calls.append(x)
        return "new"

    f, g = (named(body, stale_while_revalidate=60) for _ in "fg")

    async def run() -> None:
        await f.acache_put("old", (1,), ttl=0.01)
        await asyncio.sleep(0.05)
        assert await g(1) == "old"
        end = time.monotonic() + support.LIMIT
        while await f.aget(1) != "new":
            assert time.monotonic() < end
            await asyncio.sleep(0.001)

    asyncio.run(run())
    assert calls == [1]


def test_what_has_no_end_shows_none_wherever_it_is_read(configured: servers.Server) -> None:
    """The server, this process, and the host's file say the same of it."""
    f, g = (named(lambda x: x, name="endless") for _ in "fg")
    f.cache_put("a", (1,), ttl=None)
    for one in (f, f, g, g):
        assert one(1) == "a"
        assert one.cache_ttl(1) == math.inf


def test_an_explicit_refresh(configured: servers.Server) -> None:
    body = Body()
    f, g = named(body), named(body)
    assert g(1) == f(1) == [1, 1]
    assert f.cache_refresh(1) == [1, 2] == f(1)
    support.eventually(lambda: g(1) == [1, 2])
    assert body.calls == 2


def test_stale_if_error(configured: servers.Server) -> None:
    def body(x: int) -> int:
        if fails:
            raise OSError
        return 1

    fails: list[int] = []
    f = cache(remote=True, ttl=0.05, stale_if_error=60, name="spare")(body)
    assert f(1) == 1
    fails.append(1)
    time.sleep(0.1)
    assert f(1) == 1
    g = cache(remote=True, ttl=0.05, stale_if_error=60, name="spare")(body)
    assert g(1) == 1
    f.cache_invalidate(1)
    with pytest.raises(OSError):
        f(1)


def test_copies(configured: servers.Server) -> None:
    f = named(lambda x: [x], copy=True)
    f(1)
    f(1).append(2)
    f(1).append(2)
    assert f(1) == [1]


def test_coroutine_functions(configured: servers.Server) -> None:
    async def body(x: int) -> list[int]:
        calls.append(x)
        await asyncio.sleep(0)
        return [x]

    calls: list[int] = []
    f, g = named(body), named(body)

    async def main() -> None:
        assert await asyncio.gather(*(f(1) for _ in range(20))) == [[1]] * 20
        assert await g(1) == [1] and calls == [1]
        assert await g.aget(1) == [1] and await g.acache_contains(1)
        assert await f.acache_invalidate(1) is True
        assert await g.aget(1) is None
        await g.aset("set", 1)
        assert await f(1) == "set"
        await f.acache_put("put", (1,))
        assert await g(1) == "put" and await g.acache_ttl(1) > 50
        assert await f.cache_refresh(1) == [1]
        assert await f(1) == [1]
        while await g(1) != [1]:
            await asyncio.sleep(0.001)
        await f.acache_clear()
        assert await g.aget(1) is None
        assert await asyncio.gather(*(f(x) for x in range(50) for _ in range(2)))
        await f.acache_invalidate_tags("t")

    asyncio.run(main())
    assert sorted(calls[2:]) == list(range(50))


def test_the_loop_goes_on_while_the_server_does_not_answer(configured: servers.Server) -> None:
    async def body(x: int) -> int:
        return x

    warp_cache.configure(timeout=0.5)
    f = named(body)

    async def main() -> None:
        await f(0)
        configured.stop()
        turns = 0
        call = asyncio.ensure_future(f(1))
        while not call.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert await call == 1 and turns > 50

    try:
        asyncio.run(main())
    finally:
        configured.resume()
