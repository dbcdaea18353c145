"""Tests of the peers that do not pass, each with the reason: a decision of this package."""

from __future__ import annotations

from scripts.peer_suites.suite import by_test

_WAITS_ARE_MISSES = "the call looks up: one that waits for another's computation counts a miss"
_ANY_LOOP = "values are kept, not tasks: a new event loop finds them, and nobody is warned"
_INSIDE = "it looks into the peer's private attributes"
_CLOSE = "there is nothing to close: values are kept, not tasks"
_MESSAGE = "our exception has another type or message"
_NO_MOCK = "the function is a mock that cannot be called, which is refused"
_NO_KEY = "lru_cache has functools' parameters: no key"
_ONE_INT = "as in functools, a lone int and an equal float are two keys"
_TIMER = "a timer is a parameter of the peer's own"
_CHOICE = "no strategy is random, and none takes a function that chooses"

_ASYNC_LRU: dict[str, list[str]] = {
    _WAITS_ARE_MISSES: [
        "test_basic.py::test_alru_cache_await_same_result_async",
        "test_basic.py::test_alru_cache_await_same_result_coroutine",
        "test_cache_info.py::test_cache_info",
        "test_exception.py::test_alru_exception",
        "test_partialmethod.py::test_partialmethod_partial",
        "test_size.py::test_alru_cache_none_max_size",
        "test_thread_safety.py::test_concurrent_same_loop_works",
    ],
    _ANY_LOOP: [
        "test_thread_safety.py::test_cross_loop_auto_resets_cache",
        "test_thread_safety.py::test_cross_loop_preserves_stats_reset",
        "test_thread_safety.py::test_loop_change_emits_warning",
        "test_thread_safety.py::test_loop_change_warns_only_once",
    ],
    _INSIDE: [
        "test_basic.py::test_alru_cache_dict_not_shared",
        "test_cache_clear.py::test_cache_clear_pending_task",
        "test_cache_clear.py::test_cache_clear_ttl_callback",
        "test_size.py::test_alru_cache_removing_lru_keys",
        "test_size.py::test_alru_cache_removing_lru_keys_with_full_displacement",
        "test_ttl.py::test_ttl_with_jitter_basic",
    ],
    _CLOSE: [
        "test_close.py::test_cache_close",
        "test_close.py::test_cache_close_wait_bound_method",
        "test_thread_safety.py::test_cross_loop_cache_close_works",
    ],
    _MESSAGE: [
        "test_basic.py::test_alru_cache_not_callable",
        "test_ttl.py::test_jitter_negative_raises_error",
        "test_ttl.py::test_jitter_without_ttl_raises_error",
    ],
    "plain functions are cached, too": ["test_basic.py::test_alru_cache_not_coroutine"],
    "what is being computed is not contained yet": [
        "test_cache_contains.py::test_cache_contains_pending_task"
    ],
    "partialmethod is refused: the decorator goes below it": [
        "test_partialmethod.py::test_partialmethod_basic"
    ],
}
_KEYS = [
    "test_key_excludes_argument",
    "test_key_receives_kwargs",
    "test_key_cache_invalidate",
    "test_key_cache_contains",
    "test_key_with_typed_raises",
    "test_key_not_callable",
    "test_key_on_method",
    "test_key_unhashable_result",
    "test_key_callable_raising",
    "test_key_with_ttl",
    "test_key_with_maxsize",
]

ASYNC_LRU_BY_CACHE = by_test(
    {
        **_ASYNC_LRU,
        "typed is allowed with key, and looks at what that returned": [
            "test_key.py::test_key_with_typed_raises"
        ],
    }
)
ASYNC_LRU_BY_LRU_CACHE = by_test(
    {**_ASYNC_LRU, _NO_KEY: [f"test_key.py::{name}" for name in _KEYS]}
)
ASYNC_LRU_INSIDE = by_test(
    {
        _NO_MOCK: [
            "test_internals.py::test_done_callback_cancelled",
            "test_internals.py::test_done_callback_exception",
            "test_internals.py::test_done_callback_exception_logs",
            "test_internals.py::test_cache_info",
        ],
        "it asks for the number of tasks, which are not kept": [
            "test_internals.py::test_cache_clear"
        ],
        _CLOSE: ["test_internals.py::test_forbid_call_closed"],
    }
)

_FUNC: dict[str, list[str]] = {
    _TIMER: [
        "test_func.py::TTLDecoratorTest::test_ttl_expire",
        "test_func.py::TTLDecoratorTest::test_ttl_expire_unbound",
        "test_func.py::TTLDecoratorTest::test_ttl_datetime",
    ],
    _CHOICE: ["test_func.py::RRDecoratorTest::test_rr_choice"],
}
CACHETOOLS_BY_CACHE = by_test(_FUNC)
CACHETOOLS_BY_LRU_CACHE = by_test(
    {
        **_FUNC,
        _ONE_INT: [
            f"test_func.py::{kind}DecoratorTest::{test}"
            for kind in ("FIFO", "LFU", "LRU", "RR", "TTL")
            for test in (
                "test_decorator",
                "test_decorator_unbound",
                "test_decorator_user_function",
            )
        ],
    }
)
