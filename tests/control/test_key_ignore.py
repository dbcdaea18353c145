"""`key` and `ignore`: what makes two calls one entry (§2.1, §2.7)."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from control import Body, Kind, cache

# --- key ----------------------------------------------------------------------------------------


def test_key_is_used_instead_of_the_arguments(kind: Kind) -> None:
    body = Body()
    f = cache(key=lambda x: x % 10)(kind.one(body))
    assert kind.call(f, 1) == (1, 1)
    assert kind.call(f, 11) == (1, 1), "the entry of the same key"
    assert kind.call(f, 2) == (2, 2)
    assert body.calls == [(1,), (2,)]
    assert f.cache_info() == (1, 2, 128, 2)


def test_key_gets_the_arguments_as_they_were_passed(kind: Kind) -> None:
    asked: list[Any] = []

    def key(*args: Any, **kwargs: Any) -> int:
        asked.append((args, kwargs))
        return 0

    f = cache(key=key)(kind.two(Body()))
    kind.call(f, 1)
    kind.call(f, 1, 2)
    kind.call(f, 1, y=2)
    kind.call(f, y=2, x=1)
    expected = [((1,), {}), ((1, 2), {}), ((1,), {"y": 2}), ((), {"y": 2, "x": 1})]
    assert [call for n, call in enumerate(asked) if call not in asked[:n]] == expected
    assert list(asked[-1][1]) == ["y", "x"], "in the order of the call"


def test_key_gets_self_included(kind: Kind) -> None:
    class Account:
        __hash__ = None  # type: ignore[assignment]

        def __init__(self, number: int) -> None:
            self.number = number

        balance = cache(key=lambda self, x: (self.number, x))(
            kind.method(lambda self, x: (id(self), x))
        )

    first, same, other = Account(1), Account(1), Account(2)
    assert kind.call(first.balance, 5) == kind.call(same.balance, 5) == (id(first), 5)
    assert kind.call(other.balance, 5) == (id(other), 5)
    assert same.balance.cache_contains(5) and not same.balance.cache_contains(6)


def test_with_key_arguments_need_not_be_hashable(kind: Kind) -> None:
    body = Body()
    f = cache(key=tuple)(kind.one(body))
    assert kind.call(f, [1, 2]) == kind.call(f, [1, 2])
    assert body.count == 1


def test_what_key_gives_must_be_hashable(kind: Kind) -> None:
    body = Body()
    f = cache(key=lambda x: [x])(kind.one(body))
    with pytest.raises(TypeError, match=r"key must return what can be hashed, got \[1\]") as raised:
        kind.call(f, 1)
    assert "unhashable type: 'list'" in str(raised.value.__cause__)
    assert body.count == 0 and f.cache_info()[:2] == (0, 0)


def test_what_key_raises_reaches_the_caller(kind: Kind) -> None:
    body = Body()

    def key(x: int) -> int:
        raise LookupError("no key", x)

    f = cache(key=key)(kind.one(body))
    with pytest.raises(LookupError, match="no key"):
        kind.call(f, 1)
    assert body.count == 0 and f.cache_info().currsize == 0
    for method in (f.get, f.cache_contains, f.cache_invalidate, f.cache_ttl):
        with pytest.raises(LookupError, match="no key"):
            method(1)


def test_key_may_call_the_cache(kind: Kind) -> None:
    body = Body()

    def key(x: int) -> int:
        if x == 1:
            f.set("from inside", 2)
            f.cache_invalidate(3)
            f.cache_contains(1000)
        return x

    f = cache(key=key)(kind.one(body))
    kind.call(f, 3)
    assert kind.call(f, 1) == (1, 2)
    assert kind.call(f, 2) == "from inside"
    assert not f.cache_contains(3)


def test_key_may_give_none(kind: Kind) -> None:
    body = Body()
    f = cache(key=lambda x: None)(kind.one(body))
    assert kind.call(f, 1) == kind.call(f, 2) == (1, 1)


def test_keys_are_compared_as_a_dictionary_compares_them(kind: Kind) -> None:
    f = cache(key=lambda x: x)(kind.one(lambda x: type(x).__name__))
    assert [kind.call(f, x) for x in (1, 1.0, True)] == ["int"] * 3


def test_typed_with_key_looks_at_what_key_returned(kind: Kind) -> None:
    f = cache(key=lambda x: x, typed=True)(kind.one(lambda x: type(x).__name__))
    assert [kind.call(f, x) for x in (1, 1.0, True)] == ["int", "float", "bool"]
    body = Body()
    g = cache(key=lambda x: int(x), typed=True)(kind.one(body))
    assert kind.call(g, 1) == kind.call(g, 1.0) == kind.call(g, "1"), "key made them all ints"
    assert body.count == 1


def test_every_method_goes_by_key(kind: Kind) -> None:
    body = Body()
    f = cache(key=lambda x: x % 10, ttl=1000)(kind.one(body))
    f.set("set", 11)
    assert f.get(21) == "set" and f.cache_contains(31)
    assert 900 < f.cache_ttl(41) <= 1000
    f.cache_put("put", (51,))
    assert kind.call(f, 61) == "put"
    assert kind.call(f.cache_refresh, 71) == (71, 1)
    assert f.get(1) == (71, 1)
    assert f.cache_invalidate(81) is True
    assert f.cache_invalidate(81) is False
    assert f.cache_info().currsize == 0


def test_key_of_a_function_of_keywords(kind: Kind) -> None:
    def key(**kwargs: Any) -> Any:
        return frozenset(kwargs)

    if kind.is_async:

        async def body(**kwargs: Any) -> Any:
            return kwargs

    else:

        def body(**kwargs: Any) -> Any:  # type: ignore[misc]
            return kwargs

    f = cache(key=key)(body)
    assert kind.call(f, a=1) == {"a": 1}
    assert kind.call(f, a=2) == {"a": 1}
    assert kind.call(f, b=1) == {"b": 1}


def test_key_for_a_callable_without_a_signature() -> None:
    f = cache(key=lambda *args: args[0])(max)
    assert f(3, 1) == 3 and f(3, 5) == 3
    assert f.cache_info()[:2] == (1, 1)


def test_key_must_take_the_arguments_of_the_call(kind: Kind) -> None:
    body = Body()
    f = cache(key=lambda: 0)(kind.one(body))
    with pytest.raises(TypeError):
        kind.call(f, 1)
    assert body.count == 0


def test_key_and_what_it_stored_can_be_freed() -> None:
    import gc
    import weakref

    class Box:
        pass

    box = Box()
    gone = weakref.ref(box)
    f = cache(key=lambda x, box=box: (box, x))(Body())
    f(1)
    del box, f
    gc.collect()
    assert gone() is None


# --- ignore -------------------------------------------------------------------------------------


def test_ignored_parameters_are_no_part_of_the_key_however_they_are_passed(kind: Kind) -> None:
    body = Body()
    f = cache(ignore=("y",))(kind.two(body))
    first = kind.call(f, 1)
    assert kind.call(f, 1, 2) == kind.call(f, 1, y=3) == kind.call(f, x=1, y=4) == first
    assert kind.call(f, y=5, x=1) == first
    assert body.calls == [(1, 0)]
    assert kind.call(f, 2, 0) != first


def test_the_function_still_gets_ignored_arguments(kind: Kind) -> None:
    body = Body()
    f = cache(ignore=["y"])(kind.two(body))
    kind.call(f, 1, 7)
    kind.call(f, 2, y=8)
    assert body.calls == [(1, 7), (2, 8)]


def test_ignored_arguments_need_not_be_hashable(kind: Kind) -> None:
    body = Body()
    f = cache(ignore=("y",))(kind.two(body))
    assert kind.call(f, 1, []) == kind.call(f, 1, y={}) == kind.call(f, x=1, y=set())
    with pytest.raises(TypeError, match="unhashable"):
        kind.call(f, [], 1)
    assert body.count == 1


def test_ignored_arguments_are_not_hashed_or_compared(kind: Kind) -> None:
    class Session:
        def __hash__(self) -> int:
            raise AssertionError("hashed")

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

    f = cache(ignore=("y",), typed=True)(kind.two(Body()))
    assert kind.call(f, 1, Session()) is kind.call(f, 1, y=Session())


def test_ignore_self(kind: Kind) -> None:
    class Client:
        __hash__ = None  # type: ignore[assignment]
        fetch = cache(ignore=("self",))(kind.method(lambda self, x: (id(self), x)))

    first, second = Client(), Client()
    assert kind.call(first.fetch, 1) == kind.call(second.fetch, 1) == (id(first), 1)
    assert second.fetch.cache_invalidate(1) is True
    assert first.fetch.cache_contains(1) is False


def test_an_ignored_argument_is_not_kept_alive() -> None:
    import weakref

    import support

    class Session:
        pass

    f = cache(ignore=("session",))(lambda x, session: x)
    session = Session()
    gone = weakref.ref(session)
    f(1, session)
    f(1, session=session)
    del session
    support.merge_counts()
    assert gone() is None


def test_ignore_star_args_and_star_star_kwargs_by_their_names() -> None:
    calls = []

    def function(x: int, *rest: Any, **extra: Any) -> int:
        calls.append((x, rest, extra))
        return x

    f = cache(ignore=("rest",))(function)
    f(1)
    f(1, 2, [])
    assert len(calls) == 1
    f(1, 2, z=3)
    assert len(calls) == 2, "what goes to **extra still counts"
    calls.clear()
    g = cache(ignore=("extra",))(function)
    g(1)
    g(1, a=[], b=2)
    assert len(calls) == 1
    g(1, 2, a=3)
    assert len(calls) == 2, "what goes to *rest still counts"
    calls.clear()
    h = cache(ignore=("rest", "extra"))(function)
    h(1, [], {}, k=[])
    h(1)
    h(x=1, q=9)
    assert len(calls) == 1


def test_ignore_positional_only_and_keyword_only() -> None:
    calls = []

    def function(a: int, b: int, /, c: int, *, d: int = 4) -> int:
        calls.append((a, b, c, d))
        return a

    f = cache(ignore=("b", "d"))(function)
    f(1, 2, 3)
    f(1, 5, 3, d=6)
    f(1, 7, c=3)
    assert calls == [(1, 2, 3, 4)]


def test_ignore_everything_leaves_one_entry(kind: Kind) -> None:
    body = Body()
    f = cache(ignore=("x", "y"))(kind.two(body))
    assert kind.call(f, 1) == kind.call(f, 2, 3) == kind.call(f, x=4)
    assert body.count == 1


def test_ignore_nothing_is_the_default(kind: Kind) -> None:
    body = Body()
    f = cache(ignore=())(kind.two(body))
    kind.call(f, 1)
    kind.call(f, 1, 0)
    kind.call(f, 1, 1)
    assert body.count == 2


def test_every_method_goes_by_ignore(kind: Kind) -> None:
    f = cache(ignore=("y",), ttl=1000)(kind.two(Body()))
    f.set("set", 1, 2)
    assert f.get(1, 3) == "set" and f.cache_contains(1, y=[])
    assert f.cache_ttl(x=1) is not None
    f.cache_put("put", (1, []))
    assert kind.call(f, 1, {}) == "put"
    f.cache_put("put again", (), {"x": 1, "y": 7})
    assert f.get(1) == "put again"
    assert kind.call(f.cache_refresh, 1, 9) == (1, 9, 1)
    assert kind.call(f, 1) == (1, 9, 1)
    assert f.cache_invalidate(1, y=[[]]) is True
    assert f.cache_info().currsize == 0


def test_wrong_calls_still_reach_the_function(kind: Kind) -> None:
    f = cache(ignore=("y",))(kind.two(Body()))
    for args, kwargs in [((), {}), ((1, 2, 3), {}), ((1,), {"z": 1}), ((1,), {"x": 2})]:
        with pytest.raises(TypeError):
            kind.call(f, *args, **kwargs)
    assert f.cache_info().currsize == 0


def test_unknown_names_are_a_value_error_that_lists_them() -> None:
    with pytest.raises(ValueError, match="ignore.*sesion"):
        cache(ignore=("sesion",))(lambda x, session: x)
    with pytest.raises(ValueError, match="ignore.*nothing"):
        cache(ignore=("nothing",))(max)


def test_key_and_ignore_exclude_each_other() -> None:
    with pytest.raises((TypeError, ValueError), match="key.*ignore|ignore.*key"):
        cache(key=lambda x: x, ignore=("x",))(lambda x: x)


def test_the_signature_stays_that_of_the_function(kind: Kind) -> None:
    function = kind.two(Body())
    f = cache(ignore=("y",))(function)
    assert inspect.signature(f) == inspect.signature(function)


@pytest.mark.parametrize("wrong", [[1], {1: 2}, (1, [2])])
def test_a_key_that_cannot_be_hashed_is_a_type_error_that_names_key(kind: Kind, wrong: Any) -> None:
    f = cache(key=lambda x: wrong)(kind.one(Body()))
    for call in (lambda: kind.call(f, 1), lambda: f.get(1), lambda: f.cache_invalidate(1)):
        with pytest.raises(TypeError, match=r"key must return what can be hashed, got .*2|1"):
            call()
