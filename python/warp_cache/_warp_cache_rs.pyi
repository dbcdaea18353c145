"""The extension module.

What begins with an underscore is there for type checkers, or for this package alone.
It is one file, of more than 400 lines, because a stub describes the one module of its name.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import (
    Any,
    Concatenate,
    Literal,
    NoReturn,
    ParamSpec,
    SupportsIndex,
    TypeVar,
    final,
    overload,
    type_check_only,
)

from typing_extensions import Buffer, Never, Self, Unpack

from warp_cache._flight import Flight
from warp_cache._info import CacheInfo as CacheInfo
from warp_cache._info import SharedCacheInfo as SharedCacheInfo
from warp_cache._operations import CachedAttribute, CachedMethod, Operations
from warp_cache._options import CommonOptions, ControlOptions

__all__ = [
    "AsyncCachedFunction",
    "BoundMethod",
    "CacheMapping",
    "CacheObject",
    "CacheInfo",
    "CachedFunction",
    "Computation",
    "InstanceCaches",
    "LoginTurn",
    "Options",
    "PerInstanceFunction",
    "RefreshFlight",
    "RemoteTurn",
    "ReadyCoroutine",
    "ServerAddress",
    "SharedCacheInfo",
    "SharedCachedFunction",
    "SharedFile",
    "SharedLease",
    "SharedTurn",
    "Ticket",
    "_BackendChoice",
    "_HeldLock",
    "_RemoteLock",
    "_RemoteLocking",
    "_Seen",
    "_ask_together",
    "_backends",
    "_change_there",
    "_clock_advance",
    "_clock_go_on",
    "_clock_now",
    "_clock_stop",
    "_copy",
    "_decode_value",
    "_disable",
    "_enable",
    "_encode_key",
    "_encode_value",
    "_explain_key",
    "_forget_disabling_threads",
    "_is_plain_key",
    "_make_loader",
    "_is_unchanged",
    "_leftovers",
    "_readable_name",
    "_record_read",
    "_record_start",
    "_record_stop",
    "_remove",
    "_replay",
    "_safe_name",
    "_sample",
    "_seen_in_class",
    "_seen_in_dict",
    "_seen_in_function",
    "_seen_in_instance",
    "_show_key",
    "_show_value",
    "_survey",
    "_try_out",
    "_unused_coherence",
]

# The wrapped function's parameters and result. An async function's result is a coroutine; _T is
# what that brings.
_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")
# A method's parameters without the first one, and the class of its instance.
_Q = ParamSpec("_Q")
_S = TypeVar("_S")

class CachedFunction(Operations[_P, _R]):
    """A function with a cache in front of it."""

    __wrapped__: Callable[_P, _R]
    def __new__(
        cls,
        fn: Callable[_P, _R],
        strategy: int,
        max_size: SupportsIndex | None,
        ttl: float | None = None,
        *,
        typed: bool | None = False,
        single_flight: bool | None = True,
        wait_timeout: float | None = 10.0,
        by_signature: bool | None = True,
    ) -> Self: ...
    def _open_before_fork(self) -> None:
        """Open a shared cache that a child of a fork could not open."""

    def _recipe(self) -> tuple[Callable[_P, _R], dict[str, Any], int, str | None]: ...
    def _place(self) -> tuple[str | None, bool]: ...
    def _failure(self) -> str | None: ...
    @staticmethod
    def _of(
        function: Callable[_Q, _T], options: Options, name: str | None = None, backend: int = 0
    ) -> CachedFunction[_Q, _T]:
        """A cached function made from checked options."""

    def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...

    # With a callable for the type of self, checkers compare the first parameter with the instance.
    # In this order: a class method, by class; the same where it returns Self, and where Self is
    # within its result (in mypy); any other function, by class; a method; a class method, by
    # instance; a method or class method that returns Self (in mypy: a result that is a type
    # variable could be Never); a static method, by instance.
    @overload
    def __get__(  # type: ignore[misc]
        self: Callable[Concatenate[type[_S], ...], Any], instance: None, owner: type[_S], /
    ) -> CachedAttribute[_P, _R, _R]: ...
    @overload
    def __get__(  # type: ignore[misc]
        self: Callable[Concatenate[type[Any], ...], Never], instance: None, owner: type[_S], /
    ) -> CachedAttribute[_P, _R, _S]: ...
    @overload
    def __get__(  # type: ignore[misc]
        self: Callable[Concatenate[type[Any], ...], Any], instance: None, owner: type, /
    ) -> CachedAttribute[_P, _R, Any]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[_S, _Q], Any], instance: _S, owner: type | None = None, /
    ) -> CachedMethod[_P, _Q, _R]: ...
    @overload
    def __get__(  # type: ignore[misc]
        self: Callable[Concatenate[type[_S], _Q], Any], instance: _S, owner: type | None = None, /
    ) -> CachedMethod[_P, _Q, _R]: ...
    @overload
    def __get__(  # type: ignore[misc]
        self: Callable[..., Never], instance: _S, owner: type | None = None, /
    ) -> CachedAttribute[_P, _R, _S]: ...
    @overload
    def __get__(
        self, instance: object, owner: type | None = None, /
    ) -> CachedAttribute[_P, _R, Any]: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any, /) -> Self: ...

    # For warp_cache._async and warp_cache._refresh.
    @property
    def _function(self) -> Callable[_P, _R]: ...
    @property
    def _is_async(self) -> bool: ...
    @property
    def _refreshes(self) -> dict[Any, Any]: ...
    def _computation(
        self, ticket: Ticket, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Computation: ...
    def _begun_anew(self, ticket: Ticket, computation: Computation) -> Computation: ...
    def _begin_refresh(
        self,
        ticket: Ticket,
        computation: Computation,
        lease: SharedLease | None = None,
        beside: bool = False,
    ) -> SharedLease | None: ...
    def _is_current(self, ticket: Ticket, computation: Computation) -> bool: ...
    @property
    def _patience(self) -> float | None: ...
    @property
    def _remote(self) -> bool: ...
    def _turn_there(self, ticket: Ticket, computation: Computation, anew: bool) -> RemoteTurn: ...
    def _take_there(
        self, ticket: Ticket, computation: Computation, turn: RemoteTurn
    ) -> tuple[Any, ...] | None: ...
    def _keep_there(self, value: object, computation: Computation, turn: RemoteTurn) -> None: ...
    def _settle_there(
        self, ticket: Ticket, value: object, computation: Computation, turn: RemoteTurn
    ) -> None: ...
    def _failed_there(
        self, ticket: Ticket, error: BaseException, computation: Computation, turn: RemoteTurn
    ) -> tuple[Any, ...]: ...
    def _wait_for(self, flight: RefreshFlight) -> tuple[Any] | bool | None: ...
    def _complete(self, flight: RefreshFlight, value: object) -> None: ...
    def _refreshed(
        self,
        ticket: Ticket,
        value: Any,
        computation: Computation,
        lease: SharedLease | None = None,
    ) -> None: ...
    def _goes_on(self, ticket: Ticket) -> None: ...
    def _not_refreshed(
        self, ticket: Ticket, computation: Computation | None = None, waits: bool = False
    ) -> None: ...

class AsyncCachedFunction(CachedFunction[_P, Coroutine[Any, Any, _T]]):
    """A coroutine function with a cache in front of it."""

    @staticmethod
    def _of(  # type: ignore[override]
        function: Callable[_Q, Coroutine[Any, Any, _S]],
        options: Options,
        name: str | None = None,
        backend: int = 0,
    ) -> AsyncCachedFunction[_Q, _S]:
        """A cached coroutine function made from checked options."""

    # For warp_cache._async.
    @property
    def _flights(self) -> dict[AbstractEventLoop, dict[Ticket, Flight]]: ...
    @property
    def _single_flight(self) -> bool: ...
    @property
    def _wait_timeout(self) -> float | None: ...
    def _peek(self, ticket: Ticket) -> tuple[()] | tuple[_T]: ...
    @property
    def _shared(self) -> bool: ...
    def _lead(
        self, ticket: Ticket, insist: bool, computation: Computation, turn: SharedTurn
    ) -> SharedLease | tuple[_T] | Literal[False] | None: ...
    @staticmethod
    def _turn(free: bool) -> SharedTurn: ...
    def _store(
        self, ticket: Ticket, value: _T, computation: Computation, lease: SharedLease | None = None
    ) -> tuple[int, tuple[Any, ...]] | None: ...
    def _failed(
        self,
        ticket: Ticket,
        error: BaseException,
        computation: Computation,
        lease: SharedLease | None = None,
    ) -> tuple[()] | tuple[_T]: ...
    @staticmethod
    def _watch() -> int: ...
    def _count_load(self, watch: int, failed: bool) -> None: ...
    def _count_stale(self) -> None: ...
    def _template(self, value: object) -> object | None: ...
    def _made(self, ticket: Ticket, template: object) -> tuple[()] | tuple[Any]: ...
    def _tell(self, told: tuple[int, tuple[Any, ...]]) -> None: ...
    def _skip(self, unfit: bool) -> tuple[int, tuple[Any, ...]] | None: ...

class PerInstanceFunction(CachedFunction[_P, _R]):
    """A method with a cache for each instance."""

    @staticmethod
    def _of(  # type: ignore[override]  # ty: ignore[incompatible-method-override]
        function: Callable[_Q, _T], options: Options, is_async: bool, name: str | None = None
    ) -> PerInstanceFunction[_Q, _T]:
        """A function made from checked options."""

    def __set_name__(self, owner: type, _name: str, /) -> None: ...
    def _of_instance(self, instance: object) -> CachedFunction[_P, _R]: ...
    @property
    def _kind(self) -> type[CachedFunction[_P, _R]]: ...
    def _living(self) -> list[CachedFunction[_P, _R]]: ...

@final
class _BackendChoice:
    """A backend that users can choose, and what it says of itself."""

    @property
    def name(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def refused(self) -> list[str]:
        """The options that it cannot have."""

    @property
    def stores_bytes(self) -> bool: ...
    @property
    def has_objects(self) -> bool:
        """Whether cache objects may have it."""

def _backends() -> list[_BackendChoice]:
    """The backends that users can choose."""

@final
class InstanceCaches:
    """What an instance keeps of its methods with a cache for each instance."""

    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any, /) -> Self: ...

@final
class BoundMethod:
    """A decorated function bound to an instance."""

    def __new__(cls, function: CachedFunction[..., Any], instance: object, /) -> Self: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def __self__(self) -> Any: ...
    @property
    def __func__(self) -> CachedFunction[..., Any]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __deepcopy__(self, memo: Any, /) -> Self: ...

class SharedCachedFunction(CachedFunction[_P, _R]):
    """A function with a cache that all processes of the host share."""

    def __new__(
        cls,
        fn: Callable[_P, _R],
        strategy: int,
        max_size: SupportsIndex | None,
        ttl: float | None = None,
        max_key_size: int | None = 512,
        max_value_size: int | None = 4096,
        shm_name: str | None = None,
        *,
        typed: bool | None = False,
        single_flight: bool | None = True,
        wait_timeout: float | None = 10.0,
        by_signature: bool | None = True,
        max_bytes: int | None = None,
    ) -> Self: ...
    def cache_info(self) -> SharedCacheInfo:
        """The counters of all processes."""

@final
class SharedLease:
    """The right, and the duty, to compute a key for all processes."""

    def computed_here(self) -> None: ...
    def end(self) -> None: ...
    def end_privately(self) -> None: ...
    def end_failed(self) -> None: ...
    def leave(self) -> None: ...

@final
class SharedTurn:
    """Where a computation stands in the queue for its key's lease."""

    def frees_others(self) -> bool: ...

