"""Views of a cache object: keys, values and items as they are when somebody iterates over them."""

from __future__ import annotations

from collections.abc import ItemsView, KeysView, ValuesView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["Items", "Keys", "PrefixKeys", "Values"]


class Keys(KeysView):  # type: ignore[type-arg]
    """The keys."""

    def __reversed__(self) -> Iterator[Any]:
        return iter([*self][::-1])


class PrefixKeys(Keys):
    """The keys that begin with something."""

    def __init__(self, cache: Any, prefix: Any) -> None:
        kinds = [kind for kind in (str, bytes, tuple) if isinstance(prefix, kind)]
        if not kinds:
            raise TypeError(f"prefix must be a str, bytes or a tuple, got {prefix!r}")
        super().__init__(cache)
        self._cache = cache
        self._prefix = prefix
        # Not its own type: keys begin with a prefix of a subclass, too.
        self._kind = kinds[0]

    def __iter__(self) -> Iterator[Any]:
        prefix, kind = self._prefix, self._kind
        for key in self._cache:
            if isinstance(key, kind) and key[: len(prefix)] == prefix:
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return key in self._cache and any(key == found for found in self)


class Values(ValuesView):  # type: ignore[type-arg]
    """The values."""

    def __init__(self, cache: Any) -> None:
        super().__init__(cache)
        self._cache = cache

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in Items(self._cache))

    def __reversed__(self) -> Iterator[Any]:
        return iter([*self][::-1])

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)


class Items(ItemsView):  # type: ignore[type-arg]
    """Keys and values."""

    def __init__(self, cache: Any) -> None:
        super().__init__(cache)
        self._cache = cache

    def __iter__(self) -> Iterator[Any]:
        cache: Any = self._cache
        for key in cache:
            found = cache._peek(key)
            if found is not None:
                yield key, found[0]

    def __reversed__(self) -> Iterator[Any]:
        return iter([*self][::-1])

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        key, value = item
        cache: Any = self._cache
        found = cache._peek(key)
        return found is not None and (found[0] is value or bool(found[0] == value))
