"""An exception of the leader reaches every waiter as its own; some reach the leader only."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
import weakref
from typing import Any

import pytest
from support import Arriving, Held, errors, results, start

from warp_cache import cache


def fly(make: Any, waiters: int = 4, **options: Any) -> tuple[list[BaseException], Any, Held]:
    """Let one thread fail with what `make` raises while others wait; all their exceptions."""
    key = Arriving()
    held = Held(lambda key: make())

    @cache(wait_timeout=None, **options)
    def failing_function(key: object) -> Any:
        return held(key)

    threads = [start(failing_function, key) for _ in range(waiters + 1)]
    held.await_start()
    key.await_calls(waiters + 1)
    held.release()
    caught = errors(threads)
    assert len(held.calls) == 1, "a waiter computed for itself"
    return caught, failing_function, held


def raiser(error: BaseException) -> Any:
    def make() -> None:
        raise error

    return make


def test_everybody_gets_an_exception_of_their_own() -> None:
    original = ValueError("no", 42)
    caught, f, _ = fly(raiser(original))
    assert [type(error) for error in caught] == [ValueError] * 5
    assert [error.args for error in caught] == [("no", 42)] * 5
    assert len({id(error) for error in caught}) == 5
    assert sum(error is original for error in caught) == 1, "the leader's is the one it raised"
    info = f.cache_info()
    assert (info.hits, info.misses, info.currsize) == (0, 5, 0)


def test_an_exception_is_not_cached() -> None:
    caught, f, held = fly(raiser(ValueError("first")))
    held.result = lambda key: "now it works"
    assert f("another") == "now it works"
    assert len(caught) == 5
    calls = []

    @cache
    def g(i: int) -> int:
        calls.append(i)
        raise LookupError(i)

    for _ in range(3):
        with pytest.raises(LookupError):
            g(1)
    assert len(calls) == 3
    assert tuple(g.cache_info()) == (0, 3, 128, 0)


def test_one_thread_may_change_its_exception_without_touching_the_others() -> None:
    caught, _, _ = fly(raiser(ValueError("no")))
    first, *others = caught
    first.args = ("changed",)
    first.__cause__ = KeyError()
    first.extra = "mine"  # type: ignore[attr-defined]
    before = [len(traceback.extract_tb(error.__traceback__)) for error in others]
    for _ in range(5):
        try:
            raise first
        except ValueError:
            pass
    assert [error.args for error in others] == [("no",)] * 4
    assert [error.__cause__ for error in others] == [None] * 4
    assert not any(hasattr(error, "extra") for error in others)
    assert [len(traceback.extract_tb(error.__traceback__)) for error in others] == before


def test_cause_context_and_traceback_are_kept() -> None:
    def make() -> None:
        try:
            try:
                raise KeyError("deep")
            except KeyError:
                raise LookupError("middle")  # noqa: B904 - the context is what is tested
        except LookupError as error:
            raise ValueError("outer") from error

    caught, _, _ = fly(make)
    for error in caught:
        assert isinstance(error.__cause__, LookupError)
        assert isinstance(error.__context__, LookupError)
        assert isinstance(error.__cause__.__context__, KeyError)
        assert error.__suppress_context__
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert "failing_function" in names and "make" in names, names


def test_from_none_is_kept() -> None:
    def make() -> None:
        try:
            raise KeyError("hidden")
        except KeyError:
            raise ValueError("outer") from None

    caught, _, _ = fly(make)
    assert all(error.__suppress_context__ and error.__cause__ is None for error in caught)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes exist since 3.11")
def test_notes_are_kept_and_not_shared() -> None:
    error = ValueError("no")
    error.add_note("look here")
    caught, _, _ = fly(raiser(error))
    for error in caught:
        assert error.__notes__ == ["look here"]
    caught[0].add_note("mine")
    assert [error.__notes__ for error in caught[1:]] == [["look here"]] * 4


class Attributes(Exception):
    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class MoreArguments(Exception):
    """Cannot be made from its own args."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")
        self.pair = (first, second)


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code


class NeverTwice(Exception):
    """The constructor refuses to run again."""

    made = False

    def __init__(self, message: str) -> None:
        if NeverTwice.made:
            raise RuntimeError("made twice")
        NeverTwice.made = True
        super().__init__(message)


class FailingCopy(Exception):
    def __copy__(self) -> Any:
        raise RuntimeError("no copies")

    def __reduce__(self) -> Any:
        raise RuntimeError("no pickles")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("no pickles")


class CopyOfAnotherType(Exception):
    def __copy__(self) -> Any:
        return "not even an exception"

    def __reduce__(self) -> Any:
        return (str, ("not even an exception",))