@type_check_only
class _AllOptions(CommonOptions, ControlOptions, total=False): ...

@final
class Options:
    """The checked options of a cache."""

    def __new__(
        cls,
        *,
        strategy: int,
        single_flight: bool,
        by_signature: bool,
        **options: Unpack[_AllOptions],
    ) -> Self: ...

@final
class Computation:
    """What stood when a computation began."""

    @property
    def watch(self) -> int: ...

@final
class ServerAddress:
    """Where a server is; shows nothing of it."""

    def __new__(cls, text: str, argument: str = "remote") -> Self: ...

@final
class LoginTurn:
    """A question to the user's ``credentials``, in a thread of its own."""

    def give(self, given: tuple[bytes | None, bytes] | None) -> None: ...

@final
class RemoteTurn:
    """One call's way to a server."""

    def ask(self, seconds: float) -> bool: ...
    def is_here(self) -> bool: ...
    def ends_at_once(self) -> bool: ...
    def insist(self) -> None: ...
    def send(self) -> None: ...
    def may_join(self) -> bool: ...
    def is_current(self) -> bool: ...

@final
class RefreshFlight:
    """A refresh of a plain function under way, and who waits for it."""

    def __init__(self) -> None: ...
    @property
    def is_of_this_process(self) -> bool: ...
    @property
    def waiters(self) -> int: ...
    @property
    def computation(self) -> Computation | None: ...
    def begin(self, computation: Computation) -> None: ...
    def fail(self, error: BaseException) -> None: ...

