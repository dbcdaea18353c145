"""The suites of frameworks, and of caches, with our adapters and our cache object in the place of
theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

from scripts.peer_suites.frameworks import exceptions
from scripts.peer_suites.suite import Suite

__all__ = ["FRAMEWORKS"]

_HERE = "peer_suites/frameworks"
_ASYNCIO = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
_DJANGO = ("django==5.2.19; python_version < '3.12'", "django==6.0.10; python_version >= '3.12'")

# Of Django's own: its local memory cache's tests, those of what is built on caches, and its
# sessions.
_BASE = "LocMemCacheTests"
_MIDDLEWARE = " or ".join(
    (
        *("CacheUtils", "CacheHEADTest", "CacheI18nTest", "CacheMiddlewareTest"),
        *("TestWithTemplateResponse", "TestMakeTemplateFragmentKey", "CacheHandlerTest"),
        *("CustomCacheKeyValidation", "CacheClosing", "DefaultNonExpiring"),
    )
)
# Of django-redis, what is about Redis' own data and connections is left out.
_REDIS_ONLY = " and ".join(
    f"not {part}"
    for part in (
        *(
            "client",
            "itersize_setting",
            "custom_count",
            "scan_count",
            "pipeline",
            "signal",
            "primary",
        ),
        *("test_h", "test_sadd", "test_scard", "test_sdiff", "sdiffstore", "test_sinter"),
        *("test_interstore", "test_sismember", "test_smove", "test_spop", "test_srandmember"),
        *("test_srem", "test_sscan", "test_smismember", "test_sunion"),
    )
)

# Neither servers of others, nor a test that moves its clock by an hour: the clock is the real one.
_HERE_AND_NOW = "not Redis and not Memcached and not delete_resets_version_key"


# How many of each part pass, by the release: the interpreters that it is run by, and the numbers.
_RELEASES = (
    ("5.2", (3, 10), (3, 12), {"base": 55, "async": 51, "middleware": 69, "sessions": 646}),
    ("6.0", (3, 12), (4, 0), {"base": 55, "async": 51, "middleware": 69, "sessions": 646}),
)


# What takes long, of cachebox' caches with one policy: its threads against each other, and values
# that are made up.
_LONG = ("fuzzy", "threads", "finalizers", "running_python", "swapped")
_ONCE = "TestLRU or ((TestFIFO or TestLFU) and " + " and ".join(f"not {e}" for e in _LONG) + ")"
# Of diskcache, what is about its database, its files, its settings, and its queues is left out.
_FILES_AND_QUEUES = (
    *("test_disk", "custom_disk", "filename", "test_init", "pragma", "ioerror", "keyerror4"),
    *("_timeout", "close_error", "makedirs"),
    *("read", "raw", "test_path", "set_twice", "test_check", "integrity", "tag_index", "cleanup"),
    *("size_limit", "cull", "least_", "eviction_policy", "expire_rows", "rsync", "test_copy"),
    *("push", "pull", "peek", "constant"),
    # It asks for what lives a tenth of a second.
    "incr_update",
)


def _django(ours: str) -> Iterator[Suite]:
    for release, python, below, passes in _RELEASES:
        for part, file, excepted, options in (
            ("base", "cache/tests.py", exceptions.DJANGO, ("-k", _BASE)),
            ("async", f"{_HERE}/django_async.py", {}, ()),
            ("middleware", "cache/tests.py", {}, ("-k", _MIDDLEWARE)),
            ("sessions", "sessions_tests/tests.py", {}, ()),
        ):
            yield Suite(
                "django",
                f"{release} {part}",
                ours,
                "frameworks.django",
                (file,),
                excepted,
                passes[part],
                _DJANGO,
                options,
                python=python,
                below=below,
            )


FRAMEWORKS = (
    *_django("SharedCache"),
    *_django("MemoryCache"),
    Suite(
        "django-redis",
        "cache",
        "SharedCache",
        "frameworks.django_redis",
        ("test_backend.py",),
        {},
        57,
        ("django-redis==7.0.0", "msgpack", "pytest-mock==3.15.1", *_DJANGO),
        ("-k", _REDIS_ONLY),
    ),
    Suite(
        "django-redis",
        "sessions",
        "SharedCache",
        "frameworks.django_redis",
        ("test_session.py",),
        {},
        35,
        ("django-redis==7.0.0", "msgpack", "pytest-mock==3.15.1", *_DJANGO),
    ),
    Suite(
        "cachelib",
        "common",
        "SharedCache",
        "frameworks.cachelib",
        (f"{_HERE}/cachelib_tests.py",),
        {},
        30,
        ("cachelib==0.17.0", "pytest-xprocess==1.0.2"),
    ),
    Suite(
        "flask-caching",
        "all",
        "SharedCache",
        "frameworks.flask_caching",
        ("test_*.py",),
        exceptions.FLASK_CACHING,
        203,
        ("flask-caching==2.5.1", "flask[async]==3.1.3", "pytest-xprocess==1.0.2"),
        ("-n", "8", "--timeout", "300", "-k", _HERE_AND_NOW),
    ),
    Suite(
        "dogpile.cache",
        "backends",
        "SharedBackend",
        "frameworks.dogpile",
        (f"{_HERE}/dogpile_tests.py",),
        {},
        80,
        ("dogpile.cache==1.5.0",),
    ),
    Suite(
        "limits",
        "storages",
        "WarpStorage",
        "frameworks.limits",
        ("test_storage.py", "test_strategy.py", "storage/test_memory.py"),
        {},
        55,
        ("limits==5.8.0", "pytest-lazy-fixtures==1.4.0", "redis", "pymongo"),
    ),
    Suite(
        "limits",
        "asynchronous",
        "AsyncWarpStorage",
        "frameworks.limits",
        ("aio/test_s*.py", "aio/storage/test_memory.py"),
        {},
        54,
        (
            "limits==5.8.0",
            "pytest-lazy-fixtures==1.4.0",
            "pytest-asyncio==1.5.0",
            "redis",
            "coredis",
            "pymongo",
            "motor",
        ),
        _ASYNCIO,
    ),
    Suite(
        "litestar",
        "stores",
        "SharedStore",
        "frameworks.litestar",
        ("unit/test_stores.py",),
        {},
        56,
        (
            "litestar==2.13.0",
            "pytest-asyncio==1.5.0",
            "pytest-mock==3.15.1",
            "time-machine==2.16.0",
            "sniffio",
            "redis",
        ),
        (*_ASYNCIO, "-k", "not test_redis and not test_file and not delete_expired"),
    ),
    Suite(
        "aiocache",
        "all",
        "SharedCache",
        "frameworks.aiocache",
        ("ut/test_*.py", "acceptance/test_*.py"),
        exceptions.AIOCACHE,
        411,
        (
            "aiocache==0.12.3",
            "pytest-asyncio==1.5.0",
            "pytest-mock==3.15.1",
            "marshmallow",
            "msgpack",
        ),
        (*_ASYNCIO, "-m", "not redis and not memcached"),
        True,
    ),
    Suite(
        "cachetools",
        "cache and decorators",
        "Cache",
        "frameworks.cachetools",
        (f"{_HERE}/cachetools_tests.py",),
        exceptions.CACHETOOLS,
        67,
        ("cachetools==8.0.1",),
        python=(3, 11),
    ),
    Suite(
        "cachebox",
        "common and policies",
        "Cache",
        "frameworks.cachebox",
        ("test_impls.py",),
        exceptions.CACHEBOX,
        345,
        (),
        ("-n", "4", "-k", _ONCE),
    ),
    Suite(
        "diskcache",
        "core",
        "Cache",
        "frameworks.diskcache",
        ("test_core.py",),
        exceptions.DISKCACHE,
        23,
        (),
        ("-k", " and ".join(f"not {part}" for part in _FILES_AND_QUEUES)),
    ),
)
