"""``Cache.memoize``: functions whose results are entries of a cache object.

A call's key is worked out by a decorated function of its own, which keeps nothing; the entry is a
call of the object's loader with two values, so it is none of the object's keys.
"""

from __future__ import annotations

import itertools
from functools import partial, update_wrapper
from types import MethodType

from warp_cache._control import refuse_coroutine_functions
from warp_cache._object import operations
from warp_cache._object.loading import Request, request
from warp_cache._object.twins import beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Memoized", "memoize"]

# An entry has 16 tags at most: one is the function's own, and each tag that is given stands twice,
# for the whole cache and for the function.
_MOST_TAGS = 7

# Each memoized function of this process has one. An ``id`` would be another function's later on,
# which would find the entries.
_numbers = itertools.count()

_OPTIONS = ("key", "ignore", "ttl", "tags", "typed", "cache_if")

# What refreshes, imported at its first use and kept.
_refreshes: Any = None


def _refresher() -> Any:
    global _refreshes
    if _refreshes is None:
        from warp_cache._refresh import refresh

        _refreshes = refresh
    return _refreshes


def memoize(cache: Any, options: dict[str, Any]) -> Callable[[Any], Any]:
    """The decorator."""
    for name in options:
        if name not in _OPTIONS:
            wrong = f"memoize() got an unexpected keyword argument {name!r}"
            raise TypeError(f"{wrong}: it takes {', '.join(_OPTIONS)}")
    refuse_coroutine_functions(options)
    ttl = options.get("ttl", ...)
    if not callable(ttl):
        operations.check_ttl(ttl)

    def decorate(function: Any) -> Any:
        if not callable(function):
            raise TypeError(f"fn must be a callable, got {function!r}")
        return Memoized(cache, function, options)

    return decorate


