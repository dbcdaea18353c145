"""A small Litestar application: what all workers keep together.

GET /visit               one visit more, of all workers together
GET /report?city=Oslo    a slow report: Litestar's response cache, in a store that all workers share
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from litestar import Litestar, get
from litestar.stores.registry import StoreRegistry

from warp_cache import Cache
from warp_cache.litestar import SharedStore

store = SharedStore("example-litestar")
counts: Cache[str, int] = Cache(None, backend="shared", name="example-litestar-counts")


@get("/visit")
async def visit() -> dict[str, int]:
    return {"visits": await counts.aincr("visits", default=0, ttl=None), "by": os.getpid()}


@get("/report", cache=60)
async def report(city: str = "Oslo") -> dict[str, Any]:
    await asyncio.sleep(0.3)
    return {"city": city, "computed_by": os.getpid()}


app = Litestar([visit, report], stores=StoreRegistry(default_factory=store.with_namespace))
