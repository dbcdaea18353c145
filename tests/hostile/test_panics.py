"""A panic of the extension module is a RuntimeError, and leaves no lock and no computation behind.

Builds with debug assertions have places at which a test can ask for one; others have none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import LIMIT, eventually, results, run_python, start

from warp_cache import _warp_cache_rs, cache, lru_cache

panic_at: Callable[[str | None], str | None] | None = getattr(_warp_cache_rs, "_panic_at", None)
pytestmark = pytest.mark.skipif(
    panic_at is None, reason="needs a build with debug assertions: make build-debug"
)


@pytest.fixture(autouse=True)
def nothing_asked_for() -> Iterator[None]:
    yield
    if panic_at is not None:
        panic_at(None)


def panics(place: str, call: Callable[[], Any]) -> None:
    assert panic_at is not None
    panic_at(place)
    with pytest.raises(RuntimeError, match=f"warp_cache panicked.*at {place}$"):
        call()
    assert panic_at(None) is None


class Slow:
    """An argument that only Python can hash and compare."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __hash__(self) -> int:
        return self.n % 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slow) and self.n == other.n


def value_of(key: Any) -> str:
    return f"value of {getattr(key, 'n', key)}"


def value_with_default(key: Any, other: Any = 0) -> str:
    return value_of(key)


def value_of_any(key: Any, *others: Any, **more: Any) -> str:
    return value_of(key)


DECORATORS: dict[str, Callable[..., Any]] = {
    "cache": cache,
    "lru_cache": lru_cache,
    "ttl": cache(ttl=1000),
    "typed": cache(typed=True),
    "no single-flight": cache(single_flight=False),
    "shared": lambda f: cache(f, backend="shared", name="panics"),
    "nothing stored": cache(max_size=0),
    "default": lambda _: cache(value_with_default),
    "variadic": lambda _: cache(value_of_any),
}
# Where a call of each may come; with the kind of argument that leads there.
PLACES: list[tuple[str, str, Callable[[int], Any]]] = [
    *((name, "glance", int) for name in ("cache", "lru_cache", "ttl", "shared")),
    *((name, "key", Slow) for name in ("cache", "lru_cache", "typed", "shared")),
    ("typed", "first pass", int),
    ("default", "first pass", int),
    ("variadic", "glance", int),
    ("cache", "first pass", Slow),
    ("cache", "reserve", int),
    ("cache", "settle", int),
    ("cache", "publish", int),
    ("ttl", "publish", int),
    ("lru_cache", "insert", int),
    ("no single-flight", "insert", int),
    ("cache", "lookup", Slow),
    ("lru_cache", "lookup", Slow),
    ("cache", "change", Slow),
    ("no single-flight", "change", Slow),
    ("nothing stored", "pass on", int),
    ("shared", "encode the key", int),
    ("shared", "look into the file", int),
    ("shared", "store in the file", int),
]


@pytest.mark.parametrize(("name", "place", "kind"), PLACES)
def test_a_call(name: str, place: str, kind: Callable[[int], Any]) -> None:
    f = DECORATORS[name](value_of)
    for n in range(4):
        assert f(kind(n)) == f"value of {n}"
    f(kind(100))
    # A key that is not there, one that is found, and one that has to be compared.
    panics(place, lambda: f(kind(6)))
    for _ in range(2):
        # From another thread: whoever is left waiting, or locked out, would not return.
        assert results([start(f, kind(n)) for n in (0, 2, 6, 8)]) == [
            f"value of {n}" for n in (0, 2, 6, 8)
        ]
    assert f.get(kind(6)) == (None if name == "nothing stored" else "value of 6")
    f.set("set", kind(6))
    assert f(kind(6)) == ("value of 6" if name == "nothing stored" else "set")
    assert f.cache_info().currsize <= 128
    f.cache_clear()
    assert f(kind(6)) == "value of 6"


@pytest.mark.parametrize("name", ["cache", "lru_cache", "shared"])
def test_the_methods(name: str) -> None:
    f = DECORATORS[name](value_of)
    f(1)
    panics("get", lambda: f.get(1))
    panics("set", lambda: f.set("x", 1))
    panics("cache_info", f.cache_info)
    panics("cache_clear", f.cache_clear)
    assert f(1) == "value of 1" == f.get(1)
    assert results([start(f, 1)]) == ["value of 1"]


