"""What kind of callable is decorated: a coroutine function, a generator function, or a plain one.

The rule is that of ``inspect`` and ``asyncio``: what counts is the code of the function that a
call ends in, or a mark on an object on the way there. Nothing is concluded from an attribute being
there: mocks and proxies answer to any name, with objects that answer to any name. So a chain of
wrappers is followed for a bounded number of steps, and what counts is an answer's type and value.
"""

from __future__ import annotations

import sys
from functools import _lru_cache_wrapper, partial, partialmethod
from types import CodeType, FunctionType, MethodType

from warp_cache._warp_cache_rs import CachedFunction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["coroutine_function", "present_as_coroutine_function", "single_use"]

# inspect.CO_GENERATOR and others. Importing inspect takes longer than importing this package.
_CO_GENERATOR = 0x20
_CO_COROUTINE = 0x80
_CO_ASYNC_GENERATOR = 0x200

# Wrappers around wrappers that are looked through. Real ones are a few; objects that invent their
# attributes have no last one.
_STEPS = 32


def coroutine_function(function: Any) -> Any:
    """What makes the function a coroutine function; None for any other callable.

    The result is the object with the coroutine's code, or with the mark.
    """
    for step in _chain(function):
        if _flags(step) & _CO_COROUTINE or _is_marked(step):
            return step
    return None


def single_use(function: Any) -> str | None:
    """What the function is if whatever it returns can be read only once, else None."""
    for step in _chain(function, through_caches=True):
        flags = _flags(step)
        if flags & _CO_GENERATOR:
            return "a generator function"
        if flags & _CO_ASYNC_GENERATOR:
            return "an async generator function"
        if issubclass(type(step), FunctionType) and _is_of_contextlib(step):
            return "a function that returns a generator's context manager"
    return None


def present_as_coroutine_function(cached: Any, source: Any) -> None:
    """Have ``inspect.iscoroutinefunction`` and asyncio's know the decorated function.

    source: what ``coroutine_function`` found.
    """
    marker = _marker_of_inspect(load=True)
    if _flags(source) & _CO_COROUTINE and (marker is None or hasattr(cached, "__name__")):
        # It behaves like a function then, which is what inspect looks for.
        code = source.__code__
    elif marker is not None:
        setattr(cached, *marker)
        code = None
    else:
        # Before 3.12 inspect knows no marks, only code.
        code = _ask(source, "__code__")
        if type(code) is CodeType:
            code = code.replace(co_flags=code.co_flags | _CO_COROUTINE)
    if code is not None:
        cached.__code__ = code
        for attribute in ("__name__", "__defaults__", "__kwdefaults__"):
            if not hasattr(cached, attribute) and hasattr(source, attribute):
                setattr(cached, attribute, getattr(source, attribute))
    mark = _mark_of_asyncio()
    if mark is not None and _ask(source, "_is_coroutine") is mark:
        cached._is_coroutine = mark


def _chain(function: Any, through_caches: bool = False) -> Iterator[Any]:
    """The callables that a call of ``function`` goes through, from outside in."""
    for _ in range(_STEPS):
        yield function
        if _is(function, MethodType, staticmethod, classmethod):
            inner = _ask(function, "__func__")
        elif _is(function, partial, partialmethod):
            inner = _ask(function, "func")
        elif issubclass(type(function), FunctionType):
            # What a class gives for a partialmethod; the name depends on the version.
            inner = _ask(function, "__partialmethod__") or _ask(function, "_partialmethod")
            if not _is(inner, partialmethod):
                return
        elif through_caches and issubclass(type(function), (CachedFunction, _lru_cache_wrapper)):
            inner = _ask(function, "__wrapped__")
        elif _has_code(function):
            return
        else:
            inner = _call_of(type(function))
        if inner is None or inner is function:
            return
        function = inner


def _call_of(kind: type) -> Any:
    """What stands as ``__call__`` in a class, as it is there."""
    for base in kind.__mro__:
        if "__call__" in base.__dict__:
            return base.__dict__["__call__"]
    return None


def _ask(of: Any, name: str) -> Any:
    """An attribute, or None where there is none to be had.

    functools.lru_cache does not ask for it, so whatever goes wrong must not end the decoration.
    """
    try:
        return getattr(of, name, None)
    except Exception:
        return None


def _is(candidate: Any, *kinds: type) -> bool:
    """``isinstance``, of objects that may say anything of their class."""
    try:
        return isinstance(candidate, kinds)
    except Exception:
        return False


def _has_code(function: Any) -> bool:
    # A class may have the code of its instances.
    return not _is(function, type) and _is(_ask(function, "__code__"), CodeType)


def _flags(function: Any) -> int:
    """The flags of a function's own code; 0 where it has none."""
    if not _has_code(function):
        return 0
    flags = _ask(_ask(function, "__code__"), "co_flags")
    # That of a mock may be another mock.
    return flags if type(flags) is int else 0


def _is_marked(function: Any) -> bool:
    marker = _marker_of_inspect()
    mark = _mark_of_asyncio()
    if not (
        (marker is not None and _ask(function, marker[0]) is marker[1])
        or (mark is not None and _ask(function, "_is_coroutine") is mark)
    ):
        return False
    # A mark in a class is its instances', unless these are what can be awaited.
    return not _is(function, type) or hasattr(function, "__await__")


def _marker_of_inspect(load: bool = False) -> tuple[str, object] | None:
    """The attribute that ``inspect.markcoroutinefunction`` sets, and its value (since 3.12).

    None, too, while nobody can have set it, as inspect is not loaded.
    """
    if load and sys.version_info >= (3, 12):
        import inspect  # noqa: F401
    mark: Callable[..., Any] | None = getattr(
        sys.modules.get("inspect"), "markcoroutinefunction", None
    )
    if mark is None:
        return None

    def probe() -> None: ...

    mark(probe)
    return next(iter(vars(probe).items()), None)


def _mark_of_asyncio() -> object | None:
    """The value of the attribute ``_is_coroutine``, if asyncio is loaded and goes by it."""
    return getattr(sys.modules.get("asyncio.coroutines"), "_is_coroutine", None)


def _is_of_contextlib(function: FunctionType) -> bool:
    """Whether ``contextlib.contextmanager`` or ``asynccontextmanager`` made the function."""
    contextlib = sys.modules.get("contextlib")
    wrapped = function.__dict__.get("__wrapped__")
    return (
        contextlib is not None
        and function.__globals__ is vars(contextlib)
        and bool(_flags(wrapped) & (_CO_GENERATOR | _CO_ASYNC_GENERATOR))
    )
