"""`cache_exceptions`: exceptions that are stored like results (§2.1, §2.7)."""

from __future__ import annotations

import contextlib
import gc
import math
import threading
import time
import traceback
import weakref
from typing import Any

import pytest
import support
from control import Body, Kind, cache, lru_cache


class Missing(LookupError):
    def __init__(self, name: str, *, hint: str = "") -> None:
        super().__init__(name)
        self.hint = hint


class Nested(Missing):
    pass


def raising(error: BaseException) -> Body:
    body = Body()
    body.fail = error
    return body


def caught(kind: Kind, f: Any, *args: Any) -> BaseException:
    with pytest.raises(BaseException) as info:  # noqa: B017, PT011
        kind.call(f, *args)
    return info.value


@pytest.mark.parametrize(
    "given",
    [KeyError, (KeyError,), (ValueError, KeyError), {KeyError: 100}, {KeyError: None}, Exception],
)
def test_such_an_exception_is_stored_like_a_result(kind: Kind, given: Any) -> None:
    body = raising(KeyError("no", 1))
    f = cache(cache_exceptions=given)(kind.one(body))
    for _ in range(3):
        error = caught(kind, f, 1)
        assert type(error) is KeyError and error.args == ("no", 1)
    assert body.count == 1
    assert f.cache_info() == (2, 1, 128, 1)
    assert caught(kind, f, 2).args == ("no", 1) and body.count == 2


def test_other_exceptions_are_not(kind: Kind) -> None:
    body = raising(ValueError("other"))
    f = cache(cache_exceptions=(KeyError, OSError))(kind.one(body))
    for number in (1, 2, 3):
        assert type(caught(kind, f, 1)) is ValueError
        assert body.count == number
    assert f.cache_info() == (0, 3, 128, 0)


def test_by_default_none_is_stored(kind: Kind) -> None:
    body = raising(KeyError("no"))
    f = cache(kind.one(body))
    caught(kind, f, 1)
    caught(kind, f, 1)
    assert body.count == 2


def test_subclasses_count(kind: Kind) -> None:
    body = raising(Nested("no"))
    f = cache(cache_exceptions=LookupError)(kind.one(body))
    assert type(caught(kind, f, 1)) is type(caught(kind, f, 1)) is Nested
    assert body.count == 1


def test_each_hit_raises_a_copy_of_the_callers_own(kind: Kind) -> None:
    original = Missing("no", hint="try again")
    original.extra = [1]  # type: ignore[attr-defined]
    original.__cause__ = ValueError("why")
    f = cache(cache_exceptions=Missing)(kind.one(raising(original)))
    first = caught(kind, f, 1)
    assert first is original, "the caller who computed gets what was raised"
    second, third = caught(kind, f, 1), caught(kind, f, 1)
    assert len({id(error) for error in (first, second, third)}) == 3
    for error in (second, third):
        assert type(error) is Missing and error.args == ("no",)
        assert error.hint == "try again" and error.extra == [1]  # type: ignore[attr-defined]
        assert isinstance(error.__cause__, ValueError) and error.__cause__.args == ("why",)


def test_tracebacks_of_hits_do_not_grow_into_each_other(kind: Kind) -> None:
    f = cache(cache_exceptions=Missing)(kind.one(raising(Missing("no"))))
    errors = [caught(kind, f, 1) for _ in range(20)]
    depths = [len(traceback.extract_tb(error.__traceback__)) for error in errors[1:]]
    assert len(set(depths)) == 1, depths


def test_changes_of_one_copy_are_not_seen_in_the_next(kind: Kind) -> None:
    f = cache(cache_exceptions=Missing)(kind.one(raising(Missing("no"))))
    caught(kind, f, 1)
    second = caught(kind, f, 1)
    second.args = ("changed",)
    second.mark = True  # type: ignore[attr-defined]
    third = caught(kind, f, 1)
    assert third.args == ("no",) and not hasattr(third, "mark")


def test_the_frames_of_the_computation_are_not_kept_alive_by_hits() -> None:
    """What a hit's caller holds in its frame is freed with its copy."""
    import gc
    import weakref

    class Box:
        pass

    @cache(cache_exceptions=Missing)
    def f(x: int) -> None:
        raise Missing("no")

    def caller() -> Any:
        box = Box()
        with contextlib.suppress(Missing):
            f(1)
        return weakref.ref(box)

    caller()
    gone = caller()
    gc.collect()
    assert gone() is None


def test_seconds_of_a_mapping(kind: Kind, clock: Any) -> None:
    errors = {1: KeyError("a"), 2: Missing("b")}

    def function(x: int) -> None:
        raise errors[x]

    f = cache(cache_exceptions={KeyError: 100, Missing: 200.5})(kind.one(function))
    caught(kind, f, 1)
    caught(kind, f, 2)
    assert [f.cache_ttl(1), f.cache_ttl(2)] == pytest.approx([100, 200.5], abs=5)
    clock.advance(150)
    assert [f.cache_contains(1), f.cache_contains(2)] == [False, True]
    clock.advance(60)
    assert not f.cache_contains(2) and f.cache_info().currsize == 0


