"""What a cache object holds of keys, exceptions and locks that are over: nothing."""

from __future__ import annotations

import contextlib
import gc
import threading
import types
import weakref
from datetime import timedelta
from typing import Any

import pytest

from warp_cache import Cache
from warp_cache._object import locking


class Key:
    """A key that tells when it is gone."""


def _missed(cache: Cache[Any, Any], deletes: bool) -> weakref.ref[Key]:
    key = Key()
    with contextlib.suppress(KeyError):
        if deletes:
            del cache[key]
        else:
            cache[key]
    return weakref.ref(key)


@pytest.mark.parametrize("deletes", [False, True])
def test_a_missing_key_is_let_go(deletes: bool) -> None:
    cache: Cache[Any, Any] = Cache()
    missed = [_missed(cache, deletes) for _ in range(10)]
    # No other operation comes between, as some would have it let go.
    assert [found() for found in missed] == [None] * 10


def _exceptions() -> int:
    return sum(isinstance(one, (TypeError, ValueError, KeyError)) for one in gc.get_objects())


def test_a_lifetime_leaves_no_exception_behind(make_here: Any) -> None:
    cache = make_here()
    cache.set("k", 1, ttl=timedelta(seconds=5))
    gc.collect()
    before = _exceptions()
    for _ in range(100):
        cache.set("k", 1, ttl=timedelta(seconds=5))
    assert _exceptions() - before < 50


def test_locks_whose_lease_is_over_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(locking, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    cache: Any = Cache()
    lasting = cache.lock("lasting")
    assert lasting.acquire()
    for number in range(1000):
        now[0] += 1
        assert cache.lock(number, lease=10).acquire(False)
    table = cache._locks["table"]
    assert len(table.held) <= 2 * table.LEAST
    assert cache.lock("lasting").locked()
    assert [number for number in range(1000) if cache.lock(number).locked()] == [*range(990, 1000)]
    lasting.release()


def test_a_key_that_takes_a_lock_when_it_is_compared() -> None:
    cache: Any = Cache()
    taken = []

    class Nested:
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            with cache.lock("another"):
                taken.append(1)
            return self is other

    def use() -> None:
        with cache.lock(Nested()), cache.lock(Nested()):
            pass

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert taken
