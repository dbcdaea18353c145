"""The default cache is ours while django-redis' tests run, as far as they are of what its users
rely on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(args: list[str]) -> None:
    import django
    from django.conf import settings

    for arg in args:
        path = Path(arg.partition("::")[0])
        if path.parent.name == "tests":
            sys.path.insert(0, str(path.parent.parent))
    ours = {"BACKEND": "scripts.peer_suites.frameworks.django_redis_cache.Cache"}
    settings.configure(
        SECRET_KEY="not a secret",
        CACHES={
            "default": ours,
            "sample": {**ours, "LOCATION": "sample"},
            "with_prefix": {**ours, "KEY_PREFIX": "test-prefix"},
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
        ],
        USE_TZ=False,
    )
    django.setup()


@pytest.fixture
def cache() -> Iterator[Any]:
    from django.core.cache import cache as default

    yield default
    default.clear()


@pytest.fixture
def settings() -> Any:
    from django.conf import settings as ours

    return ours
