"""Flask-Caching's simple cache is ours while its tests run; the clock is the real one."""

from __future__ import annotations

import os
import time
from typing import Any

import flask
import flask_caching
import pytest
from flask_caching import backends
from flask_caching.backends import simplecache

from scripts.peer_suites.frameworks import fresh
from warp_cache.flask_caching import SharedCache


class SimpleCache(SharedCache):
    """Each a new cache, as the one that it stands for."""

    def __init__(self, threshold: int | None = None, **options: Any) -> None:
        options.pop("name", None)
        super().__init__(fresh.name(), threshold, **options)


backends.SimpleCache = simplecache.SimpleCache = SimpleCache


@pytest.fixture
def app(request: pytest.FixtureRequest) -> flask.Flask:
    made = flask.Flask(request.module.__name__, template_folder=os.path.dirname(request.fspath))
    made.testing = True
    made.config["CACHE_TYPE"] = "SimpleCache"
    return made


@pytest.fixture
def cache(app: flask.Flask) -> flask_caching.Cache:
    return flask_caching.Cache(app)


class _Clock:
    def advance(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture(
    params=list(flask_caching.SUPPORTED_HASH_FUNCTIONS), ids=lambda method: method.__name__
)
def hash_method(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="class")
def redis_server() -> None:
    pytest.skip("a server of its own, not of ours")


@pytest.fixture(scope="class")
def memcache_server() -> None:
    pytest.skip("a server of its own, not of ours")