@pytest.mark.parametrize("place", ["settle", "publish"])
def test_those_who_wait_for_a_computation_that_panics(place: str) -> None:
    assert panic_at is not None
    entered, go_on = [], []

    @cache(wait_timeout=LIMIT)
    def f(key: int) -> str:
        entered.append(key)
        eventually(lambda: go_on)
        return value_of(key)

    leader = start(f, 1)
    eventually(lambda: entered)
    waiters = [start(f, 1) for _ in range(3)]
    eventually(lambda: f.cache_info().misses == 4)
    panic_at("settle" if place == "publish" else place)
    go_on.append(True)
    # One of them panics; the others are not kept, by its flight nor by its slot.
    error = leader.exception(LIMIT)
    assert isinstance(error, RuntimeError) and "panicked" in str(error)
    assert results(waiters, LIMIT / 2) == ["value of 1"] * 3
    assert results([start(f, 1)]) == ["value of 1"]


@pytest.mark.parametrize("place", ["join", "wait"])
def test_a_wait_that_panics(place: str) -> None:
    assert panic_at is not None
    entered, go_on = [], []

    @cache
    def f(key: int) -> str:
        entered.append(key)
        eventually(lambda: go_on)
        return value_of(key)

    leader = start(f, 1)
    eventually(lambda: entered)
    panic_at(place)
    error = start(f, 1).exception(LIMIT)
    assert isinstance(error, RuntimeError) and "panicked" in str(error)
    go_on.append(True)
    assert results([leader, start(f, 1)]) == ["value of 1"] * 2


@pytest.mark.parametrize("place", ["start", "_peek", "_store"])
@pytest.mark.parametrize("options", [{}, {"backend": "shared", "name": "panics-async"}])
def test_coroutine_functions(options: dict[str, Any], place: str) -> None:
    @cache(**options)
    async def f(key: int) -> str:
        await asyncio.sleep(0)
        return value_of(key)

    async def main() -> None:
        assert panic_at is not None
        if place == "start" and options:
            panic_at("look into the file")
        else:
            panic_at(place)
        outcomes = await asyncio.gather(one(), one(), one(), return_exceptions=True)
        assert any("panicked" in str(outcome) for outcome in outcomes)
        assert all(type(o) is RuntimeError or o == "value of 1" for o in outcomes)
        assert await f(1) == await f(1) == "value of 1"

    async def one() -> str:
        return await f(1)

    asyncio.run(main())


def test_the_lease_of_a_computation_that_panics_is_given_back() -> None:
    """Another function on the file, as of another process, may compute."""
    f, g = (cache(backend="shared", name="panics-lease")(value_of) for _ in range(2))
    panics("store in the file", lambda: f(1))
    assert results([start(g, 1)], LIMIT / 6) == ["value of 1"]


def test_a_recorded_call(tmp_path: Any) -> None:
    from warp_cache import record

    f = cache(value_of)
    with record(str(tmp_path / "calls.rec")):
        f(1)
        panics("note", lambda: f(1))
        assert f(1) == "value of 1"
    assert f(1) == "value of 1"


THROUGH_PYTHON = """
from warp_cache import cache, _warp_cache_rs

@cache
def inner(x):
    return x

@cache
def outer(x):
    return inner(x) if x < 5 else sorted([3, 1, x], key=inner)

inner(0), outer(9)
_warp_cache_rs._panic_at("reserve")
try:
    outer(1)
except RuntimeError as error:
    print("outer", "panicked" in str(error))
assert outer(1) == 1

class Middle:
    def __eq__(self, other):
        _warp_cache_rs._panic_at("reserve")
        return inner(object()) == 0
    def __hash__(self):
        return 1

outer.set(1, 0)
f = cache(lambda key: key)
f(Middle())
try:
    f(Middle())
except RuntimeError as error:
    print("middle", "panicked" in str(error))
print(outer(1))
"""


def test_a_panic_inside_what_a_call_runs() -> None:
    """It stops where Python entered: no frame of the interpreter is passed by."""
    result = run_python(THROUGH_PYTHON)
    assert result.returncode == 0, result
    assert result.stdout.split("\n")[:3] == ["outer True", "middle True", "1"]
