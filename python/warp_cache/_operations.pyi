"""What decorated functions and bound methods have, for type checkers. There is no such module."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from types import CoroutineType
from typing import (
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    TypedDict,
    TypeVar,
    overload,
    type_check_only,
)

from typing_extensions import Never

from warp_cache._info import CacheInfo
from warp_cache._options import Seconds
from warp_cache._warp_cache_rs import CachedFunction

# mypy takes this for true, and no other checker does.
MYPY: Final = False

# The wrapped function's parameters and result. An async function's result is a coroutine; _T is
# what that brings.
_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")
# A method's parameters without the first one, and the same found anew by each operation.
_Q = ParamSpec("_Q")
_O = ParamSpec("_O")
# What a call gives that lacks the first parameter.
_B = TypeVar("_B")

@type_check_only
class _Parameters(TypedDict):
    maxsize: int | None
    typed: bool

@type_check_only
class _CacheOperations(Generic[_R]):
    """What a decorated function has, bound or not, that takes no call's arguments as they are."""

    __name__: str
    __qualname__: str

    # With a callable for the type of self, checkers look at the result alone. The first of each is
    # for functions whose result is a type variable of their own: it stands for no type here.
    @overload
    def cache_put(  # type: ignore[misc]
        self: Callable[..., Never],
        value: Any,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] = {},  # noqa: B006
        *,
        ttl: Seconds | None = ...,
        tags: Iterable[str] = ...,
    ) -> None: ...
    @overload
    def cache_put(  # type: ignore[misc]
        self: Callable[..., Coroutine[Any, Any, _T]],
        value: _T,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] = {},  # noqa: B006
        *,
        ttl: Seconds | None = ...,
        tags: Iterable[str] = ...,
    ) -> None: ...
    @overload
    def cache_put(
        self,
        value: _R,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] = {},  # noqa: B006
        *,
        ttl: Seconds | None = ...,
        tags: Iterable[str] = ...,
    ) -> None:
        """Store value for a call, with a lifetime and tags of its own."""

    def cache_invalidate_tags(self, /, *tags: str) -> None:
        """Drop the entries of this function that have any of these tags."""

    def cache_info(self) -> CacheInfo:
        """Hits, misses, the maximum and the present number of entries."""

    def cache_clear(self) -> None:
        """Drop all entries and zero the counters."""

    def cache_parameters(self) -> _Parameters:
        """The maximum size and whether the cache is typed, in a new dict."""

    def cache_options(self) -> dict[str, Any]:
        """Everything the cache was made with, and path, private, qualname, in a new dict."""

    # Of coroutine functions alone.
    @overload
    async def acache_put(  # type: ignore[misc]
        self: Callable[..., Awaitable[Never]],
        value: Any,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] = {},  # noqa: B006
        *,
        ttl: Seconds | None = ...,
        tags: Iterable[str] = ...,
    ) -> None: ...
    @overload
    async def acache_put(  # type: ignore[misc]
        self: Callable[..., Awaitable[_T]],
        value: _T,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] = {},  # noqa: B006
        *,
        ttl: Seconds | None = ...,
        tags: Iterable[str] = ...,
    ) -> None:
        """``cache_put``, to be awaited."""

    async def acache_invalidate_tags(self, /, *tags: str) -> None:
        """``cache_invalidate_tags``, to be awaited."""

    async def acache_clear(self) -> None:
        """``cache_clear``, to be awaited."""

