"""Exceptions of every class are copied whole, and nothing that a class defines is asked for it."""

from __future__ import annotations

import builtins
import copy
import pickle
import sys
import traceback
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from exception_twins import assert_twins, twin_of
from hypothesis import given, settings
from hypothesis import strategies as st
from nasty_exceptions import NASTY, Below, Frozen, Hides, Interns, Mangled, Mixed, OfMeta
from support import examples

from warp_cache._exceptions import own, share

since_311 = pytest.mark.skipif(sys.version_info < (3, 11), reason="groups and notes: since 3.11")


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
