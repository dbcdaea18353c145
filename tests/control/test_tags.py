"""Tags (§2.1, §2.7, §4): groups of entries that are dropped together."""

from __future__ import annotations

from typing import Any

import pytest
from control import Body, Kind, both, cache, lru_cache, present, warp


class User:
    def __init__(self, number: int) -> None:
        self.id = number

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, User) and other.id == self.id


# --- what drops what ----------------------------------------------------------------------------


def test_a_plain_tag_is_that_of_every_entry(kind: Kind) -> None:
    f = cache(tags=("users",))(kind.one(Body()))
    for x in range(5):
        kind.call(f, x)
    f.cache_invalidate_tags("other", "user", "users{x}", "")
    assert present(f, *range(5)) == list(range(5))
    f.cache_invalidate_tags("users")
    assert present(f, *range(5)) == []
    assert kind.call(f, 1) == (1, 6), "computed anew"
    f.cache_invalidate_tags("users")
    assert not f.cache_contains(1), "the new entry has the tag again"


def test_a_template_is_formatted_with_the_arguments(kind: Kind) -> None:
    f = cache(tags=("user:{x}", "page:{y}"))(kind.two(Body()))
    kind.call(f, 1, 1)
    kind.call(f, 1, 2)
    kind.call(f, 2, 1)
    f.cache_invalidate_tags("user:2")
    assert f.cache_contains(1, 1) and f.cache_contains(1, 2) and not f.cache_contains(2, 1)
    f.cache_invalidate_tags("page:1")
    assert not f.cache_contains(1, 1) and f.cache_contains(1, 2)


def test_templates_use_the_bound_parameters_however_they_are_passed(kind: Kind) -> None:
    f = cache(tags=("{y}-{x}",))(kind.two(Body()))
    for args, kwargs in [((1, 2), {}), ((1,), {"y": 2}), ((), {"y": 2, "x": 1})]:
        kind.call(f, *args, **kwargs)
        f.cache_invalidate_tags("2-1")
        assert f.cache_info().currsize == 0


def test_templates_use_defaults(kind: Kind) -> None:
    f = cache(tags=("y={y}",))(kind.two(Body()))
    kind.call(f, 1)
    kind.call(f, 1, 5)
    f.cache_invalidate_tags("y=0")
    assert not f.cache_contains(1) and f.cache_contains(1, 5)


@pytest.mark.parametrize(
    ("template", "argument", "tag"),
    [
        ("user:{x.id}", User(7), "user:7"),
        ("{x[0]}", (3, 4), "3"),
        ("{x:03d}", 5, "005"),
        ("{x!r}", "a", "'a'"),
        ("{{x}}", 1, "{x}"),
        ("{x}{x}", 1, "11"),
        ("ü{x}", "é", "üé"),
    ],
)
def test_templates_are_those_of_str_format(
    kind: Kind, template: str, argument: Any, tag: str
) -> None:
    f = cache(tags=template)(kind.one(lambda x: "value"))
    kind.call(f, argument)
    f.cache_invalidate_tags(tag + "?")
    assert f.cache_contains(argument)
    f.cache_invalidate_tags(tag)
    assert not f.cache_contains(argument)


def test_templates_may_use_self(kind: Kind) -> None:
    class Account:
        def __init__(self, number: int) -> None:
            self.number = number

        balance = cache(tags=("account:{self.number}",))(kind.method(lambda self, x: x))

    first, second = Account(1), Account(2)
    kind.call(first.balance, 5)
    kind.call(second.balance, 5)
    first.balance.cache_invalidate_tags("account:1")
    assert not first.balance.cache_contains(5) and second.balance.cache_contains(5)
    Account.balance.cache_invalidate_tags("account:2")
    assert not second.balance.cache_contains(5)


def test_templates_may_use_ignored_parameters_and_go_with_key(kind: Kind) -> None:
    f = cache(tags=("y={y}",), ignore=("y",))(kind.two(Body()))
    kind.call(f, 1, 7)
    f.cache_invalidate_tags("y=7")
    assert not f.cache_contains(1)
    g = cache(tags=("y={y}",), key=lambda x, y=0: x)(kind.two(Body()))
    kind.call(g, 1, 8)
    g.cache_invalidate_tags("y=8")
    assert not g.cache_contains(1)


def test_tags_are_no_part_of_the_key(kind: Kind) -> None:
    body = Body()
    f = cache(tags=("y={y}",), ignore=("y",))(kind.two(body))
    kind.call(f, 1, 7)
    assert kind.call(f, 1, 8) == (1, 7, 1) and body.count == 1


