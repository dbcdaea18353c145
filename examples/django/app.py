"""A small Django project in one file: what all workers count and compute together.

GET /visit               one visit more, of all workers together
GET /report?city=Oslo    a slow report, computed by one worker for all
GET /session             how often this client was here, whichever worker answers
"""

from __future__ import annotations

import os
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.sessions", "warp_cache.django"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CACHES={"default": {"BACKEND": "warp_cache.django.SharedCache", "LOCATION": "example-django"}},
)


def visit(request: HttpRequest) -> JsonResponse:
    cache.add("visits", 0, timeout=None)
    return JsonResponse({"visits": cache.incr("visits"), "by": os.getpid()})


def report(request: HttpRequest) -> JsonResponse:
    city = request.GET.get("city", "Oslo")

    def compute() -> dict[str, Any]:
        time.sleep(0.3)
        return {"city": city, "computed_by": os.getpid()}

    return JsonResponse({**cache.get_or_set(f"report:{city}", compute, 60), "by": os.getpid()})


def session(request: HttpRequest) -> JsonResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"], "by": os.getpid()})


urlpatterns = [path("visit", visit), path("report", report), path("session", session)]


def _application() -> WSGIHandler:
    import django

    django.setup()
    return WSGIHandler()


application = _application()
