"""The shared backend in one process: what a decorated function has and does."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import stat
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support

from warp_cache import SharedCacheInfo, Strategy, UncacheableWarning, cache, lru_cache
from warp_cache._warp_cache_rs import CachedFunction, SharedCachedFunction

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])


@cache(backend="shared")
def at_module_level(x: int) -> int:
    return x


@both
def test_a_hit_and_a_miss(decorate: Decorate) -> None:
    calls = []

    @decorate(backend="shared")
    def double(x: int) -> int:
        calls.append(x)
        return 2 * x

    assert [double(4), double(4), double(5), double(4)] == [8, 8, 10, 8]
    assert calls == [4, 5]
    info = double.cache_info()
    assert type(info) is SharedCacheInfo
    assert info == (2, 2, 128, 2) and info.oversize_skips == 0
    assert (info.max_size, info.current_size) == (128, 2)
    assert double.cache_parameters() == {"maxsize": 128, "typed": False}


def test_what_kind_of_object_it_is() -> None:
    assert type(at_module_level) is SharedCachedFunction
    assert isinstance(at_module_level, CachedFunction)
    assert copy.copy(at_module_level) is copy.deepcopy(at_module_level) is at_module_level
    assert pickle.loads(pickle.dumps(at_module_level)) is at_module_level
    assert at_module_level.__name__ == at_module_level.__wrapped__.__name__ == "at_module_level"
    assert "SharedCachedFunction of at_module_level" in repr(at_module_level)


def test_it_is_collected_when_it_forms_a_cycle() -> None:
    class Box:
        pass

    box = Box()

    @cache(backend="shared")
    def refers(x: int) -> tuple[str, int]:
        return ("v", x)

    refers(1)
    box.function = refers  # type: ignore[attr-defined]
    refers.box = box  # type: ignore[attr-defined]
    gone = weakref.ref(box)
    del box, refers
    gc.collect()
    assert gone() is None


def test_to_collect_a_function_does_not_clear_its_file() -> None:
    def make() -> Any:
        @cache(backend="shared", name="kept")
        def function(x: int) -> int:
            return x

        function.cycle = function  # type: ignore[attr-defined]
        return function

    make()(1)
    gc.collect()
    assert make().get(1) == 1


def test_files_are_private(cache_dir: Path) -> None:
    @cache(backend="shared", name="somewhere")
    def function(x: int) -> int:
        return x

    function(1)
    assert stat.S_IMODE(cache_dir.stat().st_mode) == 0o700
    file = cache_dir / "somewhere.cache"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/b", ".", "..", "ünï cödé", "x" * 5000])
def test_no_name_leads_out_of_the_directory(name: str, cache_dir: Path) -> None:
    @cache(backend="shared", name=name)
    def function(x: int) -> int:
        return x

    assert function(1) == function(1) == 1
    assert function.cache_info() == (1, 1, 128, 1)
    assert len(list(cache_dir.glob("*.cache"))) == 1
    assert [path.name for path in cache_dir.parent.iterdir()] == [cache_dir.name]


def test_refused_places(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def function(x: int) -> int:
        return x

    cache_dir.mkdir(mode=0o755)
    with pytest.raises(UncacheableWarning, match="permissions"):
        support.opened(cache(backend="shared")(function))
    cache_dir.chmod(0o700)
    (cache_dir / "link.cache").symlink_to("elsewhere")
    with pytest.raises(UncacheableWarning, match="link"):
        support.opened(cache(backend="shared", name="link")(function))
    monkeypatch.setenv("WARP_CACHE_DIR", "/proc/nowhere")
    with pytest.raises(UncacheableWarning, match="/proc/nowhere"):
        support.opened(cache(backend="shared")(function))


def test_max_bytes_too_small() -> None:
    with pytest.raises(ValueError, match="max_bytes must be from .* got 5"):
        cache(backend="shared", max_bytes=5)(lambda x: x)


def test_max_bytes_bound_the_file(cache_dir: Path) -> None:
    @cache(backend="shared", name="small", max_size=None, max_bytes=1 << 20)
    def function(x: int) -> bytes:
        return bytes(1000)

    for x in range(3000):
        function(x)
    assert (cache_dir / "small.cache").stat().st_size <= 1 << 20
    info = function.cache_info()
    assert info.misses == 3000 and 100 < info.currsize < 1100 and info.maxsize is None


def test_size_zero_counts_and_stores_nothing() -> None:
    calls = []

    @cache(backend="shared", max_size=0)
    def function(x: Any) -> int:
        calls.append(x)
        return 1

    assert function([]) == function(1) == function(1) == 1
    assert calls == [[], 1, 1]
    function.set(5, 1)
    assert function.get(1) is None
    assert function.cache_info() == (0, 3, 0, 0)


def test_eviction_is_least_recently_used() -> None:
    @cache(backend="shared", max_size=3)
    def function(x: int) -> int:
        return x

    for x in (1, 2, 3, 1, 4):
        function(x)
    assert [function.get(x) for x in (1, 2, 3, 4)] == [1, None, 3, 4]
    assert function.cache_info() == (1, 4, 3, 3)


@pytest.mark.parametrize("strategy", Strategy)
def test_every_strategy(strategy: Strategy) -> None:
    @cache(strategy, 2, backend="shared")
    def function(x: int) -> int:
        return x

    for x in (1, 2, 2, 3):
        function(x)
    gone = 2 if strategy is Strategy.MRU else 1
    assert [x for x in (1, 2, 3) if function.get(x) is None] == [gone]


def test_typed() -> None:
    @cache(backend="shared", typed=True)
    def typed(x: Any) -> str:
        return type(x).__name__

    @cache(backend="shared", typed=False)
    def untyped(x: Any) -> str:
        return type(x).__name__

    assert [typed(1), typed(1.0), typed(True), typed(1)] == ["int", "float", "bool", "int"]
    assert [untyped(1), untyped(1.0), untyped(True)] == ["int"] * 3


def test_spellings_of_a_call() -> None:
    @cache(backend="shared")
    def one(a: int, b: int = 2, *rest: int, c: int = 3, **others: int) -> tuple[Any, ...]:
        return (a, b, rest, c, others)

    @lru_cache(backend="shared")
    def two(a: int, b: int = 2) -> tuple[int, int]:
        return (a, b)

    assert one(1) == one(a=1) == one(1, 2) == one(b=2, a=1) == one(1, c=3) == (1, 2, (), 3, {})
    assert one(1, 2, 3, d=4) == (1, 2, (3,), 3, {"d": 4})
    assert one.cache_info()[:2] == (4, 2)
    assert two(1) == two(a=1) == two(1, 2) == (1, 2)
    assert two.cache_info()[:2] == (0, 3)


def test_get_and_set() -> None:
    @cache(backend="shared")
    def function(x: int) -> Any:
        return x

    assert function.get(1) is None
    function.set({"a": [1]}, 1)
    assert function.get(1) == function(1) == {"a": [1]}
    function.get(1)["a"].append(2)
    assert function(1) == {"a": [1]}
    function.set("new", x=1)
    assert function.get(x=1) == "new"
    assert function.cache_info() == (2, 0, 128, 1)
    with pytest.raises(TypeError):
        function.set(1, 2, 3)  # type: ignore[call-arg]


def test_clear() -> None:
    @cache(backend="shared")
    def function(x: int) -> int:
        return x

    function(1)
    function(1)
    function.cache_clear()
    assert function.cache_info() == (0, 0, 128, 0)
    assert function.get(1) is None
    function(1)
    assert function.cache_info() == (0, 1, 128, 1)


def test_a_clear_during_the_computation() -> None:
    @cache(backend="shared")
    def function(x: int) -> int:
        if x == 1:
            function.cache_clear()
        return x

    assert function(1) == 1
    assert function.get(1) is None
    assert function(2) == function(2) == 2
    assert function.cache_info() == (1, 1, 128, 1)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_clear_during_a_computation_of_lru_cache_is_as_in_functools(kind: str) -> None:
    during: list[Callable[[], object]] = []

    def body(x: int) -> int:
        for work in during:
            work()
        return x

    async def coroutine(x: int) -> int:
        return body(x)

    source: Any = body if kind == "plain" else coroutine
    function = lru_cache(backend="shared", name="cleared", single_flight=False)(source)
    other = lru_cache(backend="shared", name="cleared", single_flight=False)(source)

    def call(x: int) -> int:
        result: Any = function(x)
        return asyncio.run(result) if kind == "coroutine" else result

    # The result is stored over the clear, whoever clears.
    for x, clear in enumerate((function.cache_clear, other.cache_clear), 10):
        during[:] = [clear]
        assert call(x) == x
        assert function.get(x) == other.get(x) == x
        assert function.cache_info() == (0, 0, 128, 1)
    # What functools does not have fences.
    for fence in (
        lambda: function.cache_invalidate(2),
        lambda: other.cache_invalidate(2),
        lambda: other.set(5, 2) or other.cache_invalidate(2),
    ):
        during[:] = [fence, function.cache_clear]
        assert call(2) == 2
        assert function.get(2) is None
    during[:] = [function.cache_clear, lambda: other.set(7, 3)]
    assert call(3) == 3
    assert function.get(3) == 7


@support.uncacheable
def test_methods_classmethods_and_staticmethods() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Shop) and other.name == self.name

        def __hash__(self) -> int:
            return hash(self.name)

        @cache(backend="shared")
        def price(self, what: str) -> str:
            return f"{self.name} {what}"

        @classmethod
        @cache(backend="shared")
        def kind(cls, x: int) -> str:
            return f"{cls.__name__} {x}"

        @staticmethod
        @cache(backend="shared")
        def double(x: int) -> int:
            return 2 * x

    assert Shop("a").price("tea") == Shop("a").price("tea") == "a tea"
    assert Shop("b").price("tea") == "b tea"
    assert Shop.kind(1) == Shop("a").kind(1) == "Shop 1"
    assert Shop.double(2) == Shop("a").double(2) == 4


def test_recursion() -> None:
    @cache(backend="shared", max_size=None)
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(100) == 354224848179261915075
    assert fib.cache_info()[:2] == (98, 101)


def test_a_call_that_asks_for_itself() -> None:
    depth = 0

    @cache(backend="shared", name="itself")
    def function(x: int) -> int:
        nonlocal depth
        depth += 1
        return function(x) if depth < 3 else depth

    assert function(1) == 3
    assert function.cache_info()[:2] == (0, 3)


def test_two_objects_on_one_file_that_ask_for_each_other() -> None:
    def body(x: int) -> int:
        depth.append(x)
        return two(x) if len(depth) < 2 else 7

    depth: list[int] = []
    one = cache(backend="shared", name="common")(body)
    two = cache(backend="shared", name="common")(body)
    assert one(1) == 7
    assert depth == [1, 1]
    assert two.get(1) == 7


def test_two_hundred_caches(cache_dir: Path) -> None:
    functions = [cache(backend="shared", name=f"n{i}")(lambda x: x) for i in range(200)]
    assert [function(i) for i, function in enumerate(functions)] == list(range(200))
    held = support.descriptors(cache_dir)
    del functions
    gc.collect()
    assert not held & support.descriptors(cache_dir)


def test_a_file_that_is_cut_short(cache_dir: Path) -> None:
    @cache(backend="shared", name="cut")
    def function(x: int) -> int:
        return x

    assert function(1) == function(1) == 1
    with open(cache_dir / "cut.cache", "r+b") as file:
        file.truncate(0)
    assert [function(x) for x in (1, 1, 2, 2, 1)] == [1, 1, 2, 2, 1]
    assert function.get(2) == 2


def test_a_file_that_is_deleted(cache_dir: Path) -> None:
    @cache(backend="shared", name="deleted")
    def function(x: int) -> int:
        return x

    assert function(1) == 1
    (cache_dir / "deleted.cache").unlink()
    # Whoever hits does not look; whoever looks finds another one, empty (test_shared_astray.py).
    assert function(1) == 1
    function.cache_clear()
    assert function(1) == function(1) == 1
    assert function.cache_info()[:2] == (1, 1)


def test_a_clear_sets_what_left_to_zero() -> None:
    f = cache(backend="shared", max_size=2, ttl=0.001)(lambda x: x)
    for x in range(5):
        f(x)
    before = f.cache_info()
    assert before.evictions + before.expirations >= 3
    f.cache_clear()
    after = f.cache_info()
    assert (after.evictions, after.expirations, after.loads, *after) == (0, 0, 0, 0, 0, 2, 0)
