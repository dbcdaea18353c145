# pyright: reportMissingImports=false
"""What only looks, to be awaited."""

from __future__ import annotations

from warp_cache._object.twins import beside
from warp_cache.django._keys import WithKeys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from warp_cache import Cache

__all__ = ["Looking"]


class Looking(WithKeys):
    """Looks that take no thread and do not suspend; what a server is asked for is waited for beside
    the loop.
    """

    _cache: Cache[Any, Any]
    _is_remote: bool

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        if not self._is_remote:
            return self.get(key, default, version)
        return await self._cache.aget(self.make_and_validate_key(key, version), default)

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        return bool(await beside(self._cache, self.has_key, key, version))

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        found: dict[Any, Any] = await beside(self._cache, self.get_many, keys, version)
        return found

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return int(await beside(self._cache, self.incr_version, key, delta, version))
