"""What a warning says of a result that the server does not get: which argument, why, what helps."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest
import servers

import warp_cache
from warp_cache import cache

pytestmark = pytest.mark.usefixtures("near_by")


def plain(article: Any, *rest: Any, currency: Any = "EUR", **more: Any) -> int:
    return 1


async def awaited(article: Any, *rest: Any, currency: Any = "EUR", **more: Any) -> int:
    return 1


def ask(f: Any, *args: Any, **kwargs: Any) -> Any:
    made = f(*args, **kwargs)
    return asyncio.run(made) if f.__wrapped__ is awaited else made


@pytest.mark.parametrize("function", [plain, awaited])
@pytest.mark.parametrize(
    "args, kwargs, said",
    [
        ((object(),), {}, r"argument 'article' is of type object: it is compared by identity"),
        ((1, 2, object()), {}, r"argument 2 of '\*rest' is of type object"),
        ((1,), {"currency": ("NOK", object())}, r"'currency' is of type tuple and holds one of"),
        ((1,), {"other": object()}, r"argument 'other' is of type object"),
    ],
)
def test_the_argument_is_named_once(
    configured: servers.Server, function: Any, args: Any, kwargs: Any, said: str
) -> None:
    f = cache(remote=True, ttl=60, name="f")(function)
    with pytest.warns(warp_cache.UncacheableWarning, match=rf"{said}.*; pass what tells it apart"):
        assert ask(f, *args, **kwargs) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(f, *args, **kwargs) == 1


@pytest.mark.parametrize("function", [plain, awaited])
def test_who_asks_for_exceptions_gets_one_each_time(
    configured: servers.Server, function: Any
) -> None:
    f = cache(remote=True, ttl=60, name="f")(function)
    with warnings.catch_warnings():
        warnings.simplefilter("error", warp_cache.UncacheableWarning)
        for _ in range(2):
            with pytest.raises(warp_cache.UncacheableWarning, match="argument 'article'"):
                ask(f, object())


def test_what_set_is_given_is_named(configured: servers.Server) -> None:
    f = cache(remote=True, ttl=60, name="f", ignore=("article",))(plain)
    with pytest.warns(
        warp_cache.UncacheableWarning, match=r"argument 'currency' is of type object"
    ):
        f.set(2, 1, currency=object())


def test_what_a_key_function_gives_is_called_so(configured: servers.Server) -> None:
    f = cache(remote=True, ttl=60, name="f", key=lambda *args, **kwargs: object())(plain)
    with pytest.warns(warp_cache.UncacheableWarning, match=r"what key returns is of type object"):
        f(1)
