"""Django's tests of all its caches, each method by its twin that is awaited."""

from __future__ import annotations

from typing import Any
from unittest import mock

from asgiref.sync import async_to_sync
from cache import tests
from cache.tests import BaseCacheTests, caches_setting_for_tests
from django.core.cache import cache, caches
from django.test import TestCase, override_settings

_LOCAL = "django.core.cache.backends.locmem.LocMemCache"
# Of what has no twin, and what is no call of a method.
_AS_IT_IS = frozenset({"close", "key_func", "version", "default_timeout", "make_key"})


class _Awaited:
    """A cache whose methods run their twins, each in a loop that ends with it."""

    def __init__(self, inner: Any) -> None:
        object.__setattr__(self, "inner", inner)

    def __getattr__(self, name: str) -> Any:
        twin = (
            None
            if name.startswith("_") or name in _AS_IT_IS
            else getattr(self.inner, f"a{name}", None)
        )
        if twin is None:
            return getattr(self.inner, name)

        def call(*args: Any, **options: Any) -> Any:
            if name == "get_or_set" and len(args) < 2:
                return self.inner.get_or_set(*args, **options)
            return async_to_sync(twin)(*args, **options)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.inner, name, value)

    def __contains__(self, key: Any) -> bool:
        return bool(async_to_sync(self.inner.ahas_key)(key))


class _Caches:
    def __getitem__(self, alias: str) -> _Awaited:
        return _Awaited(caches[alias])


@override_settings(CACHES=caches_setting_for_tests(BACKEND=_LOCAL, exclude={"cull", "zero_cull"}))
class AsyncTests(BaseCacheTests, TestCase):
    def setUp(self) -> None:
        for name, awaited in (("cache", _Awaited(cache)), ("caches", _Caches())):
            patched = mock.patch.object(tests, name, awaited)
            patched.start()
            self.addCleanup(patched.stop)
