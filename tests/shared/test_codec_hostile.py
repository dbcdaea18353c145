"""Encoding runs user code, which raises, changes what is being encoded, or comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import FREE_THREADED

from warp_cache._warp_cache_rs import _copy, _decode_value, _encode_key, _encode_value


class Acting:
    """Does something when it is reduced; equal to its like, so that it can be a part of a key."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Acting)

    def __hash__(self) -> int:
        return 1

    def __reduce_ex__(self, protocol: Any) -> Any:
        self.act()
        return Acting, (id,)


def raising(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


ENCODERS: list[Callable[[Any], object]] = [
    lambda value: _encode_value([value]),
    lambda value: _encode_key((1, (value,))),
    lambda value: _encode_key((1, value), ("name",)),
]


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), StopIteration(), Exception()])
def test_an_exception_makes_it_unstorable(
    encode: Callable[[Any], object], error: BaseException
) -> None:
    assert encode(Acting(raising(error))) is None


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(), MemoryError(), GeneratorExit()]
)
def test_what_is_no_exception_or_lack_of_memory_comes_through(
    encode: Callable[[Any], object], error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        encode(Acting(raising(error)))
    assert caught.value is error


def test_while_reading() -> None:
    class Loaded:
        error: type[BaseException] = ValueError

        def __reduce__(self) -> Any:
            return exec, (f"raise {Loaded.error.__name__}",)

    for error in (ValueError, RecursionError):
        Loaded.error = error
        made = _encode_value(Loaded())
        assert made is not None and _decode_value(made[0]) is None
    for other in (KeyboardInterrupt, SystemExit, MemoryError):
        Loaded.error = other
        made = _encode_value(Loaded())
        assert made is not None
        with pytest.raises(other):
            _decode_value(made[0])


@pytest.mark.parametrize("change", ["clear", "append", "del"])
def test_what_is_encoded_is_changed_meanwhile(change: str) -> None:
    def act() -> None:
        if change == "clear":
            items.clear()
            table.clear()
            members.clear()
        elif change == "append":
            items.append([object()] * 1000)
            table.update(dict.fromkeys(range(1000)))
            members.update(range(1000))
        else:
            del items[1:]
            table.pop("b", None)
            members.discard(5)

    acting = Acting(act)
    for _ in range(20):
        items: list[Any] = [["first"], acting, ["last"], [[]]]
        table: dict[Any, Any] = {"a": acting, "b": ["b"], ("c", acting): ["c"]}
        members = {acting, *map(str, range(10)), 5}

        class State:
            entries = iter(table.items())

            def __init__(self, *parts: Any) -> None:
                self.parts = parts

            def __eq__(self, other: object) -> bool:
                return self is other

            def __hash__(self) -> int:
                return 1

            def __reduce__(self) -> Any:
                return Acting, self.parts, self.parts[0], iter(self.parts), self.entries

        for whole in (items, table, members, (items, table, members)):
            _encode_value(whole)
            _encode_key((State(whole),))


def test_it_comes_back() -> None:
    seen: list[object] = []

    def act() -> None:
        if len(seen) < 50:
            seen.append(None)
            seen.append(_encode_key((acting, "x")))
            seen.append(_encode_value([acting, {}]))

    acting = Acting(act)
    assert _encode_key((acting, "x")) is not None
    assert len({made for made in seen if isinstance(made, bytes)}) == 1


def test_endless_reduction_ends() -> None:
    class Endless:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

        def __reduce__(self) -> Any:
            return complex, (Endless(),)

    class Wide(Endless):
        def __reduce__(self) -> Any:
            return complex, (1,), None, iter(lambda: "x" * 100_000, None)

    assert _encode_key((Endless(),)) is None
    assert _encode_key((Wide(),)) is None
    tree: Any = []
    for _ in range(90):
        tree = [tree, tree]

    class Tree(Endless):
        def __reduce__(self) -> Any:
            return complex, (1,), tree

    assert _encode_key((Tree(),)) is None


@pytest.mark.parametrize(
    "reduced",
    [5, (), (complex,), (complex, []), (complex, (), 1, 2), (complex, (), 1, [], [1]), "nowhere"],
)
def test_reduced_to_nonsense(reduced: Any) -> None:
    class Nonsense:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

        def __reduce__(self) -> Any:
            return reduced

    assert _encode_key((Nonsense(),)) is None


@pytest.mark.skipif(not FREE_THREADED, reason="threads take turns")
def test_threads_change_what_is_encoded_and_copied() -> None:
    shared: list[Any] = [[i] for i in range(50)]
    table: dict[Any, Any] = {i: [i] for i in range(50)}
    members = set(range(50))
    value = [shared, table, members]
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shared.append([number])
            shared.pop(0)
            table[number] = [number]
            table.pop(number - 50, None)
            members.add(number)
            members.discard(number - 50)

    threads = [threading.Thread(target=change) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(300):
            made = _encode_value(value)
            assert made is None or _decode_value(made[0]) is not None
            _copy(value)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
