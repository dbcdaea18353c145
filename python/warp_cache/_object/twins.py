"""The operations of a cache object for coroutines.

In memory none of them waits. In the shared tier one waits for the file's lock alone, which all but
never takes as long as a thread's switch: only where somebody keeps it (a process that was stopped)
does it wait in a thread beside the loop, as what waits for a server does.
"""

from __future__ import annotations

import asyncio
import inspect

from warp_cache._object import operations
from warp_cache._object.loading import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Twins"]


async def beside(cache: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What an operation of the cache gives, which may wait for a server, or for a file's lock."""
    if not cache._would_wait() and (cache._given["remote"] is None or not cache._has_server()):
        return function(*args, **kwargs)
    from warp_cache._remote.beside import beside_loop

    return await beside_loop(function, *args, **kwargs)


def _twin(name: str) -> Any:
    async def twin(self: Any, *args: Any, **kwargs: Any) -> Any:
        operation = getattr(self, name)
        if self._is_of_memory or (self._given["remote"] is None and not self._would_wait()):
            return operation(*args, **kwargs)
        return await beside(self, operation, *args, **kwargs)

    twin.__name__ = f"a{name}"
    twin.__qualname__ = f"Cache.a{name}"
    twin.__doc__ = f"``{name}``, to be awaited."
    return twin


class Twins:
    """For each operation that may wait, one to be awaited."""

    __slots__ = ()

    async def aget(self: Any, key: Any, default: Any = None, *, renew: Any = None) -> Any:
        """``get``, to be awaited."""
        if self._given["remote"] is None:
            if renew is None:
                return self.get(key, default)
            return await beside(self, self.get, key, default, renew=renew)
        # What is near is had at once.
        near = None if renew is not None else self._near(key)
        if near is not None:
            return near[0]
        return await beside(self, self.get, key, default, renew=renew)

    apeek = _twin("peek")
    aset = _twin("set")
    aadd = _twin("add")
    asetdefault = _twin("setdefault")
    areplace = _twin("replace")
    adiscard = _twin("discard")
    apop = _twin("pop")
    adelete = _twin("delete")
    aincr = _twin("incr")
    atouch = _twin("touch")
    attl = _twin("ttl")
    aget_many = _twin("get_many")
    aset_many = _twin("set_many")
    adelete_many = _twin("delete_many")
    aclear = _twin("clear")
    ainvalidate_tags = _twin("invalidate_tags")

    async def apopitem(self: Any) -> tuple[Any, Any]:
        """``popitem``, to be awaited."""
        popped: tuple[Any, Any] = await beside(self, self.popitem)
        return popped

    async def apurge(self: Any) -> int:
        """``purge``, to be awaited."""
        return int(await beside(self, self.purge))

    async def ainfo(self: Any) -> Any:
        """``info``, to be awaited."""
        return self.info()

    async def aclose(self: Any) -> None:
        """``close``, to be awaited."""
        self.close()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aget_or_set(
        self, key: Any, f: Callable[[], Any], *, ttl: Any = ..., tags: Any = ()
    ) -> Any:
        """``get_or_set``; what ``f()`` gives may be a value, or what is to be awaited."""
        if not callable(f):
            raise TypeError(f"f must be a callable without arguments, got {f!r}")
        tags = operations.check(self, ttl, tags)

        async def compute() -> Any:
            value = f()
            return await value if inspect.isawaitable(value) else value

        asked = Request(compute, ttl, tags, awaits=True)
        loader = self._loader  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
        return await operations.load_async(loader, (key,), asked)

    async def acompute(self, key: Any, f: Callable[[Any], Any], *, ttl: Any = ...) -> Any:
        """``compute``; what ``f(old)`` gives may be a value, or what is to be awaited."""
        if not callable(f):
            raise TypeError(f"f must be a callable that is given the old value, got {f!r}")
        operations.check_ttl(ttl)
        cache: Any = self
        while True:
            found = await beside(cache, cache._see, key)
            old, seen = (None, None) if found is None else found
            value = f(old)
            if inspect.isawaitable(value):
                value = await value
            done, value = await beside(cache, operations.change, cache, key, seen, value, ttl)
            if done:
                return value
            await asyncio.sleep(0)
