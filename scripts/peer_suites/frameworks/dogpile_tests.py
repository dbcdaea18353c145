"""The tests that dogpile.cache has for backends, with and without its mutexes, of ours."""

from __future__ import annotations

from dogpile.testing.fixtures import (
    _GenericBackendTestSuite,
    _GenericMutexTestSuite,
    _GenericSerializerTestSuite,
)

import warp_cache.dogpile  # noqa: F401 - registers the backend


class TestShared(_GenericBackendTestSuite):
    backend = "warp_cache.shared"
    config_args = {"arguments": {"name": "suite", "distributed_lock": False}}


class TestSharedWithMutex(_GenericMutexTestSuite, _GenericBackendTestSuite):
    backend = "warp_cache.shared"
    config_args = {"arguments": {"name": "suite-mutex"}}


class TestSharedSerialized(_GenericSerializerTestSuite, _GenericBackendTestSuite):
    backend = "warp_cache.shared"
    config_args = {"arguments": {"name": "suite-serialized"}}