@final
class Ticket:
    """The key of a missed call, hashed once."""

    @property
    def _alone(self) -> bool: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class ReadyCoroutine(Coroutine[Any, Any, _T]):
    """The coroutine of a hit."""

    def send(self, value: Any, /) -> NoReturn: ...
    @overload
    def throw(
        self,
        typ: type[BaseException],
        val: object = None,
        tb: TracebackType | None = None,
        /,
    ) -> NoReturn: ...
    @overload
    def throw(
        self, typ: BaseException, val: None = None, tb: TracebackType | None = None, /
    ) -> NoReturn: ...
    def close(self) -> None: ...
    def __await__(self) -> Generator[Any, Any, _T]: ...

# For `_naming.watch`.
def _is_unchanged(
    watches: list[tuple[Callable[[Any], tuple[Any, ...]], Any, tuple[Any, ...]]],
) -> bool: ...
def _seen_in_class(kind: type) -> tuple[Any, ...]: ...
def _seen_in_dict(dict: dict[Any, Any]) -> tuple[Any, ...]: ...
def _seen_in_function(function: Any) -> tuple[Any, ...]: ...
def _seen_in_instance(value: Any) -> tuple[Any, ...]: ...

# For tests.
def _explain_key(args: tuple[Any, ...]) -> tuple[int, str] | None: ...
def _is_plain_key(args: tuple[Any, ...]) -> bool: ...
def _encode_key(
    args: tuple[object, ...], names: tuple[str, ...] | None = None, typed: bool = False
) -> bytes | None:
    """The canonical bytes of a call, or None if it has none."""

