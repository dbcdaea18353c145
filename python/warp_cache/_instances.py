"""Methods whose instances have a cache each: what is not on the way of a call.

Imported where a class with such a method is made. ``crates/python/src/function/per_instance/``
finds the cache of an instance, which lies in its ``__dict__`` under one private name.
"""

from __future__ import annotations

from contextlib import suppress
from copyreg import dispatch_table
from functools import partial, wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from warp_cache._info import CacheInfo
    from warp_cache._warp_cache_rs import PerInstanceFunction

    _Function = PerInstanceFunction[..., Any]

__all__ = ["hide", "operation"]

# Under which an instance keeps its caches.
_NAME = "__warp_cache__"
_MARK = "_hides_caches_of_warp_cache"
# A state within a state within the tuple that a pickle begins with, and some more.
_DEPTH = 6


def hide(cls: type) -> None:
    """Have instances of the class be copied and pickled without what they keep here.

    What copyreg knows of the class goes before its methods: it is looked at again at the first call
    of each instance, as it may come late.
    """
    _hide_registered(cls)
    if getattr(getattr(cls, "__reduce_ex__", None), _MARK, False):
        return
    own = vars(cls).get("__reduce_ex__")

    def __reduce_ex__(self: Any, protocol: Any, /) -> Any:  # noqa: N807
        return _reduced(self, protocol, __reduce_ex__, own)

    setattr(__reduce_ex__, _MARK, True)
    __reduce_ex__.__qualname__ = f"{cls.__qualname__}.__reduce_ex__"
    __reduce_ex__.__module__ = cls.__module__
    # A class that cannot be changed is left: what an instance keeps is empty where it is copied.
    with suppress(TypeError, AttributeError):
        setattr(cls, "__reduce_ex__", __reduce_ex__)  # noqa: B010 - checkers know another type


def _hide_registered(cls: type) -> None:
    """The same of what is registered for the class by ``copyreg.pickle``."""
    reduce = dispatch_table.get(cls)
    if reduce is None or getattr(reduce, _MARK, False):
        return

    @wraps(reduce)
    def registered(self: Any, /) -> Any:
        return _without(self, partial(reduce, self))

    setattr(registered, _MARK, True)
    dispatch_table[cls] = registered


def _reduced(self: Any, protocol: Any, ours: Callable[..., Any], own: Any) -> Any:
    """What the class would give for an instance that keeps nothing.

    ours: the method that was put into the class. own: what was in its place, or None for what is
    inherited.
    """
    if own is None:
        reduce = _inherited(type(self), ours).__get__(self, type(self))
    else:
        reduce = own.__get__(self, type(self))
    return _without(self, partial(reduce, protocol))


def _without(self: Any, reduce: Callable[[], Any]) -> Any:
    """What ``reduce`` gives for an instance that keeps nothing."""
    try:
        state = object.__getattribute__(self, "__dict__")
    except AttributeError:
        state = None
    if not isinstance(state, dict) or _NAME not in state:
        return reduce()
    # The class's own code sees an instance as it was before its first call.
    kept = state.pop(_NAME)
    try:
        result = reduce()
        # The instance's `__dict__` itself, which is about to have it again.
        return _replaced(result, state, dict(state), _DEPTH)
    finally:
        state.setdefault(_NAME, kept)


def _inherited(cls: type, ours: Callable[..., Any]) -> Any:
    """The ``__reduce_ex__`` behind ours: in a class that was made again, it is in another one."""
    found = False
    for base in cls.__mro__:
        method = vars(base).get("__reduce_ex__")
        if method is ours:
            found = True
        elif found and method is not None:
            return method
    return object.__reduce_ex__


def _replaced(of: Any, old: dict[Any, Any], new: dict[Any, Any], depth: int) -> Any:
    """The same with ``new`` in the place of ``old``."""
    if of is old:
        return new
    if depth and type(of) is tuple:
        items = [_replaced(item, old, new, depth - 1) for item in of]
        if any(item is not before for item, before in zip(items, of, strict=True)):
            return tuple(items)
    elif depth and type(of) is dict:
        for key, value in of.items():
            if (item := _replaced(value, old, new, depth - 1)) is not value:
                return {**of, key: item}
    return of


def operation(function: _Function, name: str) -> Callable[..., Any]:
    """The method of this name, looked up on the class."""
    # There before it is called, as for any other function.
    getattr(function._kind, name)
    if name == "cache_info":
        return partial(_info, function)
    if name in _OF_ALL:
        return partial(_OF_ALL[name], function, name)
    if name in ("set", "aset"):
        return partial(_after_value, function, name)
    if name in ("cache_put", "acache_put"):
        return partial(_packed, function, name)
    return partial(_first, function, name)


def _own(function: _Function, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The method of the instance's cache that a call with these arguments uses."""
    if args:
        instance = args[0]
    else:
        code = getattr(function.__wrapped__, "__code__", None)
        first = code.co_varnames[:1] if code is not None and code.co_argcount else ()
        if not first or first[0] not in kwargs:
            raise TypeError(
                f"{name}() needs the instance: {function.__qualname__} has per_instance"
            )
        instance = kwargs[first[0]]
    return getattr(function._of_instance(instance), name)


def _first(function: _Function, name: str, /, *args: Any, **kwargs: Any) -> Any:
    return _own(function, name, args, kwargs)(*args, **kwargs)


def _after_value(function: _Function, name: str, value: Any, /, *args: Any, **kwargs: Any) -> Any:
    return _own(function, name, args, kwargs)(value, *args, **kwargs)


def _packed(
    function: _Function,
    name: str,
    value: Any,
    /,
    args: Any = (),
    kwargs: Any = None,
    **options: Any,
) -> Any:
    args, kwargs = tuple(args), {} if kwargs is None else kwargs
    return _own(function, name, args, kwargs)(value, args, kwargs, **options)


def _info(function: _Function) -> CacheInfo:
    """The sum over the living instances."""
    from warp_cache._info import CacheInfo

    size = function.cache_parameters()["maxsize"]
    infos = [own.cache_info() for own in function._living()]
    total = CacheInfo(
        sum(info.hits for info in infos),
        sum(info.misses for info in infos),
        size,
        sum(info.currsize for info in infos),
    )
    for name in {name for info in infos for name in vars(info)}:
        vars(total)[name] = sum(getattr(info, name) for info in infos)
    return total


def _each(function: _Function, name: str, /, *args: Any) -> None:
    """A method of each living instance's cache."""
    for own in function._living():
        getattr(own, name)(*args)


async def _aeach(function: _Function, name: str, /, *args: Any) -> None:
    for own in function._living():
        await getattr(own, name)(*args)


# What is about the whole cache.
_OF_ALL = {
    "cache_clear": _each,
    "cache_invalidate_tags": _each,
    "acache_clear": _aeach,
    "acache_invalidate_tags": _aeach,
}
