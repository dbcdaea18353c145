"""Exceptions of every class are copied whole, and nothing that a class defines is asked for it."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import gc
import pickle
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Arriving, Held, errors, examples, start

from warp_cache import cache
from warp_cache._exceptions import own, share

T = TypeVar("T")
since_311 = pytest.mark.skipif(sys.version_info < (3, 11), reason="groups and notes: since 3.11")


def twin_of(error: BaseException) -> BaseException:
    """What one of several callers raises in place of `error`."""
    return own(share(error))


# --- what is to be the same ----------------------------------------------------------------

# Each has its own, or they are looked at one by one.
APART = {"__traceback__", "__cause__", "__context__", "__notes__", "__dict__", "exceptions", "args"}


def shown(error: BaseException) -> dict[str, Any]:
    """All that an exception has, but for methods."""
    parts = {}
    for name in dir(error):
        if name in APART:
            continue
        try:
            value = getattr(error, name)
        except Exception as missing:
            value = type(missing)
        if not callable(value):
            parts[name] = value
    return parts


def assert_twins(
    original: BaseException, twin: BaseException, seen: set[int] | None = None
) -> None:
    seen = set() if seen is None else seen
    if id(original) in seen:
        return
    seen.add(id(original))
    assert twin is not original
    assert type(twin) is type(original)
    args, others = BaseException.args.__get__(original), BaseException.args.__get__(twin)
    assert type(others) is tuple and len(others) == len(args)
    for mine, other in zip(args, others, strict=True):
        assert other is mine or isinstance(mine, (BaseException, list, tuple))
    mine, other = shown(original), shown(twin)
    assert mine.keys() == other.keys()
    for name in mine:
        assert same(mine[name], other[name]), name
    for name, value in BaseException.__dict__["__dict__"].__get__(original).items():
        other = BaseException.__dict__["__dict__"].__get__(twin)[name]
        assert other is value or name == "__notes__" or isinstance(value, (BaseException, tuple))
    frames = [traceback.extract_tb(error.__traceback__) for error in (original, twin)]
    assert frames[0] == frames[1]
    try:
        text = str(original), repr(original)
    except Exception:
        pass
    else:
        assert (str(twin), repr(twin)) == text
    for name in ("__cause__", "__context__"):
        mine, other = getattr(original, name), getattr(twin, name)
        assert (mine is None) == (other is None), name
        if mine is not None:
            assert_twins(mine, other, seen)
    members = zip(getattr(original, "exceptions", ()), getattr(twin, "exceptions", ()), strict=True)
    for mine, other in members:
        assert_twins(mine, other, seen)
    notes = getattr(original, "__notes__", None)
    assert getattr(twin, "__notes__", None) == notes
    assert notes is None or getattr(twin, "__notes__", None) is not notes


def same(mine: Any, other: Any) -> bool:
    return mine is other or (type(mine) is type(other) and mine == other)


# --- the built-in hierarchy ----------------------------------------------------------------

BUILTIN = sorted(
    (kind for kind in vars(builtins).values() if isinstance(kind, type)),
    key=lambda kind: kind.__name__,
)
BUILTIN = list(dict.fromkeys(kind for kind in BUILTIN if issubclass(kind, BaseException)))


def rows(kind: type) -> st.SearchStrategy[tuple[Any, ...]]:
    """Arguments that the class takes."""
    text = st.text(max_size=5)
    some = st.one_of(st.none(), st.integers(-3, 60), text, st.binary(max_size=3), st.tuples(text))
    if issubclass(kind, UnicodeDecodeError):
        return st.tuples(text, st.binary(max_size=4), st.integers(0, 4), st.integers(0, 4), text)
    if issubclass(kind, UnicodeEncodeError):
        return st.tuples(text, text, st.integers(0, 4), st.integers(0, 4), text)
    if issubclass(kind, UnicodeTranslateError):
        return st.tuples(text, st.integers(0, 4), st.integers(0, 4), text)
    if kind.__name__.endswith("ExceptionGroup"):
        members = st.lists(st.builds(ValueError, some), min_size=1, max_size=3)
        return st.tuples(text, members | members.map(tuple))
    if issubclass(kind, SyntaxError):
        place = st.tuples(text, st.integers(0, 9), st.integers(0, 9), text)
        return st.tuples(text) | st.tuples(text, place) | st.just(())
    if issubclass(kind, OSError):
        pair = st.tuples(st.integers(-1, 60), text)
        name = st.one_of(text, st.binary(max_size=3), st.integers(0, 3), st.none())
        named = st.tuples(st.integers(-1, 60), text, name)
        both = st.tuples(st.integers(-1, 60), text, name, st.none(), name)
        return st.one_of(pair, named, both, st.lists(some, max_size=5).map(tuple))
    return st.lists(some, max_size=3).map(tuple)


@settings(max_examples=examples(60))
@given(kind=st.sampled_from(BUILTIN), data=st.data())
def test_built_in_exceptions_and_classes_of_them(kind: Any, data: st.DataObject) -> None:
    made = kind
    subclass = data.draw(st.sampled_from(["none", "empty", "slots", "other arguments"]))
    if subclass == "empty":
        made = type("Empty", (kind,), {})
    elif subclass == "slots":
        made = type("Slots", (kind,), {"__slots__": ("slot", "unset")})
    elif subclass == "other arguments":
        arguments = data.draw(rows(kind))

        def new(cls: Any, *, only: Any) -> Any:
            return kind.__new__(cls, *arguments)

        def init(self: Any, *, only: Any) -> None:
            kind.__init__(self, *arguments)
            self.only = only

        made = type("Other", (kind,), {"__new__": new, "__init__": init})
    try:
        error = made(only=1) if subclass == "other arguments" else made(*data.draw(rows(kind)))
    except (TypeError, ValueError):
        return  # there is no such exception
    if subclass == "slots":
        error.slot = object()
    for name in data.draw(st.lists(st.sampled_from(sorted(writable(kind))))):
        value = data.draw(st.text(max_size=3) | st.integers(0, 3))
        try:
            setattr(error, name, value)
        except (TypeError, ValueError, AttributeError):
            continue
    error.attribute = [1]
    if sys.version_info >= (3, 11):
        error.add_note("look here")
    assert_twins(error, twin_of(error))
    assert_twins(error, twin_of(twin_of(error)))


def writable(kind: type) -> Iterator[str]:
    yield "another"
    for base in kind.__mro__:
        for name, field in vars(base).items():
            if base not in (BaseException, object) and hasattr(field, "__set__"):
                yield name


def test_fields_that_the_interpreter_fills() -> None:
    def undefined() -> Any:
        return undefined_name  # type: ignore[name-defined]  # noqa: F821

    def attribute() -> Any:
        return (1).missing  # type: ignore[attr-defined]

    def missing() -> Any:
        import warp_cache.missing_module  # type: ignore[import-not-found]

        return warp_cache

    def syntax() -> Any:
        return compile("a = = b", "a file", "exec")

    def decode() -> Any:
        return b"\xff".decode()

    def opened() -> Any:
        return open("/nowhere/at all")

    def stop() -> Any:
        return next(iter(()), *()) or None

    def blocked() -> Any:
        raise BlockingIOError(11, "later", 7)

    calls = (undefined, attribute, missing, syntax, decode, opened, stop, blocked)
    for call in calls:
        with pytest.raises(Exception) as caught:  # noqa: B017, PT011 - all kinds
            call()
        twin = twin_of(caught.value)
        assert_twins(caught.value, twin)
        assert twin.__traceback__ is not None
    assert caught.value.characters_written == twin.characters_written == 7  # type: ignore[attr-defined]


# --- nasty ones ----------------------------------------------------------------------------


class Refuses:
    """Every way that leads to a copy ends here."""

    def refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("asked")

    __copy__ = __deepcopy__ = __reduce__ = __reduce_ex__ = __getstate__ = __setstate__ = refuse
    __getnewargs__ = __getnewargs_ex__ = __getinitargs__ = refuse


class RefusesAll(Refuses, Exception):
    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(name)


class Lies(Exception):
    __reduce__ = __reduce_ex__ = lambda self, *args: (ValueError, ("lie",))  # noqa: E731
    __copy__ = lambda self: self  # noqa: E731
    __class__ = KeyError  # type: ignore[assignment]


class Hides(Exception):
    """What Python reads of it is not what it is."""

    args = property(lambda self: ("hidden",))  # type: ignore[assignment]
    __dict__ = property(lambda self: {})  # type: ignore[assignment]
    __traceback__ = property(lambda self: None)  # type: ignore[assignment]
    __context__ = property(lambda self: None)  # type: ignore[assignment]
    __cause__ = property(lambda self: None)  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Compares(Exception):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        raise RuntimeError("printed")

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise RuntimeError("asked for its truth")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    name: str = "name"


@dataclasses.dataclass
class Thawed(Exception):
    code: int


class Mangled(Exception):
    __slots__ = ("__hidden", "other", "__weakref__")

    def __init__(self) -> None:
        self.__hidden = "hidden"

    def hidden(self) -> str:
        return self.__hidden


class Below(Mangled):
    __slots__ = ("other",)

    def __init__(self) -> None:
        super().__init__()
        Mangled.other.__set__(self, "above")  # type: ignore[attr-defined]
        self.other = "below"


class Meta(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            raise TypeError("keywords, please")
        return super().__call__(*args, **kwargs)

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__mro__", "__dict__", "__base__", "__basicsize__"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


class OfMeta(Exception, metaclass=Meta):
    def __init__(self, *, code: int) -> None:
        self.code = code

    def __dir__(self) -> list[str]:
        return ["code"]


class Mixed(KeyError, OSError, Generic[T]):
    def __init__(self, first: Any, *, second: Any) -> None:
        super().__init__(first)
        self.second = second


class Singleton(Exception):
    def __new__(cls) -> Any:
        raise TypeError("there is one already")


class Interns(Exception):
    made: dict[str, Any] = {}

    def __new__(cls, name: str) -> Any:
        return cls.made.setdefault(name, super().__new__(cls, name))


def the_singleton() -> Any:
    return Exception.__new__(Singleton)


def reassigned() -> Any:
    error = ValueError(1, 2)
    error.args = ()
    return error


NASTY: dict[str, Callable[[], BaseException]] = {
    "refuses": lambda: RefusesAll(1, 2),
    "lies": lambda: Lies("truth"),
    "compares": lambda: Compares(1),
    "frozen": lambda: Frozen(3),
    "dataclass": lambda: Thawed(3),
    "mangled slots": Mangled,
    "slots of one name": Below,
    "metaclass": lambda: OfMeta(code=3),
    "mixed": lambda: Mixed(1, second=2),
    "singleton": the_singleton,
    "interned": lambda: Interns("name"),
    "args taken away": reassigned,
}


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("deep", ["itself", "as cause", "as context", "in a group"])
def test_nasty_exceptions(nasty: str, deep: str) -> None:
    original = NASTY[nasty]()
    if deep == "as cause":
        error = ValueError("above")
        error.__cause__ = original
    elif deep == "as context":
        error = ValueError("above")
        error.__context__ = original
    elif deep == "in a group":
        if sys.version_info < (3, 11):
            pytest.skip("groups exist since 3.11")
        error = BaseExceptionGroup("group", [original, KeyError(1)])  # noqa: F821
    else:
        error = original
    assert_twins(error, twin_of(error))
    if isinstance(error, Mangled):
        assert twin_of(error).hidden() == "hidden"  # type: ignore[attr-defined]
        twin = twin_of(error)
        died = weakref.ref(twin)
        del twin
        assert died() is None


def test_what_hides_all_is_copied_all_the_same() -> None:
    error = Hides("args")
    part = {name: BaseException.__dict__[name] for name in ("args", "__dict__", "__traceback__")}
    part["__dict__"].__get__(error)["attribute"] = 7
    try:
        raise error
    except Hides as caught:
        twin = twin_of(caught)
    assert type(twin) is Hides and twin is not error
    assert part["args"].__get__(twin) == ("args",)
    assert part["__dict__"].__get__(twin) == {"attribute": 7}
    assert part["__traceback__"].__get__(twin) is not None


def test_attrs_classes() -> None:
    attrs = pytest.importorskip("attrs")

    @attrs.frozen
    class FrozenAttrs(Exception):
        code: int
        more: Any = attrs.field(kw_only=True)

    @attrs.define(slots=False)
    class OpenAttrs(Exception):
        code: int

    for error in FrozenAttrs(1, more=[2]), OpenAttrs(3):
        assert_twins(error, twin_of(error))


def test_a_copy_is_pickled_and_copied_as_the_original() -> None:
    error = FileNotFoundError(2, "missing", "name")
    twin = twin_of(error)
    for other in pickle.loads(pickle.dumps(twin)), copy.copy(twin), copy.deepcopy(twin):
        assert (type(other), other.args, str(other)) == (type(error), error.args, str(error))


# --- what an exception leads to ------------------------------------------------------------


def test_circles_of_causes_and_contexts() -> None:
    first, second, third = ValueError(1), KeyError(2), OSError(3)
    first.__cause__, second.__context__, third.__cause__ = second, third, first
    third.__context__ = third
    assert_twins(first, twin_of(first))


def test_what_is_one_object_stays_one() -> None:
    inner, error = KeyError("inner"), ValueError("outer")
    error.__cause__ = error.__context__ = error.inner = inner  # type: ignore[attr-defined]
    error.args = ("text", inner, [inner])
    twin: Any = twin_of(error)
    assert twin.__cause__ is twin.__context__ is twin.inner is twin.args[1] is twin.args[2][0]
    assert twin.__cause__ is not inner


def test_a_long_chain() -> None:
    error = ValueError(0)
    for i in range(2000):
        above = ValueError(i)
        above.__context__ = error
        error = above
    twin = twin_of(error)
    for _ in range(2000):
        twin = twin.__context__  # type: ignore[assignment]
    assert twin.__context__ is None


@since_311
def test_groups_of_groups_have_members_of_their_own() -> None:
    class Group(ExceptionGroup):  # type: ignore[type-arg]  # noqa: F821, N818
        def __new__(cls, message: str, members: Any, *, code: int = 0) -> Any:
            self = super().__new__(cls, message, members)
            self.code = code
            return self

        def __init__(self, message: str, members: Any, *, code: int = 0) -> None:
            super().__init__(message, members)

        def derive(self, members: Any) -> Any:
            return Group(self.message, members, code=self.code)

    leaf = ValueError("leaf")
    error = Group("outer", [Group("inner", [leaf], code=1), leaf], code=2)
    twin = twin_of(error)
    assert_twins(error, twin)
    assert isinstance(twin, Group)
    assert twin.exceptions[1] is twin.exceptions[0].exceptions[0]  # type: ignore[union-attr]
    matching, others = twin.split(ValueError)
    assert matching is not None and others is None and matching.code == 2


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


# --- what can't be copied ------------------------------------------------------------------


class Closed(Exception):
    """As a class in C that keeps more than it shows."""


def test_what_cannot_be_copied_is_one_object_whose_traceback_does_not_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import warp_cache._exceptions as module

    monkeypatch.setattr(module, "_is_open", lambda kind: kind is not Closed)
    monkeypatch.setattr(Closed, "__copy__", lambda self: self, raising=False)
    error = Closed("no")
    caught = []
    try:
        raise error
    except Closed:
        shared = share(error)
    before = len(traceback.extract_tb(error.__traceback__))
    for _ in range(50):
        try:
            raise own(shared)
        except Closed as again:
            caught.append(again)
            assert len(traceback.extract_tb(again.__traceback__)) == before + 1
    assert set(map(id, caught)) == {id(error)}
    # What leads there is copied all the same.
    above = ValueError("above")
    above.__cause__ = error
    assert twin_of(above).__cause__ is error and twin_of(above) is not above


def test_what_can_only_copy_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import warp_cache._exceptions as module

    monkeypatch.setattr(module, "_is_open", lambda kind: kind is not Closed)
    monkeypatch.setattr(Closed, "__copy__", lambda self: Closed(*self.args), raising=False)
    error = Closed("no")
    error.attribute = 7  # type: ignore[attr-defined]
    assert_twins(error, twin_of(error))


def test_classes_that_keep_more_than_they_show_are_known() -> None:
    from warp_cache._exceptions import _is_open

    assert all(_is_open(kind) for kind in BUILTIN)
    assert all(_is_open(kind) for kind in (Below, Mangled, Frozen, Mixed, OfMeta, Interns))


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
