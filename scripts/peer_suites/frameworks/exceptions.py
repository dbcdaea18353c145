"""Tests of frameworks and caches that do not pass, each with the reason: a decision of this
package.
"""

from __future__ import annotations

from scripts.peer_suites.suite import by_test

_CULLING = "MAX_ENTRIES is exact: one entry makes room for one, and CULL_FREQUENCY has no effect"

DJANGO = by_test(
    {
        _CULLING: [
            f"tests.py::LocMemCacheTests::test_{test}"
            for test in ("cull", "zero_cull", "lru_get", "lru_set", "lru_incr")
        ],
    }
)

_BY_REFERENCE = "values are copies, never the object that was stored"

AIOCACHE = by_test(
    {
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

_INSIDE = "it looks into cachelib's private dict"
_THRESHOLD = "CACHE_THRESHOLD is exact"
_DEPRECATED = "it is about a parameter of its own that is deprecated"

FLASK_CACHING = by_test(
    {
        _THRESHOLD: ["test_backend_cache.py::TestSimpleCache::test_purge"],
        _DEPRECATED: ["test_backend_cache.py::TestSimpleCache::test_deprecated_ignore_errors"],
        _INSIDE: ["test_serializer.py::test_values_are_stored_in_the_configured_format"],
    }
)

_NO_ERROR = "what does not fit is not stored, and is no error"

CACHETOOLS = by_test(
    {
        f"{reason}": [f"cachetools_tests.py::CacheTest::test_{test}" for test in tests]
        for reason, tests in {
            _NO_ERROR: ("getsizeof_param", "getsizeof_subclass", "maxsize_zero"),
            "a negative max_size is 0, as in functools": ("maxsize_negative",),
            "the repr is in angle brackets, as it makes no such cache": ("defaults",),
        }.items()
    }
)

_SNAPSHOT = "iteration is over a snapshot: nobody's change ends it"
_SIZE_OF_KEY = "a weigher is asked for the value alone, and what is too heavy is no error"
_CACHEBOX_POLICIES = ("FIFO", "LFU", "LRU")

CACHEBOX = by_test(
    {
        reason: [
            f"test_impls.py::Test{policy}Cache::test_{test}"
            for policy in _CACHEBOX_POLICIES
            for test in tests
            # cachebox leaves it out for that one.
            if (policy, test) != ("LRU", "generation_version_on_shrink_to_fit")
        ]
        for reason, tests in {
            _SNAPSHOT: (
                *(
                    f"generation_version_on_{change}"
                    for change in ("clear", "insert", "popitem", "remove", "shrink_to_fit")
                ),
                "iterator_len_after_cache_changed",
            ),
            "keys() is a view, as a dict's, and no iterator": ("iterator_len_counts_what_is_left",),
            _SIZE_OF_KEY: (
                "getsizeof_insert_enforced",
                "getsizeof_insert_existing_key_enforced",
                "getsizeof_invalid_handle_size",
            ),
            "update() raises what dict.update does": ("update_invalid_argument",),
        }.items()
    }
) | by_test(
    {
        "keys() is a view of them, as a dict's, and no iterator": [
            "test_impls.py::TestFIFOCachePolicy::test_iterator_len_correct_across_ring_wrap"
        ],
        "iteration over an LRU cache is over a snapshot: a read does not end it": [
            "test_impls.py::TestLRUCachePolicy::test_read_under_live_iterator_invalidates_it"
        ],
        "it is pickled by __reduce__, not by __getstate__": [
            "test_impls.py::TestLRUCache::test_fuzzy_getstate_setstate"
        ],
        "in is no use": ["test_impls.py::TestLRUCachePolicy::test_lru_and_mru_key_methods"],
        "an entry that is given another value keeps its uses": [
            "test_impls.py::TestLFUCache::test_replace_lowers_priority_for_eviction"
        ],
    }
)

_TAGS = "an entry's tags are not read back"

DISKCACHE = by_test(
    {
        reason: [f"test_core.py::test_{test}" for test in tests]
        for reason, tests in {
            _TAGS: ("get", "tag", "incr", "decr", "pop"),
            "a value is an object, never the contents of a file": ("getsetdel",),
            "the clock is the real one": ("expire",),
            "what has ended is no entry, before it is dropped too": ("iter_expire",),
            "a key has a hash": ("key_roundtrip",),
            "ignore names parameters: it has no positions": ("memoize_ignore",),
            "a call of a memoized function is none of the keys": ("memoize_iter",),
            "counting is always on": ("stats",),
        }.items()
    }
)
