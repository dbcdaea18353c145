"""What ``cache_info()`` returns."""

from __future__ import annotations

from collections import namedtuple

__all__ = ["CacheInfo", "SharedCacheInfo", "Skips"]

# Importing typing takes longer than all of this package. Checkers take this name for true.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal, NamedTuple, TypeAlias

    SkipReason: TypeAlias = Literal[
        "argument",
        "key_size",
        "value",
        "value_size",
        "file_size",
        "unreadable",
        "space",
        "locks",
        "processes",
        "lost",
        "busy",
        "damaged",
        "superseded",
    ]
    _Skips: TypeAlias = dict[SkipReason, int]

    class _Fields(NamedTuple):
        hits: int
        misses: int
        maxsize: int | None
        currsize: int
else:
    # The same once more: importing typing is left to who asks for the type.
    _REASONS = (
        "argument",
        "key_size",
        "value",
        "value_size",
        "file_size",
        "unreadable",
        "space",
        "locks",
        "processes",
        "lost",
        "busy",
        "damaged",
        "superseded",
    )
    _WHAT_A_REASON_IS = """Why a result of a shared cache was computed and not stored.

    A type for annotations: the keys of ``cache_info().skips``, and what an UncacheableWarning is
    about. ``typing.get_args(SkipReason)`` gives all of them.
    """
    _Skips = dict
    _Fields = namedtuple("CacheInfo", ("hits", "misses", "maxsize", "currsize"))


if not TYPE_CHECKING:

    def __getattr__(name):
        if name == "SkipReason":
            from typing import Literal

            reason = Literal[_REASONS]
            reason.__doc__ = _WHAT_A_REASON_IS
            return reason
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class CacheInfo(_Fields):
    """The counters of a cache: a tuple of four, equal to what functools' ``cache_info()`` would be.

    hits: calls answered from the cache. misses: all others. maxsize: entries at most, None for no
    bound. currsize: entries now. ``max_size`` and ``current_size`` are other names of the last two.

    evictions: entries that gave way to others. expirations: entries that were dropped because they
    had ended. loads: computations that have ended, load_failures those of them that raised,
    load_seconds the time that they took, all together. stale_hits: calls that got a value which was
    no longer fresh. refreshes: computations begun while there was a value. weight: the sum of the
    entries' weights.

    With ``remote``: remote_hits: hits that the server has answered. remote_misses: calls that had
    to compute. remote_errors: requests that the server did not answer as it should.
    """

    __module__ = "warp_cache"

    evictions: int = 0
    expirations: int = 0
    loads: int = 0
    load_failures: int = 0
    load_seconds: float = 0.0
    stale_hits: int = 0
    refreshes: int = 0
    weight: int = 0
    remote_hits: int = 0
    remote_misses: int = 0
    remote_errors: int = 0
    _of_functools: bool = False

    def __repr__(self) -> str:
        """The four, and what else is not 0; functools' own of an ``lru_cache`` in memory."""
        plain = super().__repr__()
        if self._of_functools:
            return plain
        more = [f", {name}={value!r}" for name in self._more if (value := getattr(self, name))]
        return f"{plain[:-1]}{''.join(more)})"

    if not TYPE_CHECKING:

        def __setattr__(self, name, value):
            raise AttributeError(f"{type(self).__name__} is what was counted: it cannot be changed")

        def __delattr__(self, name):
            self.__setattr__(name, None)

        def _replace(self, /, **changes):
            # What is no field stays as it is.
            replaced = super()._replace(**changes)
            vars(replaced).update(vars(self))
            return replaced

        __replace__ = _replace

    _more: tuple[str, ...] = (
        "evictions",
        "expirations",
        "load_failures",
        "stale_hits",
        "refreshes",
        "weight",
        "remote_hits",
        "remote_misses",
        "remote_errors",
    )

    @property
    def max_size(self) -> int | None:
        """The same as ``maxsize``."""
        return self[2]

    @property
    def current_size(self) -> int:
        """The same as ``currsize``."""
        return self[3]


class Skips(_Skips):
    """How many results were not stored, by reason: a dict that cannot be changed.

    Only reasons that occurred are in it; any other one counts 0.
    """

    __slots__ = ()

    def __missing__(self, reason: object) -> int:
        return 0

    if not TYPE_CHECKING:

        def _fixed(self, *_, **__):
            raise TypeError("what was counted cannot be changed; dict(skips) is a copy")

        __setitem__ = __delitem__ = __ior__ = _fixed
        clear = pop = popitem = setdefault = update = _fixed

    def __reduce__(self) -> tuple[type[Skips], tuple[dict[SkipReason, int]]]:
        return Skips, (dict(self),)


class SharedCacheInfo(CacheInfo):
    """The counters of a shared cache, summed over all processes.

    Unpacks to the same four. skips: how many results were not stored, by reason. oversize_skips:
    those of them that cannot be stored wherever they are computed (arguments or values that have no
    bytes, or too many). repairs: how often the file was put in order after a process had died in it
    or something had damaged it.
    """

    __module__ = "warp_cache"
    oversize_skips: int = 0
    skips: Mapping[SkipReason, int] = Skips()
    repairs: int = 0

    def __new__(
        cls,
        hits: int,
        misses: int,
        maxsize: int | None,
        currsize: int,
        oversize_skips: int = 0,
        skips: Mapping[SkipReason, int] = skips,
        repairs: int = 0,
    ) -> SharedCacheInfo:
        self = super().__new__(cls, hits, misses, maxsize, currsize)
        vars(self).update(oversize_skips=oversize_skips, skips=skips, repairs=repairs)
        return self

    _more = (*CacheInfo._more, "oversize_skips", "skips", "repairs")
