"""Django's local memory cache is ours while Django's own tests run.

`WARP_CACHE_STAND_IN` is `django:SharedCache` or `django:MemoryCache`. The settings are those of the
tests' own runner, as far as the caches and sessions need them.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import pytest

from scripts.peer_suites import fetch

APPS = (
    *("django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sites"),
    *("django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles"),
)


class _End(float):
    """When an entry ends: the same time as another one, as far as that can be told."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(self - other) < _APART / 2


# An end that has been moved between two looks at it is another one.
_APART = 0.2


class _Ends:
    """What Django's tests look up in its own cache: when the entry of a key ends."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getitem__(self, made: str) -> _End | None:
        time.sleep(_APART)
        left = self._backend._cache.ttl(made)
        return None if left == float("inf") else _End(time.time() + left)


class _Lock:
    """Whether others have to wait for the cache: asked by a thread that reads and writes."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def locked(self) -> bool:
        def use() -> None:
            for name in ("set", "add"):
                self._backend.get(name)
            self._backend.set("another", 1)

        thread = threading.Thread(target=use, daemon=True)
        thread.start()
        thread.join(30)
        return thread.is_alive()


def stand_in() -> type:
    import warp_cache.django as ours

    kind: Any = getattr(ours, os.environ["WARP_CACHE_STAND_IN"].partition(":")[2])

    class StandIn(kind):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._expire_info, self._lock = _Ends(self), _Lock(self)

    return StandIn


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(args: list[str]) -> None:
    import django
    from django.conf import settings

    # The tests' own applications.
    sys.path.insert(0, str(fetch.tests_of("django")))
    memory = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    settings.configure(
        DATABASES={"default": memory, "other": dict(memory)},
        INSTALLED_APPS=[*APPS, "cache", "sessions_tests"],
        SECRET_KEY="not a secret",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        ROOT_URLCONF="urls",
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
        ],
        STATIC_URL="static/",
        USE_TZ=False,
        LANGUAGE_CODE="en",
        SITE_ID=1,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    from django.core.cache.backends import locmem

    locmem.LocMemCache = stand_in()
    django.setup()


@pytest.fixture(scope="session", autouse=True)
def _databases() -> object:
    from django.test.utils import (
        setup_databases,
        setup_test_environment,
        teardown_databases,
        teardown_test_environment,
    )

    setup_test_environment(debug=False)
    made = setup_databases(verbosity=0, interactive=False)
    yield
    teardown_databases(made, verbosity=0)
    teardown_test_environment()
