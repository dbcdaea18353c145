"""A small ASGI app with one slow endpoint, cached for all worker processes together.

GET  /report?city=Oslo   the slow one: the report, who computed it, and who answered
GET  /cache              who answered, and what the cache has counted in all processes
POST /clear              empties the cache, for all processes
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from warp_cache import cache

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@cache(max_size=1000, ttl=60, backend="shared")
async def report(city: str) -> dict[str, Any]:
    """What takes long: a database, a model, somebody else's service."""
    await asyncio.sleep(0.5)
    return {"city": city, "letters": sorted(set(city.lower())), "computed_by": os.getpid()}


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        status, answer = await _answer(scope)
        body = json.dumps({**answer, "answered_by": os.getpid()}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _answer(scope: MutableMapping[str, Any]) -> tuple[int, dict[str, Any]]:
    query = parse_qs(scope.get("query_string", b"").decode("ascii", "replace"))
    route = (scope["method"], scope["path"])
    if route == ("GET", "/report"):
        # The result is this caller's own: what is added to it, nobody else sees.
        return 200, await report(query.get("city", ["Oslo"])[0])
    if route == ("GET", "/cache"):
        info = report.cache_info()
        return 200, {"hits": info.hits, "misses": info.misses, "entries": info.currsize}
    if route == ("POST", "/clear"):
        report.cache_clear()
        return 200, {"cleared": True}
    return 404, {"error": f"there is no {route[0]} {route[1]}"}


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
