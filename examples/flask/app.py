"""A small Flask application: what all workers count and compute together.

GET /visit               one visit more, of all workers together
GET /report?city=Oslo    a slow report, computed by one worker, found by all
GET /limited             two requests a minute for all workers together, then 429
"""

from __future__ import annotations

import os
import time
from typing import Any

import flask
from flask_caching import Cache
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

import warp_cache.limits  # noqa: F401 - makes warp:// known to limits

app = flask.Flask("example-flask")
cache = Cache(
    app,
    config={"CACHE_TYPE": "warp_cache.flask_caching.SharedCache", "CACHE_DEFAULT_TIMEOUT": 60},
)
limiter = MovingWindowRateLimiter(storage_from_string("warp://example-flask"))


@app.get("/visit")
def visit() -> dict[str, int]:
    return {"visits": cache.cache.inc("visits"), "by": os.getpid()}


@cache.memoize(timeout=60)
def computed(city: str) -> dict[str, Any]:
    time.sleep(0.3)
    return {"city": city, "computed_by": os.getpid()}


@app.get("/report")
def report() -> dict[str, Any]:
    return {**computed(flask.request.args.get("city", "Oslo")), "by": os.getpid()}


@app.get("/limited")
def limited() -> tuple[dict[str, int], int]:
    passed = limiter.hit(parse("2/minute"), flask.request.remote_addr or "")
    return {"by": os.getpid()}, 200 if passed else 429