def _encode_value(value: object) -> tuple[bytes, int] | None:
    """A value's bytes and how it may be shared, or None if it has none.

    0: as it is. 1: copied. 2: decoded afresh.
    """

def _decode_value(bytes: bytes) -> tuple[Any, int] | None:
    """The value of these bytes and how it may be shared, or None if they are damaged."""

def _copy(value: _T) -> _T:
    """A copy of a value's containers, its leaves shared."""

# For warp_cache._recording and warp_cache._cli.
def _record_start(path: str) -> int:
    """Record the calls of all cached functions to a file; returns the recording's number.

    OSError where the file cannot be written, BlockingIOError where another process is recording to
    it, RuntimeError where this process is recording.
    """

def _record_stop(number: int) -> bool:
    """End the recording of this number; False if it is not under way any more."""

def _record_read(
    data: bytes,
) -> tuple[list[tuple[str | None, int, int | None, int, bytes]], bool]:
    """The functions of a recording, and whether it is complete.

    A function: name, strategy, maximum size, number of different keys, and the key of each call as
    four bytes. ValueError if it is damaged.
    """

def _sample(keys: Buffer, rate: float) -> bytes:
    """The part of a stream whose keys' hashes lie below a part of all; the keys numbered anew."""

def _replay(keys: Buffer, jobs: Sequence[tuple[int | None, int]]) -> list[int]:
    """The misses of each job: a strategy's number (None: Belady's optimum) with a size.

    keys: unsigned ints, which number the keys from 0 on. Ctrl-C ends it. O(n) for a job,
    O(n log n) for the optimum.
    """