@type_check_only
class Operations(_CacheOperations[_R], Generic[_P, _R]):
    """What a decorated function has besides; it takes the arguments of a call."""

    # Checkers disagree about the type of what an async function returns; hence three of each.
    @overload
    def get(
        self: Operations[_P, Coroutine[Any, Any, _T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T | None: ...
    @overload
    def get(
        self: Operations[_P, CoroutineType[Any, Any, _T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T | None: ...
    @overload
    def get(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        """The cached value for these arguments, or None. Computes and counts nothing."""

    @overload
    def set(
        self: Operations[_P, Coroutine[Any, Any, _T]],
        value: _T,
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None: ...
    @overload
    def set(
        self: Operations[_P, CoroutineType[Any, Any, _T]],
        value: _T,
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None: ...
    @overload
    def set(self, value: _R, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Store value for these arguments as if it had been computed now."""

    def cache_invalidate(self, /, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """Drop the entry of these arguments; whether there was one."""

    def cache_refresh(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Compute the value of a call now, store it and return it."""

    def cache_ttl(self, /, *args: _P.args, **kwargs: _P.kwargs) -> float | None:
        """Seconds until the entry is no longer fresh."""

    def cache_contains(self, /, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """Whether a call would be answered without computing. No use, and not counted."""

    # Of coroutine functions alone, and of functions marked as such, which return any awaitable.
    @overload
    async def aget(
        self: Operations[_P, Coroutine[Any, Any, _T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T | None: ...
    @overload
    async def aget(
        self: Operations[_P, CoroutineType[Any, Any, _T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T | None: ...
    @overload
    async def aget(  # type: ignore[misc]
        self: Callable[_P, Awaitable[_T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T | None:
        """``get``, to be awaited."""

    @overload
    async def aset(
        self: Operations[_P, Coroutine[Any, Any, _T]],
        value: _T,
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None: ...
    @overload
    async def aset(
        self: Operations[_P, CoroutineType[Any, Any, _T]],
        value: _T,
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None: ...
    @overload
    async def aset(  # type: ignore[misc]
        self: Callable[_P, Awaitable[_T]], value: _T, /, *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """``set``, to be awaited."""

    async def acache_contains(self, /, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """``cache_contains``, to be awaited."""

    async def acache_invalidate(self, /, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """``cache_invalidate``, to be awaited."""

    async def acache_ttl(self, /, *args: _P.args, **kwargs: _P.kwargs) -> float | None:
        """``cache_ttl``, to be awaited."""

@type_check_only
class _BoundOperations(_CacheOperations[_R], Generic[_P, _R]):
    """``Operations`` of a method with parameters _P, of which the first one is bound."""

    def __call__(
        self: _BoundOperations[Concatenate[Any, _O], _T], *args: _O.args, **kwargs: _O.kwargs
    ) -> _T: ...
    @overload
    def get(
        self: _BoundOperations[Concatenate[Any, _O], Coroutine[Any, Any, _T]],
        /,
        *args: _O.args,
        **kwargs: _O.kwargs,
    ) -> _T | None: ...
    @overload
    def get(
        self: _BoundOperations[Concatenate[Any, _O], _T], /, *args: _O.args, **kwargs: _O.kwargs
    ) -> _T | None: ...
    @overload
    def set(
        self: _BoundOperations[Concatenate[Any, _O], Coroutine[Any, Any, _T]],
        value: _T,
        /,
        *args: _O.args,
        **kwargs: _O.kwargs,
    ) -> None: ...
    @overload
    def set(
        self: _BoundOperations[Concatenate[Any, _O], _T],
        value: _T,
        /,
        *args: _O.args,
        **kwargs: _O.kwargs,
    ) -> None: ...
    def cache_invalidate(
        self: _BoundOperations[Concatenate[Any, _O], Any], /, *args: _O.args, **kwargs: _O.kwargs
    ) -> bool: ...
    def cache_refresh(
        self: _BoundOperations[Concatenate[Any, _O], _T], /, *args: _O.args, **kwargs: _O.kwargs
    ) -> _T: ...
    def cache_ttl(
        self: _BoundOperations[Concatenate[Any, _O], Any], /, *args: _O.args, **kwargs: _O.kwargs
    ) -> float | None: ...
    def cache_contains(
        self: _BoundOperations[Concatenate[Any, _O], Any], /, *args: _O.args, **kwargs: _O.kwargs
    ) -> bool: ...
    @overload
    async def aget(
        self: _BoundOperations[Concatenate[Any, _O], Coroutine[Any, Any, _T]],
        /,
        *args: _O.args,
        **kwargs: _O.kwargs,
    ) -> _T | None: ...
    @overload
    async def aget(
        self: _BoundOperations[Concatenate[Any, _O], Awaitable[_T]],
        /,
        *args: _O.args,
        **kwargs: _O.kwargs,
    ) -> _T | None: ...
    @overload
    async def aset(
        self: _BoundOperations[Concatenate[Any, _O], Coroutine[Any, Any, _T]],
        value: _T,
        /,
        *args: _O.args,
        **kwargs: _O.kwargs,
    ) -> None: ...
    @overload
    async def aset(
        self: _BoundOperations[Concatenate[Any, _O], Awaitable[_T]],
        value: _T,
        /,
        *args: _O.args,
        **kwargs: _O.kwargs,
    ) -> None: ...
    async def acache_contains(
        self: _BoundOperations[Concatenate[Any, _O], Any], /, *args: _O.args, **kwargs: _O.kwargs
    ) -> bool: ...
    async def acache_invalidate(
        self: _BoundOperations[Concatenate[Any, _O], Any], /, *args: _O.args, **kwargs: _O.kwargs
    ) -> bool: ...
    async def acache_ttl(
        self: _BoundOperations[Concatenate[Any, _O], Any], /, *args: _O.args, **kwargs: _O.kwargs
    ) -> float | None: ...

@type_check_only
class _Binding(Generic[_P, _R]):
    __self__: Any
    __wrapped__: Callable[_P, _R]
    # A property, as an attribute that is a descriptor would be taken for one that binds.
    @property
    def __func__(self) -> CachedFunction[_P, _R]: ...

# A decorated method, bound to an instance or a class (at run time a ``BoundMethod``): _P are its
# parameters, _Q those without the first one. Of a method with type variables of its own mypy finds
# no _Q when it is bound, but each operation finds one in _P; with ty it is the reverse.
if MYPY:
    @type_check_only
    class CachedMethod(  # pyright: ignore[reportRedeclaration]
        _BoundOperations[_P, _R], _Binding[_P, _R], Generic[_P, _Q, _R]
    ): ...

else:
    @type_check_only
    class CachedMethod(Operations[_Q, _R], _Binding[_P, _R], Generic[_P, _Q, _R]):
        def __call__(self, *args: _Q.args, **kwargs: _Q.kwargs) -> _R: ...

@type_check_only
class CachedAttribute(Operations[_P, _R], Generic[_P, _R, _B]):
    """An attribute whose type does not tell whether a call has to give the first argument.

    ``@classmethod`` and ``@staticmethod`` are invisible: to checkers they are what is below them.
    """

    __wrapped__: Callable[_P, _R]
    @overload
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    @overload
    def __call__(
        self: CachedAttribute[Concatenate[Any, _Q], _R, _B], *args: _Q.args, **kwargs: _Q.kwargs
    ) -> _B: ...
