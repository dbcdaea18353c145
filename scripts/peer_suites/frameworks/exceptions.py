"""Tests of frameworks and caches that do not pass, each with the reason: a decision of this
package.
"""

from __future__ import annotations

from scripts.peer_suites.suite import by_test

_INSIDE = "it looks into the private attributes of Django's local memory cache"
_CULLING = "MAX_ENTRIES is exact: one entry makes room for one, and CULL_FREQUENCY has no effect"

DJANGO = by_test(
    {
        _INSIDE: [
            "tests.py::LocMemCacheTests::test_incr_decr_timeout",
            "tests.py::LocMemCacheTests::test_locking_on_pickle",
        ],
        _CULLING: [
            f"tests.py::LocMemCacheTests::test_{test}"
            for test in ("cull", "zero_cull", "lru_get", "lru_set", "lru_incr")
        ],
    }
)
DJANGO_MIDDLEWARE = by_test(
    {
        _INSIDE: [
            f"tests.py::DefaultNonExpiringCacheKeyTests::test_caches_{test}"
            for test in (
                "set_with_timeout_as_none_set_non_expiring_key",
                "with_unset_timeout_set_expiring_key",
            )
        ]
    }
)

_TRANSACTION = "a query is pickled in a thread, which waits for the test's own transaction"

DJANGO_ASYNC = by_test(
    {
        _TRANSACTION: [
            f"django_async.py::AsyncTests::test_cache_{way}_for_model_instance_with_deferred"
            for way in ("read", "write")
        ]
    }
)

_BY_REFERENCE = "values are copies, never the object that was stored"
_PLUGINS = "it puts a dict in the place of the cache"
_DATA = ("data0-0.6", "data1-0.2", "data2-0", "data3-1")

AIOCACHE = by_test(
    {
        _PLUGINS: [
            f"test_plugins.py::{test}[{data}]"
            for test in (
                "TestHitMissRatioPlugin::test_get_hit_miss_ratio",
                "TestHitMissRatioPlugin::test_multi_get_hit_miss_ratio",
                "TestTimingPlugin::test_get_avg_min_max",
            )
            for data in _DATA
        ],
        _BY_REFERENCE: [
            f"test_serializers.py::TestNullSerializer::test_{test}[{value}]"
            for test, values in {
                "add_get_types": ("2.0", "hi", "obj4", "obj5", "obj6"),
                "set_get_types": ("obj4", "obj5", "obj6"),
                "multi_set_multi_get_types": ("obj4", "obj5", "obj6"),
            }.items()
            for value in values
        ],
    }
)

_SERIALIZER = "there is no serializer to exchange: the file has a format of its own"
_THRESHOLD = "CACHE_THRESHOLD is exact"
_DEPRECATED = "it is about a parameter of its own that is deprecated"

FLASK_CACHING = by_test(
    {
        _THRESHOLD: ["test_backend_cache.py::TestSimpleCache::test_purge"],
        _DEPRECATED: ["test_backend_cache.py::TestSimpleCache::test_deprecated_ignore_errors"],
        _SERIALIZER: [
            "test_cachelib.py::test_backend_uses_cachelib_serializer",
            *(
                f"test_serializer.py::test_{test}"
                for test in (
                    "serializer_read_from_extension_config",
                    "instance_is_used_as_is",
                    "class_is_instantiated",
                    "configured_serializer_is_used_for_get_and_set",
                    "values_are_stored_in_the_configured_format",
                    "default_keeps_the_cachelib_serializer",
                )
            ),
        ],
    }
)

_NO_ERROR = "what does not fit is not stored, and is no error"
_SIZES = "sizes are max_weight and weigher; the peer's own attributes are the stand-in's"

CACHETOOLS = by_test(
    {
        f"{reason}": [f"cachetools_tests.py::CacheTest::test_{test}" for test in tests]
        for reason, tests in {
            _NO_ERROR: ("getsizeof_param", "maxsize_zero"),
            _SIZES: ("copy_getsizeof", "getsizeof_subclass"),
            "a negative max_size is 0, as in functools": ("maxsize_negative",),
            "the repr is another one": ("defaults",),
            "the KeyError of an empty cache is raised by the extension": (
                "popitem_exception_context",
            ),
        }.items()
    }
)