# For warp_cache._remote.asking.
def _ask_together(turns: list[RemoteTurn]) -> list[bool]:
    """``turn.ask(0)`` of each; their servers are asked in one trip."""

# For warp_cache._module.
def _change_there(
    functions: list[Any], tags: list[str] | None
) -> tuple[list[Any], BaseException | None]:
    """Empty those of these functions that have a server, or drop what has any of the tags there.

    Gives the other functions, and the first exception. One trip for each server.
    """

def _disable(for_good: bool = False) -> int:
    """Disable the caches of this process, until `_enable` gets the number that this returns."""

def _enable(number: int) -> None:
    """See `_disable`."""

def _forget_disabling_threads() -> None:
    """In a fork's child: forget the threads that it does not have."""

# For warp_cache.testing.
def _clock_stop() -> None: ...
def _clock_advance(nanos: int) -> None: ...
def _clock_go_on() -> None: ...
def _clock_now() -> int: ...
def _survey(directory: str) -> list[dict[str, Any]]:
    """What is known of each file of a directory that is called as a shared cache's is. O(files)."""

def _readable_name(name: str) -> str:
    """What stands in a file's name for a cache's name, before a hash."""

def _safe_name(name: str) -> str:
    """What a cache with this name calls its file, before what tells parameters apart."""

def _remove(directory: str, file: str) -> Literal["removed", "in use", "absent", "no cache"]:
    """Remove a cache's file that no process has open; else why it was not."""

def _leftovers(directory: str, remove: bool) -> list[tuple[str, int, str | None]]:
    """The files that processes left which were killed as they made a cache, perhaps removed.

    Of each the bytes, and why it could not be removed.
    """

def _unused_coherence(directory: str, remove: bool) -> list[tuple[str, int, str | None]]:
    """The same of the files about servers that no process has open."""

def _try_out(directory: str) -> int:
    """Try whether a cache can lie in a directory: the bytes that are free. Raises OSError."""

@final
class SharedFile:
    """A cache's file that is there, whatever the cache's parameters: see ``_cli.files``."""

    def __new__(cls, directory: str, file: str) -> Self: ...
    @property
    def path(self) -> Path: ...
    def info(self) -> dict[str, Any]: ...
    def look_through(
        self, start: int, slots: int, limit: int, head: int
    ) -> tuple[list[dict[str, Any]], int | None]: ...
    def invalidate(self, key: bytes) -> bool: ...
    def invalidate_tags(self, tags: list[str]) -> None: ...
    def clear(self) -> None: ...
    def is_astray(self) -> bool: ...

def _show_key(bytes: bytes, limit: int) -> str | None: ...
def _show_value(bytes: bytes, limit: int) -> tuple[str | None, str | None] | None: ...

@final
class _Seen:
    """An entry of a cache object, as somebody has seen it."""