@pytest.mark.parametrize("reverse", [False, True])
def test_of_several_types_the_most_specific_decides(kind: Kind, clock: Any, reverse: bool) -> None:
    seconds = {Exception: 100, LookupError: 200, Missing: 300, Nested: 400}
    if reverse:
        seconds = dict(reversed(seconds.items()))
    errors: list[Exception] = [ValueError(), KeyError(), Missing("a"), Nested("b")]

    def function(x: int) -> None:
        raise errors[x]

    f = cache(cache_exceptions=seconds)(kind.one(function))
    for x in range(4):
        caught(kind, f, x)
    assert [f.cache_ttl(x) for x in range(4)] == pytest.approx([100, 200, 300, 400], abs=5)


def test_without_seconds_the_ttl_of_the_function_holds(kind: Kind, clock: Any) -> None:
    for given in (KeyError, (KeyError,), {KeyError: None}):
        f = cache(ttl=100, cache_exceptions=given)(kind.one(raising(KeyError("no"))))
        caught(kind, f, 1)
        assert f.cache_ttl(1) == pytest.approx(100, abs=5)
        g = cache(cache_exceptions=given)(kind.one(raising(KeyError("no"))))
        caught(kind, g, 1)
        assert g.cache_ttl(1) == math.inf


def test_seconds_hold_beside_the_ttl_of_the_function(kind: Kind, clock: Any) -> None:
    body = raising(KeyError("no"))
    f = cache(ttl=100, cache_exceptions={KeyError: 10})(kind.one(body))
    caught(kind, f, 1)
    clock.advance(15)
    body.fail = None
    assert kind.call(f, 1) == (1, 2)
    assert f.cache_ttl(1) == pytest.approx(100, abs=5)


def test_with_a_callable_ttl_seconds_have_to_be_given(kind: Kind) -> None:
    for given in (KeyError, (KeyError,), {KeyError: None}, {OSError: 1, KeyError: None}):
        with pytest.raises((ValueError, TypeError), match="cache_exceptions"):
            cache(ttl=lambda value: 60, cache_exceptions=given)(kind.one(Body()))
    f = cache(ttl=lambda value: 1 / 0, cache_exceptions={KeyError: 60})(
        kind.one(raising(KeyError("no")))
    )
    caught(kind, f, 1)
    assert f.cache_ttl(1) == pytest.approx(60, abs=5), "ttl(value) is not asked of an exception"


def test_tti_holds_for_exceptions_too(kind: Kind, clock: Any) -> None:
    f = cache(tti=100, cache_exceptions=KeyError)(kind.one(raising(KeyError("no"))))
    for _ in range(3):
        caught(kind, f, 1)
        clock.advance(80)
    assert f.cache_info()[:2] == (2, 1)
    clock.advance(40)
    assert not f.cache_contains(1)


def test_stored_exceptions_have_no_stale_windows(kind: Kind, clock: Any) -> None:
    body = raising(KeyError("no"))
    f = cache(ttl=100, stale_while_revalidate=1000, stale_if_error=1000, cache_exceptions=KeyError)(
        kind.one(body)
    )
    caught(kind, f, 1)
    clock.advance(110)
    assert not f.cache_contains(1) and f.cache_ttl(1) is None
    assert f.cache_info().currsize == 0
    body.fail = None
    assert kind.call(f, 1) == (1, 2)


def test_what_the_methods_make_of_a_stored_exception(kind: Kind) -> None:
    body = raising(KeyError("no"))
    f = cache(ttl=1000, cache_exceptions=KeyError)(kind.one(body))
    caught(kind, f, 1)
    assert f.get(1) is None, "get is None"
    assert f.cache_contains(1) is True, "a call is answered without computing"
    assert f.cache_ttl(1) == pytest.approx(1000, abs=50)
    assert f.cache_invalidate(1) is True
    assert f.cache_contains(1) is False
    body.fail = None
    assert kind.call(f, 1) == (1, 2)


def test_set_replaces_a_stored_exception(kind: Kind) -> None:
    f = cache(cache_exceptions=KeyError)(kind.one(raising(KeyError("no"))))
    caught(kind, f, 1)
    f.set("value", 1)
    assert kind.call(f, 1) == "value" and f.cache_info().currsize == 1


def test_refresh_replaces_a_stored_exception(kind: Kind) -> None:
    body = raising(KeyError("no"))
    f = cache(cache_exceptions=KeyError)(kind.one(body))
    caught(kind, f, 1)
    body.fail = None
    assert kind.call(f.cache_refresh, 1) == (1, 2)
    assert kind.call(f, 1) == (1, 2)


def test_a_failed_refresh_leaves_what_was_there_even_then(kind: Kind) -> None:
    # "A failed cache_refresh raises and leaves what was there" has no exception (§2.7).
    body = Body()
    f = cache(cache_exceptions=KeyError)(kind.one(body))
    kind.call(f, 1)
    body.fail = KeyError("no")
    with pytest.raises(KeyError):
        kind.call(f.cache_refresh, 1)
    assert kind.call(f, 1) == (1, 1)


