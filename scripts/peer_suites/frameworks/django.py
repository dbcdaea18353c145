"""Django's local memory cache is ours while Django's own tests run.

`WARP_CACHE_STAND_IN` is `django:SharedCache` or `django:MemoryCache`. The settings are those of the
tests' own runner, as far as the caches and sessions need them.
"""

from __future__ import annotations

import os
import sys

import pytest

from scripts.peer_suites import fetch

APPS = (
    *("django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sites"),
    *("django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles"),
)


def stand_in() -> type:
    import warp_cache.django as ours

    found: type = getattr(ours, os.environ["WARP_CACHE_STAND_IN"].partition(":")[2])
    return found


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
    # Its tests hand it from one to another.
    locmem.LocMemCache._expire_info = {}
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
