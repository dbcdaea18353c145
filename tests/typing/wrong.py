"""What type checkers must refuse. Never run: mypy and basedpyright read it.

To both of them a comment that has no error to ignore is an error.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from typing import TypeVar

from typing_extensions import Self

from warp_cache import CacheOptions, LruCacheOptions, SharedCacheInfo, Strategy, cache, lru_cache

T = TypeVar("T")
Text = TypeVar("Text", bound=str)


@cache
def function(x: int, y: str = "") -> bytes:
    return y.encode()


@lru_cache(maxsize=1)
def lru_function(x: int, y: str = "") -> bytes:
    return y.encode()


@cache
async def coroutine_function(x: int, y: str = "") -> bytes:
    return y.encode()


class Thing:
    @cache
    def method(self, x: int) -> bytes:
        return bytes(x)

    @cache(ttl=1)
    async def later(self, x: int) -> bytes:
        return bytes(x)

    @cache
    def same(self, x: list[T]) -> T:
        return x[0]

    @lru_cache
    def same_text(self, x: Text) -> Text:
        return x

    @cache
    async def same_later(self, x: list[T]) -> T:
        return x[0]

    @cache
    def following(self, x: int) -> Self:
        return self

    @classmethod
    @cache
    def make(cls, x: int) -> bytes:
        return bytes(x)

    @staticmethod
    @cache
    def static(x: int) -> bytes:
        return bytes(x)


kept = cache(max_size=1000, ttl=60)


@kept
def by_kept(x: int, y: str = "") -> bytes:
    return y.encode()


def check_kept() -> None:
    by_kept("1")  # type: ignore[arg-type]
    by_kept(1, z="")  # type: ignore[call-arg]


def check_arguments() -> None:
    function("1")  # type: ignore[arg-type]
    function()  # type: ignore[call-arg]
    function(1, "", 2)  # type: ignore[call-arg]
    function(1, z="")  # type: ignore[call-arg]
    lru_function("1")  # type: ignore[arg-type]
    lru_function(1, y=2)  # type: ignore[arg-type]
    text: str = function(1)  # type: ignore[assignment]
    function.get("1")  # type: ignore[arg-type]
    function.set(b"")  # type: ignore[call-arg]
    function.set("", 1)  # type: ignore[arg-type]
    lru_function.set(b"", "1")  # type: ignore[arg-type]
    function.cache_put("", (1,))  # type: ignore[arg-type]
    function.cache_put(b"", (1,), ttl="1")  # type: ignore[arg-type]
    function.cache_refresh("1")  # type: ignore[arg-type]
    function.cache_info(1)  # type: ignore[call-arg]
    _ = function.cache_info().size  # type: ignore[attr-defined]
    _ = function.cache_parameters()["size"]  # type: ignore[typeddict-item]
    function.no_such_operation()  # type: ignore[attr-defined]
    del text


async def check_coroutine_functions() -> None:
    await coroutine_function("1")  # type: ignore[arg-type]
    await coroutine_function(1, z="")  # type: ignore[call-arg]
    not_awaited: bytes = coroutine_function(1)  # type: ignore[assignment]
    text: str = await coroutine_function(1)  # type: ignore[assignment]
    coroutine_function.get("1")  # type: ignore[call-overload]
    coroutine_function.set(1, 1)  # type: ignore[call-overload]
    coroutine_function.set(b"", "1")  # type: ignore[call-overload]
    await coroutine_function.aget("1")  # type: ignore[call-overload]
    await coroutine_function.aset(1, 1)  # type: ignore[call-overload]
    await coroutine_function.aset(b"", "1")  # type: ignore[call-overload]
    await coroutine_function.acache_put("", (1,))  # type: ignore[arg-type]
    coroutine_function.cache_put("", (1,))  # type: ignore[call-overload]
    await Thing().later("1")  # type: ignore[arg-type]
    Thing().later.set(b"", "1")  # type: ignore[call-overload]
    await Thing().later.aget("1")  # type: ignore[call-overload]
    await Thing().later.aset("", 1)  # type: ignore[call-overload]
    await Thing().later.aset(b"", "1")  # type: ignore[call-overload]
    await Thing().later.acache_put("", (1,))  # type: ignore[arg-type]
    await function.aget(1)  # type: ignore[misc]
    await function.aset(b"", 1)  # type: ignore[call-overload, misc]
    await function.acache_put(b"", (1,))  # type: ignore[misc]
    del not_awaited, text


def check_methods(thing: Thing) -> None:
    thing.method("1")  # type: ignore[arg-type]
    thing.method()  # type: ignore[call-arg]
    thing.method(thing, 1)  # type: ignore[arg-type, call-arg]
    thing.method(y=1)  # type: ignore[call-arg]
    Thing.method(1)  # type: ignore[arg-type, call-arg]
    Thing.method(thing, "1")  # type: ignore[arg-type]
    thing.method.get("1")  # type: ignore[arg-type]
    thing.method.get(thing, 1)  # type: ignore[arg-type, call-arg]
    thing.method.set("", 1)  # type: ignore[arg-type]
    Thing.make("1")  # type: ignore[call-overload]
    Thing.make()  # type: ignore[call-overload]
    thing.make("1")  # type: ignore[arg-type]
    Thing.static("1")  # type: ignore[arg-type]
    Thing.static()  # type: ignore[call-arg]
    thing.static("1")  # type: ignore[call-overload]


async def check_own_type_variables(thing: Thing) -> None:
    thing.same(1)  # type: ignore[arg-type]
    thing.same()  # type: ignore[call-arg]
    thing.same([1], 2)  # type: ignore[call-arg]
    thing.same(thing, [1])  # type: ignore[call-arg, arg-type]
    text: str = thing.same([1])  # type: ignore[assignment]
    text = await thing.same_later([1])  # type: ignore[list-item]
    thing.same_text(1)  # type: ignore[type-var]
    thing.same.get(1)  # type: ignore[arg-type]
    thing.same.cache_invalidate(1)  # type: ignore[arg-type]
    thing.same.cache_contains()  # type: ignore[call-arg]
    thing.method.cache_put("", (1,))  # type: ignore[arg-type]
    thing.following("1")  # type: ignore[call-overload]
    number: int = thing.following(1)  # type: ignore[assignment]
    del text, number


def check_options() -> None:
    cache(128)  # type: ignore[call-overload]
    cache("LRUX")  # type: ignore[call-overload]
    cache(max_size="ten")  # type: ignore[call-overload]
    cache(ttl="1")  # type: ignore[call-overload]
    cache(backend="disk")  # type: ignore[call-overload]
    cache(typed=1)  # type: ignore[call-overload]
    cache(single_flight=None)  # type: ignore[call-overload]
    cache(wait_timeout="1")  # type: ignore[call-overload]
    cache(size=1)  # type: ignore[call-overload]
    cache()(1)  # type: ignore[arg-type]
    cache(check_options, strategy="LRUX")  # type: ignore[call-overload]
    cache(function=check_options)  # type: ignore[call-overload]
    cache(check_options)(1)  # type: ignore[call-arg]
    lru_cache(check_options, strategy=1)  # type: ignore[call-overload]
    lru_cache(check_options, max_size="3")  # type: ignore[call-overload]
    lru_cache("128")  # type: ignore[call-overload]
    lru_cache(strategy=Strategy.LRU)  # type: ignore[call-overload]
    lru_cache(128, "True")  # type: ignore[call-overload]
    lru_cache(128, typed=1)  # type: ignore[call-overload]
    lru_cache(name=1)  # type: ignore[call-overload]
    lru_cache()("function")  # type: ignore[arg-type]


def check_handed_on(options: CacheOptions, least: LruCacheOptions) -> None:
    options["size"] = 1  # type: ignore[typeddict-unknown-key]
    options["ttl"] = "1"  # type: ignore[typeddict-item]
    options["backend"] = "disk"  # type: ignore[typeddict-item]
    cache(check_skips, **options)(1)  # type: ignore[arg-type]
    cache(**least)  # type: ignore[arg-type]
    CacheOptions(strategy="LRUX")  # type: ignore[typeddict-item]


def check_skips(info: SharedCacheInfo) -> None:
    info.skips["argument"] = 1  # type: ignore[index]
    info.skips["unknown"]  # type: ignore[index]