def test_stored_exceptions_take_places_like_results(kind: Kind) -> None:
    body = raising(KeyError("no"))
    f = cache(max_size=2, cache_exceptions=KeyError)(kind.one(body))
    for x in (1, 2, 1, 3):
        caught(kind, f, x)
    assert [f.cache_contains(x) for x in (1, 2, 3)] == [True, False, True]
    assert f.cache_info().evictions == 1


def test_stored_exceptions_have_tags(kind: Kind) -> None:
    f = cache(tags=("t{x}",), cache_exceptions=KeyError)(kind.one(raising(KeyError("no"))))
    caught(kind, f, 1)
    caught(kind, f, 2)
    f.cache_invalidate_tags("t1")
    assert not f.cache_contains(1) and f.cache_contains(2)


def test_a_stored_exception_counts_as_a_failed_load_once(kind: Kind) -> None:
    f = cache(cache_exceptions=KeyError)(kind.one(raising(KeyError("no"))))
    for _ in range(3):
        caught(kind, f, 1)
    info = f.cache_info()
    assert info.loads == 1 and info.load_failures == 1


def test_who_waits_gets_a_copy_and_later_callers_too() -> None:
    begun, goes_on = threading.Event(), threading.Event()
    calls = []

    @cache(cache_exceptions=KeyError)
    def f(x: int) -> None:
        calls.append(x)
        begun.set()
        assert goes_on.wait(support.LIMIT)
        raise KeyError("no")

    waiting = [support.start(f, 1) for _ in range(4)]
    assert begun.wait(support.LIMIT)
    time.sleep(support.PAUSE)
    goes_on.set()
    errors = support.errors(waiting)
    with pytest.raises(KeyError) as later:
        f(1)
    assert [type(error) for error in errors] == [KeyError] * 4
    assert len({id(error) for error in [*errors, later.value]}) == 5
    assert calls == [1]


def test_threads_that_hit_one_stored_exception() -> None:
    f = cache(cache_exceptions=Missing)(lambda x: (_ for _ in ()).throw(Missing("no")))
    with pytest.raises(Missing):
        f(1)

    def many() -> set[int]:
        seen = []
        for _ in range(200):
            try:
                f(1)
            except Missing as error:
                assert error.args == ("no",)
                seen.append(error)
        return {id(error) for error in seen}

    found = support.results(support.start_together([many] * 4))
    assert [len(ids) for ids in found] == [200] * 4


def test_what_is_no_exception_is_never_stored() -> None:
    for error in (KeyboardInterrupt, SystemExit, BaseException, GeneratorExit):
        with pytest.raises((TypeError, ValueError), match="cache_exceptions"):
            cache(cache_exceptions=error)(Body())
        with pytest.raises((TypeError, ValueError), match="cache_exceptions"):
            cache(cache_exceptions={error: 1})(Body())
        with pytest.raises((TypeError, ValueError), match="cache_exceptions"):
            cache(cache_exceptions=(KeyError, error))(Body())


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_seconds_are_positive(seconds: float) -> None:
    with pytest.raises(ValueError, match="cache_exceptions"):
        cache(cache_exceptions={KeyError: seconds})(Body())


@pytest.mark.parametrize("wrong", ["KeyError", 1, KeyError("x"), [1], {KeyError: "60"}, {"a": 1}])
def test_what_is_no_type_of_exceptions(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="cache_exceptions"):
        cache(cache_exceptions=wrong)(Body())


def test_lru_cache_has_no_such_parameter() -> None:
    with pytest.raises(TypeError, match="cache_exceptions"):
        lru_cache(cache_exceptions=KeyError)(Body())


def test_a_later_change_of_the_mapping_changes_nothing(kind: Kind) -> None:
    given = {KeyError: 100}
    body = raising(KeyError("no"))
    f = cache(cache_exceptions=given)(kind.one(body))
    given.clear()
    caught(kind, f, 1)
    caught(kind, f, 1)
    assert body.count == 1


def test_what_is_stored_keeps_nobodys_variables_alive(kind: Kind) -> None:
    class Local:
        """What a frame has, while the exception passes it."""

    seen: list[Any] = []

    def inner(x: Any) -> Any:
        local = Local()
        seen.append(weakref.ref(local))
        try:
            raise LookupError(x)
        except LookupError as error:
            raise KeyError(x) from error

    def outer(f: Any, x: Any) -> None:
        local = Local()
        seen.append(weakref.ref(local))
        with pytest.raises(KeyError):
            kind.call(f, x)

    f = cache(cache_exceptions=KeyError)(kind.one(inner))
    for x in range(3):
        outer(f, x)
        outer(f, x)
    # What pytest has caught is gone with the frames.
    gc.collect()
    assert [reference() for reference in seen] == [None] * 9
    with pytest.raises(KeyError) as raised:
        kind.call(f, 1)
    assert isinstance(raised.value.__cause__, LookupError)
    assert f.cache_info()[:2] == (4, 3)


def test_what_the_options_say_may_be_changed() -> None:
    f = cache(cache_exceptions={KeyError: 100})(lambda x: x)
    f.cache_options()["cache_exceptions"].clear()
    assert f.cache_options()["cache_exceptions"] == {KeyError: 100}