def test_a_lone_string_is_one_tag(kind: Kind) -> None:
    f = cache(tags="users")(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate_tags("u", "s")
    assert f.cache_contains(1)
    f.cache_invalidate_tags("users")
    assert not f.cache_contains(1)


def test_one_callable_gives_the_tags(kind: Kind) -> None:
    asked: list[Any] = []

    def tags(*args: Any, **kwargs: Any) -> Any:
        asked.append((args, kwargs))
        return [f"n{args[0]}", "all"]

    f = cache(tags=tags)(kind.two(Body()))
    kind.call(f, 1, y=2)
    kind.call(f, 1, y=2)
    kind.call(f, 2)
    assert asked == [((1,), {"y": 2}), ((2,), {})], "as passed; once a miss, never at hits"
    f.cache_invalidate_tags("n1")
    assert not f.cache_contains(1, 2) and f.cache_contains(2)
    f.cache_invalidate_tags("all")
    assert f.cache_info().currsize == 0


@pytest.mark.parametrize("given", [tuple, list, set, iter, dict.fromkeys])
def test_the_callable_may_give_any_strings(kind: Kind, given: Any) -> None:
    f = cache(tags=lambda x: given(["a", "b"]))(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate_tags("b")
    assert not f.cache_contains(1)


def test_a_lone_string_of_the_callable_is_one_tag(kind: Kind) -> None:
    f = cache(tags=lambda x: "word")(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate_tags("w")
    assert f.cache_contains(1)
    f.cache_invalidate_tags("word")
    assert not f.cache_contains(1)


def test_the_callable_may_give_none(kind: Kind) -> None:
    f = cache(tags=lambda x: ())(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate_tags("")
    assert f.cache_contains(1)


def test_tags_are_worked_out_before_the_function_runs(kind: Kind) -> None:
    order = []

    def body(x: list[int]) -> int:
        order.append("function")
        x.append(1)
        return len(x)

    def tags(x: list[int]) -> Any:
        order.append("tags")
        return f"len:{len(x)}"

    f = cache(tags=tags, key=id)(kind.one(body))
    argument: list[int] = []
    kind.call(f, argument)
    assert order == ["tags", "function"]
    f.cache_invalidate_tags("len:1")
    assert f.cache_contains(argument)
    f.cache_invalidate_tags("len:0")
    assert not f.cache_contains(argument)


def test_what_tags_raise_reaches_the_caller_and_the_function_does_not_run(kind: Kind) -> None:
    body = Body()

    def tags(x: int) -> Any:
        raise LookupError("no tags")

    f = cache(tags=tags)(kind.one(body))
    with pytest.raises(LookupError, match="no tags"):
        kind.call(f, 1)
    assert body.count == 0 and not f.cache_contains(1)
    g = cache(tags=("{x.id}",))(kind.one(body))
    with pytest.raises(AttributeError, match="id"):
        kind.call(g, 1)
    assert body.count == 0


@pytest.mark.parametrize("wrong", [1, [1], ["a", b"b"], [None], None])
def test_tags_of_a_wrong_type_are_a_type_error_that_names_them(kind: Kind, wrong: Any) -> None:
    f = cache(tags=lambda x: wrong)(kind.one(Body()))
    with pytest.raises(TypeError, match="tags"):
        kind.call(f, 1)
    assert f.cache_info().currsize == 0


@pytest.mark.parametrize("backend", ["memory", "shared"])
@pytest.mark.parametrize("tags", [("all", "{x}"), lambda x: ["all", x], lambda x: x])
def test_an_empty_tag_is_refused_wherever_it_comes_from(
    kind: Kind, tags: Any, backend: str
) -> None:
    body = Body()
    f = cache(tags=tags, backend=backend, name="empty")(kind.one(body))
    assert kind.call(f, "a") == ("a", 1)
    with pytest.raises(ValueError, match="tags must be strings that are not empty, got"):
        kind.call(f, "")
    with pytest.raises(ValueError, match="tags must be strings that are not empty, got"):
        f.cache_put("put", ("b",), tags=[""])
    assert body.count == 1, "as where the tags raise, the function does not run"
    assert present(f, "a", "b", "") == ["a"]


def test_up_to_sixteen_tags(kind: Kind) -> None:
    names = [f"t{n}" for n in range(16)]
    f = cache(tags=names)(kind.one(Body()))
    for name in names:
        kind.call(f, 1)
        assert f.cache_contains(1)
        f.cache_invalidate_tags(name)
        assert not f.cache_contains(1), name
    with pytest.raises(ValueError, match="tags.*16|16.*tags"):
        cache(tags=[f"t{n}" for n in range(17)])(kind.one(Body()))
    g = cache(tags=lambda x: [f"t{n}" for n in range(17)])(kind.one(Body()))
    with pytest.raises(ValueError, match="tags"):
        kind.call(g, 1)
    with pytest.raises(ValueError, match="tags"):
        g.cache_put("value", (1,), tags=[f"t{n}" for n in range(17)])
    assert g.cache_info().currsize == 0


def test_many_tags_may_be_given_to_an_invalidation(kind: Kind) -> None:
    f = cache(tags=("n{x}",), max_size=None)(kind.one(Body()))
    for x in range(100):
        kind.call(f, x)
    f.cache_invalidate_tags(*(f"n{x}" for x in range(0, 100, 2)))
    assert present(f, *range(100)) == list(range(1, 100, 2))
    f.cache_invalidate_tags()
    assert f.cache_info().currsize == 50


@pytest.mark.parametrize("wrong", [1, b"users", None, ["users"]])
def test_an_invalidation_wants_strings(kind: Kind, wrong: Any) -> None:
    f = cache(tags=("users",))(kind.one(Body()))
    kind.call(f, 1)
    with pytest.raises(TypeError):
        f.cache_invalidate_tags(wrong)
    with pytest.raises(TypeError):
        warp.invalidate_tags(wrong)
    assert f.cache_contains(1)


# --- which caches -------------------------------------------------------------------------------


def test_a_functions_invalidation_concerns_its_own_entries(kind: Kind) -> None:
    f = cache(tags=("shared",))(kind.one(Body()))
    g = cache(tags=("shared",))(kind.one(Body()))
    kind.call(f, 1)
    kind.call(g, 1)
    f.cache_invalidate_tags("shared")
    assert not f.cache_contains(1) and g.cache_contains(1)


@both
def test_the_modules_invalidation_concerns_every_cache(decorate: Any, kind: Kind) -> None:
    f = cache(tags=("users", "f"))(kind.one(Body()))
    g = cache(tags=("users", "g"))(kind.one(Body()))
    h = decorate(kind.one(Body()))
    for function in (f, g):
        kind.call(function, 1)
    kind.call(h, 1)
    h.cache_put("tagged", (2,), tags=("users",))
    warp.invalidate_tags("none")
    assert f.cache_contains(1) and g.cache_contains(1)
    warp.invalidate_tags("users")
    assert not f.cache_contains(1) and not g.cache_contains(1)
    assert h.cache_contains(1) and not h.cache_contains(2)
    kind.call(f, 1)
    kind.call(g, 1)
    warp.invalidate_tags("f", "other")
    assert not f.cache_contains(1) and g.cache_contains(1)


def test_the_modules_invalidation_concerns_instances_too(kind: Kind) -> None:
    class Account:
        balance = cache(per_instance=True, tags=("n{x}",))(kind.method(lambda self, x: x))

    accounts = [Account() for _ in range(3)]
    for account in accounts:
        kind.call(account.balance, 1)
        kind.call(account.balance, 2)
    accounts[0].balance.cache_invalidate_tags("n1")
    assert [a.balance.cache_contains(1) for a in accounts] == [False, True, True], "its own"
    Account.balance.cache_invalidate_tags("n1")
    assert not any(a.balance.cache_contains(1) for a in accounts)
    warp.invalidate_tags("n2")
    assert not any(a.balance.cache_contains(2) for a in accounts)


# --- decoration ---------------------------------------------------------------------------------


def test_templates_need_a_readable_signature() -> None:
    with pytest.raises(ValueError, match="tags.*signature|signature.*tags"):
        cache(tags=("{x}",))(max)
    f = cache(tags=("plain",))(max)
    assert f(1, 2) == 2
    f.cache_invalidate_tags("plain")
    assert not f.cache_contains(1, 2)


@pytest.mark.parametrize("template", ["user:{z}", "{x", "x}", "{}", "{0}", "{x!z}", "{x:{z}}"])
def test_a_template_that_cannot_be_formatted_is_told_at_decoration(template: str) -> None:
    with pytest.raises((ValueError, TypeError), match="tags"):
        cache(tags=(template,))(lambda x: x)


@pytest.mark.parametrize("wrong", [1, [1], [b"a"], ["a", None]])
def test_tags_are_strings(wrong: Any) -> None:
    with pytest.raises(TypeError, match="tags"):
        cache(tags=wrong)(lambda x: x)


def test_lru_cache_has_no_such_parameter() -> None:
    with pytest.raises(TypeError, match="tags"):
        lru_cache(tags=("t",))(Body())
