"""Several callers of one computation that raises: each has an exception of its own."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from nasty_exceptions import NASTY, Mangled
from support import Arriving, Held, errors, start

from warp_cache import cache
from warp_cache._exceptions import own, share

# --- raised in several threads -------------------------------------------------------------


def fly(make: Callable[[], Any], callers: int = 4, around: Any = None) -> list[BaseException]:
    """What that many callers get of one computation that raises."""
    key = Arriving()
    held = Held(lambda key: make())
    f = cache(wait_timeout=None)(lambda key: held(key))
    call = (lambda key: around(lambda: f(key))) if around else f
    threads = [start(call, key) for _ in range(callers)]
    held.await_start()
    key.await_calls(callers)
    held.release()
    caught = errors(threads)
    assert len(held.calls) == 1
    return caught  # type: ignore[return-value]


def raiser(error: BaseException) -> Any:
    def make() -> None:
        raise error

    return make


@pytest.mark.parametrize("nasty", NASTY)
def test_nasty_exceptions_in_threads(nasty: str) -> None:
    caught = fly(raiser(NASTY[nasty]()))
    assert len({id(error) for error in caught}) == 4
    assert len({type(error) for error in caught}) == 1


def test_each_has_the_context_of_its_own_caller() -> None:
    number = iter(range(100))
    lock = threading.Lock()

    def around(call: Callable[[], Any]) -> Any:
        with lock:
            mine = KeyError(next(number))
        try:
            raise mine
        except KeyError:
            try:
                return call()
            except ValueError as error:
                error.mine = mine  # type: ignore[attr-defined]
                raise

    def make() -> None:
        try:
            raise OSError("deep")
        except OSError:
            raise ValueError("outer")  # noqa: B904

    for error in fly(make, around=around) + fly(raiser(ValueError("outer")), around=around):
        deep = error.__context__
        if isinstance(deep, OSError):
            deep = deep.__context__
        assert deep is error.mine  # type: ignore[attr-defined]


def test_the_members_of_a_group_have_no_frames_of_other_callers() -> None:
    if sys.version_info < (3, 11):
        pytest.skip("groups exist since 3.11")

    def around(call: Callable[[], Any]) -> Any:
        try:
            call()
        except BaseExceptionGroup as group:  # noqa: F821
            raise group.exceptions[0]  # noqa: B904

    caught = fly(raiser(ExceptionGroup("one", [ValueError(1)])), 8, around)  # noqa: F821
    lengths = {len(traceback.extract_tb(error.__traceback__)) for error in caught}
    assert len({id(error) for error in caught}) == 8
    assert max(lengths) <= min(lengths) + 1


# --- nothing is kept -----------------------------------------------------------------------


def test_no_copy_outlives_its_callers() -> None:
    gc.collect()
    error = ValueError("no")
    error.attribute = Mangled()  # type: ignore[attr-defined]
    shared = share(error)
    died = weakref.ref(error.attribute)  # type: ignore[attr-defined]
    gc.disable()
    try:
        for _ in range(100):
            try:
                raise own(shared)
            except ValueError:
                pass
        del error, shared
        assert died() is None
    finally:
        gc.enable()