@final
class _RemoteLocking:
    """A lock of a cache object among all hosts, to be taken."""

    def attempt(self) -> _RemoteLock | None: ...
    def sleep(self, seconds: float) -> bool: ...
    def is_locked(self) -> bool: ...

@final
class _RemoteLock:
    """Such a lock that was taken."""

    def release(self) -> bool: ...

@final
class _HeldLock:
    """A lock of a cache object that was taken in a file."""

class CacheObject:
    """A cache that is used like a dict; its Python part is ``warp_cache.Cache``."""

    def __new__(cls, *_arguments: Any, **_keywords: Any) -> Self: ...
    @property
    def _loader(self) -> AsyncCachedFunction[..., Any]: ...
    def _open(self, loader: AsyncCachedFunction[..., Any], has_missing: bool) -> None: ...
    def _peek(self, key: Any) -> tuple[Any] | None: ...
    def _see(self, key: Any) -> tuple[Any, _Seen] | None: ...
    def _swap(self, key: Any, value: Any, seen: Any, keeps: bool, ttl: Any, tags: Any) -> int: ...
    def _take(self, key: Any, seen: Any) -> tuple[Any] | None: ...
    def _renew(self, key: Any, ttl: Any, reads: bool) -> tuple[Any, ...] | None: ...
    def _incr(self, key: Any, delta: Any, default: Any, ttl: Any) -> int: ...
    def _ttl(self, key: Any) -> float: ...
    def _keys(self) -> list[Any]: ...
    def _pop(self) -> tuple[Any, Any] | None: ...
    def _purge(self) -> int: ...
    def _fence(self) -> None: ...
    def _entries(self, delivers: bool) -> list[tuple[Any, Any, float | None, list[str]]]: ...
    def _know_more(self, lifetimes: bool, tags: bool) -> None: ...
    def _count(self, key: Any, is_hit: bool) -> None: ...
    def _check(self, key: Any, value: Any) -> None: ...
    def _load(self, *arguments: Any) -> Any: ...
    def _delete(self, key: Any) -> bool: ...
    def _near(self, key: Any) -> tuple[Any] | None: ...
    def _get_many(self, keys: list[Any]) -> list[tuple[Any] | None] | None: ...
    def _set_many(self, pairs: list[tuple[Any, Any]], ttl: Any, tags: Any) -> list[bool] | None: ...
    def _delete_many(self, keys: list[Any]) -> int | None: ...
    def _has_server(self) -> bool: ...
    def _would_wait(self) -> bool: ...
    def _lock_there(self, key: Any, lease: float | None = None) -> _RemoteLocking | None: ...
    def _lock(self, key: Any, lease: float | None = None) -> _HeldLock | Literal[False] | None: ...
    def _prolong(self, held: _HeldLock, lease: float | None) -> _HeldLock | None: ...
    def _unlock(self, held: _HeldLock) -> bool: ...
    def _is_locked(self, key: Any) -> bool: ...
    def _ticket(self, *arguments: Any) -> Ticket: ...
    def _set_left(self, key: Any, seconds: float) -> None: ...
    def _refresh_nothing(self, *arguments: Any) -> tuple[Any] | None: ...
    def _note_memoized(self) -> None: ...

class CacheMapping(CacheObject):
    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...
    def __delitem__(self, key: Any, /) -> None: ...
    def __contains__(self, key: Any, /) -> bool: ...
    def __len__(self, /) -> int: ...
    def get(self, key: Any, default: Any = None, *, renew: Any = None) -> Any: ...
    def set(self, key: Any, value: Any, *, ttl: Any = ..., tags: Any = ()) -> bool: ...

def _make_loader(
    function: Any,
    options: Options,
    name: str | None,
    terms: Any,
    tags: Any,
    is_shared: bool,
    directory: str | None,
) -> AsyncCachedFunction[..., Any]: ...