def _twin(name: str) -> Any:
    async def twin(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await beside(self._cache, getattr(self, name), *args, **kwargs)

    twin.__name__ = f"a{name}"
    return twin


class Memoized:
    """A function whose results are entries of a cache object, with the methods of a cached one."""

    def __init__(self, cache: Any, function: Any, options: dict[str, Any]) -> None:
        from warp_cache import cache as decorate
        from warp_cache._callables import coroutine_function, present_as_coroutine_function

        # Before all that is its own: a function may have attributes of the same names, as one that
        # is memoized already has.
        update_wrapper(self, function)
        for name in [name for name in vars(self) if name in _METHODS]:
            delattr(self, name)
        given = {name: options[name] for name in ("key", "ignore", "typed") if name in options}
        tags = options.get("tags", ())
        # It keeps no entry: it knows what makes a call's key, and its tags.
        self._keys: Any = decorate(function, max_size=0, **given)
        self._tags: Any = _source(function, tags)
        self._cache = cache
        self._ttl = options.get("ttl", ...)
        self._cache_if = options.get("cache_if")
        self._function = function
        self._mark = _mark(function, cache)
        source = coroutine_function(function)
        self._is_async = source is not None
        self._group = f"\0memoize {self._mark}"
        if source is not None:
            present_as_coroutine_function(self, source)
        cache._note_memoized()

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return self._mark, self._keys._canonical(args, kwargs)

    def _asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        ttl = self._ttl
        operations.check(self._cache, 1.0 if callable(ttl) else ttl, (self._group,))
        compute = partial(self._function, *args, **kwargs)
        # Asked for where something is computed, and at no hit.
        tags = partial(self._all_tags, args, kwargs)
        return Request(compute, ttl, tags, awaits=self._is_async, cache_if=self._cache_if)

    def _all_tags(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        own = () if self._tags is None else operations.checked_tags(self._tags(*args, **kwargs))
        return self._with_group(own)

    def _with_group(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        return (*_checked(tags), *map(self._own, tags), self._group)

    def _own(self, tag: str) -> str:
        """A tag as the entries of this function alone have it."""
        return f"{self._group}\0{tag}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key, asked = self._key(args, kwargs), self._asked(args, kwargs)
        if self._is_async:
            return operations.load_async(self._cache._loader, key, asked)
        return operations.load(self._cache, key, asked)

    def __reduce__(self) -> str:
        # By its name, as functions are: a copy is the function itself.
        return str(getattr(self, "__qualname__", ""))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else _Bound(self, instance)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._cache._loader.get(*self._key(args, kwargs))

    def set(self, value: Any, /, *args: Any, **kwargs: Any) -> None:
        self.cache_put(value, args, kwargs)

    def cache_put(
        self, value: Any, args: Any = (), kwargs: Any = None, *, ttl: Any = ..., tags: Any = ...
    ) -> None:
        args, kwargs = tuple(args), dict(kwargs or {})
        key = self._key(args, kwargs)
        ttl = self._ttl if ttl is ... else ttl
        if callable(ttl):
            ttl = ttl(value)
        if tags is ...:
            tags = self._all_tags(args, kwargs)
        else:
            tags = self._with_group(operations.checked_tags(tags))
        given = {} if ttl is ... else {"ttl": ttl}
        self._cache._loader.cache_put(value, key, tags=tags, **given)

    def cache_contains(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._cache._loader.cache_contains(*self._key(args, kwargs)))

    def cache_invalidate(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._cache._loader.cache_invalidate(*self._key(args, kwargs)))

    def cache_ttl(self, *args: Any, **kwargs: Any) -> float | None:
        left: float | None = self._cache._loader.cache_ttl(*self._key(args, kwargs))
        return left

    def cache_refresh(self, *args: Any, **kwargs: Any) -> Any:
        key, asked = self._key(args, kwargs), self._asked(args, kwargs)
        loader = self._cache._loader
        if self._is_async:
            return operations.load_async(loader.cache_refresh, key, asked)
        token = request.set(asked)
        try:
            computed = self._cache._refresh_nothing(*key)
            if computed is not None:
                return computed[0]
            return _refresher()(loader, self._cache._ticket(*key), key, {})
        finally:
            request.reset(token)

    def cache_invalidate_tags(self, *tags: str) -> None:
        for tag in tags:
            # Sixteen at a time, but of any number.
            self._cache.invalidate_tags(*map(self._own, operations.checked_tags((tag,))))

    def cache_clear(self) -> None:
        self._cache.invalidate_tags(self._group)

    def cache_info(self) -> Any:
        return self._cache.info()

    def cache_parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = self._cache._loader.cache_parameters()
        return {**parameters, "typed": self._keys.cache_parameters()["typed"]}

    aget = _twin("get")
    aset = _twin("set")
    acache_put = _twin("cache_put")
    acache_contains = _twin("cache_contains")
    acache_invalidate = _twin("cache_invalidate")
    acache_ttl = _twin("cache_ttl")
    acache_clear = _twin("cache_clear")
    acache_invalidate_tags = _twin("cache_invalidate_tags")

    def cache_options(self) -> dict[str, Any]:
        own = {"ttl": self._cache._given["ttl"] if self._ttl is ... else self._ttl}
        name = getattr(self, "__qualname__", None)
        return {**self._cache.options(), **own, "qualname": name}


# What no attribute of the function stands before.
_METHODS = frozenset(name for name in vars(Memoized) if not name.startswith("_"))


# The methods that take a call's arguments, and nothing before them.
_OF_ARGUMENTS = frozenset(
    ("get", "cache_contains", "cache_invalidate", "cache_refresh", "cache_ttl")
)


class _Bound:
    # A memoized function as the attribute of an instance: a bound method, by what it can do.

    def __init__(self, function: Memoized, instance: Any) -> None:
        self.__func__ = function
        self.__self__ = instance
        # (The class has one of its own.)
        self.__module__ = getattr(function, "__module__", "")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        function, instance = self.__func__, self.__self__
        found = getattr(function, name)
        # The twins for coroutines have an "a" before the name.
        of_cache = name.removeprefix("a")
        if of_cache in _OF_ARGUMENTS:
            return partial(found, instance)
        if of_cache == "set":
            return lambda value, /, *args, **kwargs: found(value, instance, *args, **kwargs)
        if of_cache == "cache_put":
            return lambda value, args=(), kwargs=None, **terms: found(
                value, (instance, *args), kwargs, **terms
            )
        return found

    @property  # type: ignore[misc]
    def __class__(self) -> type[MethodType]:  # type: ignore[override]
        return MethodType

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.__func__.__doc__

    @property
    def __wrapped__(self) -> Any:
        function: Any = self.__func__
        return MethodType(function.__wrapped__, self.__self__)

    def __eq__(self, other: object) -> bool:
        if type(other) is not _Bound:
            return NotImplemented
        return self.__self__ is other.__self__ and self.__func__ is other.__func__

    def __hash__(self) -> int:
        return hash((id(self.__self__), self.__func__))

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__func__), *super().__dir__()})

    def __repr__(self) -> str:
        name = getattr(self.__func__, "__qualname__", "?")
        return f"<bound method {name} of {self.__self__!r}>"

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, getattr(self.__func__, "__name__", ""))


def _checked(tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(tags) > _MOST_TAGS:
        most = f"tags of a memoized function must be at most {_MOST_TAGS} strings"
        raise ValueError(f"{most} (each is also the function's own), got {len(tags)}")
    return tags


def _source(function: Any, tags: Any) -> Any:
    """What gives the tags of a call, or None."""
    if callable(tags):
        return tags
    tags = _checked(operations.checked_tags(tags))
    if not tags:
        return None
    from warp_cache._tags import source

    return source(function, list(tags))


def _mark(function: Any, cache: Any) -> str:
    """What tells the function's entries from others: the same in every process."""
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    if cache._given["remote"] is not None:
        from warp_cache._remote.naming import name_of

        try:
            # A tag is the whole namespace's, so the cache's name is in it.
            return f"{cache._given['name']} {name_of(function, None, None)}"
        except ValueError:
            return f"{name} {_of_this_process()}"
    if not operations.is_in_file(cache):
        return f"{name} {next(_numbers)}"
    from warp_cache._naming import identity

    described, is_private = identity.describe(function)
    if is_private:
        described = _of_this_process()
    return f"{name} {described}"


def _of_this_process() -> str:
    """A mark that nobody else has: no other process can say whether its function is this one."""
    import uuid

    return uuid.uuid4().hex