class SpecialNew(Exception):
    def __new__(cls, *args: object) -> Any:
        if len(args) != 2:
            raise TypeError("two, please")
        return super().__new__(cls, *args)

    def __init__(self, *args: object) -> None:
        super().__init__("only one")


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int = 5) -> None:
        super().__init__(code)
        self.code = code


class BrokenStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


AWKWARD: dict[str, Any] = {
    "attributes": lambda: Attributes("no", code=7),
    "more arguments than args": lambda: MoreArguments(1, 2),
    "keyword only": lambda: KeywordOnly(code=7),
    "constructor that refuses": lambda: NeverTwice("once"),
    "copy and pickle refused": lambda: FailingCopy("no"),
    "copy of another type": lambda: CopyOfAnotherType("no"),
    "special __new__": lambda: SpecialNew(1, 2),
    "slots": lambda: Slotted(9),
    "no str, no hash, no comparison": lambda: BrokenStr("no"),
    "StopIteration": lambda: StopIteration("value"),
    "StopAsyncIteration": lambda: StopAsyncIteration("value"),
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "OSError": lambda: FileNotFoundError(2, "missing", "name", None, "other name"),
    "ImportError": lambda: ImportError("no", name="module", path="place"),
    "SyntaxError": lambda: SyntaxError("no", ("file", 1, 2, "text")),
    "KeyError": lambda: KeyError(("a", "tuple")),
}


@pytest.mark.parametrize("awkward", AWKWARD)
def test_awkward_exceptions_keep_type_args_and_state(awkward: str) -> None:
    NeverTwice.made = False
    original = AWKWARD[awkward]()
    caught, f, _ = fly(raiser(original), waiters=2)
    for error in caught:
        assert type(error) is type(original)
        assert error.args == original.args
        assert error.__dict__ == original.__dict__
        if not isinstance(original, BrokenStr):
            assert str(error) == str(original)
        for name in ("code", "pair", "errno", "filename", "filename2", "name", "path", "object"):
            if hasattr(original, name):
                assert getattr(error, name) == getattr(original, name), name
    assert f.cache_info().currsize == 0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups exist since 3.11")
def test_exception_groups_keep_their_members() -> None:
    group = ExceptionGroup("several", [ValueError(1), KeyError(2)])  # noqa: F821 - since 3.11
    caught, _, _ = fly(raiser(group))
    for error in caught:
        assert type(error) is type(group)
        assert error.message == "several"
        assert [type(member) for member in error.exceptions] == [ValueError, KeyError]


class Halt(BaseException):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, Halt])
def test_what_is_no_exception_is_the_leaders_alone(error: type[BaseException]) -> None:
    """The waiters compute for themselves, as far as none of them has been faster."""
    key = Arriving()
    held = Held()
    lock = threading.Lock()
    calls = []

    @cache(wait_timeout=None)
    def f(key: object) -> Any:
        with lock:
            calls.append(key)
            first = len(calls) == 1
        value = held(key)
        if first:
            raise error("for the leader")
        return value

    threads = [start(f, key) for _ in range(5)]
    held.await_start()
    key.await_calls(5)
    held.release()
    caught = errors(threads)
    assert sorted(map(str, map(type, caught))) == sorted([str(error)] + [str(type(None))] * 4)
    values = [thread.result() for thread, bad in zip(threads, caught, strict=True) if bad is None]
    assert len({id(value) for value in values}) == len(calls) - 1
    assert len(calls) in range(2, 6)
    info = f.cache_info()
    assert (info.hits + info.misses, info.currsize) == (5, 1)
    assert any(f(key) is value for value in values)


def test_every_leader_halts_until_nobody_is_left() -> None:
    key = Arriving()
    held = Held(lambda key: raiser(Halt("again"))())
    f = cache(wait_timeout=None)(lambda key: held(key))
    threads = [start(f, key) for _ in range(4)]
    held.await_start()
    key.await_calls(4)
    held.release()
    assert [type(error) for error in errors(threads)] == [Halt] * 4
    assert len(held.calls) == 4
    held.result = lambda key: "fine"
    assert results([start(f, key)], 5) == ["fine"]


def test_waiters_hold_nothing_of_the_exception_afterwards() -> None:
    class Big(Exception):
        pass

    def make() -> None:
        raise Big("no")

    caught, f, _ = fly(make)
    died = [weakref.ref(error) for error in caught]
    del caught
    gc.collect()
    assert [ref() for ref in died] == [None] * 5
    assert f.cache_info().currsize == 0
